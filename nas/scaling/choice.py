"""Which form of law: the one that foretells dearer networks best from cheaper ones, and not the one that fits best.

The dearest networks are held out, once only one cost and once up to half of them; each form is fitted to the others and
asked for the error of those. A form with more parameters fits better, and foretells worse where the points do not need
them. How likely a form is follows from how far it missed (its predictive likelihood: Dawid 1984, "Statistical theory:
the prequential approach").

That a law without an offset foretells well does not tell that there is none: it may be too small to be seen so far. So
at least seven in ten of what could as well have been are drawn from forms that have one, which may be zero there too.
Where hardly any of those ends as low as the law without an offset, that law is not taken.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nas.fronts.geometry import Array
from nas.scaling.curves import Curves, joined
from nas.scaling.fitting import Fitted, Form, draw_curves, fit_form, fitted_without
from nas.scaling.intervals import LEVEL
from nas.scaling.points import Points

_MOST_WITHOUT_END = 0.3
_WAYS, _CHECKS = 6, 300
"""Most ways to hold networks out."""
_EQUAL = 1e-6
_LEAST = 1e-12
"""Share of the errors below which a miss is none."""


@dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """A form of law that was tried.

    Attributes:
        fitted: To all points.
        missed: Root of the mean square by which it missed held-out dearer networks, in the unit of the error.
        likely: Predictive likelihood as a share of all forms', in 0 to 1.
    """

    fitted: Fitted
    missed: float
    likely: float


def choose(forms: Sequence[Form], points: Points) -> list[Candidate]:
    """Return the forms by how well they extrapolate, the chosen one first.

    Args:
        forms: Simple ones first; of equals the first is chosen.
        points: Of one cause, with more distinct costs than any form has parameters.
    """
    least = _least(forms)
    squares = np.array([_missed(form, points, _ways(points, least)) for form in forms])
    costs = len(np.unique(points.causes[0]))
    logs = -0.5 * (costs - least) * np.log(squares + (_EQUAL * points.errors.mean()) ** 2)
    likely = np.maximum(np.exp(logs - logs.max()), _LEAST)  # so that a share of those with an offset can be told
    likely /= likely.sum()
    order = sorted(range(len(forms)), key=lambda index: -round(float(likely[index]), 6))
    return [
        Candidate(fit_form(forms[index], points), float(np.sqrt(squares[index])), float(likely[index]))
        for index in order
    ]


def draw(candidates: Sequence[Candidate], count: int, generator: np.random.Generator) -> Curves:
    """Return laws that could as well have been, of each form as many as it is likely, but for the bound above."""
    likely = np.array([candidate.likely for candidate in candidates])
    ended = np.array([candidate.fitted.form.offset for candidate in candidates])
    endless = min(float(likely[~ended].sum()), _MOST_WITHOUT_END)
    shares = np.where(ended, (1 - endless) * likely / likely[ended].sum(), endless)
    numbers = np.diff(np.round(count * np.cumsum(shares)).astype(int), prepend=0)
    drawn = zip(candidates, numbers, strict=True)
    return joined([draw_curves(candidate.fitted, int(number), generator) for candidate, number in drawn if number])


def without_overreach(candidates: Sequence[Candidate], generator: np.random.Generator, far: Array) -> list[Candidate]:
    """Return the candidates, one with an offset first where the first has none and ends lower than could be.

    Args:
        candidates: As ``choose`` returns them.
        generator: Of random numbers.
        far: Causes far beyond the points, of shape (causes, 1).
    """
    first, ended = candidates[0].fitted, [each for each in candidates if each.fitted.form.offset]
    if first.form.offset:
        return list(candidates)
    least = np.quantile(draw_curves(ended[0].fitted, _CHECKS, generator).errors(far), (1 - LEVEL) / 2)
    if first.curve.errors(far)[0, 0] >= least * (1 - _EQUAL):
        return list(candidates)
    return [*ended, *(each for each in candidates if not each.fitted.form.offset)]


def held_out(forms: Sequence[Form], points: Points) -> npt.NDArray[np.bool_]:
    """Return which points are held out at least once where forms are compared, of shape (points,)."""
    chosen: npt.NDArray[np.bool_] = _ways(points, _least(forms))[0]
    return chosen


def _least(forms: Sequence[Form]) -> int:
    """Return how many costs are never held out."""
    return max(form.parameters for form in forms) + 1


def _ways(points: Points, least: int) -> npt.NDArray[np.bool_]:
    """Return which points are held out in some ways, (ways, points), most first; at least so many costs never are."""
    costs = np.unique(points.causes[0])
    first = min(max(least, len(costs) // 2), len(costs) - 1)
    kept = np.unique(np.linspace(first, len(costs) - 1, _WAYS).astype(int))
    held: npt.NDArray[np.bool_] = points.causes[0] > costs[kept - 1][:, None]
    return held


def _missed(form: Form, points: Points, held: npt.NDArray[np.bool_]) -> float:
    """Return the mean square by which a form, fitted to the others, misses the points that are held out."""
    squares = (points.errors - fitted_without(form, points, held)) ** 2
    weights = held * points.weights
    return float(((squares * weights).sum(axis=1) / weights.sum(axis=1)).mean())
