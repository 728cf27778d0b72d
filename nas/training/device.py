"""Which device trains."""

from __future__ import annotations

import platform

import torch

from nas.errors import DeviceError


def resolve_device(name: str = "auto") -> torch.device:
    """Return the device of that name.

    Args:
        name: ``auto`` (the first GPU where there is one, else the CPU), ``cpu``, ``cuda`` or ``cuda:N``.

    Raises:
        DeviceError: There is no such device on this machine.
    """
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name == "auto":
        return torch.device("cuda:0" if count else "cpu")
    known = ["auto", "cpu", *(["cuda"] if count else []), *(f"cuda:{i}" for i in range(count))]
    if name not in known:
        raise DeviceError(f"device {name!r} is not on this machine; known: {', '.join(known)}")
    return torch.device("cuda:0" if name == "cuda" else name)


def describe_device(device: torch.device) -> str:
    """Return the device's name for records: the GPU's model, or the CPU's architecture."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU {platform.machine()}"
