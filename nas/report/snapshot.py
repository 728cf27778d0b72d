"""A study that is read once, while a search may go on writing it."""

from __future__ import annotations

from copy import copy
from functools import cache

from nas.search.study import Study

_READ = (
    *("trials", "repeats", "judgement", "ended", "growth"),
    *("best_expected", "scaling_names", "test_looks", "variants"),
)


def held_still(study: Study) -> Study:
    """Return the study with an answer to each question that stays the same: a page is drawn from many questions.

    What was asked later may know more than what was asked before, never less. Nobody may change an answer.
    """
    still = copy(study)
    for name in _READ:
        still.__dict__[name] = cache(getattr(study, name))
    every = cache(lambda: study.curves())
    still.__dict__["curves"] = lambda numbers=None: (
        every() if numbers is None else {number: every()[number] for number in numbers if number in every()}
    )
    return still
