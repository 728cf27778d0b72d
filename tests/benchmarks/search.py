"""Claims: ``ParetoSampler`` needs a third of the proposals of Optuna's samplers, and a sixth of their compute.

After 100 proposals it has the hypervolume that the best of them has after 400; it comes to 95 % of it in a third of
their proposals and a tenth of random's; with halving in a sixth of the compute of the best of them; and after 200
proposals its front is at least as good on every problem. What counts proposals is claimed of the sampler as it is by
default (``pareto-plain``), what counts compute of the sampler of a study (``pareto``, which weighs what each candidate
costs).

Searches are replayed on tables in which every network is known: the scaling table of CIFAR-10 (``nas table build
studies/table_cifar10.yaml``), a purely categorical problem and one of strong interactions, both made here with fronts
found by trying everything, and public tables as ``--public NAME=FILE.csv`` (columns ``accuracy`` in 0 to 1, ``flops``,
and those of ``--parameters``, a prefix). 400 proposals of Optuna's samplers, 200 of ours, with as many seeds as given.

Run as ``python tests/benchmarks/search.py [-o studies/results/search] [--seeds 20]``; it writes search.csv, figures and
RESULTS.md, with remarks.md at its end. The figures need kaleido.
"""

from __future__ import annotations

import argparse
import itertools
import math
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import optuna
import pandas as pd
import torch
from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution

from nas.analysis.replays import ENOUGH, plot_replays
from nas.config.search import Halving
from nas.processes.threads import cpu_threads
from nas.replay.problem import Entry, Problem, problem_of
from nas.replay.rules import Course, Rule, median_spent, replay_rules
from nas.replay.simulate import cost_of
from nas.replay.trainings import read_table
from nas.sampling.pareto import ParetoSampler
from nas.sampling.points import values_at

TABLE = Path("studies/results/scaling_table/table_cifar10.csv.gz")
OURS, PLAIN = Rule("pareto"), Rule("pareto-plain")
PEERS = tuple(map(Rule, ("tpe", "tpe-multivariate", "nsga2", "nsga2-20", "random")))
HALVED = (Rule("pareto", Halving(first=3, factor=3)),)
PROPOSALS, PEERS_PROPOSALS = 200, 400


class Found(NamedTuple):
    """The replays of a problem."""

    problem: Problem
    courses: dict[Rule, list[Course]]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("-o", "--output", type=Path, default=Path("studies/results/search"))
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--public", action="append", default=[], metavar="NAME=FILE")
    parser.add_argument("--parameters", default="edge_")
    parser.add_argument(
        "--gp-seeds",
        type=int,
        default=0,
        help="also Optuna's GP sampler, 100 proposals: it is slow",
    )
    given = parser.parse_args()
    loads: dict[str, Callable[[], Problem]] = {
        "scaling table": partial(scaling_table, TABLE),
        "categorical": categorical,
        "interactions": interactions,
    }
    for named in given.public:
        name, _, path = named.partition("=")
        loads[name] = partial(public, Path(path), given.parameters)
    found = {}
    for name, load in loads.items():
        problem = load()
        rules = (OURS, PLAIN, *HALVED) if problem.epochs > 1 else (OURS, PLAIN)
        started = time.perf_counter()
        courses = replay_rules(load, rules, seeds=given.seeds, proposals=PROPOSALS)
        print(f"{name}: {time.perf_counter() - started:.0f} s", flush=True)
        courses |= replay_rules(load, PEERS, seeds=given.seeds, proposals=PEERS_PROPOSALS)
        if given.gp_seeds:
            courses |= replay_rules(load, [Rule("gp")], seeds=given.gp_seeds, proposals=100)
        found[name] = Found(problem, courses)
        print(f"{name}: {time.perf_counter() - started:.0f} s", flush=True)
    given.output.mkdir(parents=True, exist_ok=True)
    frame = figures(found)
    frame.to_csv(given.output / "search.csv", index=False, float_format="%.4g")
    for name, (problem, courses) in found.items():
        draw(name, problem, courses, given.output)
    text = page(found, frame, given.seeds, given.gp_seeds)
    remarks = given.output / "remarks.md"  # what figures do not say by themselves
    text += f"\n{remarks.read_text(encoding='utf-8')}" if remarks.exists() else ""
    (given.output / "RESULTS.md").write_text(text, encoding="utf-8")


def scaling_table(path: Path) -> Problem:
    return problem_of(read_table(path))


def categorical() -> Problem:
    """Seven dimensions of four categories; the error has a term for each and for each pair, the cost one for each."""
    random = np.random.default_rng(7)
    names, choices = [f"layer_{i}" for i in range(7)], ("conv3", "conv5", "pool", "skip")
    factor = np.exp(random.normal(0, 0.35, (7, 4)))
    alone, pairs = random.normal(0, 0.5, (7, 4)), random.normal(0, 0.22, (7, 7, 4, 4))

    def entry(point: tuple[int, ...]) -> Entry:
        cost = 1e6 * float(np.prod([factor[i, c] for i, c in enumerate(point)]))
        score = sum(alone[i, c] for i, c in enumerate(point))
        score += sum(pairs[i, j, point[i], point[j]] for i, j in itertools.combinations(range(7), 2))
        return Entry(cost, (1 - error_of(score - 0.9 * math.log(cost / 1e6), seed=hash(point)),))

    return _whole({name: CategoricalDistribution(choices) for name in names}, entry)


def interactions() -> Problem:
    """Scaling with a ridge: what a dimension is worth depends on the others, and differs between two families."""
    space: dict[str, BaseDistribution] = {
        "family": CategoricalDistribution(("a", "b")),
        "width": IntDistribution(4, 40, step=2),
        "depth": IntDistribution(1, 12),
        "resolution": IntDistribution(8, 40, step=4),
    }

    def entry(point: tuple[int, ...]) -> Entry:
        family, width, depth, pixels = point[0], 4 + 2 * point[1], 1 + point[2], 8 + 4 * point[3]
        cost = 40.0 * depth * width**2 * (pixels / 8) ** 2
        balance = math.log(width) - 1.3 * math.log(depth) - (0.8 if family else 1.6)
        sharp = math.log(pixels) - 0.7 * math.log(width) - (1.5 if family else 1.1)
        score = 0.55 * balance**2 + 0.9 * sharp**2 - 0.32 * math.log(cost / 1e5) - 0.15 * family * (depth > 4)
        return Entry(cost, (1 - error_of(score, seed=hash(point)),))

    return _whole(space, entry)


def public(path: Path, prefix: str) -> Problem:
    frame = pd.read_csv(path)
    names = [name for name in frame.columns if name.startswith(prefix)]
    entries = {
        tuple(row[: len(names)]): Entry(float(row[-2]), (float(row[-1]),))
        for row in frame[[*names, "flops", "accuracy"]].itertuples(index=False, name=None)
    }
    space = {name: CategoricalDistribution(sorted(frame[name].unique())) for name in names}
    return Problem(space, entries, lambda point: tuple(point[name] for name in names), lambda point: True)


def error_of(score: float, *, seed: int) -> float:
    """Return an error between 5 and 95 %, with half a percent of noise that belongs to the point."""
    noise = np.random.default_rng(abs(seed)).normal(0, 0.005)
    return float(np.clip(0.05 + 0.9 / (1 + math.exp(-score)) * 0.6 + noise, 0.01, 0.99))


def _whole(space: Mapping[str, BaseDistribution], entry: Callable[[tuple[int, ...]], Entry]) -> Problem:
    """Return the problem of all points of a space; points are tuples of the positions of their values."""
    values = {name: _values(distribution) for name, distribution in space.items()}
    positions = {name: {value: index for index, value in enumerate(found)} for name, found in values.items()}
    entries = {point: entry(point) for point in itertools.product(*(range(len(found)) for found in values.values()))}
    return Problem(
        space, entries, lambda point: tuple(positions[name][point[name]] for name in values), lambda point: True
    )


def _values(distribution: BaseDistribution) -> list[Any]:
    if isinstance(distribution, CategoricalDistribution):
        return list(distribution.choices)
    assert isinstance(distribution, IntDistribution)
    return list(range(distribution.low, distribution.high + 1, distribution.step))


def figures(found: Mapping[str, Found]) -> pd.DataFrame:
    """Return one row for each problem and rule: shares after so many proposals, and what 95 % took."""
    rows = []
    for name, (problem, courses) in found.items():
        for rule, runs in courses.items():
            row: dict[str, Any] = {"problem": name, "rule": str(rule), "seeds": len(runs)}
            for mark in (50, 100, 200, 400):
                shares = np.array([course.shares("proposals", np.array([mark]))[0] for course in runs])
                if mark <= max(course.moments[-1].proposals for course in runs):
                    low, median, high = np.quantile(shares, (0.25, 0.5, 0.75))
                    row |= {f"share_{mark}": median, f"low_{mark}": low, f"high_{mark}": high}
            row["proposals_95"] = median_spent(runs, share=ENOUGH, spent="proposals")
            row["compute_95"] = median_spent(runs, share=ENOUGH, spent="compute") / problem.compute
            rows.append(row)
    return pd.DataFrame(rows)


def draw(name: str, problem: Problem, courses: dict[Rule, list[Course]], folder: Path) -> None:
    stem = name.replace(" ", "_").replace("-", "").lower()
    plain = {rule: runs for rule, runs in courses.items() if rule.halving is None}
    title = f"{name}: hypervolume against proposals (median and quartiles)"
    plot_replays(plain, "proposals", title=title).write_image(folder / f"{stem}_proposals.png", width=1000, height=600)
    if problem.epochs > 1:
        title = f"{name}: hypervolume against compute (median and quartiles)"
        figure = plot_replays(courses, "compute", title=title, unit=problem.compute)
        figure.write_image(folder / f"{stem}_compute.png", width=1000, height=600)


def page(found: Mapping[str, Found], frame: pd.DataFrame, seeds: int, gp_seeds: int) -> str:
    lines = [
        "# Searches replayed",
        "",
        "Written by `python tests/benchmarks/search.py`, whose first lines say what is measured and"
        f" how ({os.cpu_count()} cores of {platform.machine()}, no GPU, Python {platform.python_version()}, torch"
        f" {torch.__version__.split('+')[0]}, optuna {optuna.__version__}). Share of the table's hypervolume: median of"
        f" {seeds} seeds [quartiles]"
        + (f"; Optuna's GP sampler over {gp_seeds} seeds and 100 proposals, for it is slow" if gp_seeds else "")
        + ". A proposal outside the budget, or of a network that was proposed before, counts as one but costs no"
        " compute, which is epochs times FLOPs; 1 is that of training the whole table.",
    ]
    for name, (problem, _) in found.items():
        rows = frame[frame["problem"] == name]
        lines += ["", f"## {name[:1].upper()}{name[1:]}: {len(problem.entries):,} networks", ""]
        lines += [
            "| rule | 50 | 100 | 200 | 400 | proposals to 95 % | compute to 95 % |",
            "|---|---|---|---|---|---|---|",
        ]
        for row in rows.to_dict("records"):
            cells = [cell(row, mark) for mark in (50, 100, 200, 400)]
            to = [text(row["proposals_95"], "{:.0f}"), text(row["compute_95"], "{:.4f}")]
            lines.append(f"| {row['rule']} | {' | '.join([*cells, *to])} |")
        stem = name.replace(" ", "_").replace("-", "").lower()
        kinds = ("proposals", "compute") if problem.epochs > 1 else ("proposals",)
        lines += [""] + [f"![{name}, {kind}]({stem}_{kind}.png)" for kind in kinds]
        lines += ["", *verdicts(rows)]
    lines += [
        "",
        "## Time of a proposal",
        "",
        "`ParetoSampler` on the categorical problem, median of five, in seconds of one core:",
        "",
    ]
    lines += ["| finished trials | seconds |", "|---|---|"]
    lines += [f"| {count:,} | {proposal_seconds(count):.2f} |" for count in (200, 1000, 10_000)]
    return "\n".join(lines) + "\n"


def proposal_seconds(count: int) -> float:
    """Return how long a proposal takes in a study of so many finished trials."""
    problem, random = categorical(), np.random.default_rng(0)
    sampler = ParetoSampler(cost_of(problem), space=problem.space, identity=problem.identity)
    study = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler)
    trials = []
    for _ in range(count):
        params = {name: values_at(d, [random.random()])[0] for name, d in problem.space.items()}
        entry = problem.entries[problem.identity(params)]
        values = [entry.accuracies[-1], entry.cost]
        trials.append(optuna.trial.create_trial(params=params, distributions=dict(problem.space), values=values))
    study.add_trials(trials)
    seconds = []
    with cpu_threads(1):
        for _ in range(5):
            started = time.process_time()
            trial = study.ask(dict(problem.space))
            seconds.append(time.process_time() - started)
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
    return statistics.median(seconds)


def cell(row: Mapping[str, Any], mark: int) -> str:
    share = row.get(f"share_{mark}")
    if share is None or math.isnan(share):
        return "–"
    return f"{share:.3f} [{row[f'low_{mark}']:.3f}, {row[f'high_{mark}']:.3f}]"


def text(value: float, form: str) -> str:
    return form.format(value) if math.isfinite(value) else "not reached"


def verdicts(rows: pd.DataFrame) -> list[str]:
    """Say of each claim whether it holds on a problem."""
    plain, ours = (rows[rows["rule"] == str(rule)].iloc[0] for rule in (PLAIN, OURS))
    peers = rows[~rows["rule"].str.startswith("pareto")]
    random = rows[rows["rule"] == "random"].iloc[0]
    best_400, best_200 = peers["share_400"].max(), peers["share_200"].max()
    fewest, least = peers["proposals_95"].min(), peers["compute_95"].min()

    def said(holds: bool, claim: str) -> str:
        return f"- {'Reached' if holds else 'Not reached'}: {claim}"

    to_95 = text(plain.proposals_95, "{:.0f}")
    lines = [
        said(
            plain.share_100 >= best_400,
            f"100 proposals {plain.share_100:.3f}, the best other after 400 {best_400:.3f}.",
        ),
        said(
            math.isfinite(plain.proposals_95) and plain.proposals_95 * 3 <= fewest,
            f"to 95 % in a third of the best other's proposals: {to_95} against {text(fewest, '{:.0f}')}.",
        ),
        said(
            math.isfinite(plain.proposals_95) and plain.proposals_95 * 10 <= random.proposals_95,
            f"to 95 % in a tenth of random's: {to_95} against {text(random.proposals_95, '{:.0f}')}.",
        ),
        said(plain.share_200 >= best_200, f"after 200 proposals {plain.share_200:.3f}, the best other {best_200:.3f}."),
    ]
    halved = rows[rows["rule"].str.contains("halving")]
    if len(halved):
        most = halved.loc[halved["compute_95"].idxmin()]
        lines.append(
            said(
                math.isfinite(most.compute_95) and most.compute_95 * 6 <= least,
                f"with halving a sixth of the best other's compute to 95 %: {text(most.compute_95, '{:.4f}')}"
                f" ({most.rule}) against {text(least, '{:.4f}')}; without halving {text(ours.compute_95, '{:.4f}')}.",
            )
        )
    return lines


if __name__ == "__main__":
    main()
