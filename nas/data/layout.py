"""Which folder holds which part of a data set and which class, however an archive was unpacked."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from nas.data.tree import Folder, ImageFile
from nas.data.types import NAMES, Part, part_of, resembles_part
from nas.errors import DataError

_BESIDE_IMAGES = frozenset(
    f".{ending}"
    for ending in (
        "bib c cfg ckpt conf cpp csv css db doc docx h htm html ini ipynb jsonl json js license log m md odt ods orig"
        " pdf pth pt py pyc readme rst rtf safetensors sh sha1 sha256 sql sqlite srt tex toml tsv txt url xls xlsx xml"
        " yaml yml md5 lock r"
    ).split()
)
"""Endings of files that lie beside images and are none: notes, tables, programs, weights."""


_MAY_BE_CLASSES = frozenset({"train", "valid"})
"""Names of parts that a class may have too: what runs on rails, what is not invalid."""


class Layout(NamedTuple):
    """Images by part and class, and what was left aside.

    Attributes:
        classes: Names of the classes, in the order of the labels.
        images: Images of each class, by part.
        notes: What was left aside, one line each.
    """

    classes: tuple[str, ...]
    images: dict[Part, dict[str, list[ImageFile]]]
    notes: tuple[str, ...]


def lay_out(given: Folder) -> Layout:
    """Find parts and classes below a folder.

    Raises:
        DataError: There are no images, fewer than two classes, or folders that can be meant in two ways (says which).
    """
    root = _unwrapped(given)
    parts = _parts(root)
    notes, images = list[str](), dict[Part, dict[str, list[ImageFile]]]()
    for part, folder in parts.items():
        _require_no_parts_within(folder)
        images[part], empty = _classes(folder)
        if empty:
            notes.append(
                f"{folder.path}: no images in {_listed(empty)}, which {'is' if len(empty) == 1 else 'are'} no class"
            )
    classes = _class_names(given, parts, images)
    notes += [f"{given.path}: {name!r} is taken for a class" for name in classes if part_of(name)]
    notes += [*_beside(root, parts), *_within(parts["train"]), *_left_aside(parts.values())]
    return Layout(classes, images, tuple(notes))


def _unwrapped(folder: Folder) -> Folder:
    """Return the folder that an archive has wrapped in others, each the only one of its kind."""
    while not folder.images and len(nested := folder.nested()) == 1:
        (only,) = nested
        if part_of(only.name) or not only.nested() or only.images:
            break
        folder = only
    return folder


def _parts(root: Folder) -> dict[Part, Folder]:
    """Return the folder of each part that there is; that of all classes is the one for training where there is none."""
    named: dict[Part, list[Folder]] = {}
    nested = root.nested()
    for folder in nested:
        if part := part_of(folder.name):
            named.setdefault(part, []).append(folder)
    emptied = {part: f for f in root.folders.values() if f not in nested and (part := part_of(f.name))}
    holding = [folder for folders in named.values() for folder in folders if folder.nested()]
    flat = [folder for folders in named.values() for folder in folders if not folder.nested()]
    rest = [folder for folder in nested if not part_of(folder.name)]
    if rest and not holding and len(flat) == 1 and flat[0].name.lower() in _MAY_BE_CLASSES:
        return {"train": root}
    if flat:
        raise DataError(
            f"{flat[0].path}: holds images without a folder for each class, but its name is that of"
            f" {NAMES[part_of(flat[0].name) or 'train']} images;"
            " give it a sub-folder of images for each class, or rename it if it is a class"
        )
    if not named:
        _require_no_resemblance(rest)
        return {"train": root}
    for part, folders in named.items():
        if len(folders) > 1:
            raise DataError(
                f"{root.path}: {' and '.join(repr(f.name) for f in folders)} are both names of {NAMES[part]} images;"
                " move one of them away"
            )
    parts = {part: _unwrapped_part(folders[0]) for part, folders in named.items()}
    _require_training(root, parts, rest)
    for part, folder in emptied.items():
        if part not in parts:
            raise DataError(f"{folder.path}: has no images; delete this folder to take {part} images from the others")
    return {part: parts[part] for part in NAMES if part in parts}


def _require_training(root: Folder, parts: dict[Part, Folder], rest: Sequence[Folder]) -> None:
    """Raise DataError where it is not clear which images are for training."""
    if "train" not in parts:
        first = next(iter(parts.values()))
        beside = f", beside {_listed([folder.name for folder in rest])}" if rest else ""
        raise DataError(
            f"{first.path}: holds {NAMES[next(iter(parts))]} images by its name, but there is no folder of training"
            f" images{beside}; name that one train"
        )
    classes = {folder.name for folder in parts["train"].nested()}
    doubtful = [folder.name for folder in rest if len(parts) == 1 or folder.name in classes]
    if doubtful:
        raise DataError(
            f"{parts['train'].path}: holds training images by its name, but {_listed(doubtful)} beside it"
            f" {'has' if len(doubtful) == 1 else 'have'} images too and may be of a class each; move one or the other"
        )


def _require_no_resemblance(folders: Sequence[Folder]) -> None:
    """Raise DataError where a folder of classes looks like a part but is not called like one."""
    for folder in folders:
        part = resembles_part(folder.name)
        if part and folder.nested() and not folder.images:
            raise DataError(
                f"{folder.path}: looks like {NAMES[part]} images and not like a class, for it holds only folders;"
                f" rename it to {part}, or put its images directly into it"
            )


def _require_no_parts_within(folder: Folder) -> None:
    """Raise DataError where every class has parts of its own inside, whose images would be mixed."""
    for sub in folder.nested():
        within = {part_of(inside.name): inside for inside in sub.nested()}
        if len(within) > 1 and None not in within:
            names = " and ".join(repr(inside.name) for inside in within.values())
            raise DataError(
                f"{sub.path}: has {names} inside a class; make them the outer folders and the classes the inner ones,"
                f" such as {list(within.values())[0].name}/{sub.name}"
            )


def _unwrapped_part(folder: Folder) -> Folder:
    """Return a part's folder where an archive has put it into another of the same name."""
    while not folder.images and len(nested := folder.nested()) == 1:
        if nested[0].name != folder.name and part_of(nested[0].name) != part_of(folder.name):
            break
        folder = nested[0]
    return folder


def _classes(folder: Folder) -> tuple[dict[str, list[ImageFile]], list[str]]:
    """Return the images of each class, and the names of folders without any.

    Raises:
        DataError: A class has files, but none that can be read.
    """
    found, empty = {}, []
    for name, sub in sorted(folder.folders.items()):
        if images := sub.all_images():
            found[name] = images
            continue
        unreadable = Counter({e: n for e, n in sub.all_others().items() if e not in _BESIDE_IMAGES})
        if unreadable:
            raise DataError(
                f"{sub.path}: none of its files can be read as an image ({_counted(unreadable)}); convert them, for"
                " example to .png, or move the folder away"
            )
        empty.append(name)
    return found, empty


def _class_names(
    given: Folder, parts: dict[Part, Folder], images: dict[Part, dict[str, list[ImageFile]]]
) -> tuple[str, ...]:
    classes = tuple(images["train"])
    if not classes:
        files = _counted(given.all_others())
        raise DataError(f"{given.path}: has no images in sub-folders{f'; it has {files}' if files else ''}")
    if len(classes) == 1:
        raise DataError(f"{given.path}: has only one class ({classes[0]!r}); each class needs its own sub-folder")
    for part, by_class in images.items():
        for name in by_class.keys() - set(classes):
            alike = next((known for known in classes if known.lower() == name.lower()), None)
            end = f"; it has {alike!r}: write both in the same capitals" if alike else ""
            raise DataError(f"{parts[part].path}: has a class {name!r} that {parts['train'].path} does not have{end}")
    return classes


def _beside(root: Folder, parts: dict[Part, Folder]) -> list[str]:
    """Return notes on images and folders beside the parts."""
    notes = []
    for folder in {id(folder): folder for folder in (root, *parts.values())}.values():
        loose = Counter(os.path.splitext(image.path.name)[1].lower() for image in folder.images)
        loose += Counter({ending: number for ending, number in folder.others.items() if ending not in _BESIDE_IMAGES})
        if loose:
            notes.append(f"{folder.path}: left aside beside the class folders: {_counted(loose)}")
    if root not in parts.values():
        used = [folder.name for folder in root.folders.values() if part_of(folder.name)]
        unread = [name for name, folder in root.folders.items() if name not in used and folder.has_images()]
        if unread:
            notes.append(f"{root.path}: {_listed(unread)} left aside: by name no training, validation or test images")
    return notes


def _within(folder: Folder) -> list[str]:
    """Return one line where classes hold nothing but folders that could be the classes themselves."""
    outer = [sub for sub in folder.nested() if not sub.images and len(sub.nested()) > 1]
    if len(outer) < 2:
        return []
    number = sum(len(sub.nested()) for sub in outer)
    return [
        f"{folder.path}: the {number} folders inside {_listed([sub.name for sub in outer])} are taken for no classes"
    ]


def _left_aside(folders: Iterable[Folder]) -> list[str]:
    """Return one line for the files in class folders that are not read, by ending, and the classes that have them."""
    endings, names, hidden, dead = Counter[str](), Counter[str](), 0, 0
    for folder in folders:
        hidden += sum(sub.hidden for sub in folder.walk())
        dead += sum(sub.dead_links for sub in folder.walk())
        for name, sub in folder.folders.items():
            if sub.has_images() and (others := sub.all_others()):
                endings += others
                names[name] += others.total()
    notes = []
    if endings:
        of = ", ".join(f"{name} {number:,}" for name, number in names.most_common(5))
        more = f" and {len(names) - 5} more" if len(names) > 5 else ""
        number = _number(endings.total(), "file")
        notes.append(f"{number} left aside that cannot be read as images: {_counted(endings)} (in {of}{more})")
    if hidden:
        notes.append(f"{_number(hidden, 'hidden file or folder', 'hidden files or folders')} left aside")
    if dead:
        notes.append(f"{_number(dead, 'link')} left aside that lead{'s' if dead == 1 else ''} nowhere")
    return notes


def _number(count: int, one: str, many: str | None = None) -> str:
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def _counted(endings: Counter[str]) -> str:
    shown = [f"{number:,} {ending or 'without an ending'}" for ending, number in endings.most_common(5)]
    return ", ".join(shown) + (f" and {len(endings) - 5} more" if len(endings) > 5 else "")


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names[:5])) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
