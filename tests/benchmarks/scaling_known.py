"""Claim: fitted to the cheaper half of a family, the surface of error orders the dearer half and picks its best.

The table of ``studies/results/scaling_table`` holds all networks of two families, so what the scaling lab says of them
can be looked up. The surface (``nas/scaling/surface.py``) sees the cheaper half of each. Its order of the dearer half,
by Kendall's tau, must be above that of a log-linear fit of three lines, and the network that it would take in each
octave of the FLOPs within 1.2 points of the octave's best, by expected accuracies (``nas/fronts/shrinkage.py``): the
raw best of many networks was lucky too. All of it takes seconds.

Run as ``python tests/benchmarks/scaling_known.py [-o studies/results/scaling/known.md]``.
"""

from __future__ import annotations

import argparse
import platform
import sys
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import scipy

from nas.architecture.space import COEFFICIENTS
from nas.fronts.geometry import Array
from nas.fronts.judged import guess_noise
from nas.fronts.posterior import Trainings
from nas.fronts.shrinkage import shrink
from nas.scaling.effective import effective
from nas.scaling.evidence import Evidence
from nas.scaling.intervals import Interval, interval
from nas.scaling.shape import best_shape
from nas.scaling.surface import Surface, fit_surface
from nas.scaling.trust import drawn_counts, drawn_taus, seed_ceiling, tau, tau_interval
from nas.search.evidence import evidence_of
from nas.tables import Table, read_table
from nas.units import format_count

TABLE = Path("studies/results/scaling_table/table_cifar10.csv.gz")
MOST_LOST = 0.012
Rows = list[tuple[str, ...]]


class Lost(NamedTuple):
    """Accuracy lost in an octave, and its standard error."""

    points: float
    error: float

    def __str__(self) -> str:
        return f"{100 * self.points:.2f} ± {100 * self.error:.2f}" if self.points else "0"


class Half(NamedTuple):
    """A family, of which some networks are seen and the dearer ones asked for."""

    seen: Evidence
    asked: Evidence
    worth: Array
    """Expected accuracies of the networks that are asked for."""
    errors: Array
    """Standard deviations of what their true accuracies may be."""


def halves(evidence: Evidence) -> dict[str, Half]:
    """Return the families of a table in halves, with what shrinkage over all its networks tells of the dearer ones."""
    accuracies = [tuple(network.accuracies.values()) for network in evidence.networks]
    trainings = [Trainings(n.flops, n.family, values) for n, values in zip(evidence.networks, accuracies, strict=True)]
    shrunk = shrink(tuple(trainings), guess_noise(accuracies, {}, val_images=evidence.val_images))
    place = {network.digest: number for number, network in enumerate(evidence.networks)}
    found = {}
    for name, family in evidence.families.items():
        count = len(family.networks) // 2
        asked = family.only(family.networks[count:])
        which = [place[network.digest] for network in asked.networks]
        found[name] = Half(family.only(family.networks[:count]), asked, shrunk.means[which], shrunk.errors[which])
    return found


def shapes(evidence: Evidence) -> Array:
    return np.column_stack([evidence.column(name) for name in COEFFICIENTS])


def by_surface(half: Half) -> Array:
    return fit_surface(half.seen).predict(*shapes(half.asked).T).mean


def log_linear(half: Half) -> Array:
    columns = np.column_stack([np.ones(len(half.seen.networks)), np.log(shapes(half.seen))])
    line = np.linalg.lstsq(columns, np.log(half.seen.column("error")), rcond=None)[0]
    return np.exp(line[0] + np.log(shapes(half.asked)) @ line[1:])


def by_flops(half: Half) -> Array:
    return -half.asked.column("flops")


RIVALS = {"surface": by_surface, "log-linear fit": log_linear, "FLOPs alone": by_flops}


def octave_losses(half: Half, errors: Array) -> list[Lost]:
    """Return the accuracy that is lost in each octave by taking the network of least predicted error."""
    flops, losses, start = half.asked.column("flops"), list[Lost](), half.asked.column("flops").min()
    while start <= flops.max():
        inside = np.flatnonzero((flops >= start) & (flops < 2 * start))
        if len(inside):
            best, taken = inside[half.worth[inside].argmax()], inside[errors[inside].argmin()]
            lost = float(half.worth[best] - half.worth[taken])
            losses.append(Lost(lost, float(np.hypot(half.errors[best], half.errors[taken]))))
        start *= 2
    return losses


def covered(half: Half) -> float:
    """Return the share of the trainings that are asked for inside the predicted interval, widened by their noise."""
    found, noise = fit_surface(half.seen).predict(*shapes(half.asked).T), half.asked.noise.std
    far = 1.645 * noise / np.sqrt(half.asked.trainings)
    away = half.asked.column("error") - found.mean
    low, high = found.mean - found.low, found.high - found.mean
    return float(np.mean((away > -np.hypot(low, far)) & (away < np.hypot(high, far))))


def told(value: Interval) -> str:
    return f"{value.value:.3f} [{value.low:.2f}, {value.high:.2f}]"


def ahead(half: Half, one: Array, other: Array) -> str:
    """Return by how much the tau of one order is above that of another, on the same draws of networks."""
    accuracies, counts = half.asked.column("accuracy"), drawn_counts(len(half.asked.networks))
    low, high = interval(drawn_taus(-one, accuracies, counts) - drawn_taus(-other, accuracies, counts))
    return f"{tau(-one, accuracies) - tau(-other, accuracies):+.3f} [{low:+.2f}, {high:+.2f}]"


def orders(half: Half, family: str) -> Rows:
    accuracies, found = half.asked.column("accuracy"), {name: rival(half) for name, rival in RIVALS.items()}
    return [
        (
            family,
            name,
            told(tau_interval(-errors, accuracies, drawn_counts(len(errors)))),
            ahead(half, found["surface"], errors) if name != "surface" else "",
            ", ".join(map(str, octave_losses(half, errors))),
        )
        for name, errors in found.items()
    ]


def ceilings(evidence: Evidence, half: Half, family: str) -> tuple[str, ...]:
    def told(part: Evidence) -> str:
        found, several = seed_ceiling(part.networks), sum(len(n.accuracies) > 1 for n in part.networks)
        return f"{found:.3f} ({several} networks)" if found is not None else f"cannot tell ({several} networks)"

    return family, told(evidence), told(half.asked)


def cost_misses(surface: Surface) -> str:
    miss = float((surface.costs - surface.cost.log2(surface.places)).std())
    powers = ", ".join(f"{name} {power:.2f}" for name, power in zip(COEFFICIENTS, surface.cost.exponents, strict=True))
    return f"{powers}; off by {miss:.2f} octaves"


def table_of(head: tuple[str, ...], rows: Rows) -> list[str]:
    return ["| " + " | ".join(cells) + " |" for cells in (head, ("---",) * len(head), *rows)]


def really(table: Table, evidence: Evidence) -> Evidence:
    """Return a family with effective coefficients."""
    space = next(space for space in table.study.search.spaces if space.name == evidence.networks[0].space)
    made = dict(num_classes=len(table.kind.classes), in_channels=table.kind.channels)
    return effective(
        evidence, lambda n: space.architecture(width=n.width, depth=n.depth, resolution=n.resolution, **made)
    )


def page(table: Table, evidence: Evidence) -> tuple[list[str], bool]:
    """Return the page and whether all claims hold."""
    known, families = halves(evidence), evidence.families
    found = {name: orders(half, name) for name, half in known.items()}
    passed = True
    lines = [
        "# The scaling lab on a table whose truth is known",
        "",
        f"`{TABLE}`: {', '.join(f'{len(one.networks)} networks of {name}' for name, one in families.items())}."
        f" {evidence.noise}",
        "The cheaper half of each family is seen, the dearer half is asked for. Written by"
        " `python tests/benchmarks/scaling_known.py -o studies/results/scaling/known.md`"
        f" (Python {platform.python_version()}, NumPy {np.__version__}, SciPy {scipy.__version__}).",
        "",
        "## The order of the dearer half",
        "",
        "Kendall's τ with what was measured; in brackets 90 % of 1,000 draws of the networks. Lost: accuracy in points,"
        " in each octave of the FLOPs, of the network of least predicted error against the best; both by expected"
        " accuracies, which hold less luck, ± the standard error of the difference.",
        "",
        *table_of(("family", "by", "τ", "the surface is ahead by", "lost"), sum(found.values(), [])),
        "",
    ]
    for name, half in known.items():
        ours, line = (tau(-RIVALS[by](half), half.asked.column("accuracy")) for by in ("surface", "log-linear fit"))
        lost = max(octave_losses(half, by_surface(half)))
        for claim, holds in (
            (f"{name}: τ {ours:.3f} against {line:.3f} of the log-linear fit", ours > line),
            (f"{name}: at most {lost} points lost in an octave, 1.2 allowed", lost.points <= MOST_LOST),
        ):
            lines.append(f"- {'Reached' if holds else 'Not reached'}: {claim}.")
            passed &= holds
    lines += [
        "",
        "What seeds leave of an order: mean τ between two of the four seeds.",
        "",
        *table_of(("family", "all", "dearer half"), [ceilings(families[n], known[n], n) for n in families]),
        "",
        "The predicted 90 % intervals, widened by the noise of the trainings, hold"
        f" {' and '.join(f'{covered(half):.0%} of {name}' for name, half in known.items())}.",
        "",
        "## How should it grow?",
        "",
    ]
    for name, family in families.items():
        shape = best_shape(fit_surface(family))
        costs = ", ".join(format_count(level) for level in shape.levels)
        lines.append(f"- {name}, at {costs} FLOPs: {shape.sentence}.")
    rows = [
        (name, cost_misses(fit_surface(family)), cost_misses(fit_surface(really(table, family))))
        for name, family in families.items()
    ]
    lines += [
        "",
        "Nobody tried less depth or more pixels, so that is the right answer.",
        "",
        "Exponents of the FLOPs, by coefficients as they were typed and by effective ones, which channels and blocks"
        " have after rounding:",
        "",
        *table_of(("family", "typed", "effective"), rows),
        "",
    ]
    return lines, passed


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("-o", type=Path)
    into = parser.parse_args().o
    start = time.process_time()
    table = read_table(TABLE)
    read = time.process_time()
    lines, passed = page(table, evidence_of(table, source=TABLE.name))
    seconds = f"{time.process_time() - read:.1f} s of one core, and {read - start:.1f} s to read the table"
    text = "\n".join([*lines, f"All of this took {seconds}.", ""])
    print(text)
    if into:
        into.parent.mkdir(parents=True, exist_ok=True)
        into.write_text(text, encoding="utf-8")
    print("PASS" if passed else "FAIL")
    sys.exit(not passed)


if __name__ == "__main__":
    main()
