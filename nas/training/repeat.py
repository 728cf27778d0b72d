"""Train one network to the end over several seeds, and look at the test images once for each."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from nas.architecture.spec import Architecture
from nas.data.batches import standardisation
from nas.data.sources import Dataset
from nas.data.types import ImageSet
from nas.errors import TrainingDiverged, WeightsError
from nas.models.build import Network, build_model
from nas.models.reference_weights import load_reference_weights
from nas.records import Epoch
from nas.training.evaluate import assess
from nas.training.loop import train, trial_seed
from nas.training.preparing import bring, require_batch, validation_batch
from nas.training.recipe import Recipe
from nas.training.result import Assessment, StepDone, TrainingResult

UNFINISHED = "unfinished-{}.safetensors"
"""Name of the checkpoint of a repeat."""

_HEAD = ("classifier.weight", "classifier.bias")

AFTER_SEARCHES = 1_000
"""From here on, repeats have seeds that no search has: its trials are repeat 0, their replicates follow."""


@dataclass(frozen=True, slots=True)
class SeedResult:
    """One training of a network.

    Attributes:
        repeat: Counted from 0.
        model: In eval mode, on the device it was trained on.
        curve: One entry per epoch.
        val_accuracy: Of the last epoch, in 0 to 1.
        test: What the model does on the test images, which were looked at once, after training.
        train_seconds: Of all epochs, validation included, interruptions left out.
        images_per_second: Training images in all steps for each second of training, validation included.
        micro_batch: Most images that the device had memory for at once; None for whole batches.
        data_share: Share of the steps' time that went into making batches, in 0 to 1.
    """

    repeat: int
    model: Network
    curve: tuple[Epoch, ...]
    val_accuracy: float
    test: Assessment
    train_seconds: float
    images_per_second: float
    micro_batch: int | None
    data_share: float


class MeanAndStd(NamedTuple):
    """Mean, and standard deviation of the sample; a single value has none."""

    mean: float
    std: float | None


def train_repeatedly(
    architecture: Architecture,
    dataset: Dataset,
    test: ImageSet,
    recipe: Recipe,
    *,
    repeats: int,
    seed: int = 0,
    counted_from: int = 0,
    device: torch.device,
    initial: Mapping[str, Tensor] | None = None,
    folder: Path | None = None,
    on_epoch: Callable[[int, Epoch], None] | None = None,
    on_step: Callable[[int, StepDone], None] | None = None,
    on_result: Callable[[SeedResult], None] | None = None,
    on_diverged: Callable[[int, str], None] | None = None,
) -> list[SeedResult]:
    """Train a network several times, each time from another seed.

    Args:
        architecture: What to train.
        dataset: Training and validation images.
        test: Test images.
        recipe: How.
        repeats: Number of trainings.
        seed: That of each training follows from it, the network and the repeat.
        counted_from: Added to the repeat for its seed; ``AFTER_SEARCHES`` for a network that a search has chosen, since
            the training that it was chosen by is a lucky one.
        device: Where.
        initial: As for ``train``.
        folder: Holds a checkpoint of each training, which the caller removes once the results are kept; without it
            interrupted trainings begin anew.
        on_epoch: Called with the repeat and each epoch.
        on_step: Called with the repeat and how far it is, after each step.
        on_result: Called after each training.
        on_diverged: Called with the repeat and the reason for each training that diverged; the others go on. Without it
            the first is an error.

    Returns:
        Those that did not diverge.

    Raises:
        ConfigError: The steps are too small.
        TrainingDiverged: The loss of an epoch is not finite, in all trainings or without ``on_diverged``.
    """
    standard = standardisation(dataset)
    results: list[SeedResult] = []
    trained = train_seeds(
        architecture,
        dataset,
        recipe,
        repeats=repeats,
        seed=seed,
        counted_from=counted_from,
        device=device,
        initial=initial,
        folder=folder,
        on_epoch=on_epoch,
        on_step=on_step,
        on_diverged=on_diverged,
    )
    for repeat, result in trained:
        images = bring(test, resolution=architecture.resolution, standard=standard, recipe=recipe, device=device)
        tested = assess(
            result.model,
            images,
            num_classes=len(dataset.classes),
            precision=recipe.precision,
            batch=validation_batch(architecture, device),
        )
        found = SeedResult(
            repeat=repeat,
            model=result.model,
            curve=result.curve,
            val_accuracy=result.val_accuracy,
            test=tested,
            train_seconds=result.train_seconds,
            images_per_second=result.steps * recipe.step_images(len(dataset.train)) / result.train_seconds,
            micro_batch=result.micro_batch,
            data_share=result.data_share,
        )
        results.append(found)
        if on_result is not None:
            on_result(found)
    return results


def train_seeds(
    architecture: Architecture,
    dataset: Dataset,
    recipe: Recipe,
    *,
    repeats: int,
    seed: int = 0,
    counted_from: int = 0,
    device: torch.device,
    initial: Mapping[str, Tensor] | None = None,
    folder: Path | None = None,
    on_epoch: Callable[[int, Epoch], None] | None = None,
    on_step: Callable[[int, StepDone], None] | None = None,
    on_diverged: Callable[[int, str], None] | None = None,
) -> Iterator[tuple[int, TrainingResult]]:
    """Train a network from several seeds, and yield the repeat and the result of each that does not diverge.

    No test image is looked at. Arguments and errors are those of ``train_repeatedly``.
    """
    require_batch(recipe, len(dataset.train))
    all_diverged = True
    for repeat in range(repeats):
        try:
            result = train(
                architecture,
                dataset,
                recipe,
                seed=trial_seed(seed, architecture.digest, counted_from + repeat),
                device=device,
                on_epoch=None if on_epoch is None else partial(on_epoch, repeat),
                checkpoint=None if folder is None else folder / UNFINISHED.format(repeat),
                keep_checkpoint=True,
                initial=initial,
                on_step=None if on_step is None else partial(on_step, repeat),
            )
        except TrainingDiverged as error:
            if on_diverged is None:
                raise TrainingDiverged(f"training {repeat + 1} of {repeats}: {error}") from None
            on_diverged(repeat, str(error))
            if repeat + 1 == repeats and all_diverged:
                raise TrainingDiverged(f"every training diverged, {repeats} of {repeats}; the last: {error}") from None
            continue
        all_diverged = False
        yield repeat, result


def mean_and_std(values: Sequence[float]) -> MeanAndStd:
    """Return mean and standard deviation of figures of several seeds."""
    return MeanAndStd(statistics.mean(values), statistics.stdev(values) if len(values) > 1 else None)


def read_initial_weights(path: Path, architecture: Architecture) -> dict[str, Tensor]:
    """Read weights to begin a training with: those of an export or study, or a torchvision network's.

    The classifier is left out where it has other classes, so that it begins fresh.

    Args:
        path: A safetensors file, or a state dict that ``torch.save`` wrote; nothing but tensors is unpickled.
        architecture: Of the network that begins with them; a preset for torchvision's weights.

    Raises:
        WeightsError: The file cannot be read, or its tensors are not those of the architecture.
    """
    state = _read_tensors(path)
    if "classifier.weight" not in state or not any(key.startswith("stem.") for key in state):
        try:
            state = _from_torchvision(state, architecture)
        except WeightsError as error:
            raise WeightsError(f"{path}: {error}") from None
    expected = build_model(architecture).state_dict()
    fresh = _HEAD if _other_classes(state, expected) else ()
    for key, tensor in state.items():
        if key not in expected:
            raise WeightsError(f"{path}: {key} has no counterpart in {architecture.name or 'the network'}")
        if tensor.shape != expected[key].shape and key not in fresh:
            raise WeightsError(f"{path}: {key} has shape {_text(tensor)}, but the network's has {_text(expected[key])}")
    return {key: tensor for key, tensor in state.items() if key not in fresh}


def _other_classes(state: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> bool:
    """Tell whether weights are a classifier's of the same features and of another number of classes."""
    weight, bias = (state.get(key) for key in _HEAD)
    if weight is None or bias is None or weight.ndim != 2:
        return False
    classes, features = weight.shape
    known, fits = expected[_HEAD[0]].shape
    return classes != known and features == fits and bias.shape == (classes,)


def _text(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "()"


def _read_tensors(path: Path) -> dict[str, Tensor]:
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        state: Any = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise WeightsError(f"{path}: no such file") from None
    except (SafetensorError, OSError, RuntimeError, ValueError, EOFError, KeyError) as error:
        raise WeightsError(f"{path}: cannot be read as weights ({' '.join(str(error).split())[:200]})") from None
    except Exception as error:  # pickle's errors of files that hold more than tensors
        raise WeightsError(f"{path}: contains more than tensors ({type(error).__name__})") from None
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise WeightsError(f"{path}: must be a state dict of tensors")
    return state


def _from_torchvision(state: dict[str, Tensor], architecture: Architecture) -> dict[str, Tensor]:
    """Return a torchvision state dict under this project's names, whatever its number of classes."""
    heads = [state[key] for key in ("fc.bias", "classifier.1.bias") if key in state]
    if heads and (heads[0].ndim != 1 or len(heads[0]) == 0):
        raise WeightsError(
            f"the classifier's bias has shape {_text(heads[0])}, but must have one number for each class"
        )
    classes = len(heads[0]) if heads else architecture.num_classes
    full = replace(architecture, num_classes=classes)
    model = build_model(full)
    load_reference_weights(model, full, state)
    return model.state_dict()
