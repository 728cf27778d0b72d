"""What is read of a bundle: data of a stranger, of which nothing is run but the operators of its network.

Its files are read once, within bounds, and what was checked is what is used.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from nas.data.facts import read_facts
from nas.errors import BundleError
from nas.files import read_bounded

MODEL = "model.onnx"
FACTS = "preprocessing.json"
_MOST_BYTES = {MODEL: 2**31 - 1, FACTS: 2**24}  # the first is the most that an ONNX file can have


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
    facts = read_facts(read_bounded(where, most=_MOST_BYTES[FACTS]), where)
    return Bundle(str(path), read_bounded(path / MODEL, most=_MOST_BYTES[MODEL]), facts)
