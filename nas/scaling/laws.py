"""How the error follows cost, and the number of images: a law with intervals, or what is needed for one.

The form is chosen by extrapolation (``choice.py``), fitted robustly from a grid of starts (``fitting.py``), and refused
where the points do not determine it (``refusal.py``).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from nas.errors import UserError
from nas.scaling.choice import Candidate, choose, draw, held_out, without_overreach
from nas.scaling.curves import Curves, known_within, predict
from nas.scaling.fitting import BENT, JOINT, OFFSET, POWER, draw_curves, fit_form
from nas.scaling.intervals import Interval, Prediction, interval_about
from nas.scaling.points import Points, positive, read_points
from nas.scaling.refusal import far_beyond, lacks, may_be_chance, never_flattens, too_wide

DRAWS = 1000
_FEWEST_COSTS = 5
"""An offset makes three parameters, and with one point more than that the noise would not be known."""
_ENOUGH_TO_BEND = 7
_FEWEST_EACH, _FEWEST_TOGETHER = 3, 8


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class _Found:
    """What any law has.

    Attributes:
        reason: What is needed where the law is not determined; empty where it is.
        points: That it was fitted to.
        form: In words; empty where it is not determined.
        noise: Standard deviation of one network of weight 1 from the law, over the root of its error.
        curve: The law; None where it is not determined.
        draws: What it could as well have been.
    """

    reason: str
    points: Points
    form: str = ""
    noise: float = math.nan
    curve: Curves | None = field(default=None, repr=False)
    draws: Curves | None = field(default=None, repr=False)

    @property
    def determined(self) -> bool:
        """Whether the points determine it."""
        return self.curve is not None

    @property
    def parameters(self) -> dict[str, float]:
        """The parameters by name: E, A and alpha, of a joint law B and beta too; none where it is not determined."""
        return {} if self.curve is None else {name: float(v[0]) for name, v in self.curve.parameters().items()}

    @property
    def intervals(self) -> dict[str, tuple[float, float]]:
        """Their 90 % intervals."""
        return {} if self.curve is None or self.draws is None else known_within(self.curve, self.draws)

    def known(self) -> tuple[Curves, Curves]:
        """Return the law and its draws.

        Raises:
            UserError: It is not determined.
        """
        if self.curve is None or self.draws is None:
            raise UserError(f"cannot tell, {self.reason}")
        return self.curve, self.draws


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Law(_Found):
    """How the error follows cost: ``error = E + A / cost^alpha``.

    Attributes:
        candidates: The forms that were tried, the chosen one first.
    """

    candidates: tuple[Candidate, ...] = ()

    @property
    def held_out(self) -> npt.NDArray[np.bool_]:
        """Whether each point was held out when the forms were compared, of shape (points,)."""
        if not self.candidates:
            return np.zeros(len(self.points.errors), np.bool_)
        return held_out([candidate.fitted.form for candidate in self.candidates], self.points)

    def predict(self, cost: npt.ArrayLike) -> Prediction:
        """Return the error at some costs, with 90 % intervals of the law; one network scatters about it by ``noise``.

        Args:
            cost: Above zero, of any shape.

        Raises:
            UserError: The law is not determined, or a cost is not above zero.
        """
        return predict(*self.known(), positive("cost", cost))


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class JointLaw(_Found):
    """How the error follows cost and images: ``error = E + A / cost^alpha + B / images^beta``."""

    def predict(self, cost: npt.ArrayLike, images: npt.ArrayLike) -> Prediction:
        """Return the error at some costs and numbers of images, with 90 % intervals of the law.

        Args:
            cost: Above zero, of a shape that broadcasts with that of ``images``.
            images: Likewise.

        Raises:
            UserError: The law is not determined, or a value is not above zero.
        """
        return predict(*self.known(), positive("cost", cost), positive("images", images))

    def gain(self, *, cost: float, images: float, times_cost: float = 1.0, times_images: float = 1.0) -> Interval:
        """Return by how much the error falls where cost or images grow, with its 90 % interval.

        Args:
            cost: From where.
            images: From where.
            times_cost: So many times the cost.
            times_images: So many times the images.

        Raises:
            UserError: The law is not determined, or a value is not above zero.
        """
        given = {"cost": cost, "images": images, "times_cost": times_cost, "times_images": times_images}
        before = np.array([[float(positive(name, given[name]))] for name in ("cost", "images")])
        after = before * [[float(positive(name, given[name]))] for name in ("times_cost", "times_images")]
        fallen = [(curves.errors(before) - curves.errors(after))[:, 0] for curves in self.known()]
        low, high = interval_about(fallen[0][0], fallen[1])
        return Interval(float(fallen[0][0]), float(low), float(high))


def fit_law(
    cost: npt.ArrayLike,
    error: npt.ArrayLike,
    *,
    weights: npt.ArrayLike | None = None,
    seed: int = 0,
    chance: float | None = None,
) -> Law:
    """Return how the error follows cost, or what is needed to tell.

    Tried are power laws with and without an offset and, where the error of guessing is given, the law M4 of
    Alabdulmohsin et al. 2022 (arXiv:2209.06640). The one that foretells dearer networks best from cheaper ones is
    fitted to all.

    Args:
        cost: FLOPs or any other cost of each network, in any unit, of shape (networks,).
        error: Of each network, above zero, in any unit, of shape (networks,).
        weights: How much each counts, such as its number of trainings, (networks,); zero leaves it out.
        seed: Of the draws that intervals are made of.
        chance: Error of guessing, such as 0.9 for ten classes.

    Raises:
        UserError: The input is not valid. Points that determine no law are no mistake: see ``Law.reason``.
    """
    points = read_points({"cost": cost}, error, weights, chance)
    generator = np.random.default_rng(seed)
    needed = lacks(points, 0, name="costs", fewest=_FEWEST_COSTS) or may_be_chance(points, 0, generator, name="cost")
    if needed:
        return Law(reason=needed, points=points)
    bends = chance is not None and len(np.unique(points.causes)) >= _ENOUGH_TO_BEND
    candidates = choose([POWER, OFFSET, *[BENT] * bends], points)
    candidates = without_overreach(candidates, generator, far_beyond(points))
    best, drawn = candidates[0].fitted, draw(candidates, DRAWS, generator)
    needed = "" if best.form.bend else never_flattens(points)
    if needed := needed or too_wide(points, best.curve, drawn, place="ten times the largest cost"):
        return Law(reason=needed, points=points, candidates=tuple(candidates))
    return Law(
        reason="",
        points=points,
        form=best.form.name,
        noise=best.noise,
        curve=best.curve,
        draws=drawn,
        candidates=tuple(candidates),
    )


def fit_joint_law(
    cost: npt.ArrayLike,
    images: npt.ArrayLike,
    error: npt.ArrayLike,
    *,
    weights: npt.ArrayLike | None = None,
    seed: int = 0,
) -> JointLaw:
    """Return how the error follows cost and number of training images, or what is needed to tell.

    Args:
        cost: Of each training, in any unit, of shape (trainings,).
        images: Number of training images, (trainings,).
        error: Above zero, in any unit, (trainings,).
        weights: How much each counts, (trainings,); zero leaves it out.
        seed: Of the draws that intervals are made of.

    Raises:
        UserError: The input is not valid. Points that determine no law are no mistake: see ``JointLaw.reason``.
    """
    points = read_points({"cost": cost, "images": images}, error, weights)
    generator = np.random.default_rng(seed)
    needed = _lacks_together(points) or (
        may_be_chance(points, 0, generator, name="cost") or may_be_chance(points, 1, generator, name="images")
    )
    if needed:
        return JointLaw(reason=needed, points=points)
    fitted = fit_form(JOINT, points)
    drawn = draw_curves(fitted, DRAWS, generator)
    if needed := too_wide(points, fitted.curve, drawn, place="ten times the cost and images"):
        return JointLaw(reason=needed, points=points)
    return JointLaw(reason="", points=points, form=JOINT.name, noise=fitted.noise, curve=fitted.curve, draws=drawn)


def _lacks_together(points: Points) -> str:
    """Return what points of two causes lack."""
    needed = lacks(points, 0, name="costs", fewest=_FEWEST_EACH) or lacks(
        points, 1, name="numbers of images", fewest=_FEWEST_EACH
    )
    pairs = len(np.unique(points.causes, axis=1).T)
    if not needed and pairs < _FEWEST_TOGETHER:
        return f"needs at least {_FEWEST_TOGETHER} different pairs of cost and images; there are {pairs}"
    return needed
