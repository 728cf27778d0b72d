"""A process that speaks with a Ray cluster for a search: it places hands there and passes on what is said.

Run as ``python -m nas.executors.driver``. Ray's driver lives in a process of its own because it prints what it likes on
standard output, waits minutes for an address that does not answer, and ends its process when the cluster is gone. Here
all of that is the end of one process, told in one line.

On standard input it reads JSON lines: first the ``Opening``, then ``{"hand": place, "order": ...}``, where no
order ends the hand. On standard output
it tells ``{"connected": true}``, ``{"nodes": names, "gpu": whether hands have one}`` or ``{"broken": reason}``, and of
each hand ``placed`` (its node), ``said`` (what a hand reports), ``died`` (how its process ended) or ``lost`` (its node
or Ray's worker is gone). A hand that died or was lost is placed anew.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

SECONDS_TO_ANSWER = 120.0
"""In which a node tells its versions; a worker of Ray may have to be started for it."""

_PAUSE = 0.2  # seconds before a hand is placed anew


@dataclass(frozen=True, slots=True)
class Opening:
    """What the process begins with.

    Attributes:
        address: Of the cluster: ``auto``, ``HOST:PORT`` or ``ray://HOST:PORT``.
        hands: How many trainings at the same time.
        gpu: Whether they train on GPUs; None for where the cluster has some.
        cpus: Of each hand.
        versions: Of the packages that must be the same on every node, without what follows a plus sign.
        seen: File that every node must be able to read, a path or a URL.
    """

    address: str
    hands: int
    gpu: bool | None
    cpus: int
    versions: Mapping[str, str]
    seen: str


def relay() -> type:
    """Return the class of Ray's actors: each starts a hand on its node and passes on what is said.

    It is made in a function so that Ray sends it whole: a node without this package can still say so.
    """

    class Relay:
        def __init__(self) -> None:
            from queue import Queue

            from nas.executors.child import HAND, Hand

            self._reports: Any = Queue()
            self._hand = Hand(HAND, self._reports)

        def node(self) -> str:
            import socket

            return socket.gethostname()

        def send(self, order: Mapping[str, Any]) -> None:
            self._hand.send(order)

        def heard(self) -> list[dict[str, Any]]:
            """Wait until something is said, and return all of it."""
            reports = [self._reports.get()]
            while not self._reports.empty():
                reports.append(self._reports.get())
            return [{"said": said} if said is not None else {"died": self._hand.ending()} for _, said in reports]

    return Relay


def look(packages: list[str], seen: str) -> dict[str, Any]:
    """Tell what a node has: versions of packages (None where there is none), and why a file cannot be read."""
    import socket
    from importlib.metadata import PackageNotFoundError, version

    versions: dict[str, str | None] = {}
    for package in packages:
        try:
            versions[package] = version(package).partition("+")[0]
        except PackageNotFoundError:
            versions[package] = None
    problem = ""
    try:
        import fsspec

        with fsspec.open(seen, "rb") as file:
            file.read()
    except Exception as error:
        problem = " ".join(f"{type(error).__name__}: {error}".split())
    return {"node": socket.gethostname(), "versions": versions, "problem": problem}


class Broken(Exception):
    """Why no hand can be placed, in one line."""


def share_of_gpu(hands: int, gpus: int) -> float:
    """Return which part of a GPU each of so many hands has: a whole one, or as many on each GPU as it takes."""
    return 1.0 if hands <= gpus else (10_000 // -(-hands // gpus)) / 10_000


def room(nodes: list[Mapping[str, float]], *, cpus: int, gpu_share: float) -> int:
    """Return for how many hands there is room on nodes of the given resources."""
    fits = 0
    for resources in nodes:
        by_cpu = int(resources.get("CPU", 0) // cpus)
        by_gpu = int(resources.get("GPU", 0)) * int(1 / gpu_share) if gpu_share else by_cpu
        fits += min(by_cpu, by_gpu)
    return fits


def require_alike(facts: Mapping[str, Any], opening: Opening) -> None:
    """Raise Broken where a node has other versions, or does not see the folder of the checkpoints."""
    node = facts["node"]
    for package, here in opening.versions.items():
        there = facts["versions"][package]
        if there != here:
            has = f"has {package} {there}" if there else f"has no {package}"
            raise Broken(f"node {node} {has}, and this machine {here}: install the same version on all nodes")
    if facts["problem"]:
        folder = opening.seen.rpartition("/")[0]
        raise Broken(
            f"node {node} cannot read {folder} ({facts['problem']}): put the study on a folder that all nodes share,"
            " or give --checkpoints"
        )


class Driver:
    """Ray's driver, and a thread for each hand."""

    def __init__(self, opening: Opening, reports: Any) -> None:
        """Keep what it works with."""
        self._opening, self._reports = opening, reports
        self._lock = threading.Lock()
        self._actors = dict[int, Any]()

    def report(self, **document: Any) -> None:
        """Tell the search something."""
        with self._lock:
            self._reports.write(json.dumps(document) + "\n")
            self._reports.flush()

    def connect(self) -> float:
        """Connect with the cluster, look at its nodes, and return which part of a GPU each hand has.

        Raises:
            Broken: There is no such cluster, or it has not what the hands need.
        """
        import ray

        opening = self._opening
        try:
            ray.init(opening.address, log_to_driver=False, logging_level=50)
        except (Exception, SystemExit) as error:
            raise Broken(" ".join(str(error).split())) from None
        self.report(connected=True)
        nodes = [node for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU", 0) >= opening.cpus]
        gpus = int(sum(node["Resources"].get("GPU", 0) for node in nodes))
        if opening.gpu and not gpus:
            raise Broken("--device cuda: the cluster has no GPU")
        share = share_of_gpu(opening.hands, gpus) if gpus and opening.gpu is not False else 0.0
        fits = room([node["Resources"] for node in nodes], cpus=opening.cpus, gpu_share=share)
        if fits < opening.hands:
            raise Broken(f"--workers {opening.hands}: the cluster has CPUs or GPUs for {fits}")
        self._look_at(nodes)
        self.report(nodes=[node["NodeManagerHostname"] for node in nodes], gpu=share > 0)
        return share

    def _look_at(self, nodes: list[dict[str, Any]]) -> None:
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        looking = ray.remote(num_cpus=0, max_retries=0)(_by_value(look))
        there = [NodeAffinitySchedulingStrategy(node["NodeID"], soft=False) for node in nodes]
        packages = list(self._opening.versions)
        asked = [looking.options(scheduling_strategy=one).remote(packages, self._opening.seen) for one in there]
        for node, answer in zip(nodes, asked, strict=True):
            try:
                facts = ray.get(answer, timeout=SECONDS_TO_ANSWER)
            except ray.exceptions.RayError as error:
                name, why = node["NodeManagerHostname"], " ".join(str(error).split())[:300]
                raise Broken(f"node {name} does not answer: {why}") from None
            require_alike(facts, self._opening)

    def place_hands(self, share: float) -> None:
        """Place all hands, each of them for ever."""
        import ray

        actor = ray.remote(relay())
        kind = actor.options(num_cpus=self._opening.cpus, num_gpus=share, max_concurrency=4, max_restarts=0)
        for place in range(self._opening.hands):
            threading.Thread(target=self._keep, args=(place, kind), daemon=True).start()

    def _keep(self, place: int, kind: Any) -> None:
        while True:
            self._serve(place, kind)
            time.sleep(_PAUSE)

    def _serve(self, place: int, kind: Any) -> None:
        """Place a hand and pass on what it says, until it is no more."""
        import ray

        actor = kind.remote()
        try:
            node = ray.get(actor.node.remote())  # waits until there is room for it
            self._actors[place] = actor
            self.report(hand=place, placed=node)
            while True:
                for said in ray.get(actor.heard.remote()):
                    self.report(hand=place, **said)
                    if "died" in said:
                        return
        except ray.exceptions.RayError as error:
            how = " ".join(str(error).split())
            if "low on memory" in how:
                self.report(hand=place, died="killed by Ray, its node had no memory left")
            else:
                self.report(hand=place, lost=how[:300])
        finally:
            self._actors.pop(place, None)
            ray.kill(actor)

    def order(self, place: int, order: Mapping[str, Any] | None) -> None:
        """Pass an order on, or without one end the hand; one that is gone is told of anyway."""
        import ray

        if (actor := self._actors.get(place)) is None:
            return
        if order is None:
            ray.kill(actor)
        else:
            actor.send.remote(order)


def _by_value(function: Any) -> Any:
    """Return a function that Ray sends whole, and not as a name in this package, which a node may lack."""
    import types

    copy = types.FunctionType(function.__code__, function.__globals__, function.__name__)
    copy.__module__ = "__main__"
    return copy


def opening_to_json(opening: Opening) -> dict[str, Any]:
    """Return an opening as JSON."""
    return asdict(opening)


def main() -> None:
    """Connect, place the hands, and pass on orders until there are no more."""
    reports = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    driver = Driver(Opening(**json.loads(sys.stdin.readline())), reports)
    try:
        share = driver.connect()
    except Broken as error:
        driver.report(broken=str(error))
        os._exit(1)
    driver.place_hands(share)
    for line in sys.stdin:
        told = json.loads(line)
        driver.order(told["hand"], told["order"])
    import ray

    ray.shutdown()
    os._exit(0)


if __name__ == "__main__":
    main()
