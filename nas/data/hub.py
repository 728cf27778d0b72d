"""Read a data set of Hugging Face's hub, or one that its library has saved on disk (extra ``hf``)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nas.data.cache import cache_key
from nas.data.decode import Encoded, decode_once, parts_of
from nas.data.extras import require_extra
from nas.data.types import PARTS, Source, StoredColor
from nas.errors import DataError


def read_hub(
    name: str, *, size: int | None = None, color: StoredColor | None = None, skip_broken: bool = False
) -> Source:
    """Read the first column of images and the first column of class labels of a data set.

    Its splits are those named ``train``, ``validation`` and ``test``, or as sub-folders of an image folder are.

    Args:
        name: On the hub, or the path of a folder: one that ``save_to_disk`` wrote, or one that ``load_dataset`` reads.
        size: As for a folder of images, likewise the next two.
        color: What to keep.
        skip_broken: Leave out images that cannot be read instead of refusing them.

    Raises:
        DataError: The library is not installed, there is no such data set, or it holds no images with class labels.
    """
    splits = _load(name)
    parts = {part: next((splits[n] for n in names if n in splits), None) for part, names in PARTS.items()}
    if parts["train"] is None:
        raise DataError(f"hf {name!r}: has no training split; known: {', '.join(splits)}")
    images, labels = _columns(name, parts["train"])
    classes = tuple(map(str, parts["train"].features[labels].names))
    encoded = [
        _encoded(f"hf {name!r}, {part} image {index}", row[images], part, row[labels])
        for part, rows in parts.items()
        if rows is not None
        for index, row in enumerate(_undecoded(rows, images).select_columns([images, labels]))
    ]
    for one in encoded:
        if not 0 <= one.label < len(classes):
            raise DataError(f"{one.name}: has label {one.label}, but there are {len(classes)} classes")
    fingerprints = [rows._fingerprint for rows in parts.values() if rows is not None]
    key = cache_key("hf", fingerprints, images, labels, size, color, skip_broken)
    entry = decode_once(key, encoded, size=size, color=color, skip_broken=skip_broken)
    title = Path(name).name if Path(name).exists() else name
    return Source(title, classes, True, **parts_of(entry, encoded, len(classes), source=f"hf {name!r}"))


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


def _columns(name: str, rows: Any) -> tuple[str, str]:
    """Return the names of the columns of images and of labels."""
    import datasets

    kinds = {"images": datasets.Image, "class labels": datasets.ClassLabel}
    found = {
        what: next((column for column, feature in rows.features.items() if isinstance(feature, kind)), None)
        for what, kind in kinds.items()
    }
    for what, column in found.items():
        if column is None:
            columns = ", ".join(f"{column} ({type(f).__name__})" for column, f in rows.features.items())
            raise DataError(f"hf {name!r}: has no column of {what}; it has {columns}")
    return str(found["images"]), str(found["class labels"])


def _undecoded(rows: Any, images: str) -> Any:
    import datasets

    return rows.cast_column(images, datasets.Image(decode=False))


def _encoded(name: str, image: dict[str, Any] | None, part: Any, label: int | None) -> Encoded:
    image = image or {}  # a row without an image is one that cannot be read
    content = image["bytes"] if image.get("bytes") is not None else Path(image["path"]) if image.get("path") else b""
    return Encoded(name, content, part, -1 if label is None else label)
