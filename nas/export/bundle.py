"""A trained network as a folder that needs nothing of this package: description, weights, ONNX, instructions."""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jinja2 import Environment, FileSystemLoader
from safetensors.torch import load_file

from nas.analysis.pareto import pareto_front
from nas.architecture.cost import count_cost
from nas.architecture.serialization import architecture_to_json
from nas.data.batches import Standardisation, standardisation
from nas.data.sources import Dataset, load_test
from nas.errors import ExportError, StudyError
from nas.models.build import Network, build_model
from nas.models.onnx import export_onnx
from nas.records import TrialRecord
from nas.search.study import Study
from nas.training.checkpoint import save_weights
from nas.training.evaluate import evaluate
from nas.training.preparing import bring, validation_batch
from nas.units import format_count

FILES = ("README.md", "architecture.json", "model.onnx", "preprocessing.json", "weights.safetensors")
TOLERANCE = 1e-3
"""Largest allowed difference of a logit between the module and onnxruntime, relative to the largest logit."""


@dataclass(frozen=True, slots=True)
class ExportedNetwork:
    """What ``export_network`` wrote.

    Attributes:
        directory: Folder that contains the files.
        trial: The trial that trained the network.
        test_accuracy: Share of the test images that the network gets right, in 0 to 1.
        onnx_difference: Largest absolute difference of a logit between PyTorch and onnxruntime.
    """

    directory: Path
    trial: TrialRecord
    test_accuracy: float
    onnx_difference: float


def choose_trial(study: Study, *, number: int | None = None, max_flops: int | None = None) -> TrialRecord:
    """Return one trial of a study.

    Args:
        study: A study that has been run.
        number: Number of the trial. A repeated trial stands for the one it repeats.
        max_flops: Alternatively, take the most accurate network on the front with at most this many FLOPs.

    Raises:
        StudyError: Neither or both are given, or there is no such trained network.
    """
    if (number is None) == (max_flops is None):
        raise StudyError("give either a trial or a limit on the FLOPs (--trial N or --max-flops N)")
    if max_flops is not None:
        front = pareto_front(study)
        within = [trial for trial in front if trial.flops <= max_flops]
        if not within:
            cheapest = f"the cheapest has {format_count(front[0].flops)}" if front else "there is none yet"
            raise StudyError(
                f"no trained network of {study.name!r} has at most {format_count(max_flops)} FLOPs; {cheapest}"
            )
        return within[-1]
    trials = {trial.number: trial for trial in study.trials()}
    if number not in trials:
        known = f"0 to {max(trials)}" if trials else "none yet"
        raise StudyError(f"study {study.name!r} has no trial {number}; known: {known}")
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


def export_network(study: Study, trial: TrialRecord, directory: str | Path) -> ExportedNetwork:
    """Write a trained network to a folder and check it.

    Args:
        study: The study that trained it.
        trial: A trained trial of the study.
        directory: A new or empty folder, or an earlier export, which is replaced.

    Raises:
        ExportError: The folder cannot be written or contains other files, or onnxruntime disagrees with PyTorch.
        StudyError: The weights are not on this machine.
        DataError: The images, which are needed for the test accuracy, no longer exist.
    """
    target = Path(directory)
    _require_replaceable(target)
    dataset = study.verified()
    model = _trained_model(study, trial)
    standard = standardisation(dataset)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as partial:
            exported = _write(Path(partial), target, study, trial, model, dataset, standard)
            target.mkdir(exist_ok=True)
            for name in FILES:
                os.replace(Path(partial) / name, target / name)
    except OSError as error:
        raise ExportError(f"{target}: cannot be written: {error.strerror}") from None
    return exported


def _write(
    folder: Path,
    target: Path,
    study: Study,
    trial: TrialRecord,
    model: Network,
    dataset: Dataset,
    standard: Standardisation,
) -> ExportedNetwork:
    """Write and check every file of the bundle."""
    architecture = study.architecture(trial)
    (folder / "architecture.json").write_text(architecture_to_json(architecture), encoding="utf-8")
    save_weights(model, folder / "weights.safetensors")
    preprocessing = {
        "classes": dataset.classes,
        "channels": dataset.channels,
        "color": dataset.color,
        "resolution": architecture.resolution,
        "mean": standard.mean,
        "std": standard.std,
    }
    (folder / "preprocessing.json").write_text(json.dumps(preprocessing, indent=1) + "\n", encoding="utf-8")
    device = torch.device("cpu")
    recipe = study.config.recipe
    test = bring(
        load_test(study.config.data),
        resolution=architecture.resolution,
        standard=standard,
        recipe=recipe,
        device=device,
    )
    accuracy = evaluate(model, test, batch=validation_batch(architecture, device)).accuracy
    images = next(test.in_order(8)).images.contiguous()
    export_onnx(model, images, folder / "model.onnx")
    exported = ExportedNetwork(target, trial, accuracy, onnx_difference(model, images, folder / "model.onnx"))
    environment = Environment(loader=FileSystemLoader(Path(__file__).parent), keep_trailing_newline=True)
    text = environment.get_template("README.md.jinja").render(
        study=study,
        trial=trial,
        architecture=architecture,
        cost=count_cost(architecture),
        exported=exported,
        tests=len(test),
        preprocessing=preprocessing,
        count=format_count,
    )
    (folder / "README.md").write_text(text, encoding="utf-8")
    return exported


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


def _trained_model(study: Study, trial: TrialRecord) -> Network:
    path = study.weights(trial)
    if not path.is_file():
        raise StudyError(
            f"{path}: no such file; the weights were pruned, or are on the machine that ran trial {trial.number}"
        )
    model = build_model(study.architecture(trial))
    model.load_state_dict(load_file(path))
    return model.eval()


def _require_replaceable(target: Path) -> None:
    if target.exists() and not target.is_dir():
        raise ExportError(f"{target}: is a file, not a folder")
    present = {path.name for path in target.iterdir()} if target.exists() else set()
    if present and present != set(FILES):
        first = min(present - set(FILES) or present)
        raise ExportError(
            f"{target}: contains other files ({first!r}); choose a new or empty folder, or an earlier export"
        )
