"""Latencies as tables."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from rich.table import Table

from nas.cli.tables.fitted import Column, fitted_table
from nas.units import format_bytes, format_count

if TYPE_CHECKING:
    from nas.analysis.latency import FrontLatency, Orders, RankedTrial
    from nas.models.backends import Latency


_LATENCY_COLUMNS = (
    Column("median"),
    Column("p10 to p90", drop=5),
    Column("images/s", drop=4),
    Column("peak memory", drop=2),
)


def _latency_cells(item: Latency) -> tuple[str, ...]:
    return (
        f"{item.median_ms:.2f} ms{' (busy machine)' * item.noisy}",
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
    precisions = " and ".join(dict.fromkeys(item.precision for _, item in items))
    title = f"{_where(items[0][1])}, {precisions}\n{items[0][1].versions}" if items else ""
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
            _standing(entry),
        )
        for entry in front.ranked
    ]
    title = (
        f"Front of {front.study} by latency\n{_where(first)}, {first.backend}, batch {first.batch}\n{first.versions}"
    )
    return fitted_table(columns, rows, width=width, title=title)


def _standing(entry: RankedTrial) -> str:
    if entry.beaten_by is not None:
        return f"beaten by #{entry.beaten_by}"
    return "yes" if entry.level_with is None else f"level with #{entry.level_with} within noise"


def busy_warning(items: Iterable[Latency], *, earlier: Iterable[int] = ()) -> str:
    """Say which figures other programs disturbed, or nothing where none is.

    Args:
        items: Measurements that are shown.
        earlier: Numbers of the trials among them of which an earlier measurement is shown instead.
    """
    import psutil

    found, replaced = list(items), list(earlier)
    noisy = sum(item.noisy for item in found)
    if not (noisy or replaced):
        return ""
    load, cores = psutil.getloadavg()[0], psutil.cpu_count()
    shown = f"; earlier ones are shown for {', '.join(f'#{number}' for number in replaced)}" if replaced else ""
    return (
        f"{noisy + len(replaced)} of {len(found)} figures were disturbed by other programs, however often measured"
        f" (load {load:.1f} on {cores} cores){shown}: measure again when the machine is idle"
    )


def _where(item: Latency) -> str:
    return f"{item.device}, {item.threads} thread{'s' * (item.threads > 1)}"


def disagreement_lines(orders: Orders, *, setting: str) -> list[str]:
    """Return where the orders by FLOPs and by latency disagree, in words."""
    if orders.tau is None:
        one, equal = "one network cannot be ranked", "all networks have equal FLOPs or equal latency"
        reason = one if orders.pairs == 0 else equal
        return [f"{setting}: {reason}"]
    lines = [
        f"{setting}: Kendall's tau of FLOPs and latency is {orders.tau:.3f};"
        f" {len(orders.swapped)} of {orders.pairs} pairs are swapped"
    ]
    for pair in orders.swapped:
        noise = " (within noise)" if pair.within_noise else ""
        lines.append(f"  {pair.fewer_flops} has fewer FLOPs, but {pair.faster} is faster{noise}")
    return lines
