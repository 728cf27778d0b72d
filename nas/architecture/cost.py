"""The closed-form cost of an architecture, equal to what is measured on the built module.

FLOPs: one multiply-add is one. As in fvcore's ``total()`` in eval mode, convolutions and linear layers cost their
multiply-adds, batch norm two per element, adaptive average pooling one per input element, and element-wise operations,
other pooling and biases nothing. An activation is an element that a convolution or linear layer puts out (Radosavovic
et al. 2020, arXiv:2003.13678, §3).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, NamedTuple, TypeAlias

from nas.architecture.layers import Activation, Block, Conv, Shape, SqueezeExcite
from nas.architecture.memory import peak_elements
from nas.architecture.shapes import Run, kernel_sides, runs, trace_block
from nas.architecture.spec import Architecture, Section, sections

FLOP_OPERATORS = ("conv", "batch_norm", "linear", "adaptive_avg_pool2d")
"""What costs FLOPs, as fvcore names it; the first fields of ``Counts``."""

Precision: TypeAlias = Literal["fp32", "fp16", "int8"]

BYTES_PER_ELEMENT = 4
"""Of a feature map in float32."""


class Counts(NamedTuple):
    """What is counted for one image, whole numbers all.

    Attributes:
        conv: FLOPs of convolutions.
        batch_norm: FLOPs of batch norms.
        linear: FLOPs of linear layers.
        adaptive_avg_pool2d: FLOPs of adaptive average pooling.
        conv_outputs: Elements that convolutions put out.
        linear_outputs: Elements that linear layers put out.
        params: Trainable parameters.
        weights: Of these, the weights of convolutions and linear layers.
    """

    conv: int = 0
    batch_norm: int = 0
    linear: int = 0
    adaptive_avg_pool2d: int = 0
    conv_outputs: int = 0
    linear_outputs: int = 0
    params: int = 0
    weights: int = 0


class _Counted:
    """Figures that follow from ``counts``."""

    __slots__ = ()
    counts: Counts

    @property
    def flops_by_operator(self) -> dict[str, int]:
        """FLOPs of ``conv``, ``batch_norm``, ``linear`` and ``adaptive_avg_pool2d``, as fvcore names them."""
        return dict(zip(FLOP_OPERATORS, self.counts, strict=False))

    @property
    def activations_by_operator(self) -> dict[str, int]:
        """Number of output elements of ``conv`` and ``linear``."""
        return {"conv": self.counts.conv_outputs, "linear": self.counts.linear_outputs}

    @property
    def flops(self) -> int:
        """FLOPs of all operators; one multiply-add is one FLOP."""
        return sum(self.counts[:4])

    @property
    def multiply_adds(self) -> int:
        """FLOPs of convolutions and linear layers only, the figure that papers quote."""
        return self.counts.conv + self.counts.linear

    @property
    def activations(self) -> int:
        """Number of output elements of all convolutions and linear layers."""
        return self.counts.conv_outputs + self.counts.linear_outputs

    @property
    def params(self) -> int:
        """Number of trainable parameters."""
        return self.counts.params

    @property
    def weight_bytes(self) -> int:
        """Bytes of the parameters in float32."""
        return self.weight_bytes_at("fp32")

    def weight_bytes_at(self, precision: Precision) -> int:
        """Return the bytes of the parameters at a precision.

        Args:
            precision: ``fp32`` and ``fp16`` take four and two bytes for each. ``int8`` takes one for each weight of a
                convolution or linear layer and four for every other parameter: the scale and bias of each channel,
                which quantisation keeps in 32 bits (Jacob et al. 2018, arXiv:1712.05877, §2.4).
        """
        if precision == "int8":
            return self.counts.weights + 4 * (self.counts.params - self.counts.weights)
        return self.counts.params * {"fp32": 4, "fp16": 2}[precision]


@dataclass(frozen=True, slots=True)
class SectionCost(_Counted):
    """What the stem, one stage, the head or the classifier costs for one image.

    Attributes:
        name: ``stem``, ``stages[0]`` and so on, ``head``, ``classifier``.
        repeats: Number of layers of the stem or head, of blocks of a stage.
        before: Shape of the feature map that enters.
        after: Shape of the feature map that leaves.
        counts: What is counted.
        peak_memory: Largest number of bytes of float32 feature maps alive at once while it runs.
    """

    name: str
    repeats: int
    before: Shape
    after: Shape
    counts: Counts
    peak_memory: int


@dataclass(frozen=True, slots=True)
class Cost(_Counted):
    """What one image costs, in total and for each section of the network.

    Attributes:
        counts: The figures that are counted.
        peak_memory: Largest number of bytes that float32 feature maps take at the same time during inference.
        sections: Costs of stem, stages, head and classifier, in this order.
    """

    counts: Counts
    peak_memory: int = 0
    sections: tuple[SectionCost, ...] = ()

    @classmethod
    def of_sections(cls, parts: Sequence[SectionCost]) -> Cost:
        """Return the cost of a network from that of its sections."""
        return cls(_add([part.counts for part in parts]), max(part.peak_memory for part in parts), tuple(parts))


def count_cost(architecture: Architecture) -> Cost:
    """Count what one image costs without building the network.

    Args:
        architecture: Any architecture.

    Returns:
        The cost, equal to ``measure_cost(build_model(architecture), architecture)``.
    """
    parts = []
    shape = Shape(architecture.in_channels, architecture.resolution)
    for section in sections(architecture):
        parts.append(_count_section(section, shape))
        shape = parts[-1].after
    parts.append(count_classifier(shape, architecture.num_classes))
    return Cost.of_sections(parts)


def _count_section(section: Section, before: Shape) -> SectionCost:
    counts, peak, after = [], 0, before
    for run in runs(section.parts, before):
        counts.append(count_run(run))
        peak = max(peak, peak_elements(run))
        after = run.after
    return SectionCost(section.name, len(section.parts), before, after, _add(counts), BYTES_PER_ELEMENT * peak)


def count_run(run: Run) -> Counts:
    """Count what a layer or block costs, all its repeats together."""
    if isinstance(run.part, Block):
        counts = _count_block(run.part, run.before)
    elif isinstance(run.part, Conv):
        counts = _count_conv(run.part, run.before, run.after)
    elif isinstance(run.part, SqueezeExcite):
        counts = _count_squeeze_excite(run.part, run.before)
    else:
        return Counts()
    return counts if run.repeats == 1 else Counts._make([run.repeats * count for count in counts])


@lru_cache(maxsize=1 << 18)
def _count_block(block: Block, shape: Shape) -> Counts:
    trace = trace_block(block, shape)
    parts = [count_run(run) for branch in (*trace.branches, trace.shortcut) for run in branch]
    return _add([Counts(params=_slopes(block.activation)), *parts])


def _count_conv(conv: Conv, before: Shape, after: Shape) -> Counts:
    outputs = after.elements
    height, width = kernel_sides(conv.kernel)
    weights_per_channel = before.channels // conv.groups * height * width
    weights = conv.channels * weights_per_channel
    return Counts(
        conv=outputs * weights_per_channel,
        batch_norm=2 * outputs if conv.norm else 0,
        conv_outputs=outputs,
        params=weights + conv.channels * (2 if conv.norm else 1) + _slopes(conv.activation),
        weights=weights,
    )


def _count_squeeze_excite(layer: SqueezeExcite, shape: Shape) -> Counts:
    weights = 2 * shape.channels * layer.channels
    biases = outputs = shape.channels + layer.channels
    return Counts(
        conv=weights,
        adaptive_avg_pool2d=shape.elements,
        conv_outputs=outputs,
        params=weights + biases + _slopes(layer.activation),
        weights=weights,
    )


def _slopes(activation: Activation) -> int:
    """Return the number of parameters of an activation."""
    return 1 if activation == "prelu" else 0


def count_classifier(shape: Shape, num_classes: int) -> SectionCost:
    """Count what the classifier costs, given the shape (channels, size) that enters it."""
    weights = shape.channels * num_classes
    counts = Counts(
        linear=weights,
        adaptive_avg_pool2d=shape.elements,
        linear_outputs=num_classes,
        params=weights + num_classes,
        weights=weights,
    )
    peak = shape.channels + max(shape.elements, num_classes)
    return SectionCost("classifier", 1, shape, Shape(num_classes, 1), counts, BYTES_PER_ELEMENT * peak)


def _add(counts: Sequence[Counts]) -> Counts:
    if len(counts) == 1:
        return counts[0]
    return Counts._make(map(sum, zip(*counts, strict=True))) if counts else Counts()
