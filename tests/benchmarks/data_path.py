"""Claims: batches come 10 times as fast as from the usual pipeline, and take at most 1.2 times the images' memory.

The usual pipeline is PIL decoding, a random crop of a reflection-padded image, a random flip and standardisation, image
by image in a ``DataLoader`` of two workers. Ours is the cache of decoded images, loaded, moved to the device and cut
there with the same augmentation. Both yield standardised float32 batches of 128 at 64 px and no network runs. The cache
is made before; what it took is shown and is no part of the claim. The memory is the growth of the process's own memory
while the cached images are loaded and one epoch is cut, against the bytes of the training and validation images.

Run as ``python tests/benchmarks/data_path.py [FOLDER]``, a folder of images by class; without it JPEG files are made.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from nas.data.batches import standardisation, to_device
from nas.data.sources import DataConfig, load_data

BATCH, SIZE, PADDING = 128, 64, 8
SPEED_CLAIM, MEMORY_CLAIM = 10.0, 1.2


class UsualImages(TorchDataset[tuple[torch.Tensor, int]]):
    """Files that are decoded, cropped, mirrored and standardised one by one."""

    def __init__(self, files: list[tuple[Path, int]], mean: list[float], std: list[float]) -> None:
        """Keep the files with their labels."""
        self._files = files
        self._mean = torch.tensor(mean).view(-1, 1, 1)
        self._std = torch.tensor(std).view(-1, 1, 1)

    def __len__(self) -> int:
        """Return the number of files."""
        return len(self._files)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        """Return one image, ready for a network."""
        path, label = self._files[index]
        pixels = np.asarray(Image.open(path).convert("RGB"))
        pixels = np.pad(pixels, ((PADDING, PADDING), (PADDING, PADDING), (0, 0)), mode="reflect")
        top, left = np.random.randint(0, 2 * PADDING + 1, 2)
        pixels = pixels[top : top + SIZE, left : left + SIZE]
        if np.random.rand() < 0.5:
            pixels = pixels[:, ::-1]
        image = torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1).float() / 255
        return (image - self._mean) / self._std, label


def main() -> int:
    """Measure both, print the figures, return the exit code."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["NAS_CACHE"] = f"{scratch}/cache"
        folder = Path(sys.argv[1]) if len(sys.argv) > 1 else make_images(Path(scratch) / "images")
        start = time.perf_counter()
        dataset = load_data(DataConfig(folder=folder, size=SIZE))
        made = time.perf_counter() - start
        ratio = in_own_process(memory_ratio, folder)
        start = time.perf_counter()
        dataset = load_data(DataConfig(folder=folder, size=SIZE))
        standard = standardisation(dataset)
        train = to_device(dataset.train, resolution=SIZE, standard=standard, device=torch.device("cpu"))
        loaded = time.perf_counter() - start
        generator = torch.Generator().manual_seed(0)
        epoch = (b.images for b in train.shuffled(BATCH, padding=PADDING, flip=True, generator=generator))
        ours = images_per_second(epoch)
        files = [(path, index) for index, sub in enumerate(sorted(folder.iterdir())) for path in sub.rglob("*.*")]
        usual_set = UsualImages(files, list(standard.mean), list(standard.std))
        loader: Any = DataLoader(usual_set, BATCH, shuffle=True, num_workers=2, persistent_workers=True)
        images_per_second(images for images, _ in loader)  # workers start, files come into the system's cache
        usual = images_per_second(images for images, _ in loader)
    print(f"{len(dataset.train) + len(dataset.validation):,} images of {folder.name} at {SIZE} px, batches of {BATCH}")
    print(f"  the cache was made in {made:.1f} s, and is loaded in {loaded:.2f} s")
    print(f"  usual pipeline  {usual:10,.0f} images/s")
    print(f"  ours            {ours:10,.0f} images/s  {ours / usual:6.1f}x")
    print(f"  peak memory     {ratio:10.2f} times the bytes of the images")
    holds = [ours / usual >= SPEED_CLAIM, ratio <= MEMORY_CLAIM]
    print(f"{'PASS' if holds[0] else 'FAIL'}: at least {SPEED_CLAIM:g} times the images/s of the usual pipeline")
    print(f"{'PASS' if holds[1] else 'FAIL'}: at most {MEMORY_CLAIM:g} times the memory of the images")
    return 0 if all(holds) else 1


def images_per_second(batches: Iterable[torch.Tensor]) -> float:
    """Return how many images come out in a second of one epoch."""
    start, count = time.perf_counter(), 0
    for batch in batches:
        count += len(batch)
    return count / (time.perf_counter() - start)


def memory_ratio(folder: Path) -> float:
    """Return the growth of this process's anonymous memory against the bytes of the images it loads."""
    import sklearn.model_selection  # noqa: F401  the library that splits is no part of the data

    torch.set_num_threads(1)
    before = anonymous_bytes()
    dataset = load_data(DataConfig(folder=folder, size=SIZE))
    standard = standardisation(dataset)
    sets = [
        to_device(part, resolution=SIZE, standard=standard, device=torch.device("cpu"))
        for part in (dataset.train, dataset.validation)
    ]
    size = dataset.train.images.nbytes + dataset.validation.images.nbytes
    generator, largest = torch.Generator().manual_seed(0), 0
    for index, _ in enumerate(sets[0].shuffled(BATCH, padding=PADDING, flip=True, generator=generator)):
        if index % 16 == 0:
            largest = max(largest, anonymous_bytes())
    return (largest - before) / size


def anonymous_bytes() -> int:
    """Return the memory of this process that no file backs; pages of the cache file can be dropped at any time."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith("RssAnon"))


def in_own_process(function: Any, *arguments: Any) -> Any:
    """Return what a function returns in a new process."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(function, arguments)


def make_images(folder: Path) -> Path:
    """Write 20,000 JPEG files of 64 px in ten classes."""
    generator = np.random.default_rng(0)
    for index in range(20_000):
        path = folder / str(index % 10) / f"{index}.jpeg"
        path.parent.mkdir(parents=True, exist_ok=True)
        smooth = Image.fromarray(generator.integers(0, 256, (8, 8, 3), np.uint8)).resize((SIZE, SIZE))
        smooth.save(path, quality=90)
    return folder


if __name__ == "__main__":
    sys.exit(main())
