"""Claims: ``ParetoSampler`` needs a third of the proposals of Optuna's samplers, and a sixth of their compute.

After 100 proposals it has the hypervolume that the best of them has after 400; it comes to 95 % of it in a third of
their proposals and a tenth of random's; with halving in a sixth of the compute of the best of them; after 200 proposals
its front is at least as good on every problem; and after 50 and 100 it is ahead of BoTorch's qLogNEHVI, which is told
every cost too. The second half are studies as people have them (``searching/studies.py`` says what is claimed there).

Searches are replayed on tables in which every network is known: the scaling table of CIFAR-10 (``nas table build
studies/table_cifar10.yaml``), a purely categorical problem and one of strong interactions, both made here with fronts
found by trying everything, and public tables as ``--public NAME=FILE.csv`` (columns ``accuracy`` in 0 to 1, ``flops``,
and those of ``--parameters``, a prefix). 400 proposals of Optuna's samplers, 200 of ours, with as many seeds as given.

Run as ``python tests/benchmarks/search.py [-o studies/results/search] [--seeds 20] [--keep FOLDER]``; it writes
search.csv, figures and RESULTS.md, with remarks.md at its end. With ``--keep`` it can be stopped and goes on. Optuna's
GP sampler and BoTorch are slow: without ``--gp-seeds`` and ``--botorch-seeds`` their rows stay those of the search.csv
that is there. The figures need kaleido, qLogNEHVI needs botorch.
"""

from __future__ import annotations

import argparse
import math
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import optuna
import pandas as pd
import torch
from searching import studies
from searching.kept import kept
from searching.problems import TABLE, categorical, interactions, public, scaling_table

from nas.analysis.replays import ENOUGH
from nas.config.search import Halving
from nas.plots.growth.replays import replays
from nas.processes.threads import cpu_threads
from nas.replay.problem import Problem
from nas.replay.rules import Course, Rule, median_spent, replay_rules
from nas.replay.simulate import cost_of
from nas.sampling.pareto import ParetoSampler
from nas.sampling.points import values_at

OURS, THRIFTY = Rule("pareto"), Rule("pareto-thrift")
HALVED = tuple(Rule(rule.sampler, Halving(first=3, factor=3)) for rule in (OURS, THRIFTY))
PEERS = tuple(map(Rule, ("tpe", "tpe-multivariate", "nsga2", "nsga2-20", "random")))
GP, BOTORCH = Rule("gp"), Rule("qLogNEHVI, known cost")
PROPOSALS, PEERS_PROPOSALS, SLOW_PROPOSALS = 200, 400, 100
MARKS = (50, 100, 200, 400)


class Found(NamedTuple):
    """The replays of a problem."""

    problem: Problem
    courses: dict[Rule, list[Course]]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("-o", "--output", type=Path, default=Path("studies/results/search"))
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--study-seeds", type=int, help="of the second half; as many as --seeds without it")
    parser.add_argument("--public", action="append", default=[], metavar="NAME=FILE")
    parser.add_argument("--parameters", default="edge_")
    parser.add_argument("--keep", type=Path, help="folder that replays are kept in")
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    parser.add_argument("--gp-seeds", type=int, default=0, help="also Optuna's GP sampler, 100 proposals: it is slow")
    parser.add_argument(
        "--botorch-seeds", type=int, default=0, help="also BoTorch's qLogNEHVI, 100 proposals: likewise"
    )
    given = parser.parse_args()
    if given.botorch_seeds and not find_spec("botorch"):
        print("botorch is not installed: qLogNEHVI is left out")
        given.botorch_seeds = 0
    loads: dict[str, Callable[[], Problem]] = {
        "scaling table": partial(scaling_table, TABLE),
        "categorical": categorical,
        "interactions": interactions,
    }
    for named in given.public:
        name, _, path = named.partition("=")
        loads[name] = partial(public, Path(path), given.parameters)
    found = {name: replayed(name, load, given) for name, load in loads.items()}
    given.output.mkdir(parents=True, exist_ok=True)
    path = given.output / "search.csv"
    frame = with_earlier(figures(found), path)
    frame.to_csv(path, index=False, float_format="%.4g")
    for name, (problem, courses) in found.items():
        draw(name, problem, courses, given.output)
    lines = [*page(found, frame, given.seeds), "", *studies.section(given.study_seeds or given.seeds, given.keep)]
    remarks = given.output / "remarks.md"  # what figures do not say by themselves
    lines += ["", remarks.read_text(encoding="utf-8").rstrip()] if remarks.exists() else []
    (given.output / "RESULTS.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


def replayed(name: str, load: Callable[[], Problem], given: argparse.Namespace) -> Found:
    """Return the replays of a problem: ours, and those of Optuna's samplers and BoTorch's that were asked for."""
    problem = load()
    wanted = [(rule, given.seeds, PROPOSALS) for rule in (OURS, *(HALVED if problem.epochs > 1 else ()))]
    wanted += [(THRIFTY, given.seeds, SLOW_PROPOSALS)]
    wanted += [(rule, given.seeds, PEERS_PROPOSALS) for rule in PEERS]
    wanted += [(GP, given.gp_seeds, SLOW_PROPOSALS)]
    courses = {}
    for rule, seeds, proposals in wanted:
        if seeds:
            make = partial(replay_rules, load, [rule], seeds=seeds, proposals=proposals, processes=given.processes)
            courses[rule] = kept(given.keep, f"{name}-{rule}", lambda make=make, rule=rule: make()[rule])
    if given.botorch_seeds:
        from searching.botorch_peer import replay_botorch

        courses[BOTORCH] = [
            kept(
                given.keep,
                f"{name}-botorch-{seed}",
                lambda seed=seed: Course(BOTORCH, seed, replay_botorch(problem, seed=seed, proposals=SLOW_PROPOSALS)),
            )
            for seed in range(given.botorch_seeds)
        ]
    return Found(problem, courses)


def figures(found: Mapping[str, Found]) -> pd.DataFrame:
    """Return one row for each problem and rule: shares after so many proposals, and what 95 % took."""
    rows = []
    for name, (problem, courses) in found.items():
        for rule, runs in courses.items():
            row: dict[str, Any] = {"problem": name, "rule": str(rule), "seeds": len(runs)}
            for mark in MARKS:
                if mark <= max(course.moments[-1].proposals for course in runs):
                    low, median, high = np.quantile(shares(runs, mark), (0.25, 0.5, 0.75))
                    row |= {f"share_{mark}": median, f"low_{mark}": low, f"high_{mark}": high}
            row["proposals_95"] = median_spent(runs, share=ENOUGH, spent="proposals")
            row["compute_95"] = median_spent(runs, share=ENOUGH, spent="compute") / problem.compute
            rows.append(row)
    return pd.DataFrame(rows)


def shares(runs: list[Course], mark: int) -> np.ndarray:
    return np.array([course.shares("proposals", np.array([mark]))[0] for course in runs])


def with_earlier(frame: pd.DataFrame, path: Path) -> pd.DataFrame:
    """Return the rows with those of the slow peers that an earlier run wrote, where this one left them out."""
    earlier = pd.read_csv(path) if path.exists() else frame.iloc[:0]
    made = set(zip(frame["problem"], frame["rule"], strict=True))
    slow = earlier[earlier["rule"].isin([str(GP), str(BOTORCH)]) & earlier["problem"].isin(frame["problem"])]
    left = [row not in made for row in zip(slow["problem"], slow["rule"], strict=True)]
    both = pd.concat([frame, slow[left]], ignore_index=True)
    order = {name: place for place, name in enumerate(dict.fromkeys(frame["problem"]))}
    return both.sort_values("problem", key=lambda names: names.map(order), kind="stable", ignore_index=True)


def draw(name: str, problem: Problem, courses: dict[Rule, list[Course]], folder: Path) -> None:
    stem = name.replace(" ", "_").replace("-", "").lower()
    plain = {rule: runs for rule, runs in courses.items() if rule.halving is None}
    title = f"{name}: hypervolume against proposals (median and quartiles)"
    replays(plain, "proposals", title=title).write_image(folder / f"{stem}_proposals.png", width=1000, height=600)
    if problem.epochs > 1:
        title = f"{name}: hypervolume against compute (median and quartiles)"
        figure = replays(courses, "compute", title=title, unit=problem.compute)
        figure.write_image(folder / f"{stem}_compute.png", width=1000, height=600)


def page(found: Mapping[str, Found], frame: pd.DataFrame, seeds: int) -> list[str]:
    lines = [
        "# Searches replayed",
        "",
        "Written by `python tests/benchmarks/search.py`, whose first lines say what is measured and"
        f" how ({os.cpu_count()} cores of {platform.machine()}, no GPU, Python {platform.python_version()}, torch"
        f" {torch.__version__.split('+')[0]}, optuna {optuna.__version__}). Share of the table's hypervolume: median of"
        f" {seeds} seeds, or of those in brackets, [quartiles]; Optuna's GP sampler and qLogNEHVI over 100 proposals,"
        " for they are slow. A proposal outside the budget, or of a network that was proposed before, counts as one but"
        " costs no compute, which is epochs times FLOPs; 1 is that of training the whole table.",
    ]
    for name, (problem, courses) in found.items():
        rows = frame[frame["problem"] == name]
        lines += ["", f"## {name[:1].upper()}{name[1:]}: {len(problem.entries):,} networks", ""]
        lines += [
            "| rule | 50 | 100 | 200 | 400 | proposals to 95 % | compute to 95 % |",
            "|---|---|---|---|---|---|---|",
        ]
        for row in rows.to_dict("records"):
            of = "" if row["seeds"] == seeds else f" ({row['seeds']} seeds)"
            cells = [cell(row, mark) for mark in MARKS]
            to = [text(row["proposals_95"], "{:.0f}"), text(row["compute_95"], "{:.4f}")]
            lines.append(f"| {row['rule']}{of} | {' | '.join([*cells, *to])} |")
        stem = name.replace(" ", "_").replace("-", "").lower()
        kinds = ("proposals", "compute") if problem.epochs > 1 else ("proposals",)
        lines += [""] + [f"![{name}, {kind}]({stem}_{kind}.png)" for kind in kinds]
        lines += ["", *verdicts(rows), *beside_botorch(courses)]
    lines += [
        "",
        "## Time of a proposal",
        "",
        "`ParetoSampler` on the categorical problem, the first proposal of a process and the median of the next four,"
        " in seconds of one core:",
        "",
        "| finished trials | first | next |",
        "|---|---|---|",
    ]
    for count in (50, 100, 200, 1000, 10_000):
        first, *others = proposal_seconds(count)
        lines.append(f"| {count:,} | {first:.2f} | {statistics.median(others):.2f} |")
    return lines


def proposal_seconds(count: int) -> list[float]:
    """Return how long five proposals take in a study of so many finished trials."""
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
            entry = problem.entries[problem.identity(trial.params)]
            study.tell(trial, [entry.accuracies[-1], entry.cost])
    return seconds


def cell(row: Mapping[str, Any], mark: int) -> str:
    share = row.get(f"share_{mark}")
    if share is None or math.isnan(share):
        return "–"
    return f"{share:.3f} [{row[f'low_{mark}']:.3f}, {row[f'high_{mark}']:.3f}]"


def text(value: float, form: str) -> str:
    return form.format(value) if math.isfinite(value) else "not reached"


def said(holds: bool, claim: str) -> str:
    return f"- {'Reached' if holds else 'Not reached'}: {claim}"


def verdicts(rows: pd.DataFrame) -> list[str]:
    """Say of each claim beside Optuna's samplers whether it holds on a problem."""
    (ours,) = rows[rows["rule"] == str(OURS)].itertuples()
    (random,) = rows[rows["rule"] == "random"].itertuples()
    peers = rows[rows["rule"].isin([str(rule) for rule in (*PEERS, GP)])]
    best_400, best_200 = peers["share_400"].max(), peers["share_200"].max()
    fewest, least = peers["proposals_95"].min(), peers["compute_95"].min()
    to_95, reached = text(ours.proposals_95, "{:.0f}"), math.isfinite(ours.proposals_95)
    lines = [
        said(
            ours.share_100 >= best_400, f"100 proposals {ours.share_100:.3f}, the best other after 400 {best_400:.3f}."
        ),
        said(
            reached and ours.proposals_95 * 3 <= fewest,
            f"to 95 % in a third of the best other's proposals: {to_95} against {text(fewest, '{:.0f}')}.",
        ),
        said(
            reached and ours.proposals_95 * 10 <= random.proposals_95,
            f"to 95 % in a tenth of random's: {to_95} against {text(random.proposals_95, '{:.0f}')}.",
        ),
        said(ours.share_200 >= best_200, f"after 200 proposals {ours.share_200:.3f}, the best other {best_200:.3f}."),
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


def beside_botorch(courses: Mapping[Rule, list[Course]]) -> list[str]:
    """Say whether ours is ahead of qLogNEHVI on the seeds that both had, and what each of its proposals took."""
    theirs = courses.get(BOTORCH)
    if not theirs:
        return []
    same = [course for course in courses[OURS] if course.seed in {other.seed for other in theirs}]
    lines = []
    for mark in (50, 100):
        mine, others = (float(np.median(shares(runs, mark))) for runs in (same, theirs))
        claim = f"ahead of qLogNEHVI after {mark}, the same {len(theirs)} seeds: {mine:.3f} against {others:.3f}."
        lines.append(said(mine >= others, claim))
    seconds = statistics.mean(course.moments[-1].seconds / len(course.moments) for course in theirs)
    return [*lines, f"- A proposal of qLogNEHVI took {seconds:.2f} s of one core."]


if __name__ == "__main__":
    main()
