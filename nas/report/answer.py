"""What stands first on the page: the answer, what speaks against it, what was tried, its cost, what more would give."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from nas.analysis.findings import findings
from nas.analysis.pareto import NoisyFront
from nas.analysis.recommendation import recommend
from nas.errors import StudyError
from nas.records import Repeat, TrialRecord, TrialState
from nas.search.study import Study
from nas.units import format_count, format_seconds

_STATES: dict[TrialState, str] = {
    "trained": "trained to the end",
    "stopped": "stopped early",
    "repeated": "proposed again",
    "infeasible": "outside the budget, not trained",
    "diverged": "diverged",
    "failed": "failed",
    "interrupted": "interrupted",
    "running": "running",
    "waiting": "waiting",
}


class Fact(NamedTuple):
    """A term and what is said of it."""

    term: str
    text: str


class Answer(NamedTuple):
    """The answer of a study.

    Attributes:
        sentence: The answer.
        trial: Number of the recommended trial; None where there is none.
        doubts: What speaks against trusting it, a sentence each.
        facts: What was tried, what it cost, what more would give.
    """

    sentence: str
    trial: int | None
    doubts: tuple[str, ...]
    facts: tuple[Fact, ...]


def answer(study: Study, front: NoisyFront) -> Answer:
    """Return the answer of a study; where no network is trained it says so."""
    facts = (Fact("What was tried", _tried(study)), Fact("What it cost", _cost(study)), *_more(study))
    try:
        found = recommend(study)
    except StudyError as error:
        words = str(error)
        return Answer(f"{words[0].upper()}{words[1:]}.", None, (), facts)
    doubts = dict.fromkeys((*found.doubts, *findings(study, front)))
    return Answer(found.sentence, found.best.trial.number, tuple(doubts), facts)


def _tried(study: Study) -> str:
    trials = study.trials()
    counts = Counter(trial.state for trial in trials)
    states = ", ".join(f"{counts[state]:,} {words}" for state, words in _STATES.items() if counts[state])
    seeds = sum(repeat.state == "trained" for repeat in study.repeats())
    further = f" Further trainings, from other seeds: {seeds:,}." if seeds else ""
    budget = str(study.config.budget).replace("<=", "≤")
    limits = " There was no budget." if budget == "none" else f" The budget was {budget}."
    return f"{len(trials):,} trials of {study.config.search.trials:,}{': ' * bool(states)}{states}.{limits}{further}"


def _cost(study: Study) -> str:
    trials = study.trials()
    trainings: list[TrialRecord | Repeat] = [*trials, *study.repeats()]
    seconds = sum(training.train_seconds or 0.0 for training in trainings)
    if not seconds:
        return "No training has ended."
    compute = sum(training.compute for training in study.ended())
    return (
        f"{format_seconds(seconds)} of training, summed over workers{_on(trials)}. The search's trainings passed"
        f" {format_count(compute)} FLOPs forward for each training image (epochs × FLOPs of one image)."
    )


def _on(trials: Sequence[TrialRecord]) -> str:
    devices = sorted({trial.device for trial in trials if trial.device})
    return f", on {', '.join(devices)}" if devices else ""


def _more(study: Study) -> tuple[Fact, ...]:
    growth = study.growth()
    if growth is None:
        words = "The search is too short to tell whether it pays to continue."
    else:
        told = "The search is stagnant" if growth.stagnant else "The search is still improving"
        words = f"{told}: {growth}."
    return (Fact("What more search would give", words),)
