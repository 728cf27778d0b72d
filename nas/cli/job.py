"""What nas train is to do: a network, images, a recipe and weights, as the command line names them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from nas.cli.network import architecture_of
from nas.cli.trial import named_trial
from nas.errors import ConfigError, StudyError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch

    from nas.architecture.spec import Architecture
    from nas.data.sources import DataConfig, Dataset
    from nas.data.types import ImageSet
    from nas.records import TrialRecord
    from nas.training.recipe import Recipe

_DIGITS = "digits"
"""Names images and a shipped study of them."""


class Job(NamedTuple):
    """What is to be trained on what, and how.

    Attributes:
        architecture: The network.
        dataset: Training and validation images.
        test: Test images.
        recipe: How.
        notes: What to know of the images.
        selecting: The trial that named the network, whose training chose it.
        study: The study whose images these are, if it has been run.
        storage: URL of its database, if that is not in its folder.
    """

    architecture: Architecture
    dataset: Dataset
    test: ImageSet
    recipe: Recipe
    notes: tuple[str, ...] = ()
    selecting: TrialRecord | None = None
    study: str | None = None
    storage: str | None = None

    def keep_look(self, accuracy: float) -> None:
        """Write into the study that its test images were looked at."""
        from nas.search.opening import open_study

        if self.study is not None:
            with open_study(self.study, storage=self.storage) as opened:
                opened.add_test_look(self.architecture.digest, accuracy, command="train")

    def keep_reference(self, accuracies: Sequence[float], *, epochs: int, pretrained: bool, command: str) -> str | None:
        """Keep the network as a reference of the study whose images it was trained on; return what to say of it.

        A network that the study has found itself is none, nor one that another metric was measured of or that was
        trained on images which have changed since the study was run.

        Args:
            accuracies: On the validation images, one for each seed.
            epochs: That it was trained.
            pretrained: Whether it began from given weights.
            command: By which it was trained.
        """
        from nas.architecture.cost import count_cost
        from nas.records import Reference, metric_name
        from nas.search.opening import open_study
        from nas.search.storage.images import require_same_images

        if self.study is None or self.selecting is not None:
            return None
        cost, network = count_cost(self.architecture), self.architecture
        reference = Reference(
            name=network.name or network.digest,
            digest=network.digest,
            flops=cost.flops,
            params=cost.params,
            activations=cost.activations,
            resolution=network.resolution,
            accuracies=tuple(accuracies),
            pretrained=pretrained,
            epochs=epochs,
            command=command,
        )
        with open_study(self.study, storage=self.storage) as opened:
            if (metric := opened.config.recipe.metric) != self.recipe.metric:
                return f"Not kept as a reference of {self.study}: that compares networks by {metric_name(metric)}"
            if (opened.config.recipe.distillation is None) != (self.recipe.distillation is None):
                how = "alone" if opened.config.recipe.distillation is None else "with a teacher"
                return f"Not kept as a reference of {self.study}: that trains networks {how}"
            try:
                require_same_images(opened.name, then=opened.image_digests(), now=self.dataset.identity)
            except StudyError as error:
                return f"Not kept as a reference of {self.study}: {error}"
            opened.add_reference(reference)
        return f"Kept as a reference of {self.study}: nas front {self.study} shows it"

    def warn_of_looks(self) -> str | None:
        """Return what to say once the study's test images were looked at with more than one network."""
        from nas.analysis.looks import warn_of_test_looks
        from nas.search.opening import open_study

        if self.study is None:
            return None
        with open_study(self.study, storage=self.storage) as opened:
            return warn_of_test_looks(opened)


def make_job(
    network: str,
    data: str | None,
    coefficients: dict[str, Any],
    settings: list[str] | None,
    epochs: int | None,
    storage: str | None,
) -> Job:
    """Return what the command line says is to be trained."""
    from nas.data.sources import load_data, load_test
    from nas.training.preparing import mirror_note, require_batch
    from nas.training.recipe import Recipe, without_effect

    named = named_study(data, storage)
    source, recipe = (None, Recipe()) if data is None else data_and_recipe(data, named, storage)
    architecture = selecting = dataset = None
    tested = _run_study(named, storage)
    if "#" in network:
        if coefficients:
            raise ConfigError(f"--{next(iter(coefficients))} does not apply: {network} is a trial of a study")
        with named_trial(network, storage) as (opened, selecting):
            architecture = opened.architecture(selecting)
            dataset = opened.verified() if source is None else None
        if source is None:
            source, recipe, tested = opened.config.data, opened.config.recipe, network.rpartition("#")[0]
    if source is None:
        raise ConfigError("--data is missing: give digits, folder=PATH, ... or a study")
    dataset = load_data(source) if dataset is None else dataset
    recipe = changed_recipe(recipe.reopened(len(dataset.train)), settings or [], epochs)
    require_batch(recipe, len(dataset.train))
    if architecture is None:
        given = {**coefficients, "classes": len(dataset.classes), "channels": dataset.channels}
        is_file = Path(network).suffix == ".json"
        architecture = architecture_of(network, coefficients if is_file else given)
    fits = (architecture.num_classes, architecture.in_channels) == (len(dataset.classes), dataset.channels)
    if not fits:
        raise StudyError(
            f"{network} has {architecture.num_classes} classes and {architecture.in_channels} channels, but"
            f" {dataset.name} has {len(dataset.classes)} and {dataset.channels}"
        )
    note = mirror_note(source, dataset, recipe)
    keys = [text.partition("=")[0] for text in settings or []]
    both = [f"digits is the study of that name, with its recipe; the images alone: --data {_DIGITS}=true"]
    notes = (
        *(both if named == _DIGITS else []),
        *dataset.notes,
        *([] if note is None else [note]),
        *without_effect(recipe, keys),
    )
    return Job(architecture, dataset, load_test(source), recipe, notes, selecting, tested, storage)


def initial_weights(text: str, architecture: Architecture, storage: str | None) -> dict[str, torch.Tensor]:
    """Read what ``--weights`` names: a file, or that of a trial."""
    from nas.training.repeat import read_initial_weights

    if "#" not in text or Path(text).exists():
        return read_initial_weights(Path(text), architecture)
    with named_trial(text, storage) as (opened, trial):
        path = opened.weights(trial)
    if not path.is_file():
        raise StudyError(f"{path}: no such file; the weights of {text} were pruned, or are on the machine that ran it")
    return read_initial_weights(path, architecture)


def named_study(data: str | None, storage: str | None) -> str | None:
    """Return the study that ``--data`` names; ``digits`` names one where it was run, and images elsewhere."""
    from nas.search.opening import find_study

    if data is None or "=" in data:
        return None
    if data == _DIGITS:
        with find_study(data, storage=storage) as found:
            return data if found.was_run() else None
    return data


def data_and_recipe(text: str, named: str | None, storage: str | None) -> tuple[DataConfig, Recipe]:
    """Return the images that ``--data`` names, and how to train on them: as the study says, or by default."""
    from nas.data.sources import SOURCES, DataConfig
    from nas.schema import did_you_mean, validate
    from nas.search.opening import find_study
    from nas.training.recipe import Recipe

    if named is not None:
        with find_study(named, storage=storage) as study:
            return study.as_begun().config.data, study.config.recipe
    if text in (_DIGITS, f"{_DIGITS}=true"):
        return DataConfig(digits=True), Recipe()
    key, _, value = text.partition("=")
    if key not in SOURCES:
        raise ConfigError(f"--data: unknown source {key!r}{did_you_mean(key, SOURCES)}; or give a study")
    return validate(DataConfig, {key: value}, source="--data"), Recipe()


def changed_recipe(recipe: Recipe, settings: list[str], epochs: int | None) -> Recipe:
    """Return a recipe with the fields that ``--set`` and ``--epochs`` name."""
    from nas.schema import parse_yaml, validate

    changes: dict[str, Any] = {} if epochs is None else {"epochs": epochs}
    for text in settings:
        key, equals, value = text.partition("=")
        if not equals:
            raise ConfigError(f"--set: {text!r} must be KEY=VALUE, for example optimizer=adamw")
        if key in changes:
            raise ConfigError(f"--set: {key} is given twice")
        changes[key] = parse_yaml(value, source=f"--set {text}")
    document = recipe.model_dump()
    lengths = {"epochs", "steps", "images"}
    if lengths & changes.keys():
        document = {key: value for key, value in document.items() if key not in lengths}
    return validate(type(recipe), {**document, **changes}, source="--set")


def _run_study(named: str | None, storage: str | None) -> str | None:
    """Return the study that ``--data`` names, if it has been run."""
    from nas.search.opening import find_study

    if named is None:
        return None
    with find_study(named, storage=storage) as found:
        return named if found.was_run() else None
