"""Files of a bundle that a stranger may have written: nothing is executed, and sizes are bounded before they are read.

A file is read once, into memory (``nas.files.read_bounded``); what is checked are these bytes.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load

from nas.architecture.cost import count_cost
from nas.architecture.shapes import LARGEST
from nas.architecture.spec import Architecture
from nas.data.facts import read_facts
from nas.errors import ExportError
from nas.export import manifest
from nas.files import read_bounded
from nas.models.build import Network
from nas.models.device import device_memory

MEBIBYTE = 1 << 20
LARGEST_TEXT = 16 * MEBIBYTE
"""Bytes of class names, a manifest, code or a README."""

LARGEST_DESCRIPTION = MEBIBYTE
"""Bytes of ``architecture.json``."""

LARGEST_HEADER = 32 * MEBIBYTE
"""Bytes of a safetensors header; that of the largest preset takes 0.2 MiB."""

LARGEST_FLOPS = 10**12
"""Of a network that is run; that of the largest preset takes 4e10."""

_TYPES = {torch.float32: "F32", torch.int64: "I64"}


class Contents:
    """The files of a bundle, each read once and held against the manifest."""

    def __init__(self, folder: Path, known: manifest.Manifest) -> None:
        """Read nothing yet."""
        self.folder = folder
        self._known = known
        self._read: dict[str, bytes] = {}

    def __contains__(self, name: str) -> bool:
        """Tell whether the manifest names a file."""
        return name in self._known.files

    def read(self, name: str, *, most: int) -> bytes:
        """Return what a file holds.

        Raises:
            ExportError: It is not what the manifest says, or has more than ``most`` bytes.
        """
        if name not in self._read:
            content = read_bounded(self.folder / name, most=most)
            if manifest.facts_of(content) != self._known.files[name]:
                raise ExportError(f"{self.folder / name}: is not what was written (its checksum differs)")
            self._read[name] = content
        return self._read[name]

    def text(self, name: str, *, most: int = LARGEST_TEXT) -> str:
        """Return what a file holds as text."""
        return self.read(name, most=most).decode("utf-8", errors="replace")


def require_runnable(architecture: Architecture, images: int, *, source: Path) -> None:
    """Require that a network can be run on some images in the memory that is free.

    Raises:
        ExportError: It takes more memory, or more operations than any network that is exported.
    """
    cost = count_cost(architecture)
    needed = 4 * cost.params + 3 * images * cost.peak_memory
    if cost.flops > LARGEST_FLOPS:
        raise ExportError(f"{source}: describes a network of {cost.flops:.2g} FLOPs, which is too large to be run here")
    if needed > (free := device_memory(torch.device("cpu")).free):
        raise ExportError(
            f"{source}: describes a network that takes {needed / 2**30:.1f} GiB to run; {free / 2**30:.1f} are free"
        )


def read_preprocessing(content: bytes, architecture: Architecture, *, source: Path) -> dict[str, Any]:
    """Read ``preprocessing.json``.

    Raises:
        ExportError: It is not what fits the architecture.
    """
    facts = dict(read_facts(content, source, most_pixels=LARGEST))
    given = len(facts["classes"]), facts["channels"], facts["resolution"]
    if given != (architecture.num_classes, architecture.in_channels, architecture.resolution):
        raise ExportError(f"{source}: is not how images are prepared for the network of architecture.json")
    return facts


def expected_tensors(architecture: Architecture) -> dict[str, tuple[str, list[int]]]:
    """Return type and shape of each tensor of a network's weights, without taking memory for them."""
    with torch.device("meta"):
        state = Network(architecture).state_dict()
    return {name: (_TYPES[tensor.dtype], list(tensor.shape)) for name, tensor in state.items()}


def bytes_of_tensors(tensors: Mapping[str, tuple[str, list[int]]]) -> int:
    """Return how many bytes tensors take."""
    return sum(math.prod(shape) * (4 if kind == "F32" else 8) for kind, shape in tensors.values())


def read_weights(
    content: bytes, tensors: Mapping[str, tuple[str, list[int]]], *, source: Path
) -> dict[str, torch.Tensor]:
    """Read a safetensors file that must hold certain tensors and nothing else.

    Raises:
        ExportError: It holds others, or is damaged.
    """
    length = int.from_bytes(content[:8], "little")
    if len(content) < 8 or length > min(LARGEST_HEADER, len(content) - 8):
        raise ExportError(f"{source}: its header says that it has {length:,} bytes, of a file of {len(content):,}")
    try:
        header = json.loads(content[8 : 8 + length])
        header.pop("__metadata__", None)
        given = {name: (facts["dtype"], facts["shape"]) for name, facts in header.items()}
        if given != dict(tensors):
            wrong = next(name for name in sorted({*given, *tensors}) if given.get(name) != tensors.get(name))
            raise ExportError(f"{source}: the tensor {wrong[:100]!r} is not that of the network of architecture.json")
        return load(content)
    except ExportError:
        raise
    except Exception as error:  # what is wrong in a header that a stranger wrote may be anything
        raise ExportError(f"{source}: is no safetensors file ({' '.join(str(error).split())[:100]})") from None
