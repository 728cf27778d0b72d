"""Which images a command names: files, folders with all below them, and standard input."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import NamedTuple

from nas.data.tree import Folder, scan
from nas.errors import DataError
from nas.predict.run import Given

STANDARD_INPUT = "-"
MAP_ENDING = ".cam.png"
"""Of what ``--explain`` writes beside an image: such files are not taken for images."""


class Gathered(NamedTuple):
    """Images, and what was left out, one line each."""

    images: list[Given]
    notes: list[str]


def gather(names: Sequence[str], classes: Collection[str], *, read_input: Callable[[], bytes]) -> Gathered:
    """Find images.

    Args:
        names: Files, folders, or ``-``.
        classes: An image below a folder is of the first of these that a folder on the way to it is named like.
        read_input: Returns the bytes of standard input.

    Raises:
        DataError: There is no such file, or a folder has no images.
    """
    images, notes = list[Given](), list[str]()
    for name in names:
        path = Path(name)
        if name == STANDARD_INPUT:
            images.append(Given(name, read_input()))
        elif path.is_dir():
            found = _below(path, classes)
            images += found.images
            notes += found.notes
        elif path.is_file():
            images.append(Given(name, path))
        else:
            wrong = "is neither a file nor a folder" if path.exists() else "no such file or folder"
            raise DataError(f"{name}: {wrong}")
    if len(set(images)) < len(images):
        twice = Counter(image.name for image in images).most_common(1)[0][0]
        raise DataError(f"{twice}: is named twice")
    return Gathered(images, notes)


def _below(path: Path, classes: Collection[str]) -> Gathered:
    folder = scan(path)
    found = [image.path for image in folder.all_images()]
    files = [file for file in found if not file.name.endswith(MAP_ENDING)]
    if not files:
        others = sum(folder.all_others().values())
        raise DataError(f"{path}: holds no images{f'; other files: {others:,}' if others else ''}")
    labels = [_label(file.relative_to(path).parts[:-1], classes) for file in files]
    images = [Given(str(file), file, label) for file, label in zip(files, labels, strict=True)]
    return Gathered(images, [*_left_out(folder, maps=len(found) - len(files)), *_unlabelled(path, images)])


def _label(folders: Sequence[str], classes: Collection[str]) -> str | None:
    return next((name for name in folders if name in classes), None)


def _left_out(folder: Folder, *, maps: int) -> list[str]:
    """Return a line for each kind of file that is not taken for an image."""
    kinds = {
        "not images by their endings": sum(folder.all_others().values()),
        "hidden": sum(one.hidden for one in folder.walk()),
        "links that lead nowhere": sum(one.dead_links for one in folder.walk()),
        f"class-activation maps ({MAP_ENDING})": maps,
    }
    return [f"{folder.path}: left out {count:,}: {kind}" for kind, count in kinds.items() if count]


def _unlabelled(path: Path, images: Sequence[Given]) -> list[str]:
    """Return a line about images in sub-folders that are named like no class."""
    without = [image for image in images if image.label is None]
    if len(without) == len(images):
        nested = any(image.name != str(path / Path(image.name).name) for image in images)
        return [f"{path}: no sub-folder is named like a class, so there is no accuracy"] if nested else []
    if without:
        return [f"{path}: {len(without):,} in no folder named like a class, such as {without[0].name}: not in accuracy"]
    return []
