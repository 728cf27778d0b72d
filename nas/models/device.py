"""Which device trains and is measured, and what it is."""

from __future__ import annotations

import platform
from contextlib import suppress
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple

import psutil
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
        raise DeviceError(f"this machine has no device {name!r}; known: {', '.join(known)}")
    return torch.device("cuda:0" if name == "cuda" else name)


def devices_of(name: str, count: int) -> list[torch.device]:
    """Return the devices of so many trainings at the same time: ``auto`` spreads them over all GPUs.

    Raises:
        DeviceError: There is no such device on this machine.
    """
    first = resolve_device(name)
    gpus = torch.cuda.device_count() if name == "auto" and first.type == "cuda" else 0
    return [torch.device(f"cuda:{place % gpus}") if gpus else first for place in range(count)]


class Memory(NamedTuple):
    """Bytes of a device's memory: of all, and of those that nothing holds."""

    total: int
    free: int


def device_memory(device: torch.device) -> Memory:
    """Return the memory of a GPU, or of this machine as far as the process's control group may use it."""
    if device.type == "cuda":
        free, total = torch.cuda.mem_get_info(device)
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)  # torch keeps it for later
        return Memory(total, free + unused)
    machine = psutil.virtual_memory()
    total, free = machine.total, machine.available
    for folder, limit, used in _CONTROL_GROUPS:
        with suppress(OSError, ValueError):  # no such group, or no limit
            bound = int((folder / limit).read_text())
            held = int((folder / used).read_text()) - _droppable(folder)
            total, free = min(total, bound), min(free, bound - held)
    return Memory(total, max(0, free))


def _droppable(folder: Path) -> int:
    """Return the bytes of files that a control group holds in memory and that the system may drop at any time."""
    lines = (folder / "memory.stat").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("inactive_file "))


_CONTROL_GROUPS = (
    (Path("/sys/fs/cgroup"), "memory.max", "memory.current"),
    (Path("/sys/fs/cgroup/memory"), "memory.limit_in_bytes", "memory.usage_in_bytes"),
)
"""Of Linux, versions 2 and 1."""


def describe_device(device: torch.device) -> str:
    """Return the device's name for records: the model of the GPU or CPU."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else _cpu_name()


def describe_versions() -> str:
    """Return the versions of what decides a measurement, in one line."""
    cuda = f" (CUDA {torch.version.cuda})" if torch.version.cuda else ""
    python = f"Python {platform.python_version()}, {platform.system()}"
    return f"torch {torch.__version__}{cuda}, {_onnxruntime_version()}, {python}"


def _onnxruntime_version() -> str:
    """Return the name and version of the distribution that is installed; the one for GPUs takes the other's place."""
    for name in ("onnxruntime-gpu", "onnxruntime"):
        with suppress(PackageNotFoundError):
            return f"{name} {version(name)}"
    return "no onnxruntime"


@cache
def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:  # not Linux
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"CPU {names[0] if names else platform.processor() or platform.machine()}"[:200]
