"""A study's network as a bundle in memory. Unlike all else in this room it needs torch, which makes the ONNX file."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from nas.data.facts import checked_facts
from nas.data.preprocess import network_input
from nas.errors import StudyError
from nas.export.trained import preprocessing_of
from nas.models.build import Network, build_model
from nas.models.onnx import export_onnx
from nas.predict.bundle import MODEL, Bundle
from nas.records import TrialRecord
from nas.search.study import Study


def bundle_of_trial(study: Study, trial: TrialRecord) -> Bundle:
    """Return a trained network of a study, which looks at none of its test images.

    Raises:
        StudyError: Its weights are not on this machine, or the study's images have changed.
        DataError: The study's images, whose mean and classes are needed, no longer exist.
    """
    name = f"{study.name}#{trial.number}"
    model, resolution = _model(study, trial, name), study.architecture(trial).resolution
    facts = checked_facts(preprocessing_of(study.verified(), resolution), name)
    pixels = np.zeros((facts["size"], facts["size"], facts["channels"]), np.uint8)
    example = torch.from_numpy(network_input(pixels, facts)).repeat(2, 1, 1, 1)  # one image would fix the batch
    with TemporaryDirectory() as folder:
        export_onnx(model, example, Path(folder) / MODEL)
        return Bundle(name, (Path(folder) / MODEL).read_bytes(), facts)


def _model(study: Study, trial: TrialRecord, name: str) -> Network:
    model, path = build_model(study.architecture(trial)), study.weights(trial)
    try:
        model.load_state_dict(load_file(path))
    except FileNotFoundError:
        raise StudyError(
            f"{path}: no such file; the weights of {name} were pruned, or are on the machine that trained it"
        ) from None
    except (OSError, RuntimeError, SafetensorError) as error:
        reason = " ".join(str(error).split())[:200]
        raise StudyError(f"{path}: cannot be read as weights of {name} ({reason})") from None
    return model.eval()
