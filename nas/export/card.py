"""The README of a bundle: a model card with figures in its front matter, as model hubs read them."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, FileSystemLoader

from nas.architecture.cost import count_cost
from nas.export.code.module import plain_name
from nas.export.formats import Parity
from nas.export.trained import Trained
from nas.models.device import describe_versions
from nas.units import format_count

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
        front_matter=yaml.safe_dump(_front_matter(trained), sort_keys=False, allow_unicode=True),
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
        opset=opset,
        versions=describe_versions(),
        count=format_count,
    )


def _front_matter(trained: Trained) -> dict[str, Any]:
    metrics = [
        {"type": "accuracy", "name": "test accuracy", "value": round(trained.test_accuracy, 4)},
        {"type": "accuracy", "name": "validation accuracy", "value": round(trained.val_accuracy, 4)},
    ]
    if (count := len(trained.tested)) > 1:
        mean, std = statistics.mean(trained.tested), statistics.stdev(trained.tested)
        name = f"test accuracy, mean of {count} trainings (standard deviation {std:.4f})"
        metrics.append({"type": "accuracy", "name": name, "value": round(mean, 4)})
    task = {"type": "image-classification", "name": "Image classification"}
    result = {"task": task, "dataset": {"name": trained.data, "type": trained.data}, "metrics": metrics}
    return {
        "library_name": "pytorch",
        "pipeline_tag": "image-classification",
        "tags": ["image-classification", "onnx", "nas-explorer"],
        "model-index": [{"name": plain_name(trained.architecture), "results": [result]}],
    }
