"""One form of law fitted to points, so that a few odd ones do not decide; and what it could as well have been.

An error is a share of images, whose noise grows with its root: a point counts its weight over its error. With eight
points or more, those far from the law count less (Huber 1964, "Robust estimation of a location parameter").

What the law could as well have been is drawn (a parametric bootstrap): errors are made from the law with new noise and
fitted again. How large the noise is is known from few points only, so each draw has a noise of its own (of a scaled
inverse chi-squared distribution), which gives intervals the tails of Student's t.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from nas.fronts.geometry import Array
from nas.scaling.curves import Curves
from nas.scaling.points import Points
from nas.scaling.projection import Columns, Fit, fit_powers

_FINE, _COARSE = np.geomspace(0.02, 3.0, 41), np.geomspace(0.02, 3.0, 13)
"""Exponents to begin with, where there is one and where there are two."""
_BENDS = np.geomspace(0.1, 4.0, 7)
_PASSES = 12
_ENOUGH = 8
"""Points from which on it can be told which of them are odd."""
_ODD = 3.0
"""Robust standard deviations from the law beyond which a point counts less."""
_LEAST_NOISE = 1e-6
"""Share of an error below which differences are those of writing numbers down."""


@dataclass(frozen=True, slots=True)
class Form:
    """A form of law.

    Attributes:
        name: In words.
        offset: Whether there is an error that no cost takes away.
        bend: Whether it knows the error of guessing.
        causes: 1 for cost, 2 for cost and images.
    """

    name: str
    offset: bool = True
    bend: bool = False
    causes: int = 1

    @property
    def parameters(self) -> int:
        """Number of parameters."""
        return self.offset + self.bend + 2 * self.causes


POWER = Form("power law without an offset", offset=False)
OFFSET = Form("power law with an offset")
BENT = Form("M4", bend=True)
JOINT = Form("two power laws with an offset", causes=2)


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """A form of law with its parameters.

    Attributes:
        form: Its form.
        points: That it was fitted to.
        curve: One law.
        errors: Of the law at the points, of shape (points,).
        robust: What the points count beside their weights, (points,): 1, or less where one is odd.
        noise: Standard deviation of a point of weight 1 from the law, over the root of its error.
    """

    form: Form
    points: Points
    curve: Curves
    errors: Array
    robust: Array
    noise: float

    @property
    def freedom(self) -> int:
        """Points that are more than the parameters."""
        return len(self.errors) - self.form.parameters


class _Sets(NamedTuple):
    """Laws of one form, fitted to several choices of the same points; each array begins with (sets,).

    Attributes:
        curves: The laws.
        errors: Of the laws at all points, of shape (sets, points).
        robust: What the points count beside their weights, (sets, points); 0 for those that were left out.
        noise: As in ``Fitted``, (sets,).
    """

    curves: Curves
    errors: Array
    robust: Array
    noise: Array


def fit_form(form: Form, points: Points) -> Fitted:
    """Return the law of a form that lies closest to points of as many causes."""
    found = _fit_sets(form, points, np.ones((1, len(points.errors)), np.bool_), still=1e-7)
    return Fitted(form, points, found.curves, found.errors[0], found.robust[0], float(found.noise[0]))


def fitted_without(form: Form, points: Points, held: npt.NDArray[np.bool_]) -> Array:
    """Return the errors at all points of laws that were fitted to some.

    Args:
        form: Of law.
        points: To fit to.
        held: Which points each law does not see, of shape (laws, points).

    Returns:
        Array of shape (laws, points).
    """
    return _fit_sets(form, points, ~held, still=1e-5).errors


def draw_curves(fitted: Fitted, count: int, generator: np.random.Generator) -> Curves:
    """Return laws that could as well have been, each fitted to points drawn from a fitted law.

    Args:
        fitted: A law with more points than parameters.
        count: Number of draws.
        generator: Of random numbers.
    """
    scale = fitted.noise * np.sqrt(fitted.freedom / generator.chisquare(fitted.freedom, (count, 1)))
    away = scale * generator.standard_normal((count, len(fitted.errors)))
    drawn = fitted.errors + away * np.sqrt(fitted.errors / fitted.points.weights)
    start = np.concatenate([fitted.curve.exponents[0], fitted.curve.bend[: fitted.form.bend]])
    precision = (fitted.robust / fitted.errors)[None]
    found = _fit(fitted.form, fitted.points, drawn, precision, fitted.errors[None], start=start)
    return _curves(fitted.form, fitted.points, found)


def _fit_sets(form: Form, points: Points, used: npt.NDArray[np.bool_], *, still: float) -> _Sets:
    """Fit a form to each choice of points, again and again until errors move by a share less than ``still``."""
    errors = np.tile(points.errors, (len(used), 1))
    fitted, robust = np.full(errors.shape, points.errors.mean()), used.astype(float)
    for _ in range(_PASSES):
        found = _fit(form, points, errors, robust / fitted, fitted)
        curves, before = _curves(form, points, found), fitted
        fitted = np.maximum(curves.errors(points.causes), 1e-9 * points.errors.max())
        away = (errors - fitted) * np.sqrt(points.weights / fitted)
        robust = _robust(away, used, form.parameters)
        if np.allclose(fitted, before, rtol=still, atol=0):
            break
    freedom = np.maximum(robust.sum(axis=1) - form.parameters, 1)
    noise = np.sqrt((robust * away**2).sum(axis=1) / freedom)
    return _Sets(curves, fitted, robust, np.maximum(noise, _LEAST_NOISE * np.sqrt(points.errors.mean())))


def _fit(
    form: Form, points: Points, errors: Array, precision: Array, fitted: Array, *, start: Array | None = None
) -> Fit:
    grids = [_COARSE if form.causes > 1 or form.bend else _FINE] * form.causes + [_BENDS] * form.bend
    columns, weights = _columns(form, points, fitted), points.weights * precision
    return fit_powers(
        columns, errors, weights, grids, start=start, offset=form.offset, rounds=12 if len(grids) == 1 else 28
    )


def _columns(form: Form, points: Points, fitted: Array) -> Columns:
    """Return what makes columns of exponents; where the law bends, by the errors that it was fitted to have."""
    logs = np.log(points.causes) - points.units[:, None]
    room = np.log(np.maximum(points.chance - fitted, 1e-9 * points.chance))[:, None, None] if form.bend else 0.0

    def columns(exponents: Array) -> Array:
        powers = -exponents[..., : form.causes, None] * logs
        made: Array = np.exp(powers + exponents[..., form.causes :, None] * room if form.bend else powers)
        return made

    return columns


def _curves(form: Form, points: Points, found: Fit) -> Curves:
    bend = found.exponents[:, form.causes] if form.bend else np.zeros(len(found.offset))
    exponents = found.exponents[:, : form.causes]
    return Curves(found.offset, found.factors, exponents, bend, points.units, points.chance)


def _robust(away: Array, used: npt.NDArray[np.bool_], parameters: int) -> Array:
    """Return what each point counts in each set, given its distance from the law."""
    counts, far = used.sum(axis=1, keepdims=True), np.abs(away)
    middle = np.nanmedian(np.where(used, far, np.nan), axis=1, keepdims=True)
    spread = 1.4826 * middle * np.sqrt(counts / np.maximum(counts - parameters, 1))
    odd = (far > _ODD * spread) & (counts >= _ENOUGH)
    return np.where(odd, _ODD * spread / np.where(odd, far, 1.0), 1.0) * used
