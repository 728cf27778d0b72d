"""Measure what a built module costs, by fvcore: the judge of the closed form in ``architecture/cost.py``."""

from __future__ import annotations

import logging
import warnings
from typing import Any

import torch
from torch import nn

from nas.architecture.cost import Cost
from nas.architecture.spec import Architecture
from nas.errors import MeasurementError

UNCOUNTED_OPERATORS = frozenset(
    {"aten::add", "aten::max_pool2d", "aten::mul", "aten::sigmoid", "aten::silu", "aten::sum"}
)
"""Operators that fvcore does not count and this project takes as free; any other uncounted one is an error."""


def measure_cost(model: nn.Module, architecture: Architecture) -> Cost:
    """Measure FLOPs, parameters and activations of one image in eval mode.

    Args:
        model: The module of the architecture; its mode is restored afterwards.
        architecture: Tells the input's shape.

    Returns:
        The cost, equal to ``count_cost(architecture)``.

    Raises:
        MeasurementError: The module runs an operator that nobody counts and that is not known to be free.
    """
    weight = next(model.parameters())
    size = (1, architecture.in_channels, architecture.resolution, architecture.resolution)
    images = torch.zeros(size, device=weight.device, dtype=weight.dtype)
    was_training = model.training
    model.eval()
    try:
        flops, activations = _analyse(model, images)
    finally:
        model.train(was_training)
    return Cost(
        flops_by_operator={
            name: flops.get(name, 0) for name in ("conv", "batch_norm", "linear", "adaptive_avg_pool2d")
        },
        activations_by_operator={name: activations.get(name, 0) for name in ("conv", "linear")},
        params=sum(p.numel() for p in model.parameters()),
    )


def _analyse(model: nn.Module, images: torch.Tensor) -> tuple[dict[str, int], dict[str, int]]:
    """Return FLOPs and activations by operator; the import lives here because fvcore's raises deprecation warnings."""
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        from fvcore.nn import ActivationCountAnalysis, FlopCountAnalysis

        logging.getLogger("fvcore").setLevel(logging.ERROR)
        flops: Any = FlopCountAnalysis(model, images).unsupported_ops_warnings(False).uncalled_modules_warnings(False)
        activations: Any = ActivationCountAnalysis(model, images).unsupported_ops_warnings(False)
        activations.uncalled_modules_warnings(False)
        by_operator = [{name: int(count) for name, count in a.by_operator().items()} for a in (flops, activations)]
    unknown = set(flops.unsupported_ops()) - UNCOUNTED_OPERATORS
    if unknown:
        raise MeasurementError(f"fvcore does not count {', '.join(sorted(unknown))}: the cost would look too low")
    return by_operator[0], by_operator[1]
