"""Claim: ``nas predict`` takes less than 0.5 s for one image, start included, and less than 60 s for 10,000.

Each run is a process of its own. The claims are held against its CPU time, all threads and the system's part counted,
so that a busy machine does not decide; the wall time is printed beside it. Images are JPEG files of 64 to 256 px, made
here; the networks are those of two search spaces at 32 px with random weights. Two more lines for each tell, without a
claim, what more threads within an operator do to one image.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image

from nas.architecture.space import load_space
from nas.data.preprocess import FORMAT
from nas.models.build import build_model
from nas.models.onnx import export_onnx
from nas.predict.bundle import read_bundle
from nas.predict.network import NetworkSession

ONE_CLAIM, MANY_CLAIM = 0.5, 60.0
RUNS = 7
RESOLUTION, CLASSES = 32, 10


class Taken(NamedTuple):
    """Seconds of a process: of the CPU, and from start to end."""

    cpu: float
    wall: float


def main() -> int:
    """Time the command, print the figures, return the exit code."""
    count, failed = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000, False
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        images = write_images(folder / "images", count)
        for space in ("resnet_small", "efficientnet_small"):
            bundle = write_bundle(folder / space, space)
            ones = [timed(bundle, images / "00000.jpg") for _ in range(RUNS + 1)][1:]
            one = Taken(*(statistics.median(values) for values in zip(*ones, strict=True)))
            many = timed(bundle, images)
            for what, taken, claim in (("one image", one, ONE_CLAIM), (f"{count:,} images", many, MANY_CLAIM)):
                failed |= taken.cpu >= claim
                verdict = "PASS" if taken.cpu < claim else "FAIL"
                print(
                    f"{verdict}: {space}, {what}: {taken.cpu:.2f} s of CPU, {taken.wall:.2f} s of wall, {claim} claimed"
                )
            for threads in (1, os.cpu_count() or 1):
                cpu, wall = latency(bundle, threads)
                print(
                    f"      {space}, {threads} threads, the network alone: {cpu:.2f} ms of CPU, {wall:.2f} ms of wall"
                )
    return failed


def write_images(folder: Path, count: int) -> Path:
    """Write JPEG files of smooth noise."""
    folder.mkdir()
    generator = np.random.default_rng(0)
    for index in range(count):
        height, width = (int(side) for side in generator.integers(64, 257, 2))
        coarse = generator.integers(0, 256, (height // 8, width // 8, 3), np.uint8)
        picture = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
        picture.save(folder / f"{index:05}.jpg")
    return folder


def write_bundle(folder: Path, space: str) -> Path:
    """Write what ``nas predict`` needs of a bundle."""
    folder.mkdir()
    network = load_space(space).architecture(width=1.0, depth=1.0, resolution=RESOLUTION, num_classes=CLASSES)
    export_onnx(build_model(network).eval(), torch.zeros(2, 3, RESOLUTION, RESOLUTION), folder / "model.onnx")
    names = [str(index) for index in range(CLASSES)]
    sizes = {"format": FORMAT, "size": RESOLUTION, "resolution": RESOLUTION, "channels": 3, "color": "rgb"}
    facts = {**sizes, "classes": names, "mean": [0.5] * 3, "std": [0.25] * 3}
    (folder / "preprocessing.json").write_text(json.dumps(facts))
    return folder


def timed(bundle: Path, images: Path) -> Taken:
    """Return what the command takes."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    command = [sys.executable, "-m", "nas", "predict", str(bundle), str(images), "--csv"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return Taken(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, wall)


def latency(bundle: Path, threads: int, repeats: int = 300) -> tuple[float, float]:
    """Return the mean CPU time and the median wall time of one image within the network, in milliseconds."""
    network = NetworkSession(read_bundle(bundle), threads=threads)
    image = np.zeros((1, 3, RESOLUTION, RESOLUTION), np.float32)
    network.run(image)
    walls, cpu = [], time.process_time()
    for _ in range(repeats):
        start = time.perf_counter()
        network.run(image)
        walls.append(time.perf_counter() - start)
    return 1000 * (time.process_time() - cpu) / repeats, 1000 * statistics.median(walls)


if __name__ == "__main__":
    sys.exit(main())
