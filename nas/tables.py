"""Results as tables for a terminal, as wide as it is. Only the command line uses them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from rich.box import SIMPLE_HEAD
from rich.console import JustifyMethod
from rich.table import Table
from rich.text import Text

from nas.architecture.layers import Block, Conv, MaxPool, SqueezeExcite
from nas.architecture.shapes import kernel_sides
from nas.architecture.spec import sections
from nas.units import format_bytes, format_count, format_seconds, format_share

if TYPE_CHECKING:
    from nas.analysis.latency import FrontLatency, Orders
    from nas.analysis.pareto import FrontPoint, NoisyFront
    from nas.analysis.replays import ReplaySummary
    from nas.architecture.cost import Cost
    from nas.architecture.layers import Layer
    from nas.architecture.spec import Architecture
    from nas.models.backends import Latency
    from nas.training.repeat import SeedResult

_CONTENDERS = 5
"""Networks off the front that are named, at most."""


class Column(NamedTuple):
    """A column of a table; on a console that is too narrow, all of the smallest ``drop`` above 0 are left out."""

    header: str
    drop: int = 0
    justify: JustifyMethod = "right"
    folds: bool = False
    style: str = ""


def fitted_table(columns: Sequence[Column], rows: Iterable[Sequence[str]], *, width: int, title: str = "") -> Table:
    """Return a table of the columns that a console of ``width`` characters has room for; no number is cut."""
    cells = [list(row) for row in rows]
    shown = list(range(len(columns)))

    def needed(index: int) -> int:
        texts = [columns[index].header, *(row[index] for row in cells)]
        words = [word for text in texts for word in (text.split() if columns[index].folds else [text])]
        return max(map(len, words), default=0)

    while 2 + sum(needed(index) + 2 for index in shown) > width:
        least = min((columns[index].drop for index in shown if columns[index].drop), default=None)
        if least is None:
            break
        shown = [index for index in shown if columns[index].drop != least]
    table = Table(title=Text(title), title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for column in (columns[index] for index in shown):
        table.add_column(
            column.header,
            justify=column.justify,
            style=column.style,
            no_wrap=not column.folds,
            overflow="fold",
        )
    for row in cells:
        table.add_row(*(Text(row[index]) for index in shown))  # as Text, lest brackets be taken for markup
    return table


def front_table(front: NoisyFront, *, title: str, width: int) -> Table:
    """Return the Pareto front as a table, cheapest first."""
    repeated = any(point.seeds > 1 for point in front.points)
    columns = [
        *(Column(header) for header in ("trial", "accuracy")),
        *([Column("seeds")] if repeated else []),
        *(Column(header) for header in ("P(front)", "FLOPs")),
        Column("params", drop=2),
        Column("width", drop=3),
        Column("depth", drop=3),
        Column("px", drop=3),
        Column("trained in", drop=1),
        Column("near"),
        Column("space", justify="left", folds=True),
    ]
    rows = [
        (
            str(point.trial.number),
            mean_and_std_cell(point),
            *([str(point.seeds)] if repeated else []),
            format_share(point.front_probability),
            format_count(point.trial.flops),
            format_count(point.trial.params),
            f"{point.trial.width:g}",
            f"{point.trial.depth:g}",
            str(point.trial.resolution),
            f"{point.trial.train_seconds or 0:.1f} s",
            "" if point.within_noise_of is None else f"#{point.within_noise_of}",
            f"{point.trial.space} {point.trial.chosen}".rstrip(),
        )
        for point in front.points
    ]
    return fitted_table(columns, rows, width=width, title=title)


def replay_table(summaries: Sequence[ReplaySummary], *, title: str, width: int) -> Table:
    """Return replayed rules as a table, one row each; the figures to 95 % are blank where they were not reached."""
    columns = [
        Column("rule", justify="left", folds=True),
        Column("share in the end"),
        Column("trained", drop=2),
        Column("to 95 %: proposals"),
        Column("compute"),
        Column("time", drop=1),
    ]

    def shown(value: float, text: str) -> str:
        return text if math.isfinite(value) else "–"

    rows = [
        (
            summary.rule,
            f"{100 * summary.share:.1f} %",
            f"{summary.trained:.0f}",
            shown(summary.proposals, f"{summary.proposals:.0f}"),
            shown(summary.compute, f"{100 * summary.compute:.1f} %"),
            shown(summary.seconds, format_seconds(summary.seconds) if math.isfinite(summary.seconds) else ""),
        )
        for summary in summaries
    ]
    return fitted_table(columns, rows, width=width, title=title)


def mean_and_std_cell(point: FrontPoint) -> str:
    """Return a network's accuracy in percent, with the deviation over its seeds where it has several."""
    std = "" if point.std_accuracy is None else f" ± {100 * point.std_accuracy:.2f}"
    return f"{100 * point.mean_accuracy:.2f}{std} %"


def front_notes(front: NoisyFront) -> list[str]:
    """Return what a table of the front has no room for: the noise, what is near, and who may be on the front too."""
    if not front.points:
        return []
    near = ["near: within noise of that trial, the one before it (two standard errors of the difference)."]
    near = near if any(point.within_noise_of is not None for point in front.points) else []
    some = ", ".join(f"#{p.trial.number} ({format_share(p.front_probability)})" for p in front.contenders[:_CONTENDERS])
    more = len(front.contenders) - _CONTENDERS
    also = [f"May be on it too: {some}{f' and {more} more' if more > 0 else ''}."] if some else []
    return [str(front.noise), *near, *also]


def seeds_table(results: Sequence[SeedResult], *, title: str, width: int) -> Table:
    """Return the trainings of one network, one row each, with mean and standard deviation below."""
    from nas.training.repeat import mean_and_std

    few = len(results[0].test.confusion) <= 5  # all classes are among the five best
    columns = [
        Column("seed", justify="left"),
        Column("validation"),
        Column("test"),
        *([] if few else [Column("top 5", drop=2)]),
        Column("seconds", drop=1),
        Column("images/s", drop=3),
    ]
    figures = [
        (
            100 * result.val_accuracy,
            100 * result.test.accuracy,
            *(() if few else (100 * result.test.top5,)),
            result.train_seconds,
            result.images_per_second,
        )
        for result in results
    ]
    shares = 2 if few else 3
    forms, units = ["{:.2f}"] * shares + ["{:.1f}", "{:,.0f}"], [" %"] * shares + ["", ""]
    rows = [
        (str(result.repeat + 1), *(form.format(v) + unit for form, unit, v in zip(forms, units, values, strict=True)))
        for result, values in zip(results, figures, strict=True)
    ]
    if len(results) > 1:
        totals = [mean_and_std(column) for column in zip(*figures, strict=True)]
        means = [
            " ± ".join(form.format(value) for value in total) + unit
            for form, unit, total in zip(forms, units, totals, strict=True)
        ]
        rows.append(("mean ± std", *means))
    return fitted_table(columns, rows, width=width, title=title)


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
    sizes = (f"{format_bytes(cost.weight_bytes_at(p))} {p}" for p in ("fp32", "fp16", "int8"))
    return "\n".join(
        (
            f"{cost.flops:,} FLOPs as fvcore counts, one multiply-add is one",
            f"  {shares}",
            f"{cost.multiply_adds:,} of them in convolutions and linear layers, as papers quote",
            f"{cost.params:,} parameters: {', '.join(sizes)}",
            f"{cost.activations:,} activations; feature maps of an image need {format_bytes(cost.peak_memory)} at once",
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


_LATENCY_COLUMNS = (
    Column("median"),
    Column("p10 to p90", drop=5),
    Column("images/s", drop=4),
    Column("peak memory", drop=2),
)


def _latency_cells(item: Latency) -> tuple[str, ...]:
    return (
        f"{item.median_ms:.2f} ms",
        f"{item.p10_ms:.2f} to {item.p90_ms:.2f}",
        f"{item.images_per_second:,.0f}",
        "-" if item.peak_memory is None else format_bytes(item.peak_memory),
    )


def latency_table(names: Iterable[str], latencies: Iterable[list[Latency]], *, width: int) -> Table:
    """Return measurements of networks, one row for each backend and batch; the title says where and with what."""
    items = [(name, item) for name, found in zip(names, latencies, strict=True) for item in found]
    columns = [
        Column("network", justify="left", folds=True),
        Column("backend", justify="left"),
        Column("batch"),
        *_LATENCY_COLUMNS,
        Column("repeats", drop=1),
    ]
    rows = [(name, item.backend, str(item.batch), *_latency_cells(item), str(item.repeats)) for name, item in items]
    title = f"{_where(items[0][1])}, float32\n{items[0][1].versions}" if items else ""
    return fitted_table(columns, rows, width=width, title=title)


def front_latency_table(front: FrontLatency, *, width: int) -> Table:
    """Return the front of a study by latency, fastest first."""
    first = front.ranked[0].latency
    columns = [
        Column("rank", drop=3),
        *(Column(header) for header in ("trial", "accuracy", "FLOPs")),
        Column("rank by FLOPs", drop=1),
        *_LATENCY_COLUMNS,
        Column("front by latency", justify="left"),
    ]
    rows = [
        (
            str(entry.latency_rank),
            f"#{entry.trial.number}",
            f"{100 * entry.accuracy:.2f} %",
            format_count(entry.trial.flops),
            str(entry.flops_rank),
            *_latency_cells(entry.latency),
            "yes" if entry.beaten_by is None else f"beaten by #{entry.beaten_by}",
        )
        for entry in front.ranked
    ]
    title = (
        f"Front of {front.study} by latency\n{_where(first)}, {first.backend}, batch {first.batch}\n{first.versions}"
    )
    return fitted_table(columns, rows, width=width, title=title)


def _where(item: Latency) -> str:
    return f"{item.device}, {item.threads} thread{'s' * (item.threads > 1)}"


def disagreement_lines(orders: Orders, *, setting: str) -> list[str]:
    """Return where the orders by FLOPs and by latency disagree, in words."""
    if orders.tau is None:
        reason = "one network has no order" if orders.pairs == 0 else "all networks are equal in FLOPs or in latency"
        return [f"{setting}: {reason}"]
    lines = [
        f"{setting}: Kendall's tau of FLOPs and latency {orders.tau:.3f},"
        f" {len(orders.swapped)} of {orders.pairs} pairs swapped"
    ]
    for pair in orders.swapped:
        noise = " (within noise)" if pair.within_noise else ""
        lines.append(f"  {pair.fewer_flops} has fewer FLOPs, but {pair.faster} is faster{noise}")
    return lines


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
