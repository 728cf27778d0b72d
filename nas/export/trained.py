"""A trained network with all that a bundle says of it: of a study's trial, or of what ``nas train`` wrote."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from nas.architecture.shapes import LARGEST
from nas.architecture.spec import Architecture
from nas.data.batches import standardisation
from nas.data.facts import checked_facts
from nas.data.preprocess import FORMAT, Pixels, network_input
from nas.data.sources import Dataset, load_test
from nas.data.types import ImageSet
from nas.errors import ExportError, StudyError
from nas.export.manifest import NamedImages
from nas.export.origin import ImagesOf, images_of_study, told_recipe
from nas.files import read_bounded
from nas.models.backends import Latency
from nas.models.build import Network, build_model
from nas.models.reading import read_network
from nas.records import TrialRecord, Variant
from nas.search.alike import TrainedElsewhere
from nas.search.study import Study
from nas.training.evaluate import evaluate
from nas.training.preparing import bring, validation_batch

RESULT = "result.json"
"""Figures of ``nas train``; a folder that has it is whole."""

CALIBRATED = 256
"""Training images, at most, on which integers are calibrated."""
_SHOWN = 256  # images on which formats are compared
_NOISE = 64
_MOST_PIXELS = 64 * 256**2  # of them all; larger images are fewer
_LARGEST_RESULT = 1 << 28  # bytes: the confusion of a thousand classes takes some million for each seed


@dataclass(frozen=True, slots=True)
class Trained:
    """A trained network.

    Attributes:
        architecture: What it is.
        model: In eval mode, on the CPU.
        preprocessing: What turns an image into its input (see ``nas/data/preprocess.py``), and its classes.
        origin: Where it was trained, for people.
        val_accuracy: On the validation images, in 0 to 1; None where there were none.
        test_accuracy: On the test images, likewise.
        tests: Number of test images.
        images: Some inputs, float32 of shape (count, channels, resolution, resolution).
        pixels: What they were made of, uint8 of shape (count, size, size, channels).
        shown: What these images are.
        data: Name of the images that it was trained on.
        recipe: How it was trained.
        seeds: Validation accuracy of every training of the network, its own among them, in 0 to 1.
        command: What exports it.
        trial: The study's trial that trained it, if one did.
        latency: Of the network, if it was measured.
        labels: Classes of ``images``, int64 of shape (count,); None where they are not known.
        training_images: Returns some inputs made of training images, float32 of shape (count, channels, resolution,
            resolution), which integers are calibrated on; None where there are none.
        images_of: Where its images are, if they are there.
        named: Else what an earlier bundle of the network says of them.
        variants: What ``nas compress`` made on the way.
        beside: Further files of the bundle, by their names in it.
        tested: Test accuracy of every training that the test images were shown to, its own among them, in 0 to 1.
    """

    architecture: Architecture
    model: Network
    preprocessing: Mapping[str, Any]
    origin: str
    val_accuracy: float | None
    test_accuracy: float | None
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
    labels: npt.NDArray[np.int64] | None = None
    training_images: Callable[[], npt.NDArray[np.float32]] | None = None
    images_of: ImagesOf | None = None
    named: NamedImages | None = None
    variants: tuple[Variant, ...] = ()
    beside: Mapping[str, Path] = field(default_factory=dict)
    tested: tuple[float, ...] = ()


def calibration_images(trained: Trained) -> npt.NDArray[np.float32]:
    """Return inputs made of training images, of shape (count, channels, resolution, resolution).

    Raises:
        ExportError: There are none.
    """
    if trained.training_images is None:
        raise ExportError("int8 is calibrated on training images, and what nas train wrote holds none")
    return trained.training_images()


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
    brought = partial(
        bring,
        resolution=architecture.resolution,
        standard=standardisation(dataset),
        recipe=study.config.recipe,
        device=device,
    )
    test = brought(load_test(study.config.data))
    accuracy = evaluate(model, test, batch=validation_batch(architecture, device)).accuracy
    study.add_test_look(trial.digest, accuracy, command="export")
    assert trial.accuracy is not None
    shown = some_images(dataset.validation, architecture.resolution)
    seen = some_images(dataset.train, architecture.resolution, most=CALIBRATED)
    further = [one.accuracy for one in study.repeats() if one.number == trial.number and one.accuracy is not None]
    return Trained(
        architecture,
        model,
        preprocessing_of(dataset, architecture.resolution),
        f"in the study `{study.name}` (trial {trial.number})",
        trial.accuracy,
        accuracy,
        len(test),
        next(brought(shown).in_order(len(shown))).images.contiguous(),
        shown.images,
        f"{len(shown)} validation images",
        dataset.name,
        told_recipe(study.config.recipe.resolved(len(dataset.train)).model_dump(mode="json")),
        (trial.accuracy, *further),
        f"nas export {study.name}#{trial.number}",
        trial,
        next(iter(study.latencies().get(trial.digest, [])), None),
        shown.labels,
        lambda: next(brought(seen).in_order(len(seen))).images.contiguous().numpy(),
        images_of=images_of_study(study, dataset),
    )


class Shown(NamedTuple):
    """Images on which formats are compared, as ``Trained`` has them.

    Attributes:
        images: As inputs of the network.
        pixels: As they are stored.
        labels: Their classes; None where they are not known.
    """

    images: torch.Tensor
    pixels: Pixels
    labels: npt.NDArray[np.int64] | None = None


def noise_images(preprocessing: Mapping[str, Any]) -> Shown:
    """Return images of noise, where there are no others."""
    shape = (_NOISE, preprocessing["size"], preprocessing["size"], preprocessing["channels"])
    pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    inputs = [network_input(one, preprocessing) for one in pixels]
    return Shown(torch.from_numpy(np.concatenate(inputs)), pixels)


def some_images(images: ImageSet, resolution: int, *, most: int = _SHOWN) -> ImageSet:
    """Return images of a split, evenly spaced since a source may be sorted by class; fewer where they are large."""
    count = min(most, len(images), max(1, _MOST_PIXELS // resolution**2))
    return images.take(np.linspace(0, len(images) - 1, count).astype(np.intp))


def is_training(folder: str | Path) -> bool:
    """Tell whether a folder is the finished result of ``nas train``."""
    return (Path(folder) / RESULT).is_file()


def trained_by_seeds(folder: Path) -> Trained:
    """Load the network of what ``nas train`` wrote: of its seeds, the best on the validation images.

    The folder may be a stranger's: of its files no more is read than they can hold, and nothing is unpickled.

    Raises:
        StudyError: The folder is not whole.
        ExportError: An earlier version wrote it, which did not keep how images are prepared.
        BundleError: A file of it is a link, too large, damaged, or not what belongs to its network.
    """
    content = read_bounded(folder / RESULT, most=_LARGEST_RESULT)
    try:
        result = json.loads(content)
        validated, tested = (
            [float(value) for value in result[f"{part}_accuracy"]["values"]] for part in ("val", "test")
        )
        best = int(np.argmax(validated))
        repeat = int(result.get("repeats", range(len(validated)))[best])
        tests = int(np.sum(result["test_confusion"][best]))
        preprocessing = result.get("preprocessing")
    except (RecursionError, ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise StudyError(f"{folder / RESULT}: is not what nas train writes ({error!r})") from None
    if preprocessing is None:
        raise ExportError(
            f"{folder / RESULT}: an earlier version wrote it, which did not keep how images are prepared; train again"
        )
    checked_facts(preprocessing, folder / RESULT, most_pixels=LARGEST)
    architecture, state = read_network(folder / "architecture.json", folder / f"weights-{repeat}.safetensors")
    model = build_model(architecture).eval()
    model.load_state_dict(state)
    noise = noise_images(preprocessing)
    return Trained(
        architecture,
        model,
        preprocessing,
        f"with `nas train` on {result['data']} (seed {repeat + 1} of {len(validated)}, the best on validation images)",
        validated[best],
        tested[best],
        tests,
        noise.images,
        noise.pixels,
        f"{_NOISE} images of noise, since what nas train wrote holds no images",
        result["data"],
        told_recipe(result.get("recipe", {})),
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
