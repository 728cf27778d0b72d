"""Claim: many hands are kept busy by one coordinator, and it takes under 50 ms of a core for a training.

The hands train nothing: they load no torch and sleep for five seconds. The studies are of real networks, proposed at
random. The first table is of throughput, as a share of what hands that never wait would do, start of the search left
out; the second is of the coordinator's own time in a study that has some trainings already.

    python tests/benchmarks/coordinator.py [--hands 1,2,4,8,16] [--trials 2000]
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from nas.config.study import StudyConfig
from nas.executors.processes import Processes
from nas.processes.owners import process_identity
from nas.search.opening import open_study
from nas.search.run import proposing, start
from nas.search.run.events import Event, ImagesLoaded, TrialFinished
from nas.search.storage.coordinators import Coordinators

FAKE = (sys.executable, "-S", str(Path(__file__).parents[1] / "executors" / "fake_hand.py"))
LEAST, MOST_WAITING, MOST_SECONDS = 0.95, 0.02, 0.05
SECONDS = 5.0
"""Of a training."""
TRIALS = {1: 20, 2: 40, 4: 80}
"""Of a study by the number of hands, where it is shorter than the others."""
MANY = 300


class Seen(NamedTuple):
    """What a search took: of ideal throughput, in 0 to 1; of the hands' time, likewise; seconds of a core."""

    share: float
    waited: float
    own: float


def document(name: str, trials: int, **search: Any) -> StudyConfig:
    space = {"min": 0.25, "max": 2.0}
    asked = {"spaces": ["resnet_small", "efficientnet_small"], "width": space, "depth": space, "resolution": 8}
    return StudyConfig.model_validate(
        {
            "name": name,
            "data": {"digits": True, "limit": 400},
            "search": {**asked, "kernel": [1, 3, 5], "trials": trials, "sampler": "random", **search},
            "recipe": {"epochs": 4 if "halving" in search else 1, "batch_size": 64, "learning_rate": 0.2},
        }
    )


def throughput(hands: int) -> Seen:
    """Search with so many hands."""
    os.environ["FAKE_SECONDS"] = str(SECONDS)
    began, ended, trials = 0.0, 0, TRIALS.get(hands, MANY)

    def listen(event: Event) -> None:
        nonlocal began, ended
        if isinstance(event, ImagesLoaded):
            began = time.monotonic()
        ended += isinstance(event, TrialFinished) and event.trial.state == "trained"

    own = time.process_time()
    config = document(f"hands-{hands}", trials)
    start.run_study(config, workers=hands, executor="processes", on_event=listen)
    took, own = time.monotonic() - began, time.process_time() - own
    rounds = -(-ended // hands)
    with open_study(config) as study:
        rows = Coordinators(study.database.engine, study.name).all()
    (waited,) = [row.waited for row in rows if row.holder == process_identity()]
    return Seen(rounds * SECONDS / took, waited or 0.0, own / ended)


class Sampling:
    """Adds up the time that the sampler takes."""

    def __init__(self, ask: Any) -> None:
        """Wrap what asks it."""
        self.seconds, self._ask = 0.0, ask

    def __call__(self, *arguments: Any) -> Any:
        """Ask, in the thread that proposes."""
        began = time.thread_time()
        try:
            return self._ask(*arguments)
        finally:
            self.seconds += time.thread_time() - began


def own_seconds(trials: int, more: int = 50, **search: Any) -> float:
    """Return the seconds of a core that a training takes in a study that has so many trials, beside the sampler."""
    os.environ["FAKE_SECONDS"] = "0.01"
    config = document("many" + "-halved" * bool(search), trials + more, **search)
    start.run_study(config, workers=2, executor="processes", trials=trials)
    sampling = Sampling(proposing.propose)
    proposing.propose = sampling
    ended = 0
    began = 0.0

    def listen(event: Event) -> None:
        nonlocal ended, began
        if isinstance(event, TrialFinished):
            ended += 1
            began = began or time.process_time() - sampling.seconds

    start.run_study(config, workers=2, executor="processes", on_event=listen)
    proposing.propose = sampling._ask
    return (time.process_time() - sampling.seconds - began) / ended


def main() -> None:
    """Print both tables, and whether the claims hold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hands", default="1,2,4,8,16")
    parser.add_argument("--trials", type=int, default=2000)
    arguments = parser.parse_args()
    setattr(start, "Processes", partial(Processes, command=FAKE))  # noqa: B010
    holds = True
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        for hands in map(int, filter(None, arguments.hands.split(","))):
            seen = throughput(hands)
            fits = seen.share >= LEAST and (seen.waited < MOST_WAITING or hands > 8)
            holds &= fits
            print(
                f"{hands:>3} hands, {TRIALS.get(hands, MANY):>3} trials: {seen.share:.3f} of ideal,"
                f" {100 * seen.waited:.1f} % waiting, {1000 * seen.own:.0f} ms of a core each, start and sampler"
                f" included  {'PASS' if fits else 'FAIL'}",
                flush=True,
            )
        for search in ({}, {"halving": {"first": 1, "factor": 2}}) if arguments.trials else ():
            own = own_seconds(arguments.trials, **search)
            holds &= own < MOST_SECONDS
            print(
                f"{arguments.trials} trials{', halved' if search else ''}: {1000 * own:.0f} ms of a core a training"
                f" beside the sampler  {'PASS' if own < MOST_SECONDS else 'FAIL'}",
                flush=True,
            )
    sys.exit(not holds)


if __name__ == "__main__":
    main()
