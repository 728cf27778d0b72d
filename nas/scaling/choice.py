"""Which form of law: the one that foretells dearer networks best from cheaper ones, and not the one that fits best.

The dearest networks are held out, once only one cost and once up to half of them; each form is fitted to the others and
asked for the error of those. A form with more parameters fits better, and foretells worse where the points do not need
them. How likely a form is follows from how far it missed (its predictive likelihood: Dawid 1984, "Statistical theory:
the prequential approach").

That a law without an offset foretells well does not tell that there is none: it may be too small to be seen so far. So
what could as well have been is drawn from the forms that have one, which may be zero there too. Where
hardly any of those draws ends as low as the law without an offset, that law is not taken.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nas.fronts.geometry import Array
from nas.scaling.curves import LEVEL, Curves, joined
from nas.scaling.fitting import Fitted, Form, draw_curves, fit_form, fitted_without
from nas.scaling.points import Points

_WAYS = 6
"""Most ways to hold networks out."""
_EQUAL = 1e-6
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
    likely = np.exp(logs - logs.max())
    likely /= likely.sum()
    order = sorted(range(len(forms)), key=lambda index: -round(float(likely[index]), 6))
    return [
        Candidate(fit_form(forms[index], points), float(np.sqrt(squares[index])), float(likely[index]))
        for index in order
    ]


def draw(candidates: Sequence[Candidate], count: int, generator: np.random.Generator) -> Curves:
    """Return laws that could as well have been, of each form with an offset as many as it is likely."""
    able = [candidate for candidate in candidates if candidate.fitted.form.offset]
    ends = np.cumsum([candidate.likely for candidate in able])
    numbers = np.diff(np.round(count * ends / ends[-1]).astype(int), prepend=0)
    drawn = zip(able, numbers, strict=True)
    return joined([draw_curves(candidate.fitted, int(number), generator) for candidate, number in drawn if number])


def without_overreach(candidates: Sequence[Candidate], draws: Curves, far: Array) -> list[Candidate]:
    """Return the candidates, one with an offset first where one without ends lower than what could have been.

    Args:
        candidates: As ``choose`` returns them.
        draws: As ``draw`` returns them.
        far: Causes far beyond the points, of shape (causes, 1).
    """
    least = np.quantile(draws.errors(far), (1 - LEVEL) / 2)
    if candidates[0].fitted.curve.errors(far)[0, 0] >= least * (1 - _EQUAL):
        return list(candidates)
    return sorted(candidates, key=lambda candidate: not candidate.fitted.form.offset)


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
