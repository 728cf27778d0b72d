"""How results look in a terminal: tables, progress. Only the command line uses it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from nas.architecture.layers import Block, Conv, MaxPool, SqueezeExcite
from nas.architecture.shapes import kernel_sides
from nas.architecture.spec import sections
from nas.units import format_bytes, format_count

if TYPE_CHECKING:
    from nas.analysis.latency import FrontLatency, Orders
    from nas.architecture.cost import Cost
    from nas.architecture.layers import Layer
    from nas.architecture.spec import Architecture
    from nas.models.backends import Latency
    from nas.search.objective import Event
    from nas.search.store import TrialRecord


def make_console(*, stderr: bool = False) -> Console:
    """Return a console; where the output is no terminal, tables are as wide as they need."""
    console = Console(stderr=stderr)
    return console if console.is_terminal else Console(stderr=stderr, width=160)


def front_table(front: Iterable[TrialRecord], *, title: str) -> Table:
    """Return the Pareto front as a table, cheapest first."""
    table = Table(title=title, title_justify="left")
    for header in ("trial", "accuracy", "FLOPs", "params", "width", "depth", "px", "trained in"):
        table.add_column(header, justify="right", no_wrap=True)
    table.add_column("space", no_wrap=True)
    for trial in front:
        table.add_row(
            str(trial.number),
            f"{100 * (trial.accuracy or 0):.2f} %",
            format_count(trial.flops),
            format_count(trial.params),
            f"{trial.width:g}",
            f"{trial.depth:g}",
            str(trial.resolution),
            f"{trial.train_seconds or 0:.1f} s",
            f"{trial.space} {trial.chosen}".rstrip(),
        )
    return table


def stage_table(architecture: Architecture, cost: Cost) -> Table:
    """Return a network section by section: what it is made of, what it puts out, what it costs."""
    classes = f"{architecture.num_classes} classes"
    table = Table(title=Text(f"{architecture.name} at {architecture.resolution} px, {classes}"), title_justify="left")
    for header in ("section", "layers"):
        table.add_column(header, overflow="fold")
    for header in ("x", "channels", "px", "FLOPs"):
        table.add_column(header, justify="right", no_wrap=True)
    table.add_column("share", no_wrap=True)
    for header in ("params", "activations", "peak memory"):
        table.add_column(header, justify="right", no_wrap=True)
    layers = {section.name: describe(section.parts) for section in sections(architecture)}
    largest = max(section.flops for section in cost.sections)
    for section in cost.sections:
        if section.repeats:
            table.add_row(
                section.name,
                layers.get(section.name, "average pool, linear"),
                str(section.repeats),
                str(section.after.channels),
                str(section.after.size),
                format_count(section.flops),
                f"{bar(section.flops, largest, width=12)} {100 * section.flops / cost.flops:4.1f} %",
                format_count(section.params),
                format_count(section.activations),
                format_bytes(section.peak_memory),
            )
    table.add_section()
    totals = [format_count(count) for count in (cost.flops, cost.params, cost.activations)]
    memory = format_bytes(cost.peak_memory)
    table.add_row("total", "", "", "", "", totals[0], f"{' ' * 12}100.0 %", *totals[1:], memory)
    return table


def cost_notes(cost: Cost) -> str:
    """Return what a stage table has no column for: exact totals, operators, bytes of the weights."""
    shares = ", ".join(f"{name} {100 * flops / cost.flops:.1f} %" for name, flops in cost.flops_by_operator.items())
    sizes = (f"{format_bytes(cost.weight_bytes_at(p))} {p}" for p in ("fp32", "fp16", "int8"))
    return "\n".join(
        (
            f"{cost.flops:,} FLOPs as fvcore counts, one multiply-add is one: {shares}",
            f"{cost.multiply_adds:,} of them in convolutions and linear layers, the figure that papers quote",
            f"{cost.params:,} parameters: {', '.join(sizes)}",
            f"{cost.activations:,} activations; feature maps of an image need {format_bytes(cost.peak_memory)} at once",
        )
    )


def compare_table(architectures: Iterable[Architecture], costs: Iterable[Cost]) -> Table:
    """Return networks side by side, one row each."""
    rows = list(zip(architectures, costs, strict=True))
    table = Table()
    table.add_column("network", overflow="fold")
    for header in ("px", "FLOPs"):
        table.add_column(header, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for header in ("conv+linear", "params", "activations", "fp32", "fp16", "int8", "peak memory"):
        table.add_column(header, justify="right", no_wrap=True)
    largest = max(cost.flops for _, cost in rows)
    for architecture, cost in rows:
        table.add_row(
            architecture.name,
            str(architecture.resolution),
            format_count(cost.flops),
            bar(cost.flops, largest, width=12),
            format_count(cost.multiply_adds),
            format_count(cost.params),
            format_count(cost.activations),
            *(format_bytes(cost.weight_bytes_at(precision)) for precision in ("fp32", "fp16", "int8")),
            format_bytes(cost.peak_memory),
        )
    return table


def latency_table(names: list[str], latencies: list[list[Latency]]) -> Table:
    """Return measurements of networks, one row for each backend and batch; the title says where and with what."""
    first = next((item for found in latencies for item in found), None)
    title = "" if first is None else f"{first.device}, {first.threads} threads, float32; {first.versions}"
    table = Table(title=Text(title), title_justify="left")
    table.add_column("network", overflow="fold")
    table.add_column("backend", no_wrap=True)
    for header in ("batch", "median", "p10 to p90", "repeats", "images/s", "peak memory"):
        table.add_column(header, justify="right", no_wrap=True)
    for name, found in zip(names, latencies, strict=True):
        for item in found:
            table.add_row(name, item.backend, str(item.batch), *_latency_cells(item, repeats=True))
        table.add_section()
    return table


def front_latency_table(front: FrontLatency) -> Table:
    """Return the front of a study by latency, fastest first."""
    first = front.ranked[0].latency
    where = f"{first.device}, {first.threads} threads, {first.backend}, batch {first.batch}; {first.versions}"
    table = Table(title=Text(f"Front of {front.study} by latency\n{where}"), title_justify="left")
    headers = ("rank", "trial", "accuracy", "FLOPs", "rank by FLOPs", "median", "p10 to p90", "images/s", "peak memory")
    for header in headers:
        table.add_column(header, justify="right", no_wrap=True)
    table.add_column("on the front by latency")
    for entry in front.ranked:
        table.add_row(
            str(entry.latency_rank),
            f"#{entry.trial.number}",
            f"{100 * (entry.trial.accuracy or 0):.2f} %",
            format_count(entry.trial.flops),
            str(entry.flops_rank),
            *_latency_cells(entry.latency),
            "yes" if entry.beaten_by is None else f"no: #{entry.beaten_by} is faster and no less accurate",
        )
    return table


def disagreement_lines(orders: Orders, *, setting: str) -> list[str]:
    """Return where the orders by FLOPs and by latency disagree, in words."""
    if orders.tau is None:
        return [f"{setting}: one network has no order"]
    lines = [
        f"{setting}: Kendall's tau of FLOPs and latency {orders.tau:.3f},"
        f" {len(orders.swapped)} of {orders.pairs} pairs swapped"
    ]
    for pair in orders.swapped:
        noise = " (within noise)" if pair.within_noise else ""
        lines.append(f"  {pair.fewer_flops} has fewer FLOPs, but {pair.faster} is faster{noise}")
    return lines


def _latency_cells(item: Latency, *, repeats: bool = False) -> list[str]:
    return [
        f"{item.median_ms:.2f} ms",
        f"{item.p10_ms:.2f} to {item.p90_ms:.2f}",
        *([str(item.repeats)] if repeats else []),
        f"{item.images_per_second:,.0f}",
        "-" if item.peak_memory is None else format_bytes(item.peak_memory),
    ]


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


def trial_line(trial: TrialRecord) -> str:
    """Return what became of a trial in one line."""
    outcomes = {
        "trained": f"accuracy {100 * (trial.accuracy or 0):6.2f} %   {trial.train_seconds or 0:5.1f} s",
        "repeated": f"accuracy {100 * (trial.accuracy or 0):6.2f} %   same network as #{trial.repeat_of}",
        "infeasible": "outside the budget",
        "failed": f"failed: {trial.error}",
    }
    outcome = outcomes.get(trial.state, trial.state)
    return f"#{trial.number:<4}{format_count(trial.flops):>6} FLOPs  {outcome:<38} {trial.label}"


class SearchProgress:
    """Live progress of a search: a line for each finished trial and, on a terminal, a bar with the current epoch."""

    def __init__(self, console: Console, *, total: int, epochs: int) -> None:
        """Prepare a bar of ``total`` trials; it shows when entered."""
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("trials"),
            TimeElapsedColumn(),
            TextColumn("left:"),
            TimeRemainingColumn(),
        )
        self._console = console
        self._progress = Progress(*columns, console=console, disable=not console.is_terminal, transient=True)
        self._task = self._progress.add_task("searching", total=total)
        self._epochs = epochs

    def __enter__(self) -> SearchProgress:
        """Show the bar."""
        self._progress.start()
        return self

    def __exit__(self, *exception: object) -> None:
        """Take the bar away."""
        self._progress.stop()

    def __call__(self, event: Event) -> None:
        """Show an event."""
        from nas.search.objective import EpochFinished

        if isinstance(event, EpochFinished):
            accuracy = 100 * event.epoch.val_accuracy
            text = f"#{event.trial.number} epoch {event.epoch.epoch}/{self._epochs} {accuracy:.1f} %"
            self._progress.update(self._task, description=text)
            return
        self._console.print(trial_line(event.trial), highlight=False, soft_wrap=True, markup=False)
        self._progress.advance(self._task)
