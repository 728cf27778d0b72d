"""All trials of a study as columns, for the table and the cards of the page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from nas.analysis.pareto import FrontPoint, NoisyFront
from nas.records import Epoch, Repeat, TrialRecord
from nas.report.drawing import Drawings
from nas.report.embedded import plain_data
from nas.search.study import Study

MOST_EPOCHS = 60
"""Points of a curve on a card; of a longer one every second, third … and the last."""
MOST_DRAWN = 500
"""Networks that a page holds the drawings of: all where there are no more, else those that matter most."""


def trial_data(study: Study, front: NoisyFront) -> dict[str, Any]:
    """Return what the page's table and cards show, as plain JSON data: columns, and numbers in place of words.

    Args:
        study: A study that has been run.
        front: Its front.
    """
    trials = study.trials()
    digests = shown_networks(trials, front, MOST_DRAWN)
    drawings = Drawings()
    for digest in digests:
        drawings.add(digest, study.stored_architecture(digest))
    curves, repeats = study.curves(), study.repeats()
    return {
        "columns": {**_columns(trials), **_judged(trials, front)},
        "curves": [thinned(curves.get(trial.number, [])) for trial in trials],
        "repeats": _repeats(repeats),
        "networks": drawings.networks,
        "parts": drawings.parts,
        "left_out": len({trial.digest for trial in trials}) - len(digests),
    }


def shown_networks(trials: Sequence[TrialRecord], front: NoisyFront, most: int) -> list[str]:
    """Return the digests of what is drawn: the front, contenders, then the most accurate, then others."""
    ranked = sorted(front.others, key=lambda point: -point.shrunk_accuracy)
    first = [point.trial for point in (*front.points, *front.contenders, *ranked)]
    return list(dict.fromkeys(trial.digest for trial in (*first, *trials)))[:most]


def thinned(curve: Sequence[Epoch], most: int = MOST_EPOCHS) -> list[list[Any]]:
    """Return epochs and validation accuracies in percent; of a long curve every so many and the last."""
    step = -(-len(curve) // most) or 1
    kept = curve[::step] if not curve or curve[::step][-1] is curve[-1] else [*curve[::step], curve[-1]]
    return [[epoch.epoch for epoch in kept], [plain_data(round(100 * epoch.val_accuracy, 3)) for epoch in kept]]


def _columns(trials: Sequence[TrialRecord]) -> dict[str, Any]:
    """Return what trials are, one list for each of their attributes."""
    whole = ("number", "resolution", "digest", "flops", "params", "activations", "repeat_of", "epochs")
    columns: dict[str, Any] = {key: [getattr(trial, key) for trial in trials] for key in whole}
    for key in ("width", "depth", "train_seconds", "accuracy", "data_share"):
        columns[key] = plain_data([getattr(trial, key) for trial in trials])
    for key in ("space", "state", "device", "error", "micro_batch"):
        columns[key] = in_words(getattr(trial, key) for trial in trials)
    columns["seed"] = [_seed(trial) for trial in trials]
    return {**columns, "choices": in_words(map(choices, trials))}


def _seed(training: TrialRecord | Repeat) -> str | None:
    """Return a seed as text: it has more digits than a browser's numbers."""
    return None if training.seed is None else str(training.seed)


def choices(trial: TrialRecord) -> str:
    """Return the choices of a trial in words, such as ``kernel 3, squeeze excitation no``; empty where it has none."""
    words = {True: "yes", False: "no"}
    told = [(key, words[value] if isinstance(value, bool) else value) for key, value in trial.choices.items()]
    return ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in told)


def in_words(values: Iterable[Any]) -> dict[str, Any]:
    """Return values of which many are equal as the different ones, and the place of each among them."""
    places: dict[Any, int] = {}
    at = [places.setdefault(value, len(places)) for value in values]
    return {"words": list(places), "at": at}


def _judged(trials: Sequence[TrialRecord], front: NoisyFront) -> dict[str, Any]:
    """Return what is known of the networks of trials, null where nothing is."""
    points = {point.trial.number: point for point in (*front.points, *front.others)}
    found = [points.get(trial.number) for trial in trials]
    members = {point.trial.number for point in front.points}
    contenders = {point.trial.number for point in front.contenders}
    facts = ("shrunk_accuracy", "standard_error", "mean_accuracy", "std_accuracy", "front_probability")
    columns: dict[str, Any] = {key: [_fact(point, key) for point in found] for key in facts}
    for key in ("seeds", "within_noise_of"):
        columns[key] = [None if point is None else getattr(point, key) for point in found]
    columns["place"] = [2 if t.number in members else 1 if t.number in contenders else 0 for t in trials]
    return columns


def _fact(point: FrontPoint | None, key: str) -> Any:
    return None if point is None or getattr(point, key) is None else plain_data(round(getattr(point, key), 6))


def _repeats(repeats: Iterable[Repeat]) -> Mapping[int, list[dict[str, Any]]]:
    """Return the further trainings of networks, by trial."""
    found: dict[int, list[dict[str, Any]]] = {}
    for repeat in repeats:
        facts = {"seed": _seed(repeat), "state": repeat.state, "error": repeat.error, "curve": thinned(repeat.curve)}
        accuracy = plain_data(repeat.accuracy)
        found.setdefault(repeat.number, []).append({**facts, "accuracy": accuracy})
    return found
