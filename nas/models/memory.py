"""How much memory a network takes on the device: what torch allocates, what a process holds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn

from nas.architecture.cost import Cost
from nas.architecture.spec import Architecture
from nas.models.build import build_model
from nas.models.device import resolve_device
from nas.processes.isolated import in_own_process


def measure_training_memory(architecture: Architecture, *, batch: int, device: str = "auto") -> int:
    """Return the bytes that are allocated at once in a training step, measured in a process of its own.

    A script that calls this must do so under ``if __name__ == "__main__":``, because the process imports it.

    Weights, gradients, momentum and images count; the step is SGD with momentum in float32.

    Args:
        architecture: What to train.
        batch: Images in the step.
        device: As for ``measure_latency``.

    Raises:
        DeviceError: There is no such device on this machine.
        MeasurementError: The step fails, for example because there is not enough memory.
    """
    return int(in_own_process(_measure_training, architecture, str(resolve_device(device)), batch))


class MemoryRange(NamedTuple):
    """Bytes, at least and at most."""

    low: int
    high: int


def estimate_training_memory(cost: Cost, *, batch: int) -> MemoryRange:
    """Estimate what ``measure_training_memory`` would find, without building anything.

    Autograd keeps feature maps for the backward pass: measured were 1.35 to 3.5 of them for each output of a
    convolution (residual networks least, those with SiLU or many branches most), beside weights, gradients, momentum.

    Args:
        cost: Of the network.
        batch: Images in the step.
    """
    weights = 3 * cost.weight_bytes
    outputs = 4 * batch * cost.activations
    return MemoryRange(weights + round(1.2 * outputs), weights + round(4 * outputs) + cost.weight_bytes)


def _measure_training(architecture: Architecture, device_name: str, batch: int) -> int:
    """Return the peak of a training step; the work of a measuring process."""
    device = torch.device(device_name)
    model = build_model(architecture).to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    images = random_images(architecture, batch, device)
    labels = torch.zeros(batch, dtype=torch.int64, device=device)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-6, momentum=0.9)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(nn.functional.cross_entropy(model(images), labels))
        optimizer.step()

    step()  # momentum is there from the second step on
    optimizer.zero_grad(set_to_none=True)
    state = sum(_bytes(s["momentum_buffer"]) for s in optimizer.state.values())
    return peak_allocated(step, device, tensor_bytes=tensor_bytes_of(model, images) + state)


def peak_allocated(run: Callable[[], object], device: torch.device, *, tensor_bytes: int) -> int:
    """Return the most bytes of torch's allocator during a call, ``tensor_bytes`` of tensors that live on included."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        run()
        return torch.cuda.max_memory_allocated(device)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profiler:
        run()
    peak = allocated = 0
    for event in profiler.profiler.kineto_results.events():
        if event.name() == "[memory]":
            allocated += event.nbytes()
            peak = max(peak, allocated)
    return tensor_bytes + peak


class ResidentBytes(NamedTuple):
    """Resident memory of this process, now and at most since it was last asked for."""

    now: int
    peak: int


def resident_bytes() -> ResidentBytes | None:
    """Return the resident memory and begin a new peak, where the system tells (Linux does)."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
        Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")
    except OSError:
        return None
    facts = {key: value.split() for key, _, value in (line.partition(":") for line in lines)}
    return ResidentBytes(*(1024 * int(facts[key][0]) for key in ("VmRSS", "VmHWM")))


def tensor_bytes_of(model: nn.Module, images: torch.Tensor) -> int:
    """Return the bytes of a module's parameters and buffers and of a batch."""
    return sum(_bytes(tensor) for tensor in (*model.parameters(), *model.buffers(), images))


def _bytes(tensor: torch.Tensor) -> int:
    return tensor.numel() * tensor.element_size()


def random_images(architecture: Architecture, batch: int, device: torch.device) -> torch.Tensor:
    """Return a float32 batch of the shape that a network takes, in channels-last layout."""
    images = torch.randn(batch, architecture.in_channels, architecture.resolution, architecture.resolution)
    return images.to(device=device, memory_format=torch.channels_last)
