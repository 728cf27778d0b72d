"""The network that a chain begins with: a bundle, what nas train wrote, or a trial of a study. Only data is read."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import TypeAdapter, ValidationError
from safetensors.torch import load_file
from torch import Tensor

from nas.architecture.spec import Architecture
from nas.data.facts import read_facts
from nas.data.sources import DataConfig, Dataset, load_data
from nas.errors import BundleError, StudyError, UserError, WeightsError
from nas.export import manifest
from nas.export.origin import ImagesOf, images_of_study
from nas.export.reading import LARGEST_TEXT
from nas.export.trained import is_training, preprocessing_of, trained_by_seeds
from nas.files import read_bounded
from nas.models.build import build_model
from nas.records import ImageDigests, TrialRecord
from nas.search.opening import open_study
from nas.search.storage.images import what_changed
from nas.search.study import Study
from nas.training.recipe import Recipe
from nas.training.teacher_folder import read_teacher

_TRIAL = re.compile(r"^nas export '?([\w-]+#\d+)'?$")
"""The command that exports a trial as it is."""


class Parent(NamedTuple):
    """A trained network.

    Attributes:
        name: For people: ``digits#3``, or the name of its folder.
        architecture: What it is.
        state: Its parameters and buffers.
        facts: What turns an image into its input, and its classes (see ``nas/data/preprocess.py``).
        trial: The study's trial that trained it, if one did.
        identity: Of the images that it was trained on; None where that is not known.
        folder: Where it lies, if it is not a study's.
        named: What its bundle says of its images, if it is a bundle that does.
    """

    name: str
    architecture: Architecture
    state: Mapping[str, Tensor]
    facts: Mapping[str, Any]
    trial: int | None = None
    identity: ImageDigests | None = None
    folder: Path = Path()
    named: manifest.NamedImages | None = None

    @property
    def typed(self) -> str:
        """Return what names it on the command line, without where it lies."""
        return self.name if self.folder == Path() else _name(self.folder)


class Images(NamedTuple):
    """The images that a network is compressed on.

    Attributes:
        of: The images, and where they are.
        recipe: How networks are trained on them.
        study: Whose images they are, if it has been run: it keeps what is looked at and made.
    """

    of: ImagesOf
    recipe: Recipe
    study: Study | None = None

    @property
    def dataset(self) -> Dataset:
        """Training and validation images."""
        return self.of.dataset


def parent_of_trial(study: Study, trial: TrialRecord) -> Parent:
    """Return the network of a study's trial.

    Raises:
        StudyError: Its weights are not on this machine.
    """
    path, architecture, name = study.weights(trial), study.architecture(trial), f"{study.name}#{trial.number}"
    if not path.is_file():
        raise StudyError(f"{path}: no such file; the weights of {name} were pruned, or are on the machine that ran it")
    model = build_model(architecture)
    model.load_state_dict(load_file(path))
    facts = preprocessing_of(study.verified(), architecture.resolution)
    return Parent(name, architecture, model.state_dict(), facts, trial.number, study.image_digests())


def parent_of_folder(folder: Path) -> Parent:
    """Return the network of a bundle, or of what nas train wrote.

    Raises:
        WeightsError: It is neither.
        BundleError: A file of it is damaged.
    """
    if is_training(folder):
        trained = trained_by_seeds(folder)
        state = trained.model.state_dict()
        return Parent(_name(folder), trained.architecture, state, trained.preprocessing, folder=folder)
    teacher, path = read_teacher(folder), folder / "preprocessing.json"
    facts = read_facts(read_bounded(path, most=LARGEST_TEXT), path)
    given = len(facts["classes"]), facts["channels"], facts["resolution"]
    one = teacher.architecture
    if given != (one.num_classes, one.in_channels, one.resolution):
        raise BundleError(f"{path}: is not how images are prepared for the network of architecture.json")
    written, state = _manifest(folder), teacher.network.state_dict()
    named = None if written is None else written.images
    identity = None if named is None else ImageDigests(named.fingerprint, named.content)
    name = _name(folder) if written is None else _made_name(written) or _name(folder)
    return Parent(name, one, state, facts, identity=identity, folder=folder, named=named)


def images_of_opened(study: Study) -> Images:
    """Return the images of a study that has been run.

    Raises:
        DataError: They are missing.
        StudyError: They have changed since.
    """
    return Images(images_of_study(study, study.verified()), study.config.recipe, study)


def found_images(parent: Parent, *, storage: str | None) -> Images | str:
    """Return the images that a bundle names, where they are found and are still the same; else what is missing.

    A study is looked for where the bundle says, then by its name; then the images alone. Nothing is downloaded.

    Args:
        parent: The network.
        storage: URL of the study's database, where it is not in its folder.
    """
    if parent.named is None:
        return f"{parent.typed} does not say which images it was trained on"
    folder, named, tried = parent.folder, parent.named, list[str]()
    for study in (
        () if named.study is None else dict.fromkeys((_from_here(folder, named.study), Path(named.study).stem))
    ):
        if _outside(folder, study):
            try:
                return images_of_opened(open_study(study, storage=storage))
            except UserError as error:
                tried.append(str(error))
    try:
        config = TypeAdapter(DataConfig).validate_python(named.data)
    except ValidationError:
        return f"{parent.typed}: its manifest does not say where its images are"
    if config.hf is not None and not config.hf.startswith("."):
        return f"the data set {config.hf} of {parent.typed} is downloaded only where --data hf={config.hf} asks for it"
    try:
        data = config.relative_to(folder)
        return Images(ImagesOf(load_data(data), data), Recipe())
    except UserError as error:
        return f"the images of {parent.typed} are not found ({'; '.join([*tried, str(error)])[:300]})"


def require_own_images(parent: Parent, images: Images) -> str | None:
    """Require that a network was trained on these images, and return what is not known of it.

    Raises:
        WeightsError: They are others.
    """
    dataset, facts = images.dataset, preprocessing_of(images.dataset, parent.architecture.resolution)
    differs = next((key for key in ("classes", "channels", "color", "size") if facts[key] != parent.facts[key]), None)
    if differs is not None:
        given, own = _some(facts[differs]), _some(parent.facts[differs])
        raise WeightsError(
            f"{parent.typed} was trained on images whose {differs} is {own}, but of {dataset.name} it is {given}"
        )
    if parent.identity is not None:
        then, now = parent.identity, dataset.identity
        if changed := what_changed(then, now):
            raise WeightsError(
                f"{parent.typed} was trained on images of the fingerprint {then.fingerprint}, but that of"
                f" {dataset.name} is {now.fingerprint}: {changed}"
            )
        return None
    apart = max(abs(a - b) for key in ("mean", "std") for a, b in zip(facts[key], parent.facts[key], strict=True))
    if apart > 1e-6:
        raise WeightsError(
            f"{parent.typed} was trained on other images than {dataset.name}: their mean or standard deviation differs"
        )
    return f"{parent.typed} does not say which images it was trained on; those of {dataset.name} have the same mean"


def _manifest(folder: Path) -> manifest.Manifest | None:
    path = folder / manifest.NAME
    if not path.exists():
        return None  # of an earlier version, or a teacher's folder
    return manifest.read_manifest(read_bounded(path, most=LARGEST_TEXT), source=str(path))


def _made_name(written: manifest.Manifest) -> str:
    """Return what the float network of a bundle is called: by the chain that made it, or as a trial; else nothing."""
    names = [one.get("name") for one in written.variants if one.get("precision") == "float32"]
    names = names or [one.get("parent") for one in written.variants[:1]] or _TRIAL.findall(written.command)
    return str((names or [""])[-1])


def _name(folder: Path) -> str:
    return folder.name or folder.resolve().name


def _from_here(folder: Path, study: str) -> str:
    """Return the path of a study that a bundle names."""
    return os.path.relpath(os.path.normpath(folder.resolve() / study))


def _outside(folder: Path, study: str) -> bool:
    """Tell whether a study lies outside a bundle, which may be a stranger's."""
    return not Path(study).resolve().is_relative_to(folder.resolve())


def _some(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) < 60 else f"{text[:57]}..."
