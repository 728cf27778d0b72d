"""One form of law fitted to points, so that a few odd ones do not decide; and what it could as well have been.

An error is a share of images, whose noise grows with its root: a point counts its weight over its error. With eight
points or more, those far from the law count less (Huber 1964, "Robust estimation of a location parameter").

What the law could as well have been is drawn (a parametric bootstrap): errors are made from the law with new noise and
fitted again. How large the noise is is known from few points only, so each draw has a noise of its own (of a scaled
inverse chi-squared distribution), which gives intervals the tails of Student's t.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from nas.fronts.geometry import Array
from nas.scaling.curves import Curves
from nas.scaling.points import Points
from nas.scaling.projection import Fit, fit_powers

_FINE, _COARSE = np.geomspace(0.02, 3.0, 41), np.geomspace(0.02, 3.0, 13)
"""Exponents to begin with, where there is one and where there are two."""
_BENDS = np.geomspace(0.1, 4.0, 7)
_PASSES = 12
_STILL = 1e-6
_ENOUGH = 8
"""Points from which on it can be told which of them are odd."""
_ODD = 2.5
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


def fit_form(form: Form, points: Points, *, rounds: int = 22) -> Fitted:
    """Return the law of a form that lies closest to points.

    Args:
        form: Of one or two causes.
        points: With as many causes.
        rounds: As in ``fit_powers``.
    """
    count = len(points.errors)
    fitted, robust = np.full(count, points.errors.mean()), np.ones(count)
    for _ in range(_PASSES):
        found = _fit(form, points, points.errors[None], robust / fitted, fitted, rounds=rounds)
        curve, before = _curves(form, points, found), fitted
        fitted = np.maximum(curve.errors(points.causes)[0], 1e-9 * points.errors.max())
        away = (points.errors - fitted) * np.sqrt(points.weights / fitted)
        robust = _robust(away, form.parameters)
        if np.allclose(fitted, before, rtol=_STILL, atol=0):
            break
    noise = np.sqrt(robust @ away**2 / max(robust.sum() - form.parameters, 1))
    least = _LEAST_NOISE * np.sqrt(points.errors.mean())
    return Fitted(form, points, curve, fitted, robust, float(max(noise, least)))


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
    curve = fitted.curve
    start = np.concatenate([curve.exponents[0], curve.bend[: fitted.form.bend]])
    precision = fitted.robust / fitted.errors
    found = _fit(fitted.form, fitted.points, drawn, precision, fitted.errors, start=start, rounds=24)
    return _curves(fitted.form, fitted.points, found)


def _fit(
    form: Form,
    points: Points,
    errors: Array,
    precision: Array,
    fitted: Array,
    *,
    rounds: int,
    start: Array | None = None,
) -> Fit:
    grids = [_COARSE if form.causes > 1 or form.bend else _FINE] * form.causes + [_BENDS] * form.bend
    columns, weights = _columns(form, points, fitted), points.weights * precision
    return fit_powers(columns, errors, weights, grids, start=start, offset=form.offset, rounds=rounds)


def _columns(form: Form, points: Points, fitted: Array) -> Callable[[Array], Array]:
    """Return what makes columns of exponents; where the law bends, by the errors that it was fitted to have."""
    logs = np.log(points.causes) - points.units[:, None]
    room = np.log(np.maximum(points.chance - fitted, 1e-9 * points.chance)) if form.bend else 0.0

    def columns(exponents: Array) -> Array:
        powers = -exponents[..., : form.causes, None] * logs
        made: Array = np.exp(powers + exponents[..., form.causes :, None] * room if form.bend else powers)
        return made

    return columns


def _curves(form: Form, points: Points, found: Fit) -> Curves:
    bend = found.exponents[:, form.causes] if form.bend else np.zeros(len(found.offset))
    exponents = found.exponents[:, : form.causes]
    return Curves(found.offset, found.factors, exponents, bend, points.units, points.chance)


def _robust(away: Array, parameters: int) -> Array:
    """Return what each point counts, given its distance from the law."""
    if len(away) < _ENOUGH:
        return np.ones(len(away))
    spread = 1.4826 * np.median(np.abs(away)) * np.sqrt(len(away) / (len(away) - parameters))
    far = np.abs(away) > _ODD * spread
    return np.where(far, _ODD * spread / np.where(far, np.abs(away), 1.0), 1.0)
