"""A hand that loads in a moment: its trainings are a formula of network and seed, the rest is as with a real hand.

It goes on from its checkpoint, asks at rungs, saves when it is told to stop and ends when its orders do. Environment
variables set what it does:

- FAKE_SECONDS: of an epoch.
- FAKE_IMAGES: number of validation images.
- FAKE_LOG: a file that gets a line for each task begun, each epoch trained and each task done, with time and process.
- FAKE_STUBBORN: it does not stop when it is told to.
- FAKE_CROWD: number of trainings beside which there is memory for none more: it tells so in their second epoch.
- FAKE_CRASH: JSON; ``network`` (in the order in which they are begun) dies ``times`` times in its second epoch, of the
  signal or with the exit code ``how``; ``repeat`` says in which of its trainings; with ``beside`` only beside others.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import queue
import signal
import struct
import sys
import threading
import time
import uuid
from pathlib import Path
from typing import Any

SECONDS = float(os.environ.get("FAKE_SECONDS", "0.01"))
IMAGES = int(os.environ.get("FAKE_IMAGES", "80"))
STEP = 0.02
CRASH = json.loads(os.environ.get("FAKE_CRASH", "null"))

stopped = threading.Event()
tasks: queue.Queue[Any] = queue.Queue()
answers: dict[str, queue.Queue[bool]] = {}
running: set[str] = set()
writing, leaving = threading.Lock(), threading.Lock()


def listen() -> None:
    for line in sys.stdin:
        order = json.loads(line)
        if "answer" in order:
            answers[order["key"]].put(order["answer"])
        elif "stop" in order:
            if "FAKE_STUBBORN" in os.environ:
                continue
            stop()
        else:
            tasks.put(order.get("task", order))
    stop()
    tasks.put(None)


def stop() -> None:
    stopped.set()
    for waiting in tuple(answers.values()):
        waiting.put(False)


def report(kind: str, key: str, **values: Any) -> None:
    send({"kind": kind, "key": key, **values})


def send(document: dict[str, Any]) -> None:
    with writing:
        sys.stdout.write(json.dumps(document) + "\n")
        sys.stdout.flush()


def log(line: str) -> None:
    if "FAKE_LOG" in os.environ:
        with open(os.environ["FAKE_LOG"], "a") as file:
            file.write(f"{line} {time.time()} {os.getpid()}\n")


def chance(*words: object) -> float:
    return int.from_bytes(hashlib.blake2b(repr(words).encode(), digest_size=6).digest(), "big") / 2**48


def save(path: str, content: str) -> None:
    """Write a file as the real ones are: whole, or not at all."""
    partial = Path(path).with_suffix(f".{uuid.uuid4().hex[:8]}.partial")
    partial.parent.mkdir(parents=True, exist_ok=True)
    partial.write_text(content)
    os.replace(partial, path)


def point(network: str, seed: int, epoch: int) -> dict[str, Any]:
    accuracy = 0.9 * chance(network) * (1 - 0.5**epoch) + 0.02 * chance(network, seed, epoch)
    losses = {"train_loss": 2 - accuracy, "train_accuracy": accuracy, "val_loss": 2 - accuracy}
    return {"epoch": epoch, **losses, "val_accuracy": accuracy, "seconds": SECONDS}


def crash(network: str, repeat: str, paths: list[str]) -> None:
    if CRASH is None or int(repeat) != CRASH.get("repeat", 0) or (CRASH.get("beside") and len(running) < 2):
        return
    begun = [line.split()[1].split(".") for line in Path(os.environ["FAKE_LOG"]).read_text().splitlines()]
    order = list(dict.fromkeys(other for other, *_ in begun))
    attempts = {attempt for other, again, attempt in begun if (other, again) == (network, repeat)}
    if order.index(network) != CRASH["network"] or len(attempts) > CRASH["times"]:
        return
    for path in paths:  # it dies while it writes
        Path(path).with_suffix(".01234567.partial").write_text("half of a")
    if isinstance(CRASH["how"], int):
        print("no kernel image is available", file=sys.stderr, flush=True)
        os._exit(CRASH["how"])
    os.kill(os.getpid(), getattr(signal, CRASH["how"]))


def crowded(key: str) -> bool:
    with leaving:
        if len(running) <= int(os.environ.get("FAKE_CROWD", "1000")):
            return False
        running.discard(key)
    log(f"crowded {key} 0")
    send({"crowded": key})
    return True


def train(task: dict[str, Any]) -> None:
    key, seed, checkpoint = task["key"], task["seed"], Path(task["checkpoint"])
    network, repeat, _ = key.split(".")
    curve: list[dict[str, Any]] = json.loads(checkpoint.read_text()) if checkpoint.exists() else []
    goes_on = True

    def tell(epoch: dict[str, Any]) -> None:
        nonlocal goes_on
        asks = epoch["epoch"] in task["rungs"]
        answer = answers[key] = queue.Queue()
        report("EpochDone", key, epoch=epoch, asks=asks)
        goes_on = (not stopped.is_set() and answer.get()) if asks else True

    for epoch in curve:
        tell(epoch)
    while goes_on and len(curve) < task["recipe"]["epochs"]:
        until = time.monotonic() + SECONDS
        while (left := until - time.monotonic()) > 0 and not stopped.is_set():
            time.sleep(min(STEP, left))
        if stopped.is_set():
            report("Stopped", key)
            return
        if curve:
            crash(network, repeat, list(filter(None, (task["checkpoint"], task["weights"]))))
            if crowded(key):
                return
        log(f"epoch {key} {len(curve) + 1}")
        curve.append(point(network, seed, len(curve) + 1))
        save(task["checkpoint"], json.dumps(curve))
        tell(curve[-1])
    if stopped.is_set() and not goes_on:  # the answer was that there will be none
        report("Stopped", key)
        return
    if goes_on and task["weights"] is not None:
        save(task["weights"], network)
    figures = {"device": "fake", "train_seconds": len(curve) * SECONDS, "micro_batch": None, "data_share": 0.0}
    classes = struct.pack(f"<{IMAGES}H", *(int(10 * chance(network, seed, image)) for image in range(IMAGES)))
    packed = base64.b64encode(classes).decode()
    log(f"end {key} {len(curve)}")
    report("Ended", key, paused=not goes_on, curve=curve, answers=packed, **figures)


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=listen, daemon=True).start()
    if (order := tasks.get()) is None:  # what it is told of the images
        return
    send({"ready": os.getpid()})
    while not stopped.is_set() and (task := tasks.get()) is not None:
        log(f"begin {task['key']} 0")
        if order.get("places", 1) == 1:
            train(task)
        else:
            threading.Thread(target=beside, args=(task,)).start()


def beside(task: dict[str, Any]) -> None:
    running.add(task["key"])
    try:
        train(task)
    finally:
        running.discard(task["key"])


if __name__ == "__main__":
    main()
