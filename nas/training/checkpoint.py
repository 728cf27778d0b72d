"""A stopped training as one file: tensors in safetensors, the rest as JSON in its header; nothing is unpickled."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import Module

from nas.errors import StudyError

FORMAT_VERSION = 4
"""A checkpoint of another version is not read, and the training begins anew."""


class State(NamedTuple):
    """Tensors on any device, and plain JSON data."""

    tensors: dict[str, Tensor]
    facts: dict[str, Any]


def save_checkpoint(path: Path, state: State, *, key: str) -> None:
    """Write a state: whole, or not at all.

    Args:
        path: Of the file; its folder is made where it is missing.
        state: Of a run.
        key: Stands for all that the state belongs to: network, recipe, images, seed.

    Raises:
        StudyError: The file cannot be written, for example because the disk is full; an earlier one is still there.
    """
    header = {"version": str(FORMAT_VERSION), "key": key, "facts": json.dumps(state.facts)}
    write_tensors(path, state.tensors, what="the checkpoint", header=header)


def write_tensors(
    path: Path, tensors: Mapping[str, Tensor], *, what: str, header: dict[str, str] | None = None
) -> None:
    """Write tensors as a safetensors file: whole, or not at all.

    Args:
        path: Of the file; its folder is made where it is missing.
        tensors: On any device.
        what: The file is, for people.
        header: Text that goes with them.

    Raises:
        StudyError: The file cannot be written, for example because the disk is full; an earlier one is still there.
    """
    partial = path.with_suffix(f".{uuid.uuid4().hex[:8]}.partial")  # of several hosts, one folder
    copies = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.touch()
        mode = partial.stat().st_mode
        save_file(copies, partial, metadata=header)
        os.chmod(partial, mode)  # safetensors makes files that nobody else may read
        os.replace(partial, path)
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise StudyError(f"{path}: {what} cannot be written: {reason}") from None
    finally:
        with suppress(OSError):  # such as a folder that is none
            partial.unlink(missing_ok=True)


def save_weights(model: Module, path: Path) -> None:
    """Write a module's parameters and buffers as safetensors: whole, or not at all.

    Raises:
        StudyError: The file cannot be written, for example because the disk is full.
    """
    write_tensors(path, model.state_dict(), what="the weights")


def load_checkpoint(path: Path, *, key: str) -> State | None:
    """Return what was saved under the same key, or None where there is nothing of use."""
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            if header.get("version") != str(FORMAT_VERSION) or header.get("key") != key:
                return None
            return State({name: file.get_tensor(name) for name in file.keys()}, json.loads(header["facts"]))  # noqa: SIM118
    except (OSError, SafetensorError, ValueError, KeyError):
        return None
