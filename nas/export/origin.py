"""Where a network's images are, as its bundle says it: relative to the bundle, since paths tell of a machine."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from nas.data.sources import PATHS, DataConfig, Dataset
from nas.export.manifest import NamedImages
from nas.search.study import Study


class ImagesOf(NamedTuple):
    """Images that a network was trained on.

    Attributes:
        dataset: The images.
        data: Where they are, and how they are split.
        study: Study file, or the name of a study; None where there was none.
    """

    dataset: Dataset
    data: DataConfig
    study: str | None = None


def images_of_study(study: Study, dataset: Dataset) -> ImagesOf:
    """Return the images of a study."""
    file = study.directory.with_suffix(".yaml")
    return ImagesOf(dataset, study.config.data, str(file) if file.is_file() else study.name)


def named_images(of: ImagesOf, folder: Path) -> NamedImages:
    """Return what the bundle in a folder says of its images."""
    identity = of.dataset.identity
    study = of.study
    if study is not None and Path(study).is_file():
        study = _relative(study, folder)
    data: dict[str, Any] = of.data.model_dump(mode="json", exclude_defaults=True)
    data |= {key: _relative(data[key], folder) for key in PATHS if key in data}
    if "hf" in data and data["hf"].startswith((".", "/")):
        data["hf"] = _relative(data["hf"], folder)
    return NamedImages(
        name=of.dataset.name,
        study=study,
        data=data,
        fingerprint=identity.fingerprint,
        content=identity.content,
    )


def told_recipe(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """Return a recipe as plain data without where its teachers lie on this machine."""
    taught = recipe.get("distillation")
    if not isinstance(taught, dict):
        return dict(recipe)
    names = [Path(str(name)).name for name in taught.get("teacher", [])]
    kept = {key: value for key, value in taught.items() if key != "folders"}
    return {**recipe, "distillation": {**kept, "teacher": names}}


def _relative(path: str, folder: Path) -> str:
    return Path(os.path.relpath(Path(path).resolve(), folder.resolve())).as_posix()
