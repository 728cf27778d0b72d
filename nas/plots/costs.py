"""How a cost that accuracy is held against stands on an axis and in a hover text."""

from __future__ import annotations

from collections.abc import Sequence

from nas.analysis.costs import StudyCost
from nas.architecture.cost import BYTES_PER_ELEMENT
from nas.plots.axes import MOST, log_axis, seconds_axis, write_number
from nas.plots.pages import FLOPS_AXIS
from nas.records import Reference, TrialRecord

_FEW_TICKS = 5  # of labels such as 100 kB, which on a telephone would touch and be turned


def cost_axis(cost: StudyCost, shown: Sequence[float]) -> dict[str, object]:
    """Return the axis of a cost for the values that are shown."""
    titles = {"flops": FLOPS_AXIS, "activations": "Activations per image"}
    label = titles.get(cost.name) or cost.label[:1].upper() + cost.label[1:]
    if cost.unit == "s":
        return seconds_axis(shown, label)
    if cost.unit == "ms":
        return log_axis(shown, write_number, f"{label} (ms)")
    return log_axis(shown, cost.write, label, most=_FEW_TICKS if cost.unit == "bytes" else MOST)


def cost_line(cost: StudyCost) -> str:
    """Return how a template writes the cost of a point."""
    if cost.unit in ("ms", "s"):
        return f"%{{x:.3g}} {cost.unit} of {cost.label}"
    return f"%{{x:.3s}}B of {thing(cost)}" if cost.unit == "bytes" else f"%{{x:.3s}} {cost.label}"


def cost_words(cost: StudyCost, value: float) -> str:
    """Return a value of a cost in a sentence: ``2M FLOPs``, ``75 kB of weights``, ``3 ms of latency``."""
    return f"{cost.write(value)} of {thing(cost)}" if cost.unit else f"{cost.write(value)} {cost.label}"


def thing(cost: StudyCost) -> str:
    """Return what a cost with a unit is of."""
    return cost.label.removeprefix("bytes of the ")


def stored_cost(one: TrialRecord | Reference, name: str) -> float | None:
    """Return a cost that follows from what is stored of a network; None for one that has to be measured."""
    if name == "weight_bytes":
        return BYTES_PER_ELEMENT * one.params
    return getattr(one, name) if name in ("flops", "params", "activations") else None
