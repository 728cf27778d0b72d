"""What to expect of int8 before anything is made: how many times faster, told from what a network is made of."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from nas.architecture.layers import Block, Conv, Layer, SqueezeExcite
from nas.architecture.spec import Architecture, sections

_IN_INT8 = {"identity", "relu"}
_SLOPED = {"leaky_relu", "prelu"}


class ExpectedSpeed(NamedTuple):
    """How many times faster int8 is expected to be than float32, both in onnxruntime with one thread.

    Attributes:
        low: Of narrow networks at batch 1.
        high: Of wide ones, or at larger batches.
        reason: What decides it, in a few words.
    """

    low: float
    high: float
    reason: str

    def __str__(self) -> str:
        """Say it in a few words."""
        return f"{self.low:.1f} to {self.high:.1f} times as fast ({self.reason})"


_DENSE = {
    "relu": ExpectedSpeed(1.3, 3.5, "dense or grouped convolutions with ReLU, all in int8; the wider the faster"),
    "leaky_relu": ExpectedSpeed(1.6, 1.9, "leaky ReLU is an operator of its own in int8"),
    "prelu": ExpectedSpeed(3.4, 4.2, "PReLU is slow in float32 and a leaky ReLU in int8"),
    "other": ExpectedSpeed(1.3, 1.5, "the activation has no int8 kernel that convolutions take in"),
}
_DEPTHWISE = {
    "relu": ExpectedSpeed(1.1, 1.3, "depthwise convolutions gain little, ReLU costs nothing"),
    "leaky_relu": ExpectedSpeed(1.0, 1.2, "depthwise convolutions gain little, leaky ReLU is an operator of its own"),
    "prelu": ExpectedSpeed(3.0, 5.7, "PReLU is slow in float32 and a leaky ReLU in int8"),
    "other": ExpectedSpeed(0.7, 1.4, "depthwise convolutions gain little, and the activation costs as much as they"),
}
"""Ranges as measured by tests/benchmarks/int8_latency.py (docs/compress.md), batches of 1 and 32."""


def expected_speed(architecture: Architecture) -> ExpectedSpeed:
    """Return how many times faster a network is expected to be in int8.

    It follows from the block data, whatever the family is called: are there depthwise convolutions, and what are the
    activations? Measured with AVX-512 VNNI; processors without it gain less.
    """
    layers = [layer for section in sections(architecture) for layer in _layers(section.parts)]
    depthwise = any(isinstance(layer, Conv) and 1 < layer.groups == layer.channels for layer in layers)
    return (_DEPTHWISE if depthwise else _DENSE)[_kind({layer.activation for layer in layers})]


def _kind(activations: set[str]) -> str:
    if activations <= _IN_INT8:
        return "relu"
    if activations <= _IN_INT8 | _SLOPED:
        return "prelu" if "prelu" in activations else "leaky_relu"
    return "other"


def _layers(parts: Iterable[Layer | Block]) -> Iterator[Conv | SqueezeExcite | Block]:
    """Yield whatever has an activation, blocks and what is in them."""
    for part in parts:
        if isinstance(part, Block):
            yield part
            for branch in (*part.branches, part.shortcut or ()):
                yield from _layers(branch)
        elif isinstance(part, Conv | SqueezeExcite):
            yield part
