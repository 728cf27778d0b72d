"""Networks that a stranger may have written: nothing is executed, and sizes are bounded before they are read.

A file is read once, into memory (``nas.files.read_bounded``); what is checked are these bytes.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load

from nas.architecture.cost import count_cost
from nas.architecture.serialization import architecture_from_json
from nas.architecture.spec import Architecture
from nas.errors import BundleError
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


def require_runnable(architecture: Architecture, images: int, *, source: Path) -> None:
    """Require that a network can be run on some images in the memory that is free.

    Raises:
        BundleError: It takes more memory, or more operations than any network that is exported.
    """
    cost = count_cost(architecture)
    needed = 4 * cost.params + 3 * images * cost.peak_memory
    if cost.flops > LARGEST_FLOPS:
        raise BundleError(f"{source}: describes a network of {cost.flops:.2g} FLOPs, which is too large to be run here")
    if needed > (free := device_memory(torch.device("cpu")).free):
        raise BundleError(
            f"{source}: describes a network that takes {needed / 2**30:.1f} GiB to run; {free / 2**30:.1f} are free"
        )


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
        BundleError: It holds others, or is damaged.
    """
    length = int.from_bytes(content[:8], "little")
    if len(content) < 8 or length > min(LARGEST_HEADER, len(content) - 8):
        raise BundleError(f"{source}: its header says that it has {length:,} bytes, of a file of {len(content):,}")
    try:
        header = json.loads(content[8 : 8 + length])
        header.pop("__metadata__", None)
        given = {name: (facts["dtype"], facts["shape"]) for name, facts in header.items()}
        if given != dict(tensors):
            wrong = next(name for name in sorted({*given, *tensors}) if given.get(name) != tensors.get(name))
            raise BundleError(f"{source}: the tensor {wrong[:100]!r} is not that of the network of architecture.json")
        return load(content)
    except BundleError:
        raise
    except Exception as error:  # what is wrong in a header that a stranger wrote may be anything
        raise BundleError(f"{source}: is no safetensors file ({' '.join(str(error).split())[:100]})") from None


def read_network(description: Path, weights: Path) -> tuple[Architecture, dict[str, torch.Tensor]]:
    """Read a network and its weights; nothing is allocated for it before the file is known to hold its tensors.

    Args:
        description: Of the network, as ``architecture_to_json`` writes it.
        weights: A safetensors file that holds its tensors and nothing else.

    Raises:
        BundleError: A file is missing, a link, too large or damaged, or the network is too large for this machine.
        ConfigError: The description is wrong.
        ArchitectureError: It describes a network that cannot exist.
    """
    text = read_bounded(description, most=LARGEST_DESCRIPTION).decode("utf-8", errors="replace")
    try:
        architecture = architecture_from_json(text, source=description)
        require_runnable(architecture, 1, source=description)
        tensors = expected_tensors(architecture)
    except RecursionError:
        raise BundleError(f"{description}: is nested too deeply") from None
    content = read_bounded(weights, most=bytes_of_tensors(tensors) + LARGEST_HEADER)
    return architecture, read_weights(content, tensors, source=weights)
