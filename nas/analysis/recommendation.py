"""Which network to take: the answer of a study in a few sentences, and what speaks against trusting it.

All goes by the accuracy to expect of a network (``FrontPoint.shrunk_accuracy``) and never by its luckiest training.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nas.analysis.pareto import FrontPoint, NoisyFront, front_of
from nas.architecture.families import family_name
from nas.errors import StudyError
from nas.fronts.growth import Growth
from nas.fronts.judged import Judgement
from nas.fronts.noise import Noise
from nas.records import Metric, Reference, TrialRecord, metric_name
from nas.search.study import Study
from nas.units import format_count, format_percent, format_share

_FEW = 5
"""Networks of a family below which it counts as tried too little to be ruled out, or in."""
_A_THIRD = (0.3, 0.37)
"""Shares of the compute that are called a third."""
_APART = 2.0
"""Standard deviations from which on two accuracies are apart, as ``near`` on the front has it."""


@dataclass(frozen=True, slots=True)
class Recommendation:
    """Which network of a study to take.

    Attributes:
        best: The most accurate network within ``max_flops``, by the accuracy to expect of it: a point of the front.
        cheapest: The cheapest network of the front that is within noise of the best: it is not 97.7 % sure (two
            standard deviations of the difference) which of the two is more accurate. None where that is the best.
        knee: Network of the front within ``max_flops`` from which on more FLOPs bring less than they did before (see
            ``knee``); None for fewer than three networks, and where the front has no bend.
        growth: What the last part of the search has added; None if the search is too short to tell.
        reference: The most accurate of the reference networks, if it is more accurate than the best by two standard
            deviations; one within ``max_flops`` before one beyond. Else None.
        doubts: What speaks against trusting this, each in one sentence.
        max_flops: Most FLOPs that were allowed: those asked for, else the study's own budget; None without a bound.
        noise: Noise of one training.
        metric: By which networks were compared.
    """

    best: FrontPoint
    cheapest: FrontPoint | None
    knee: FrontPoint | None
    growth: Growth | None
    reference: Reference | None
    doubts: tuple[str, ...]
    max_flops: int | None
    noise: Noise
    metric: Metric = "accuracy"

    @property
    def sentence(self) -> str:
        """The answer in two to four short sentences."""
        parts = [self._taken(), self._as_good(), self._reference(), growth_sentence(self.growth)]
        return " ".join(part for part in parts if part)

    def __str__(self) -> str:
        """Return the sentence."""
        return self.sentence

    def _taken(self) -> str:
        bound = "" if self.max_flops is None else f"under {format_count(self.max_flops)} FLOPs "
        metric = "" if self.metric == "accuracy" else f"{metric_name(self.metric)} "
        accuracy = format_percent(self.best.shrunk_accuracy, self.best.standard_error)
        words = f"{bound}take trial {self.best.trial.number} ({network_words(self.best.trial)}): {metric}{accuracy}."
        return words[0].upper() + words[1:]

    def _as_good(self) -> str:
        if self.cheapest is None:
            return ""
        share = format_share(self.cheapest.trial.flops / self.best.trial.flops)
        return f"Trial {self.cheapest.trial.number} is within noise of it at {share} of the FLOPs."

    def _reference(self) -> str:
        if self.reference is None:
            return ""
        beyond = self.max_flops is not None and self.reference.flops > self.max_flops
        accuracy = format_percent(self.reference.mean_accuracy, _reference_error(self.reference, self.noise))
        begun = ", begun from given weights," if self.reference.pretrained else ""
        flops = f"{format_count(self.reference.flops)} FLOPs{', beyond the bound' * beyond}"
        return f"The reference {self.reference.name}{begun} is better: {accuracy} at {flops}."


def recommend(study: Study, *, max_flops: int | None = None) -> Recommendation:
    """Return which network of a study to take, and how sure that is.

    Args:
        study: A study that has been run.
        max_flops: Most FLOPs of one image; by default ``budget.flops.max`` of the study.

    Raises:
        StudyError: Nothing is trained yet, or no trained network has so few FLOPs.
    """
    return recommended(study, study.judgement(), max_flops=max_flops)


def recommended(study: Study, judgement: Judgement, *, max_flops: int | None = None) -> Recommendation:
    """Return which network of a study to take, as ``recommend`` does, where its networks have been judged."""
    front = front_of(judgement)
    bound = max_flops if max_flops is not None else _budget(study)
    within = points_within(study.name, front, bound)
    best, growth = within[-1], study.growth()
    return Recommendation(
        best=best,
        cheapest=_cheapest(judgement, within),
        knee=knee(within),
        growth=growth,
        reference=_better(study.references(), best, noise=front.noise, bound=bound),
        doubts=tuple(_doubts(study, judgement, best, growth=growth)),
        max_flops=bound,
        noise=front.noise,
        metric=study.config.recipe.metric,
    )


def points_within(study: str, front: NoisyFront, max_flops: int | None) -> tuple[FrontPoint, ...]:
    """Return the points of a front with at most so many FLOPs, cheapest first; the last is the most accurate.

    Args:
        study: Its name.
        front: Its front over FLOPs.
        max_flops: None for all.

    Raises:
        StudyError: There is none.
    """
    _require_trained(study, len(front.points))
    within = tuple(point for point in front.points if max_flops is None or point.trial.flops <= max_flops)
    if not within:
        cheapest = front.points[0].trial
        raise StudyError(
            f"no trained network of {study!r} has at most {format_count(max_flops or 0)} FLOPs; the cheapest, trial"
            f" {cheapest.number}, has {format_count(cheapest.flops)}"
        )
    return within


def knee(points: Sequence[FrontPoint], costs: Sequence[float] | None = None) -> FrontPoint | None:
    """Return the knee of a front: where more FLOPs begin to bring less.

    It is the network that lies farthest above the straight line from the cheapest to the most accurate network, in the
    plane of the logarithm of the FLOPs and the accuracy to expect (Satopaa et al. 2011, "Finding a 'Kneedle' in a
    haystack"). A network counts as above the line if it is so by more than its standard error.

    Args:
        points: Of the front, cheapest first.
        costs: Another cost of each; FLOPs by default.

    Returns:
        The network; None for fewer than three, and where none lies above the line beyond noise.
    """
    if len(points) < 3:
        return None
    logs = np.log(costs if costs is not None else [point.trial.flops for point in points])
    accuracies = np.array([point.shrunk_accuracy for point in points])
    line = accuracies[0] + (accuracies[-1] - accuracies[0]) * (logs - logs[0]) / (logs[-1] - logs[0])
    farthest = int((accuracies - line).argmax())
    above = accuracies[farthest] - line[farthest]
    return points[farthest] if above > points[farthest].standard_error else None


def require_knee(study: str, found: FrontPoint | None, *, networks: int) -> FrontPoint:
    """Return the knee of a study's front.

    Args:
        study: Its name.
        found: What ``knee`` has found.
        networks: Number of networks that it has looked at.

    Raises:
        StudyError: There is none.
    """
    _require_trained(study, networks)
    if found is None:
        few = f"it has {networks} network{'s' * (networks != 1)}, and a knee needs three"
        straight = (
            "none of its networks lies above the straight line from its cheapest to its most accurate, beyond noise"
        )
        raise StudyError(f"the front of {study!r} has no knee: {few if networks < 3 else straight}")
    return found


def _require_trained(study: str, networks: int) -> None:
    if not networks:
        raise StudyError(f"study {study!r} has no trained network yet")


def network_words(trial: TrialRecord) -> str:
    """Return family, width, depth, resolution and choices of a network: ``ResNet, 0.75 × 1.0, 24 px``."""
    words = [family_name(trial.space), f"{_coefficient(trial.width)} × {_coefficient(trial.depth)}"]
    chosen = [f"{key.replace('_', ' ')} {_word(value)}" for key, value in trial.choices.items()]
    return ", ".join([*words, f"{trial.resolution} px", *chosen])


def growth_sentence(growth: Growth | None) -> str:
    """Say what the last part of a search has brought; nothing where it is too short to tell."""
    if growth is None:
        return ""
    third = _A_THIRD[0] <= growth.compute <= _A_THIRD[1]
    part = f"The last {'third' if third else f'{100 * growth.compute:.0f} %'} of the search"
    if growth.gain == 0:
        return f"{part} brought nothing beyond noise."
    gain = f"{100 * growth.gain:.1f} % of the hypervolume beyond noise"
    return f"{part} brought only {gain}." if growth.stagnant else f"{part} still brought {gain}."


def _word(value: object) -> str:
    return ("no", "yes")[value] if isinstance(value, bool) else str(value)


def _coefficient(value: float) -> str:
    text = f"{value:.3g}"
    return text if "." in text else f"{text}.0"


def _budget(study: Study) -> int | None:
    return None if study.config.budget.flops is None else study.config.budget.flops.max


def _cheapest(judgement: Judgement, within: Sequence[FrontPoint]) -> FrontPoint | None:
    *cheaper, best = within
    near = judgement.near([(point.trial.number, best.trial.number) for point in cheaper])
    return next((point for point, close in zip(cheaper, near, strict=True) if close), None)


def _better(references: Sequence[Reference], best: FrontPoint, *, noise: Noise, bound: int | None) -> Reference | None:
    """Return the reference that beats what was found, one within the bound before one beyond."""
    beating = [one for one in references if _beats(one, best, noise)]
    within = [one for one in beating if bound is None or one.flops <= bound]
    return max(within or beating, key=lambda one: one.mean_accuracy, default=None)


def _beats(reference: Reference, best: FrontPoint, noise: Noise) -> bool:
    apart = math.hypot(_reference_error(reference, noise), best.standard_error)
    return reference.mean_accuracy - best.shrunk_accuracy > _APART * apart


def _reference_error(reference: Reference, noise: Noise) -> float:
    return noise.std / math.sqrt(len(reference.accuracies))


def _doubts(study: Study, judgement: Judgement, best: FrontPoint, *, growth: Growth | None) -> list[str]:
    trained = Counter(one.network.trial.space for one in judgement.networks)
    return [*_seeds(best, judgement.noise), *_search(growth), *_trust(study), *_families(study, best, trained)]


def _seeds(best: FrontPoint, noise: Noise) -> list[str]:
    if best.seeds > 1:
        return []
    assumed = "its noise is assumed, not measured (search.replicates measures it)"
    known = assumed if noise.assumed else "its noise is that of other networks"
    return [f"Trial {best.trial.number} was trained from one seed: {known}."]


def _search(growth: Growth | None) -> list[str]:
    if growth is None:
        return ["The search is too short to tell whether more trials would find better networks."]
    return [] if growth.stagnant else ["The front was still growing: more trials may find better networks."]


def _trust(study: Study) -> list[str]:
    if not any(name.partition("-")[0] == "trust" for name in study.scaling_names()):
        return [f"Whether longer trainings have the same order was not measured: nas scale trust {study.typed}."]
    from nas.analysis.trusted import told_trust

    return told_trust(study)


def _families(study: Study, best: FrontPoint, trained: Counter[str]) -> list[str]:
    """Say how many networks of each family were trained, where some were tried too little to be compared."""
    names = [space.name for space in study.config.search.spaces]
    if len(names) < 2 or min(trained[name] for name in names) >= _FEW:
        return []
    counts = ", ".join(f"{trained[name]} {family_name(name)}" for name in names)
    return [f"That it is {family_name(best.trial.space)} rests on few networks: {counts}."]
