"""A trained network with all that a bundle says of it: of a study's trial, or of what ``nas train`` wrote."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from nas.architecture.serialization import load_architecture
from nas.architecture.spec import Architecture
from nas.data.batches import standardisation
from nas.data.preprocess import FORMAT, Pixels, network_input
from nas.data.sources import Dataset, load_test
from nas.errors import ExportError, StudyError
from nas.models.backends import Latency
from nas.models.build import Network, build_model
from nas.records import TrialRecord
from nas.search.alike import TrainedElsewhere
from nas.search.study import Study
from nas.training.evaluate import evaluate
from nas.training.preparing import bring, validation_batch
from nas.training.recipe import Recipe
from nas.training.repeat import SeedResult

RESULT = "result.json"
"""Figures of ``nas train``; a folder that has it is whole."""

_SHOWN = 64  # images on which the formats are compared


@dataclass(frozen=True, slots=True)
class Trained:
    """A trained network.

    Attributes:
        architecture: What it is.
        model: In eval mode, on the CPU.
        preprocessing: What turns an image into its input (see ``nas/data/preprocess.py``), and its classes.
        origin: Where it was trained, for people.
        val_accuracy: On the validation images, in 0 to 1.
        test_accuracy: On the test images, in 0 to 1.
        tests: Number of test images.
        images: Some inputs, float32 of shape (count, channels, resolution, resolution).
        pixels: What they were made of, uint8 of shape (count, size, size, channels).
        shown: What these images are.
        data: Name of the images that it was trained on.
        recipe: How it was trained.
        seeds: Validation accuracy of every training of the network, its own among them, in 0 to 1.
        command: What exports it.
        trial: The study's trial that trained it or proposed it, if one did.
        latency: Of the network, if it was measured.
        tested: Test accuracy of every training that the test images were shown to, its own among them, in 0 to 1.
    """

    architecture: Architecture
    model: Network
    preprocessing: Mapping[str, Any]
    origin: str
    val_accuracy: float
    test_accuracy: float
    tests: int
    images: torch.Tensor
    pixels: Pixels
    shown: str
    data: str
    recipe: Mapping[str, Any]
    seeds: tuple[float, ...]
    command: str
    trial: TrialRecord | None = None
    latency: Latency | None = None
    tested: tuple[float, ...] = ()


def preprocessing_of(dataset: Dataset, resolution: int) -> dict[str, Any]:
    """Return what a network trained on these images needs to be given others: plain JSON data."""
    standard = standardisation(dataset)
    return {
        "format": FORMAT,
        "classes": list(dataset.classes),
        "channels": dataset.channels,
        "color": dataset.color,
        "size": dataset.native_size,
        "resolution": resolution,
        "mean": list(standard.mean),
        "std": list(standard.std),
    }


def trained_by_study(study: Study, trial: TrialRecord) -> Trained:
    """Load the network of a trial and try it on the test images, which the study keeps in mind.

    Raises:
        StudyError: The weights are not on this machine, or the images are others.
        DataError: The images no longer exist.
    """
    dataset = study.verified()
    path = study.weights(trial)
    if not path.is_file():
        with study.database.errors():
            others = TrainedElsewhere(study).studies_with(trial.digest)
        lie = f", or lie with a study that trained this network too: {', '.join(others)}" if others else ""
        raise StudyError(
            f"{path}: no such file; the weights were pruned, or are on the machine that ran trial {trial.number}{lie}"
        )
    architecture, device = study.architecture(trial), torch.device("cpu")
    model = _with_weights(architecture, path)
    standard, recipe = standardisation(dataset), study.config.recipe
    images = load_test(study.config.data)
    test = bring(images, resolution=architecture.resolution, standard=standard, recipe=recipe, device=device)
    accuracy = evaluate(model, test, batch=validation_batch(architecture, device)).accuracy
    study.add_test_look(trial.digest, accuracy, command="export")
    assert trial.accuracy is not None
    shown, pixels = _shown(dataset, recipe, architecture.resolution)
    further = [one.accuracy for one in study.repeats() if one.number == trial.number and one.accuracy is not None]
    return Trained(
        architecture,
        model,
        preprocessing_of(dataset, architecture.resolution),
        f"in the study `{study.name}` (trial {trial.number})",
        trial.accuracy,
        accuracy,
        len(test),
        shown,
        pixels,
        f"{len(pixels)} validation images",
        dataset.name,
        recipe.resolved(len(dataset.train)).model_dump(mode="json"),
        (trial.accuracy, *further),
        f"nas export {study.name}#{trial.number}",
        trial,
        next(iter(study.latencies().get(trial.digest, [])), None),
        (accuracy,),
    )


def trained_anew(
    architecture: Architecture,
    dataset: Dataset,
    recipe: Recipe,
    results: Sequence[SeedResult],
    *,
    origin: str,
    command: str,
    trial: TrialRecord,
    latency: Latency | None = None,
) -> Trained:
    """Return a trial's network after further trainings: of their seeds, the best on the validation images.

    Args:
        architecture: Of the trial.
        dataset: The images that it was trained on.
        recipe: How it was trained.
        results: At least one.
        origin: Where the trial was, for people.
        command: What trains and exports it.
        trial: Whose network it is; its own training is not counted.
        latency: Of the network, if it was measured.
    """
    best = max(results, key=lambda result: result.val_accuracy)
    model = build_model(architecture).eval()
    model.load_state_dict({name: tensor.cpu() for name, tensor in best.model.state_dict().items()})
    images, pixels = _shown(dataset, recipe, architecture.resolution)
    return Trained(
        architecture,
        model,
        preprocessing_of(dataset, architecture.resolution),
        f"{origin}, trained anew (seed {best.repeat + 1} of {len(results)}, the best on validation images)",
        best.val_accuracy,
        best.test.accuracy,
        int(np.sum(best.test.confusion)),
        images,
        pixels,
        f"{len(pixels)} validation images",
        dataset.name,
        recipe.resolved(len(dataset.train)).model_dump(mode="json"),
        tuple(result.val_accuracy for result in results),
        command,
        trial,
        latency,
        tuple(result.test.accuracy for result in results),
    )


def _shown(dataset: Dataset, recipe: Recipe, resolution: int) -> tuple[torch.Tensor, Pixels]:
    """Return some validation images: inputs and what they were made of, as in ``Trained``."""
    shown = dataset.validation.take(np.arange(min(_SHOWN, len(dataset.validation))))
    standard, device = standardisation(dataset), torch.device("cpu")
    brought = bring(shown, resolution=resolution, standard=standard, recipe=recipe, device=device)
    return next(brought.in_order(_SHOWN)).images.contiguous(), shown.images


def is_training(folder: str | Path) -> bool:
    """Tell whether a folder is the finished result of ``nas train``."""
    return (Path(folder) / RESULT).is_file()


def trained_by_seeds(folder: Path) -> Trained:
    """Load the network of what ``nas train`` wrote: of its seeds, the best on the validation images.

    Raises:
        StudyError: The folder is not whole.
        ExportError: An earlier version wrote it, which did not keep how images are prepared.
    """
    architecture = load_architecture(folder / "architecture.json")
    try:
        result = json.loads((folder / RESULT).read_text(encoding="utf-8"))
        validated, tested = result["val_accuracy"]["values"], result["test_accuracy"]["values"]
        best = int(np.argmax(validated))
        repeat = result.get("repeats", range(len(validated)))[best]
        tests = int(np.sum(result["test_confusion"][best]))
        preprocessing = result.get("preprocessing")
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        raise StudyError(f"{folder / RESULT}: is not what nas train writes ({error!r})") from None
    if preprocessing is None:
        raise ExportError(
            f"{folder / RESULT}: an earlier version wrote it, which did not keep how images are prepared; train again"
        )
    noise = np.random.default_rng(0)
    shape = (_SHOWN, preprocessing["size"], preprocessing["size"], preprocessing["channels"])
    pixels = noise.integers(0, 256, shape, np.uint8)
    return Trained(
        architecture,
        _with_weights(architecture, folder / f"weights-{repeat}.safetensors"),
        preprocessing,
        f"with `nas train` on {result['data']} (seed {repeat + 1} of {len(validated)}, the best on validation images)",
        validated[best],
        tested[best],
        tests,
        torch.from_numpy(np.concatenate([network_input(one, preprocessing) for one in pixels])),
        pixels,
        f"{_SHOWN} images of noise, since what nas train wrote holds no images",
        result["data"],
        result.get("recipe", {}),
        tuple(validated),
        "nas export FOLDER",
        tested=tuple(tested),
    )


def _with_weights(architecture: Architecture, path: Path) -> Network:
    model = build_model(architecture)
    try:
        model.load_state_dict(load_file(path))
    except (OSError, RuntimeError, SafetensorError) as error:
        reason = " ".join(str(error).split())[:200]
        raise StudyError(f"{path}: cannot be read as weights of the network ({reason})") from None
    return model.eval()
