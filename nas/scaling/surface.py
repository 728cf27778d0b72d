"""How error and cost follow width, depth and resolution: a surface over their logarithms, with what is uncertain of it.

The logarithm of the error is a quadratic in ``u = log2 (width, depth, resolution)``. Its linear part is free and its
bends are shrunk as far as the networks say nothing of them (``nas/scaling/ridge.py``), so that few networks give a
plane and many a bowl. Around it, networks of equal shape scatter, and trainings have the noise of their seeds. The
logarithm of the cost is a plane, fitted to what the same networks were measured to cost, with all their rounding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nas.architecture.space import COEFFICIENTS
from nas.errors import StudyError
from nas.fronts.geometry import Array
from nas.scaling.evidence import COSTS, Evidence, TrainedNetwork
from nas.scaling.intervals import Interval, Prediction, interval
from nas.scaling.ridge import draw_ridge, evenly_normal

FEWEST = 8
"""Networks that a surface needs: with fewer even a plane is a guess."""

_ROWS, _COLUMNS = np.triu_indices(3)
_SHRUNK = np.array([False] * 4 + [True] * 6)
_WIDE = 10.0
"""Factor of the constant column: the level of all errors is free."""
_LEAST_RANGE = 0.9
"""Octaves that costs must span to tell exponents: among networks of one cost a wider one is a shallower one."""
_FAR, _PASSES = 5.0, 3
"""Robust standard deviations above the surface from which on a network tells nothing of the others."""


@dataclass(frozen=True, slots=True)
class CostPlane:
    """A cost as powers of width, depth and resolution.

    Attributes:
        name: Of the cost.
        level: Its log2 where all three are 1.
        exponents: Of width, depth and resolution, (3,).
    """

    name: str
    level: float
    exponents: Array

    def log2(self, places: Array) -> Array:
        """Return the log2 of the cost at log2 coefficients of shape (..., 3)."""
        found: Array = self.level + places @ self.exponents
        return found


@dataclass(frozen=True, slots=True)
class Surface:
    """Error over width, depth and resolution, as far as it is known.

    Attributes:
        cost: How it follows them.
        places: Of the networks, as log2 coefficients, (networks, 3).
        costs: log2 of what each of them costs, (networks,).
        aside: Networks that fell far behind their like, as those do that did not learn; they count for nothing here.
        center: Place about which the quadratic is written, (3,).
        draws: Coefficients of log error: constant, linear, and products ww, wd, wr, dd, dr, rr; (draws, 10).
        mean: Expected coefficients, (10,).
        scatter: Standard deviation of log error of networks about the surface, (draws,).
    """

    cost: CostPlane
    places: Array
    costs: Array
    aside: tuple[TrainedNetwork, ...]
    center: Array
    draws: Array
    mean: Array
    scatter: Array

    def predict(self, width: npt.ArrayLike, depth: npt.ArrayLike, resolution: npt.ArrayLike) -> Prediction:
        """Return what error to expect of networks, over all seeds.

        The interval holds what is unknown of the surface and the scatter of networks about it, without the noise of a
        single training.

        Args:
            width: Coefficients, above zero, of any shapes that NumPy broadcasts.
            depth: Coefficients.
            resolution: In pixels.

        Raises:
            StudyError: One is not above zero.
        """
        places = np.stack(np.broadcast_arrays(*map(_log2, (width, depth, resolution))), axis=-1)
        scattered = self.scatter * evenly_normal(len(self.scatter))
        logs = self.log_errors(places.reshape(-1, 3)) + scattered[:, None]
        errors = np.exp(np.minimum(logs, 0.0))
        low, high = interval(errors)
        return Prediction(*(found.reshape(places.shape[:-1]) for found in (errors.mean(axis=0), low, high)))

    def difference(self, one: Array, other: Array) -> Interval:
        """Return the error at one place of log2 coefficients, (3,), less that at another, as a share."""
        places = np.stack([one, other])
        drawn, expected = np.exp(self.log_errors(places)), np.exp(self.mean_log_errors(places))
        low, high = interval(drawn[:, 0] - drawn[:, 1])
        return Interval(float(expected[0] - expected[1]), float(low), float(high))

    def log_errors(self, places: Array) -> Array:
        """Return the surface at log2 coefficients of shape (points, 3), as (draws, points)."""
        found: Array = self.draws @ _columns(places - self.center).T
        return found

    def mean_log_errors(self, places: Array) -> Array:
        """Return the expected surface at log2 coefficients of shape (points, 3), as (points,)."""
        found: Array = _columns(places - self.center) @ self.mean
        return found


def fit_surface(evidence: Evidence, *, cost: str = "flops", exponents: Sequence[float] | None = None) -> Surface:
    """Return the surface of one family.

    Args:
        evidence: Trainings of networks that differ in width, depth and resolution.
        cost: ``flops``, ``params``, ``activations`` or ``seconds`` (of a training).
        exponents: Of width, depth and resolution in the cost; default: those of a plane through the networks' own
            costs; needed where all cost about the same.

    Raises:
        StudyError: The networks are too few, of several families, all of one shape, or their cost is not known or tells
            no exponents.
    """
    _require_enough(evidence)
    places = np.log2(np.column_stack([evidence.column(name) for name in COEFFICIENTS]))
    costs = _costs(evidence, cost)
    plane = cost_plane(cost, places, costs, exponents)
    center = places.mean(axis=0)
    columns = _columns(places - center)
    values = np.log(evidence.errors)
    variances = (evidence.noise.std / np.exp(values)) ** 2 / evidence.trainings
    usual = np.ones(len(values), np.bool_)
    for _ in range(_PASSES):
        drawn = draw_ridge(columns[usual], values[usual], variances[usual], _SHRUNK)
        before, usual = usual, _usual(values - columns @ drawn.mean, usual)
        if (usual == before).all():
            break
    aside = tuple(network for network, counts in zip(evidence.networks, before, strict=True) if not counts)
    return Surface(plane, places, costs, aside, center, drawn.coefficients, drawn.mean, drawn.scatter)


def cost_plane(name: str, places: Array, costs: Array, exponents: Sequence[float] | None = None) -> CostPlane:
    """Return a cost as powers of width, depth and resolution, through the middle of some networks.

    Args:
        name: Of the cost.
        places: log2 coefficients, (networks, 3).
        costs: log2 of the costs, (networks,).
        exponents: Of the powers; default: those of the plane that fits best.

    Raises:
        StudyError: The networks cost nearly the same, which tells no exponents, or the cost rises with no dimension.
    """
    center = places.mean(axis=0)
    if exponents is not None:
        powers = np.asarray(exponents, float)
    elif np.ptp(costs) < _LEAST_RANGE:
        raise StudyError(f"{name}: all networks cost about the same, which does not tell how it follows their shape")
    else:
        powers = np.linalg.lstsq(places - center, costs - costs.mean(), rcond=None)[0]
    if powers.shape != (3,) or not (powers > 0).any():
        raise StudyError(f"{name}: rises with none of width, depth and resolution")
    return CostPlane(name, float(costs.mean() - center @ powers), powers)


def hessians(coefficients: Array) -> Array:
    """Return the second derivatives of quadratics, given their coefficients (..., 10), as (..., 3, 3)."""
    found = np.zeros((*coefficients.shape[:-1], 3, 3))
    found[..., _ROWS, _COLUMNS] += coefficients[..., 4:]
    found[..., _COLUMNS, _ROWS] += coefficients[..., 4:]
    return found


def _columns(places: Array) -> Array:
    """Return what the quadratic is a sum of, at places of shape (points, 3) relative to its center, as (points, 10)."""
    constant = np.full((len(places), 1), _WIDE)
    return np.hstack([constant, places, places[:, _ROWS] * places[:, _COLUMNS]])


def _log2(values: npt.ArrayLike) -> Array:
    numbers = np.asarray(values, float)
    if not (numbers > 0).all():
        raise StudyError("width, depth and resolution must be above zero")
    found: Array = np.log2(numbers)
    return found


def _require_enough(evidence: Evidence) -> None:
    networks, families = len(evidence.networks), list(evidence.families)
    if len(families) > 1:
        raise StudyError(
            f"{evidence.source} has networks of {len(families)} families, of which one is meant: {families}"
        )
    if networks < FEWEST:
        raise StudyError(f"{evidence.source}: a surface needs at least {FEWEST} trained networks, but has {networks}")
    same = [name for name in COEFFICIENTS if len(set(evidence.column(name))) == 1]
    if len(same) == len(COEFFICIENTS):
        raise StudyError(f"{evidence.source}: all networks have the same width, depth and resolution")


def _costs(evidence: Evidence, name: str) -> Array:
    """Return the log2 of what networks cost."""
    if name not in COSTS:
        raise StudyError(f"unknown cost {name!r}; allowed: {', '.join(COSTS)}")
    costs = evidence.column(name)  # None becomes a number that is none
    if not (costs > 0).all():
        raise StudyError(f"{evidence.source}: {name} of some networks are not known")
    found: Array = np.log2(costs)
    return found


def _usual(residuals: Array, kept: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Tell which networks are not far above the surface."""
    robust = 1.4826 * float(np.median(np.abs(residuals[kept])))
    usual: npt.NDArray[np.bool_] = residuals <= _FAR * robust if robust else kept
    return usual if usual.sum() >= FEWEST else kept
