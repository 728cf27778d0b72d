"""The README of a bundle: a model card with figures in its front matter, as model hubs read them."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import yaml
from jinja2 import Environment, FileSystemLoader

from nas.architecture.cost import count_cost
from nas.export.code.module import plain_name
from nas.export.formats import Parity
from nas.export.trained import Trained
from nas.models.device import describe_device, describe_versions
from nas.units import format_bytes, format_count

_OFF = (None, False, 0)  # what a recipe need not say


def model_card(trained: Trained, formats: Sequence[Parity], *, opset: int) -> str:
    """Return the text of a bundle's README.

    Args:
        trained: The network.
        formats: How each format compared with the module.
        opset: Version of ONNX's operators.
    """
    environment = Environment(loader=FileSystemLoader(Path(__file__).parent), keep_trailing_newline=True)
    recipe = {key: value for key, value in trained.recipe.items() if value not in _OFF}
    return environment.get_template("README.md.jinja").render(
        front_matter=yaml.safe_dump(_front_matter(trained, formats), sort_keys=False, allow_unicode=True),
        name=plain_name(trained.architecture),
        trained=trained,
        recipe=yaml.safe_dump(recipe, sort_keys=False, allow_unicode=True),
        over_seeds=[
            (f"{part} accuracy over seeds", len(values), statistics.mean(values), statistics.stdev(values))
            for part, values in (("test", trained.tested), ("validation", trained.seeds))
            if len(values) > 1
        ],
        cost=count_cost(trained.architecture),
        formats=formats,
        tflite=[one.file for one in formats if one.file.endswith(".tflite")],
        timed=_range({one.timed for one in formats if one.timed}),
        timed_on=describe_device(torch.device("cpu")),
        opset=opset,
        versions=describe_versions(),
        count=format_count,
        bytes=format_bytes,
    )


def _range(counts: set[int]) -> str:
    return " to ".join(str(count) for count in sorted({min(counts), max(counts)})) if counts else ""


def _front_matter(trained: Trained, formats: Sequence[Parity]) -> dict[str, Any]:
    measured = {"test accuracy": trained.test_accuracy, "validation accuracy": trained.val_accuracy}
    metrics = [
        {"type": "accuracy", "name": name, "value": round(value, 4)}
        for name, value in measured.items()
        if value is not None
    ]
    if (count := len(trained.tested)) > 1:
        mean, std = statistics.mean(trained.tested), statistics.stdev(trained.tested)
        name = f"test accuracy, mean of {count} trainings (standard deviation {std:.4f})"
        metrics.append({"type": "accuracy", "name": name, "value": round(mean, 4)})
    lite = any(one.file.endswith(".tflite") for one in formats)
    task = {"type": "image-classification", "name": "Image classification"}
    result = {"task": task, "dataset": {"name": trained.data, "type": trained.data}, "metrics": metrics}
    return {
        "library_name": "pytorch",
        "pipeline_tag": "image-classification",
        "tags": ["image-classification", "onnx", *(["tflite"] if lite else []), "nas-explorer"],
        "model-index": [{"name": plain_name(trained.architecture), "results": [result]}],
    }
