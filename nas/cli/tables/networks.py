"""Networks and what they cost as tables."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from rich.table import Table

from nas.architecture.layers import Block, Conv, MaxPool, SqueezeExcite
from nas.architecture.shapes import kernel_sides
from nas.architecture.spec import sections
from nas.cli.tables.fitted import Column, fitted_table
from nas.units import format_bytes, format_count

if TYPE_CHECKING:
    from nas.architecture.cost import Cost
    from nas.architecture.layers import Layer
    from nas.architecture.spec import Architecture


def stage_table(architecture: Architecture, cost: Cost, *, width: int) -> Table:
    """Return a network section by section: what it is made of, what it puts out, what it costs."""
    columns = [
        Column("section", justify="left"),
        Column("layers", drop=1, justify="left", folds=False),
        *(Column(header) for header in ("x", "channels", "px", "FLOPs")),
        Column("share", justify="left", style="cyan"),
        Column("params"),
        Column("activations", drop=2),
        Column("peak memory"),
    ]
    layers = {section.name: describe(section.parts) for section in sections(architecture)}
    largest = max(section.flops for section in cost.sections)
    bar_width = 12 if width >= 90 else 6
    rows = [
        (
            section.name,
            layers.get(section.name, "average pool, linear"),
            str(section.repeats),
            str(section.after.channels),
            str(section.after.size),
            format_count(section.flops),
            f"{bar(section.flops, largest, width=bar_width)} {100 * section.flops / cost.flops:5.1f} %",
            format_count(section.params),
            format_count(section.activations),
            format_bytes(section.peak_memory),
        )
        for section in cost.sections
        if section.repeats
    ]
    title = f"{architecture.name} at {architecture.resolution} px, {architecture.num_classes} classes"
    table = fitted_table(columns, rows, width=width, title=title)
    footers = {
        "section": "total",
        "FLOPs": format_count(cost.flops),
        "params": format_count(cost.params),
        "activations": format_count(cost.activations),
        "peak memory": format_bytes(cost.peak_memory),
    }
    for column in table.columns:
        column.footer = footers.get(str(column.header), "")
    table.show_footer = True
    return table


def cost_notes(cost: Cost) -> str:
    """Return what a stage table has no column for: exact totals, operators, bytes of the weights."""
    shares = ", ".join(f"{name} {100 * flops / cost.flops:.1f} %" for name, flops in cost.flops_by_operator.items())
    peak = format_bytes(cost.peak_memory)
    sizes = (f"{format_bytes(cost.weight_bytes_at(p))} {p}" for p in ("fp32", "fp16", "int8"))
    return "\n".join(
        (
            f"{cost.flops:,} FLOPs as fvcore counts them: one multiply-add is one FLOP",
            f"  {shares}",
            f"{cost.multiply_adds:,} of them in convolutions and linear layers, the figure that papers quote",
            f"{cost.params:,} parameters: {', '.join(sizes)}",
            f"{cost.activations:,} activations; the feature maps of one image need up to {peak} at once",
        )
    )


def compare_table(architectures: Iterable[Architecture], costs: Iterable[Cost], *, width: int) -> Table:
    """Return networks side by side, one row each."""
    networks = list(zip(architectures, costs, strict=True))
    largest = max(cost.flops for _, cost in networks)
    bar_width = 12 if width >= 90 else 6
    columns = [
        Column("network", justify="left", folds=True),
        *(Column(header) for header in ("px", "FLOPs")),
        Column("", justify="left", style="cyan"),
        Column("conv+linear", drop=1),
        Column("params"),
        Column("activations", drop=4),
        Column("fp32"),
        Column("fp16", drop=3),
        Column("int8", drop=2),
        Column("peak memory"),
    ]
    rows = [
        (
            architecture.name,
            str(architecture.resolution),
            format_count(cost.flops),
            bar(cost.flops, largest, width=bar_width),
            format_count(cost.multiply_adds),
            format_count(cost.params),
            format_count(cost.activations),
            *(format_bytes(cost.weight_bytes_at(precision)) for precision in ("fp32", "fp16", "int8")),
            format_bytes(cost.peak_memory),
        )
        for architecture, cost in networks
    ]
    return fitted_table(columns, rows, width=width)


def bar(value: float, largest: float, *, width: int) -> str:
    """Return a horizontal bar of ``width`` characters at most, to an eighth of one."""
    eighths = round(8 * width * value / largest) if largest else 0
    full, rest = divmod(eighths, 8)
    return ("\u2588" * full + (" " if rest == 0 else chr(0x2590 - rest))).rstrip().ljust(width)


def describe(parts: tuple[Layer | Block, ...]) -> str:
    """Return what a section is made of: its layers, or the block that it mostly repeats."""
    if parts and isinstance(parts[-1], Block):
        return _describe_block(parts[-1])
    return ", ".join(_describe_layer(part) for part in parts)


def _describe_block(block: Block) -> str:
    if len(block.branches) > 1:
        return f"{len(block.branches)} branches, {block.join}"
    return ", ".join(_describe_layer(layer) for layer in block.branches[0])


def _describe_layer(layer: Layer | Block) -> str:
    if isinstance(layer, Block):
        return _describe_block(layer)
    if isinstance(layer, SqueezeExcite):
        return "SE"
    height, width = kernel_sides(layer.kernel)
    size = f"{height}x{width}"
    if not isinstance(layer, Conv):
        return f"{'max' if isinstance(layer, MaxPool) else 'average'} pool {size}"
    groups = "" if layer.groups == 1 else " depthwise" if layer.groups == layer.channels else f" {layer.groups} groups"
    return size + groups
