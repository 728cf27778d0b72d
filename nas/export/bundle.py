"""A trained network as a folder that needs nothing of this package: description, weights, ONNX, instructions."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jinja2 import Environment, FileSystemLoader

from nas.analysis.pareto import front_with_noise, pareto_front
from nas.analysis.recommendation import knee as knee_of
from nas.analysis.recommendation import points_within, require_knee
from nas.architecture.cost import count_cost
from nas.architecture.serialization import architecture_to_json
from nas.data import preprocess
from nas.errors import ExportError, StudyError
from nas.export.place import replaced_folder, require_replaceable
from nas.export.trained import Trained, trained_by_seeds, trained_by_study
from nas.models.build import Network
from nas.models.onnx import DEFAULT_OPSET, export_onnx, require_opset
from nas.records import TrialRecord
from nas.search.study import Study
from nas.training.checkpoint import save_weights
from nas.units import format_count

_EARLIER = ("README.md", "architecture.json", "model.onnx", "preprocessing.json", "weights.safetensors")
FILES = tuple(sorted((*_EARLIER, "preprocess.py")))
_RANGES = 8
TOLERANCE = 1e-3
"""Largest allowed difference of a logit between the module and onnxruntime, relative to the largest logit."""


@dataclass(frozen=True, slots=True)
class ExportedNetwork:
    """What ``export_network`` or ``export_training`` wrote.

    Attributes:
        directory: Folder that contains the files.
        origin: Where the network was trained, for people.
        trial: The trial that trained it, if one did.
        test_accuracy: Share of the test images that the network gets right, in 0 to 1.
        onnx_difference: Largest absolute difference of a logit between PyTorch and onnxruntime.
    """

    directory: Path
    origin: str
    trial: TrialRecord | None
    test_accuracy: float
    onnx_difference: float


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
    study: Study, trial: TrialRecord, directory: str | Path, *, opset: int = DEFAULT_OPSET
) -> ExportedNetwork:
    """Write a trained network of a study to a folder and check it.

    Args:
        study: The study that trained it. It keeps that its test images were looked at.
        trial: A trained trial of the study.
        directory: A new or empty folder, or an earlier export, which is replaced.
        opset: Version of ONNX's operators, 18 to 23.

    Raises:
        ExportError: The folder cannot be written or contains other files, or onnxruntime disagrees with PyTorch.
        StudyError: The weights are not on this machine.
        DataError: The images, which are needed for the test accuracy, no longer exist.
    """
    return _export(lambda: trained_by_study(study, trial), Path(directory), opset)


def export_training(folder: str | Path, directory: str | Path, *, opset: int = DEFAULT_OPSET) -> ExportedNetwork:
    """Write what ``nas train`` trained to a folder and check it: of its seeds, the best on the validation images.

    No image is looked at again; the test accuracy is that of the training.

    Args:
        folder: What ``nas train`` wrote.
        directory: As for ``export_network``, likewise the next.
        opset: Version of ONNX's operators.

    Raises:
        ExportError: As ``export_network`` does, or an earlier version wrote the folder.
        StudyError: The folder is not what ``nas train`` writes.
    """
    return _export(lambda: trained_by_seeds(Path(folder)), Path(directory), opset)


def _export(load: Callable[[], Trained], target: Path, opset: int) -> ExportedNetwork:
    require_opset(opset)
    require_replaceable(target, names=FILES, earlier=_EARLIER)
    trained = load()
    with replaced_folder(target) as folder:
        return _write(folder, target, trained, opset)


def _write(folder: Path, target: Path, trained: Trained, opset: int) -> ExportedNetwork:
    """Write and check every file of the bundle."""
    (folder / "architecture.json").write_text(architecture_to_json(trained.architecture), encoding="utf-8")
    save_weights(trained.model, folder / "weights.safetensors")
    text = json.dumps(trained.preprocessing, indent=1) + "\n"
    (folder / "preprocessing.json").write_text(text, encoding="utf-8")
    (folder / "preprocess.py").write_text(inspect.getsource(preprocess), encoding="utf-8")
    export_onnx(trained.model, trained.images, folder / "model.onnx", opset=opset)
    difference = onnx_difference(trained.model, trained.images, folder / "model.onnx")
    environment = Environment(loader=FileSystemLoader(Path(__file__).parent), keep_trailing_newline=True)
    text = environment.get_template("README.md.jinja").render(
        trained=trained,
        cost=count_cost(trained.architecture),
        difference=difference,
        opset=opset,
        count=format_count,
    )
    (folder / "README.md").write_text(text, encoding="utf-8")
    return ExportedNetwork(target, trained.origin, trained.trial, trained.test_accuracy, difference)


def onnx_difference(model: Network, images: torch.Tensor, path: Path) -> float:
    """Return the largest absolute difference of a logit between a model and its ONNX file.

    Raises:
        ExportError: It is more than ``TOLERANCE`` of the largest logit.
    """
    import onnxruntime

    with torch.inference_mode():
        expected = model.eval()(images).numpy()
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (given,) = session.run(None, {"images": images.numpy()})
    difference = float(np.abs(given - expected).max())
    if not difference <= TOLERANCE * max(1.0, float(np.abs(expected).max())):
        raise ExportError(f"{path.name}: onnxruntime's logits differ from the module's by up to {difference:.3g}")
    return difference
