"""How long a training of a study is likely to take: by its own trainings, else by what ``nas check`` has measured."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from nas.errors import StudyError
from nas.records import TrialRecord
from nas.scaling.seconds import SecondsModel, fit_seconds
from nas.search.opening import Named, find_study
from nas.search.storage.seconds import CheckedSeconds, read_seconds, write_seconds
from nas.search.study import Study

ENOUGH, SPREAD = 5, 2.0
"""A study's own trainings tell the law from so many networks on, the largest of so many times the smallest's FLOPs."""
_SIMILAR, _FEW = 1.5, 3
"""Networks are of similar cost within this factor of FLOPs; so many tell how long one like them takes."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """What tells how long trainings take.

    Attributes:
        devices: Names of those that train; None where they are not known.
        checked: What ``nas check`` has measured.
    """

    devices: frozenset[str] | None = None
    checked: tuple[CheckedSeconds, ...] = ()

    def seconds(self, trials: Sequence[TrialRecord], *, like: int) -> float:
        """Return how long a training to the end is likely to take; 0 where nothing tells.

        Args:
            trials: All of the study.
            like: Number of the trial whose network is to be trained.
        """
        network = next(trial for trial in trials if trial.number == like)
        ended = self._ended(trials)
        law = self._law(ended)
        if law is None:
            return _typical(ended, network.flops)
        return float(law.predict(network.flops, network.activations))

    def law(self, trials: Sequence[TrialRecord]) -> SecondsModel | None:
        """Return the law of the seconds of a whole training; None where too little tells it.

        It is fitted to the trainings that have ended, from five networks on. Before, it is the one that was measured,
        times what those took more or less than it says: other trainings beside them, validations, another machine load.
        """
        return self._law(self._ended(trials))

    def _ended(self, trials: Sequence[TrialRecord]) -> list[TrialRecord]:
        trained = [trial for trial in trials if trial.state == "trained" and trial.train_seconds]
        return [trial for trial in trained if self.devices is None or trial.device in self.devices]

    def _law(self, ended: Sequence[TrialRecord]) -> SecondsModel | None:
        costs = {(trial.flops, trial.activations) for trial in ended}
        seconds = [trial.train_seconds or 0.0 for trial in ended]
        flops, activations = [trial.flops for trial in ended], [trial.activations for trial in ended]
        if len(costs) >= ENOUGH and max(flops) >= SPREAD * min(flops):
            return fit_seconds(flops, activations, seconds)
        law = next((one.training for one in self.checked if self.devices is None or one.device in self.devices), None)
        if law is None or not ended:
            return law
        return law.times(statistics.median(seconds / law.predict(flops, activations)))


def _typical(ended: Sequence[TrialRecord], flops: int) -> float:
    """Return the median training time of networks of similar cost; 0 where there are too few."""
    alike = [trial for trial in ended if flops / _SIMILAR <= trial.flops <= flops * _SIMILAR]
    return statistics.median(trial.train_seconds or 0.0 for trial in alike) if len(alike) >= _FEW else 0.0


def seconds_law(study: Study, *, device: str | None = None) -> SecondsModel | None:
    """Return the law of the seconds that a whole training of a study takes; None where too little tells it.

    Its ``flops`` and ``activations`` are the exponents, and ``predict`` takes arrays: so training time is a cost like
    FLOPs.

    Args:
        study: The study; one that has not been run has no law.
        device: Name of the device as the study keeps it, such as ``NVIDIA H100 80GB HBM3``; default: the one that
            trained the study's last network or, if there is none, the one that ``nas check`` measured last.
    """
    if not study.was_run():
        return None
    trials, checked = study.trials(), checked_seconds(study)
    trained = [trial.device for trial in trials if trial.state == "trained" and trial.device]
    known = [*reversed(trained), *(one.device for one in checked)]
    return Forecast(frozenset([device] if device else known[:1]), checked).law(trials)


def predicted_seconds(study: Named, flops: float, activations: float, *, device: str | None = None) -> float | None:
    """Return how many seconds a whole training of a network would take in a study.

    The study's own trainings tell it, from five networks on, the largest of which has twice the smallest's FLOPs.
    Before, ``nas check`` does: it times nine networks, and keeps what they tell in the database of a study that has
    been run.

    Args:
        study: A study file, the name of a shipped study, a definition, or an opened study.
        flops: FLOPs of one image, as fvcore counts them.
        activations: Output elements of all convolutions and linear layers for one image.
        device: Name of the device as the study keeps it; default: the one that trained last.

    Returns:
        Seconds of the study's recipe with one training at a time; None where too little is known.
    """
    law = seconds_law(find_study(study), device=device)
    return None if law is None else float(law.predict(flops, activations))


def checked_seconds(study: Study) -> tuple[CheckedSeconds, ...]:
    """Return what ``nas check`` has measured for a study, the newest first."""
    with study.database.errors():
        return tuple(read_seconds(study.database.engine, study.name))


def keep_seconds(study: Study, checked: CheckedSeconds) -> bool:
    """Keep what was measured with a study, and tell whether that was possible.

    It is not where the study has not been run, has another recipe or other images by now, or may only be read.
    """
    if not study.was_run():
        return False
    with suppress(StudyError), study.database.errors():
        if _trains_as_begun(study):
            write_seconds(study.database.engine, study.name, checked)
            return True
    return False


def _trains_as_begun(study: Study) -> bool:
    """Tell whether recipe and images are those that the study was begun with."""
    begun = study.store.config()
    if begun is None:
        return False
    config, fingerprint = begun
    same = config.definition()["recipe"] == study.config.definition()["recipe"]
    return same and fingerprint == study.dataset.fingerprint
