"""Where the figures of a page come from: the study's definition, versions, hardware, the command, what columns mean."""

from __future__ import annotations

import platform
from collections import Counter, defaultdict
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import yaml

from nas.data.sources import PATHS
from nas.records import Metric, Repeat, TrialRecord
from nas.report.answer import Fact
from nas.search.study import Study
from nas.training.recipe import Recipe
from nas.units import format_seconds

_PACKAGES = ("nas-explorer", "torch", "optuna", "plotly", "numpy")


def definition(study: Study) -> str:
    """Return a study's definition as YAML, without what holds its default; of images' paths only the last part."""
    document: dict[str, Any] = study.config.model_dump(mode="json", exclude_defaults=True)
    for key in PATHS:
        if document["data"].get(key):
            document["data"][key] = getattr(study.config.data, key).name
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=100)


def origin(study: Study, command: str) -> list[Fact]:
    """Return by what and where a page's figures were made."""
    facts = [
        Fact("Command", command),
        Fact("Trained on", _devices(study)),
        Fact("Recipe", describe_recipe(study.config.recipe)),
        Fact("Database", str(study.database)),
        Fact("Page written by", _versions()),
    ]
    if study.fingerprint:
        facts.insert(3, Fact("Fingerprint of the images", study.fingerprint))
    return facts


def _devices(study: Study) -> str:
    """Return what trained how many networks, and how long."""
    trainings: list[TrialRecord | Repeat] = [*study.trials(), *study.repeats()]
    counts, seconds = Counter[str](), defaultdict[str, float](float)
    for training in trainings:
        if training.device:
            counts[training.device] += 1
            seconds[training.device] += training.train_seconds or 0.0
    told = (f"{device}: {n:,} trainings, {format_seconds(seconds[device])}" for device, n in counts.most_common())
    return "; ".join(told) or "nothing yet"


def _versions() -> str:
    found = []
    for package in _PACKAGES:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:  # run from its folder, not installed
            continue
    return f"{', '.join(found)}, Python {platform.python_version()}. The trainings' versions are not stored."


def describe_recipe(recipe: Recipe) -> str:
    """Return the main fields of a recipe and those that differ from the defaults, in one line."""
    shown = {"optimizer", "learning_rate", "schedule", "batch_size", "weight_decay", "label_smoothing"}
    fields = [
        (key, value)
        for key, value in recipe
        if value is not None and (key in shown or value != type(recipe).model_fields[key].default)
    ]
    words = {True: "yes", False: "no"}
    told = [(key, words[value] if isinstance(value, bool) else value) for key, value in fields]
    return ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in told)


_METRICS: dict[Metric, str] = {
    "accuracy": "Share of right answers",
    "balanced_accuracy": "Balanced accuracy: the mean over the classes of the share of right answers,",
    "macro_f1": "Macro F1: the mean of F1 over the classes,",
}


def columns(study: Study, *, looks: int) -> list[Fact]:
    """Return what each column of the page means.

    Args:
        study: A study that has been run.
        looks: Networks with which its test images were looked at.
    """
    return [
        Fact("expected", "The accuracy to expect on new images, over all seeds: what was measured, drawn towards what"
             " networks of the same cost have as far as it is noise. The front goes by it. ± is one standard error."),
        Fact("measured", f"{_METRICS[study.config.recipe.metric]} after the last epoch, {_validation(study)} The mean"
             " over seeds, ± the standard deviation where there are several. Small differences are noise."
             f" {_tested(looks)}"),
        Fact("seeds", "How often the network was trained, from different seeds."),
        Fact("P(front)", "Probability that the network is on the true front: that no other network with the same FLOPs"
             " or fewer is truly as accurate."),
        Fact("within noise of", "The network before it on the front, if their difference is less than two standard"
             " deviations of what it may be."),
        Fact("FLOPs", "For one image, as fvcore counts them: one multiply-add is one FLOP; batch norm and average"
             " pooling are included."),
        Fact("parameters", "Numbers that training changes."),
        Fact("activations", "Elements that all convolutions and linear layers put out for one image."),
        Fact("trained in", "Duration of the trial's own training, validation included, in seconds."),
        Fact("width, depth, px", "Coefficients of the search space's table, and the resolution in pixels."),
    ]  # fmt: skip


def _validation(study: Study) -> str:
    data = study.config.data
    own = "the data's own where there are some, otherwise " if data.folder or data.hf or data.npz else ""
    carved = f"{100 * data.validation:g} % of the training images, set aside before."
    return f"on validation images, which no training saw: {own}{carved}"


def _tested(looks: int) -> str:
    if not looks:
        return "The test images have not been looked at."
    networks = "1 network" if looks == 1 else f"{looks} networks: choosing by test accuracy makes it optimistic"
    return f"The test images have been looked at with {networks}."
