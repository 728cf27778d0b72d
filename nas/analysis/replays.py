"""Replayed searches in figures: how much of the hypervolume each rule had, and what that took."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from nas.replay.problem import Problem
from nas.replay.rules import Course, Rule, median_spent

ENOUGH = 0.95
"""Share of the hypervolume that a search is measured by."""


class ReplaySummary(NamedTuple):
    """A rule in figures, medians over its seeds.

    Attributes:
        rule: In words.
        share: Of the table's hypervolume in the end.
        trained: Networks trained to the end.
        proposals: Until 95 % of the hypervolume; infinite where less than half of the searches had it.
        compute: Likewise; 1 is that of training the whole table.
        seconds: Likewise, simulated.
    """

    rule: str
    share: float
    trained: float
    proposals: float
    compute: float
    seconds: float


def replay_summaries(problem: Problem, courses: Mapping[Rule, Sequence[Course]]) -> list[ReplaySummary]:
    """Sum up replays, one entry for each rule."""
    return [
        ReplaySummary(
            str(rule),
            statistics.median(course.moments[-1].share for course in runs),
            statistics.median(course.moments[-1].trainings for course in runs),
            median_spent(runs, share=ENOUGH, spent="proposals"),
            median_spent(runs, share=ENOUGH, spent="compute") / problem.compute,
            median_spent(runs, share=ENOUGH, spent="seconds"),
        )
        for rule, runs in courses.items()
    ]
