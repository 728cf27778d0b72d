"""A trained network as a folder that needs nothing of this package: code, weights, ONNX, instructions."""

from __future__ import annotations

import inspect
import json
import math
import shutil
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import torch

from nas.analysis.pareto import front_with_noise, pareto_front
from nas.analysis.recommendation import knee as knee_of
from nas.analysis.recommendation import points_within, require_knee
from nas.architecture.serialization import architecture_to_json
from nas.data import preprocess
from nas.errors import StudyError
from nas.export import manifest
from nas.export.card import model_card
from nas.export.code.module import CODE_VERSION, model_code
from nas.export.comparing import compare
from nas.export.formats import Parity
from nas.export.names import EARLIER, FILES, INT8_ONNX, INT8_TFLITE, OPTIONAL, PIXELS_ONNX, TFLITE
from nas.export.origin import named_images
from nas.export.pixels import write_pixels_onnx
from nas.export.place import replaced_folder, require_replaceable
from nas.export.tflite.writing import require_tools, write_int8_tflite, write_tflite
from nas.export.trained import Trained, calibration_images, trained_by_seeds, trained_by_study
from nas.models.device import describe_device, describe_versions
from nas.models.onnx import DEFAULT_OPSET, export_onnx, require_opset
from nas.records import TrialRecord
from nas.search.study import Study
from nas.training.checkpoint import save_weights

Quantize: TypeAlias = Callable[[Path, npt.NDArray[np.float32], Path], None]
"""Writes the int8 network of an ONNX file: the file, images to calibrate it on, and the file to write."""

_RANGES = 8


class Options(NamedTuple):
    """How a bundle is written.

    Attributes:
        opset: Version of ONNX's operators, 18 to 23.
        with_preprocessing: Whether to add an ONNX file that takes uint8 pixels.
        force: Whether an earlier export may be replaced.
        quantize: Writes ``model-int8.onnx``, where that is to be added; it is calibrated on training images.
        tflite: Whether to add ``model.tflite``, which is converted in an environment that NAS_LITERT_PYTHON names.
        tflite_int8: Whether to add ``model-int8.tflite``, likewise.
    """

    opset: int = DEFAULT_OPSET
    with_preprocessing: bool = False
    force: bool = False
    quantize: Quantize | None = None
    tflite: bool = False
    tflite_int8: bool = False


@dataclass(frozen=True, slots=True)
class ExportedNetwork:
    """What ``export_network`` or ``export_training`` wrote.

    Attributes:
        directory: Folder that contains the files.
        origin: Where the network was trained, for people.
        trial: The trial that trained it, if one did.
        test_accuracy: Share of the test images that the network gets right, in 0 to 1; NaN where there were none.
        compared_on: The images on which the formats were compared.
        formats: How each format compared with the PyTorch module.
    """

    directory: Path
    origin: str
    trial: TrialRecord | None
    test_accuracy: float
    compared_on: str
    formats: tuple[Parity, ...]

    @property
    def onnx_difference(self) -> float:
        """Largest absolute difference of a logit between PyTorch and onnxruntime."""
        return next(parity.difference for parity in self.formats if parity.file == "model.onnx")


def choose_trial(
    study: Study, *, number: int | None = None, max_flops: int | None = None, knee: bool = False
) -> TrialRecord:
    """Return one trial of a study.

    Args:
        study: A study that has been run.
        number: Number of the trial. A repeated trial stands for the one it repeats.
        max_flops: Alternatively, take the network that ``recommend`` takes within this many FLOPs.
        knee: Alternatively, take the knee of the front, within ``max_flops`` if that is given.

    Raises:
        StudyError: Neither or both are given, or there is no such trained network.
    """
    if (number is None) == (max_flops is None and not knee):
        raise StudyError(
            "give either a trial or a limit on the FLOPs, or the knee of the front (--trial N, --max-flops N or --knee)"
        )
    if number is None:
        points = points_within(study.name, front_with_noise(study), max_flops)
        found = require_knee(study.name, knee_of(points), networks=len(points)) if knee else points[-1]
        return found.trial
    trials = {trial.number: trial for trial in study.trials()}
    if number not in trials:
        known = number_ranges(t.number for t in trials.values() if t.state in ("trained", "repeated"))
        raise StudyError(f"study {study.name!r} has no trial {number}; trained: {known or 'none yet'}")
    trial = trials[number]
    if trial.state == "repeated" and trial.repeat_of is not None:
        trial = trials[trial.repeat_of]
    if trial.state != "trained":
        reason = {"infeasible": "was outside the budget and never trained", "failed": f"failed ({trial.error})"}
        reason["diverged"] = f"diverged ({trial.error})"
        reason["stopped"] = f"was stopped after epoch {trial.epochs} and has no weights"
        known = ", ".join(str(t.number) for t in pareto_front(study))
        raise StudyError(
            f"trial {number} of {study.name!r} {reason.get(trial.state, f'is {trial.state}')}; the front has"
            f" {f'trials {known}' if known else 'no trial yet'}"
        )
    return trial


def number_ranges(numbers: Iterable[int]) -> str:
    """Return numbers in words, those that follow one another as a range, and only the last few ranges of many."""
    runs = list[list[int]]()
    for number in sorted(numbers):
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    words = [str(run[0]) if len(run) == 1 else f"{run[0]} to {run[-1]}" for run in runs]
    return ", ".join(["...", *words[-_RANGES:]] if len(words) > _RANGES else words)


def export_network(
    study: Study,
    trial: TrialRecord,
    directory: str | Path,
    *,
    opset: int = DEFAULT_OPSET,
    with_preprocessing: bool = False,
    force: bool = False,
    quantize: Quantize | None = None,
    tflite: bool = False,
    tflite_int8: bool = False,
) -> ExportedNetwork:
    """Write a trained network of a study to a folder and check it.

    Args:
        study: The study that trained it. It keeps that its test images were looked at.
        trial: A trained trial of the study.
        directory: A new or empty folder.
        opset: Version of ONNX's operators, 18 to 23.
        with_preprocessing: Whether to add an ONNX file that takes uint8 pixels.
        force: Whether the folder may be an earlier export, which is replaced.
        quantize: Writes ``model-int8.onnx``, where that is to be added.
        tflite: Whether to add ``model.tflite``; the variable NAS_LITERT_PYTHON names what converts it.
        tflite_int8: Whether to add ``model-int8.tflite``.

    Raises:
        ExportError: The folder cannot be written or contains other files, or a format disagrees with PyTorch.
        StudyError: The weights are not on this machine.
        DataError: The images, which are needed for the test accuracy, no longer exist.
    """
    options = Options(opset, with_preprocessing, force, quantize, tflite, tflite_int8)
    return _export(lambda: trained_by_study(study, trial), Path(directory), options)


def export_training(
    folder: str | Path,
    directory: str | Path,
    *,
    opset: int = DEFAULT_OPSET,
    with_preprocessing: bool = False,
    force: bool = False,
    quantize: Quantize | None = None,
    tflite: bool = False,
    tflite_int8: bool = False,
) -> ExportedNetwork:
    """Write what ``nas train`` trained to a folder and check it: of its seeds, the best on the validation images.

    No image is looked at again; the test accuracy is that of the training.

    Args:
        folder: What ``nas train`` wrote.
        directory: As for ``export_network``, likewise the next.
        opset: Version of ONNX's operators.
        with_preprocessing: Whether to add an ONNX file that takes uint8 pixels.
        force: Whether the folder may be an earlier export.
        quantize: Writes ``model-int8.onnx``.
        tflite: Whether to add ``model.tflite``.
        tflite_int8: Whether to add ``model-int8.tflite``; refused, since it needs training images.

    Raises:
        ExportError: As ``export_network`` does, or an earlier version wrote the folder.
        StudyError: The folder is not what ``nas train`` writes.
    """
    options = Options(opset, with_preprocessing, force, quantize, tflite, tflite_int8)
    return _export(lambda: trained_by_seeds(Path(folder)), Path(directory), options)


def export_trained(load: Callable[[], Trained], directory: str | Path, options: Options) -> ExportedNetwork:
    """Write a network to a folder and check it; what takes long is asked for once the folder is known to be free.

    Args:
        load: Returns the network, perhaps after training it.
        directory: As for ``export_network``.
        options: How the bundle is written.

    Raises:
        ExportError: As ``export_network`` does.
    """
    return _export(load, Path(directory), options)


def _export(load: Callable[[], Trained], target: Path, options: Options) -> ExportedNetwork:
    require_writable(target, options)
    return write_bundle(load(), target, options)


def require_writable(target: Path, options: Options) -> None:
    """Require that a bundle can be written, before what takes long.

    Raises:
        ExportError: The folder is not new, empty or an earlier export that may be replaced, or there is no such opset.
    """
    require_opset(options.opset)
    require_replaceable(target, names=(*FILES, *OPTIONAL), earlier=EARLIER, force=options.force)
    if options.tflite or options.tflite_int8:
        require_tools("a TensorFlow Lite file", int8=options.tflite_int8)


def write_bundle(trained: Trained, target: Path, options: Options) -> ExportedNetwork:
    """Write a trained network to a folder, whole or not at all, and check every format of it.

    Args:
        trained: The network, and all that its bundle says of it.
        target: Of the bundle; ``require_writable`` says what it may be.
        options: How it is written.

    Raises:
        ExportError: The folder cannot be written, or a format disagrees with PyTorch.
    """
    require_writable(target, options)
    with replaced_folder(target) as folder:
        formats = _write(folder, trained, options)
    tested = math.nan if trained.test_accuracy is None else trained.test_accuracy
    return ExportedNetwork(target, trained.origin, trained.trial, tested, trained.shown, formats)


def _write(folder: Path, trained: Trained, options: Options) -> tuple[Parity, ...]:
    """Write and check every file of the bundle."""
    texts = {
        "architecture.json": architecture_to_json(trained.architecture),
        "preprocessing.json": json.dumps(trained.preprocessing, indent=1) + "\n",
        "preprocess.py": inspect.getsource(preprocess),
        "model.py": model_code(trained.architecture, trained.preprocessing),
    }
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    save_weights(trained.model, folder / "weights.safetensors")
    network = folder / "model.onnx"
    export_onnx(trained.model, trained.images, network, opset=options.opset)
    if options.with_preprocessing:
        write_pixels_onnx(network, trained.preprocessing, folder / PIXELS_ONNX, opset=options.opset)
    if options.quantize is not None:
        options.quantize(network, calibration_images(trained), folder / INT8_ONNX)
    for name, source in trained.beside.items():
        shutil.copyfile(source, folder / name)
    _write_tflite(folder, trained, options)
    formats = compare(folder, trained)
    card = model_card(trained, formats, opset=options.opset)
    (folder / "README.md").write_text(card, encoding="utf-8")
    (folder / manifest.NAME).write_text(_manifest_text(folder, trained, formats), encoding="utf-8")
    return formats


def _write_tflite(folder: Path, trained: Trained, options: Options) -> None:
    if not options.tflite and not options.tflite_int8:
        return
    images = calibration_images(trained) if options.tflite_int8 else None
    network = folder / TFLITE
    write_tflite(folder, trained.preprocessing, network)
    if images is not None:
        write_int8_tflite(network, images, folder / INT8_TFLITE)
    if not options.tflite:
        network.unlink()


def _manifest_text(folder: Path, trained: Trained, formats: tuple[Parity, ...]) -> str:
    written = manifest.Manifest(
        writer=f"nas-explorer {version('nas-explorer')}",
        code_version=CODE_VERSION,
        digest=trained.architecture.digest,
        versions=describe_versions(),
        command=trained.command,
        compared_on=trained.shown,
        timed_on=describe_device(torch.device("cpu")),
        formats={one.file: manifest.FormatFacts.of(one._asdict()) for one in formats},
        files={path.name: manifest.facts_of(path.read_bytes()) for path in sorted(folder.iterdir())},
        images=trained.named if trained.images_of is None else named_images(trained.images_of, folder),
        variants=[json.loads(json.dumps(asdict(variant))) for variant in trained.variants],
    )
    return manifest.manifest_text(written)
