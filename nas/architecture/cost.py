"""The closed-form cost of an architecture, equal to what fvcore measures on the built module.

One multiply-add is one FLOP. As in fvcore's ``total()`` in eval mode, convolutions and linear layers cost their
multiply-adds, batch norm two per element, adaptive average pooling one per input element, and element-wise
operations, max pooling and biases nothing. An activation is an element that a convolution or linear layer puts out
(Radosavovic et al. 2020, arXiv:2003.13678, §3).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from nas.architecture.spec import Architecture, Block, Conv, Layer, MaxPool, Shape, layer_shape, walk


@dataclass(frozen=True, slots=True)
class Cost:
    """What one image costs, by operator as fvcore names it.

    Attributes:
        flops_by_operator: Of ``conv``, ``batch_norm``, ``linear``, ``adaptive_avg_pool2d``.
        activations_by_operator: Of ``conv`` and ``linear``.
        params: Trainable parameters.
    """

    flops_by_operator: Mapping[str, int]
    activations_by_operator: Mapping[str, int]
    params: int

    @property
    def flops(self) -> int:
        """All operators, one multiply-add as one FLOP."""
        return sum(self.flops_by_operator.values())

    @property
    def multiply_adds(self) -> int:
        """Convolutions and linear layers only: the figure that papers quote."""
        return self.flops_by_operator["conv"] + self.flops_by_operator["linear"]

    @property
    def activations(self) -> int:
        """Elements put out by convolutions and linear layers."""
        return sum(self.activations_by_operator.values())


class _Tally(NamedTuple):
    """Running sums; a class so that the closed form reads by name."""

    conv: int = 0
    norm: int = 0
    linear: int = 0
    pool: int = 0
    conv_outputs: int = 0
    linear_outputs: int = 0
    params: int = 0


def count_cost(architecture: Architecture) -> Cost:
    """Count FLOPs, parameters and activations of one image without building the network.

    Args:
        architecture: Any architecture.

    Returns:
        The cost, equal to ``measure_cost(build_model(architecture), architecture)``.
    """
    tallies = []
    shape = Shape(architecture.in_channels, architecture.resolution)
    for step in walk(architecture):
        part, before = step.part, step.before
        tallies.append(_count_block(part, before) if isinstance(part, Block) else _count_layer(part, before))
        shape = step.after
    tallies.append(_count_classifier(shape, architecture.num_classes))
    total = _add(tallies)
    return Cost(
        flops_by_operator={
            "conv": total.conv,
            "batch_norm": total.norm,
            "linear": total.linear,
            "adaptive_avg_pool2d": total.pool,
        },
        activations_by_operator={"conv": total.conv_outputs, "linear": total.linear_outputs},
        params=total.params,
    )


@lru_cache(maxsize=1 << 16)
def _count_block(block: Block, shape: Shape) -> _Tally:
    tallies = []
    for branch in (*block.branches, block.shortcut or ()):
        here = shape
        for layer in branch:
            tallies.append(_count_layer(layer, here))
            here = layer_shape(layer, here)
    return _add(tallies)


def _count_layer(layer: Layer, shape: Shape) -> _Tally:
    if isinstance(layer, MaxPool):
        return _Tally()
    if isinstance(layer, Conv):
        return _count_conv(layer, shape)
    squeezed = Shape(shape.channels, 1)
    gate = [
        _count_conv(Conv(layer.channels, 1, norm=False), squeezed),
        _count_conv(Conv(shape.channels, 1, norm=False), Shape(layer.channels, 1)),
    ]
    return _add([_Tally(pool=shape.channels * shape.size**2), *gate])


def _count_conv(conv: Conv, shape: Shape) -> _Tally:
    outputs = conv.channels * layer_shape(conv, shape).size ** 2
    weights_per_channel = shape.channels // conv.groups * conv.kernel**2
    return _Tally(
        conv=outputs * weights_per_channel,
        norm=2 * outputs if conv.norm else 0,
        conv_outputs=outputs,
        params=conv.channels * (weights_per_channel + (2 if conv.norm else 1)),
    )


def _count_classifier(shape: Shape, num_classes: int) -> _Tally:
    return _Tally(
        linear=shape.channels * num_classes,
        pool=shape.channels * shape.size**2,
        linear_outputs=num_classes,
        params=(shape.channels + 1) * num_classes,
    )


def _add(tallies: list[_Tally]) -> _Tally:
    return _Tally(*map(sum, zip(*tallies, strict=True)))
