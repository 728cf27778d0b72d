"""A teacher as a folder: what ``nas export`` writes, or as much of it as a teacher needs; only data is read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import torch
from pydantic import Field, TypeAdapter, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from nas.architecture.serialization import architecture_to_json, load_architecture
from nas.architecture.spec import Architecture
from nas.data.batches import Standardisation, standardisation
from nas.data.sources import Dataset
from nas.errors import StudyError, WeightsError
from nas.models.build import Network
from nas.training.checkpoint import write_tensors
from nas.training.distillation import Distillation

FILES = ("architecture.json", "weights.safetensors", "preprocessing.json")
"""What a teacher's folder holds, as a bundle does."""


class Teacher(NamedTuple):
    """A trained network that is only asked.

    Attributes:
        architecture: What it is.
        network: In eval mode.
        standard: Of the images that it was trained on.
        digest: Sixteen hexadecimal digits of architecture and weights.
    """

    architecture: Architecture
    network: Network
    standard: Standardisation
    digest: str


def read_teacher(folder: Path) -> Teacher:
    """Read a teacher: data only, of which nothing is unpickled or run.

    Raises:
        WeightsError: The folder is not a teacher's.
        ConfigError: Its architecture is wrong.
    """
    for name in FILES:
        if not (folder / name).is_file():
            raise WeightsError(
                f"{folder}: is no trained network: {name} is missing; give a bundle (nas export) or STUDY#N"
            )
    architecture, facts = load_architecture(folder / FILES[0]), read_preprocessing(folder)
    # nothing is allocated for a network before the file is known to hold its tensors
    with torch.device("meta"):
        network = Network(architecture)
    try:
        read = load_file(folder / FILES[1])
        state = {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in read.items()}
        network.load_state_dict(state, assign=True)
    except (OSError, RuntimeError, SafetensorError) as error:
        reason = " ".join(str(error).split())[:200]
        raise WeightsError(f"{folder / FILES[1]}: cannot be read as weights of the network ({reason})") from None
    standard = Standardisation(tuple(facts["mean"]), tuple(facts["std"]))
    return Teacher(architecture, network.eval().requires_grad_(False), standard, _digest(architecture, state))


def write_teacher(
    folder: Path, architecture: Architecture, weights: Mapping[str, Tensor], facts: Mapping[str, Any]
) -> None:
    """Write a folder that ``read_teacher`` reads; ``facts`` are at least those of ``facts_of``.

    Raises:
        StudyError: It cannot be written.
    """
    write_tensors(folder / FILES[1], weights, what="the teacher")
    try:
        (folder / FILES[0]).write_text(architecture_to_json(architecture), encoding="utf-8")
        (folder / FILES[2]).write_text(json.dumps(dict(facts), indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise StudyError(f"{folder}: the teacher cannot be written: {error.strerror}") from None


def facts_of(dataset: Dataset) -> dict[str, Any]:
    """Return what a teacher's folder says of the images that it was trained on."""
    standard = standardisation(dataset)
    return {
        "classes": list(dataset.classes),
        "color": dataset.color,
        "mean": list(standard.mean),
        "std": list(standard.std),
    }


def read_preprocessing(folder: Path) -> dict[str, Any]:
    """Return what a teacher's folder says of its images.

    Raises:
        WeightsError: It does not say it.
    """
    path = folder / FILES[2]
    try:
        facts: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        for key, kind in _FACTS.items():
            facts[key] = kind.validate_python(facts[key])
    except (OSError, ValueError, KeyError, TypeError, ValidationError) as error:
        raise WeightsError(f"{path}: is not what nas export writes ({type(error).__name__})") from None
    return facts


_FACTS: Mapping[str, TypeAdapter[Any]] = {
    "classes": TypeAdapter(list[str]),
    "color": TypeAdapter(str),
    "mean": TypeAdapter(list[float]),
    "std": TypeAdapter(list[Annotated[float, Field(gt=0)]]),
}


def _digest(architecture: Architecture, state: Mapping[str, Tensor]) -> str:
    digest = hashlib.blake2b(architecture.digest.encode(), digest_size=8)
    for name, tensor in sorted(state.items()):
        digest.update(name.encode() + tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()


def digests_of(distillation: Distillation) -> Distillation:
    """Return a section that tells the digests of its teachers as they are now.

    Raises:
        WeightsError: One of them cannot be read.
    """
    digests = tuple(read_teacher(Path(folder)).digest for folder in distillation.places)
    return distillation.model_copy(update={"digests": digests})
