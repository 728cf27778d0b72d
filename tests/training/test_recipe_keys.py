"""Keys of a recipe that another key makes meaningless are told, and they really are."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from nas.architecture.space import load_space
from nas.data.sources import DataConfig, load_data
from nas.training.loop import train
from nas.training.recipe import NEEDS, Recipe, without_effect

SET: dict[str, tuple[Any, dict[str, Any], dict[str, Any]]] = {
    "patience": (1, {}, {"schedule": "plateau"}),
    "decay_at": (0.1, {}, {"schedule": "step"}),
    "decay_factor": (0.5, {}, {"schedule": "step"}),
    "momentum": (0.1, {"optimizer": "sgd"}, {"optimizer": "rmsprop"}),
    "decay_norms": (True, {"weight_decay": 0}, {"weight_decay": 0.1}),
    "norm_momentum": (0.9, {}, {"norm_statistics": "running"}),
    "ema_warm_up": (False, {}, {"ema": 0.9}),
    "rand_augment_operations": (5, {}, {"rand_augment": 9}),
}
"""A value of each key, where it means nothing, and where it means something."""


def test_every_key_is_tried() -> None:
    assert SET.keys() == NEEDS.keys()


@pytest.mark.parametrize("key", SET)
def test_a_key_is_told_where_it_changes_nothing(key: str) -> None:
    value, idle, used = SET[key]
    (line,) = without_effect(Recipe.model_validate({**idle, key: value}), [key])
    assert line.startswith(f"recipe.{key} has no effect: it needs ")
    assert without_effect(Recipe.model_validate({**used, key: value}), [key]) == []
    assert without_effect(Recipe.model_validate(idle), []) == []
    data = load_data(DataConfig(digits=True, limit=300))
    network = load_space("resnet_small").architecture(
        width=0.25, depth=0.25, resolution=8, num_classes=10, in_channels=1
    )
    recipes = [Recipe.model_validate({"epochs": 2, **idle, **extra}) for extra in ({}, {key: value})]
    plain, given = (train(network, data, recipe, seed=0, device=torch.device("cpu")) for recipe in recipes)
    assert [epoch.val_loss for epoch in plain.curve] == [epoch.val_loss for epoch in given.curve]


def test_what_is_said_names_both_keys() -> None:
    recipe = Recipe(schedule="cosine", decay_factor=0.5, rand_augment_operations=3, norm_momentum=None)
    assert without_effect(recipe, recipe.model_fields_set) == [
        "recipe.decay_factor has no effect: it needs schedule to be step or plateau, but schedule is cosine",
        "recipe.rand_augment_operations has no effect: it needs rand_augment above 0, but rand_augment is 0",
    ]
