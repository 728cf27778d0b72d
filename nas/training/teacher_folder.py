"""A teacher as a folder: what ``nas export`` writes, or as much of it as a teacher needs; only data is read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from nas.architecture.serialization import architecture_to_json
from nas.architecture.shapes import LARGEST
from nas.architecture.spec import Architecture
from nas.data.batches import Standardisation, standardisation
from nas.data.facts import read_facts
from nas.data.sources import Dataset
from nas.errors import StudyError, WeightsError
from nas.files import read_bounded
from nas.models.build import Network
from nas.models.reading import LARGEST_TEXT, read_network
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
        facts: What else its folder says of them: classes, colour, channels.
        digest: Sixteen hexadecimal digits of architecture and weights.
    """

    architecture: Architecture
    network: Network
    standard: Standardisation
    facts: Mapping[str, Any]
    digest: str


def read_teacher(folder: Path) -> Teacher:
    """Read a teacher: data only, of which nothing is unpickled or run, and no more than its network needs.

    Raises:
        WeightsError: The folder is not a teacher's.
        BundleError: A file of it is a link, too large, damaged, or not what belongs to its network.
        ConfigError: Its architecture is wrong.
    """
    for name in FILES:
        if not (folder / name).is_file():
            raise WeightsError(
                f"{folder}: is no trained network: {name} is missing; give a bundle (nas export) or STUDY#N"
            )
    architecture, state = read_network(folder / FILES[0], folder / FILES[1])
    facts = _read_facts(folder / FILES[2], architecture)
    with torch.device("meta"):
        network = Network(architecture)
    network.load_state_dict(state, assign=True)
    standard = Standardisation(tuple(facts["mean"]), tuple(facts["std"]))
    return Teacher(architecture, network.eval().requires_grad_(False), standard, facts, _digest(architecture, state))


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


def _read_facts(path: Path, architecture: Architecture) -> Mapping[str, Any]:
    """Return what a teacher's folder says of its images; what ``facts_of`` leaves out follows from the network."""
    content = read_bounded(path, most=LARGEST_TEXT)
    side = architecture.resolution
    known = {"channels": architecture.in_channels, "size": side, "resolution": side}
    return read_facts(content, path, known=known, most_pixels=LARGEST)


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
