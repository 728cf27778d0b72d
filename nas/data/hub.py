"""Read a data set of Hugging Face's hub, or one that its library has saved on disk (extra ``hf``)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from nas.data.cache import cache_key
from nas.data.decode import Encoded, decode_once, parts_of
from nas.data.extras import require_extra
from nas.data.tree import Stamp, stamp_of
from nas.data.types import PARTS, Part, Source, StoredColor, part_of
from nas.errors import DataError
from nas.schema import did_you_mean


def read_hub(
    name: str,
    *,
    size: int | None = None,
    color: StoredColor | None = None,
    skip_broken: bool = False,
    image: str | None = None,
    label: str | None = None,
) -> Source:
    """Read a column of images and a column of class labels of a data set.

    Its splits are those named ``train``, ``validation`` and ``test``, or as sub-folders of an image folder are. Where
    the images are in the cache, only the labels are read.

    Args:
        name: On the hub, or the path of a folder: one that ``save_to_disk`` wrote, or one that ``load_dataset`` reads.
        size: As for a folder of images, likewise the next two.
        color: What to keep.
        skip_broken: Leave out images that cannot be read instead of refusing them.
        image: Column of images; the first without it.
        label: Column of class labels; the first without it.

    Raises:
        DataError: The library is not installed, there is no such data set, or it holds no images with class labels.
    """
    splits = _load(name)
    parts = _parts(name, splits)
    columns = _columns(name, parts["train"], image=image, label=label)
    classes = tuple(map(str, parts["train"].features[columns["label"]].names))
    encoded = [one for part, rows in parts.items() for one in _encoded_rows(name, part, rows, columns)]
    for one in encoded:
        if not 0 <= one.label < len(classes):
            raise DataError(f"{one.name}: has label {one.label}, but there are {len(classes)} classes")
    fingerprints = {part: rows._fingerprint for part, rows in parts.items()}
    stamps = [stamp for rows in parts.values() for stamp in _stamps(rows, columns["image"])]
    key = cache_key("hf", fingerprints, columns, stamps, size, color, skip_broken)
    entry = decode_once(key, encoded, size=size, color=color, skip_broken=skip_broken)
    read = parts_of(entry, encoded, classes, source=f"hf {name!r}")
    unread = [split for split in splits if part_of(split) is None]
    notes = [f"hf {name!r}: splits left aside: {', '.join(unread)}"] if unread and len(splits) > 1 else []
    title = Path(name).name if Path(name).exists() else name
    return Source(title, classes, True, **{**read, "notes": (*notes, *read["notes"])})


def _parts(name: str, splits: dict[str, Any]) -> dict[Part, Any]:
    """Return the rows of each part.

    Raises:
        DataError: None is for training, or two are for the same.
    """
    found: dict[Part, list[str]] = {part: [split for split in splits if part_of(split) == part] for part in PARTS}
    for part, names in found.items():
        if len(names) > 1:
            raise DataError(f"hf {name!r}: {' and '.join(map(repr, names))} are both names of {part} images")
    if not found["train"]:
        raise DataError(f"hf {name!r}: has no training split; known: {', '.join(splits)}")
    return {part: splits[names[0]] for part, names in found.items() if names}


def _encoded_rows(name: str, part: Part, rows: Any, columns: dict[str, str]) -> Iterator[Encoded]:
    """Yield the images of some rows; the images themselves are read when they are wanted."""
    undecoded = _undecoded(rows, columns["image"]).select_columns([columns["image"]])
    for index, label in enumerate(rows.select_columns([columns["label"]])[:][columns["label"]]):
        content = partial(_content, undecoded, index, columns["image"])
        yield Encoded(f"hf {name!r}, {part} image {index}", content, part, -1 if label is None else label)


def _load(name: str) -> dict[str, Any]:
    """Return the splits of a data set by name."""
    require_extra("datasets", extra="hf", what="data.hf")
    import datasets

    folder = Path(name)
    try:
        if (folder / "dataset_dict.json").is_file() or (folder / "dataset_info.json").is_file():
            loaded = datasets.load_from_disk(name)
        else:
            loaded = datasets.load_dataset(name)
    except Exception as error:  # of the network, the hub, the files: the library raises what its parts raise
        raise DataError(f"hf {name!r}: cannot be loaded ({' '.join(str(error).split())[:300]})") from None
    return dict(loaded) if isinstance(loaded, dict) else {"train": loaded}


def _columns(name: str, rows: Any, *, image: str | None, label: str | None) -> dict[str, str]:
    """Return the columns of images and of labels, by the keys of a study that name them."""
    import datasets

    found = {}
    kinds = {"image": (datasets.Image, image, "images"), "label": (datasets.ClassLabel, label, "class labels")}
    listed = ", ".join(f"{column} ({type(feature).__name__})" for column, feature in rows.features.items())
    for key, (kind, wanted, what) in kinds.items():
        fitting = [column for column, feature in rows.features.items() if isinstance(feature, kind)]
        if not fitting:
            raise DataError(f"hf {name!r}: has no column of {what}; it has {listed}")
        if wanted is not None and wanted not in rows.features:
            raise DataError(f"data.{key}: hf {name!r} has no column {wanted!r}{did_you_mean(wanted, fitting)}")
        if wanted is not None and wanted not in fitting:
            raise DataError(f"data.{key}: column {wanted!r} of hf {name!r} does not hold {what}; it has {listed}")
        found[key] = str(wanted or fitting[0])
    return found


def _undecoded(rows: Any, images: str) -> Any:
    import datasets

    return rows.cast_column(images, datasets.Image(decode=False))


def _stamps(rows: Any, images: str) -> list[Stamp]:
    """Return what changes when a file is replaced, of all rows whose images are files beside the data set."""
    table = rows.data.table.select([images]).flatten()  # a column of bytes and one of paths
    content, paths = (table.column(f"{images}.{name}") for name in ("bytes", "path"))
    files = [path for path in paths.filter(content.is_null()).to_pylist() if path and os.path.isfile(path)]
    return [stamp_of(os.stat(path)) for path in files]


def _content(rows: Any, index: int, column: str) -> Path | bytes:
    """Return the file or the bytes of a row's image."""
    image = rows[index][column] or {}  # a row without an image is one that cannot be read
    return image["bytes"] if image.get("bytes") is not None else Path(image["path"]) if image.get("path") else b""
