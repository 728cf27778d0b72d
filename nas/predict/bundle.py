"""What is read of a bundle: data of a stranger, of which nothing is run but the operators of its network.

Its files are read once, within bounds, and what was checked is what is used.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from nas.data.preprocess import FORMAT
from nas.errors import BundleError

MODEL = "model.onnx"
FACTS = "preprocessing.json"
MOST_PIXELS = 4096  # of a side
MOST_CLASSES = 100_000
_MOST_BYTES = {MODEL: 2**31 - 1, FACTS: 2**24}  # the first is the most that an ONNX file can have
_LARGEST = 1e12  # of a mean, in units of pixels
_CHANNELS = {"rgb": 3, "hsv": 3, "ycbcr": 3, "grayscale": 1}
_NAMES = ("channels", "classes", "color", "mean", "resolution", "size", "std")


class Bundle(NamedTuple):
    """A network and what its input needs.

    Attributes:
        name: Where it was read, for people.
        model: An ONNX file.
        facts: What ``nas.data.preprocess`` asks for, checked.
    """

    name: str
    model: bytes
    facts: Mapping[str, Any]

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes in the order of the logits."""
        return tuple(self.facts["classes"])


def read_bundle(folder: str | os.PathLike[str]) -> Bundle:
    """Read a bundle, as ``nas export`` writes it.

    Raises:
        BundleError: It is none, is damaged, or a later version wrote it.
    """
    path = Path(folder)
    if not path.is_dir():
        raise BundleError(
            f"{path}: {'is a file, not a bundle' if path.exists() else 'no such folder; name a bundle, or STUDY#N'}"
        )
    if (path / "result.json").is_file() and not (path / MODEL).exists():
        raise BundleError(f"{path}: is what nas train wrote; export it first: nas export {path} -o FOLDER")
    where = path / FACTS
    try:
        facts = json.loads(_content(path, FACTS))
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{where}: is not JSON ({str(error)[:200]})") from None
    return Bundle(str(path), _content(path, MODEL), checked_facts(facts, where))


def checked_facts(facts: object, where: object) -> Mapping[str, Any]:
    """Return the content of ``preprocessing.json`` if an image can be prepared by it.

    Raises:
        BundleError: Something is missing, out of bounds or of a later version.
    """
    if not isinstance(facts, dict):
        raise BundleError(f"{where}: must be an object with {', '.join(_NAMES)}")
    if (written := facts.get("format", 1)) != FORMAT:  # the first had no number
        raise BundleError(f"{where}: has format {str(written)[:20]}, this version reads {FORMAT}; export it again")
    if missing := [name for name in _NAMES if name not in facts]:
        raise BundleError(f"{where}: lacks {', '.join(missing)}; export it again")
    wrong = next((name for name, holds in _checks(facts).items() if not holds), None)
    if wrong is not None:
        raise BundleError(f"{where}: {wrong} cannot be {repr(facts[wrong])[:60]}; export it again")
    return facts


def _checks(facts: Mapping[str, Any]) -> dict[str, bool]:
    """Tell of each value whether it can be."""
    channels, classes, color = facts["channels"], facts["classes"], facts["color"]
    names = isinstance(classes, list) and all(isinstance(name, str) for name in classes)
    return {
        "color": isinstance(color, str) and color in _CHANNELS,
        "channels": isinstance(color, str) and _is_whole(channels) and channels == _CHANNELS.get(color),
        "classes": names and 2 <= len(classes) <= MOST_CLASSES and len(set(classes)) == len(classes),
        **{name: _is_whole(facts[name]) and 1 <= facts[name] <= MOST_PIXELS for name in ("size", "resolution")},
        "mean": _are_numbers(facts["mean"], channels),
        "std": _are_numbers(facts["std"], channels) and min(facts["std"]) > 1 / _LARGEST,
    }


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _are_numbers(values: object, count: object) -> bool:
    """Tell whether a value is a list of so many numbers of a size that can be computed with."""
    return (
        isinstance(values, list)
        and len(values) == count
        and all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
        and all(-_LARGEST < value < _LARGEST for value in values)  # no NaN either
    )


def _content(folder: Path, name: str) -> bytes:
    """Return a file that lies in a folder, not elsewhere through a link, and is no larger than it may be."""
    path, most = folder / name, _MOST_BYTES[name]
    try:
        if not path.resolve(strict=True).is_relative_to(folder.resolve()):
            raise BundleError(f"{path}: is a link that leads out of the bundle; copy what it leads to (cp -rL)")
        # a pipe must not be waited for
        with open(os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)), "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise BundleError(f"{path}: is not a file")
            if status.st_size > most:
                raise BundleError(f"{path}: has {status.st_size:,} bytes, at most {most:,} are read")
            return file.read(most)
    except FileNotFoundError:
        raise BundleError(f"{path}: no such file; a bundle is what nas export writes") from None
    except (OSError, RuntimeError) as error:  # the latter of links in a circle, before Python 3.13
        raise BundleError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from None
