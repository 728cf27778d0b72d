"""Weights become zeros while a network is trained, by a schedule, and stay zeros."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from nas.architecture.space import load_space
from nas.architecture.spec import Architecture
from nas.data.sources import DataConfig, Dataset, load_data
from nas.errors import ConfigError
from nas.models.build import build_model
from nas.schema import validate
from nas.training.loop import train
from nas.training.masks import Masks, prunable_weights
from nas.training.recipe import Recipe
from nas.training.sparsity import Sparsity

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return load_data(DataConfig(digits=True, limit=500))


@pytest.fixture(scope="module")
def network() -> Architecture:
    space = load_space("efficientnet_small")  # has depthwise convolutions and gates
    return space.architecture(width=0.25, depth=0.5, resolution=8, num_classes=10, in_channels=1)


def zeros(model: nn.Module) -> dict[str, int]:
    """Return how many weights of each layer are zero, where any are."""
    counts = {name: int((weight == 0).sum()) for name, weight in model.named_parameters() if weight.ndim > 1}
    return {name: count for name, count in counts.items() if count}


def asked(model: nn.Module, share: float) -> dict[str, int]:
    return {name: int(share * weight.numel()) for name, weight in prunable_weights(model).items()}


def test_the_schedule_by_hand() -> None:
    sparsity = Sparsity(share=0.8, begins=0.25, ends=0.75)
    assert [sparsity.at(time) for time in (0, 0.25, 0.5, 0.75, 1)] == pytest.approx([0, 0, 0.7, 0.8, 0.8])


def test_the_first_convolution_and_depthwise_ones_keep_their_weights(network: Architecture) -> None:
    model = build_model(network)
    kept = {name for name, weight in model.named_parameters() if weight.ndim > 1} - set(prunable_weights(model))
    depthwise = {
        f"{name}.weight"
        for name, part in model.named_modules()
        if isinstance(part, nn.Conv2d) and part.groups == part.in_channels > 1
    }
    assert depthwise and kept == {"stem.0.conv.weight", *depthwise}
    assert "classifier.weight" in prunable_weights(model)


def test_the_smallest_weights_go_and_do_not_come_back() -> None:
    layer = nn.Linear(4, 2)
    weights = torch.tensor([[4.0, -3.0, 2.0, -1.0], [0.5, 0.6, 0.7, 0.8]])
    layer.weight.data.copy_(weights)
    masks = Masks(layer, Sparsity(share=0.5, ends=1.0), steps=2)
    masks.advance(1)
    assert layer.weight.flatten().tolist() == pytest.approx([4, -3, 2, -1, 0, 0, 0, 0.8])  # 0.4375 of 8 are 3
    layer.weight.data += 10  # what a step may do to them
    masks.hold()
    assert (layer.weight == 0).flatten().tolist() == [False] * 4 + [True] * 3 + [False]
    layer.weight.data[0, 0] = 0.1
    masks.advance(2)
    assert (layer.weight == 0).flatten().tolist() == [True] + [False] * 3 + [True] * 3 + [False]
    assert zeros(layer) == {"weight": 4}


def test_the_last_step_chooses_too_where_others_are_left_out() -> None:
    layer = nn.Linear(50, 20)
    masks = Masks(layer, Sparsity(share=0.9, ends=1.0), steps=205)  # every second one chooses
    counts = []
    for step in range(1, 206):
        masks.advance(step)
        counts.append(int((layer.weight == 0).sum()))
    assert counts[0] == 0 < counts[1] == counts[2] < counts[3]
    assert counts[-1] == 900


def test_as_many_weights_of_each_layer_are_zeros_as_was_asked(network: Architecture, digits: Dataset) -> None:
    recipe = Recipe(epochs=2, batch_size=64, sparsity=Sparsity(share=0.7))
    model = train(network, digits, recipe, seed=0, device=CPU).model
    assert zeros(model) == asked(model, 0.7)
    sparser = Recipe(epochs=2, batch_size=64, sparsity=Sparsity(share=0.9))
    further = train(network, digits, sparser, seed=1, device=CPU, initial=model.state_dict()).model
    assert zeros(further) == asked(model, 0.9)
    denser = Recipe(epochs=1, batch_size=64, sparsity=Sparsity(share=0.2))
    held = train(network, digits, denser, seed=1, device=CPU, initial=model.state_dict()).model
    assert zeros(held) == zeros(model)  # what was zero stayed so
    for name, weight in prunable_weights(model).items():
        assert ((weight == 0) <= (prunable_weights(held)[name] == 0)).all()


def test_the_average_that_is_kept_has_the_zeros_too(network: Architecture, digits: Dataset) -> None:
    recipe = Recipe(epochs=2, batch_size=64, ema=0.99, sparsity=Sparsity(share=0.7))
    model = train(network, digits, recipe, seed=0, device=CPU).model
    assert zeros(model) == asked(model, 0.7)


def test_a_recipe_says_it_in_one_number_and_is_as_before_without() -> None:
    recipe = validate(Recipe, {"epochs": 1, "sparsity": 0.8}, source="recipe")
    assert recipe.sparsity == Sparsity(share=0.8)
    again = Recipe.model_validate(recipe.model_dump(mode="json"))
    assert again == recipe
    assert "sparsity" not in Recipe().model_dump(mode="json")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"sparsity": 1}, "sparsity.share"),
        ({"sparsity": 0}, "sparsity.share"),
        ({"sparsity": True}, "sparsity.share: must be a number, but true was given"),
        ({"sparsity": {"share": 0.5, "begins": 0.8}}, "begins must be less than ends, but is 0.8, and ends 0.75"),
        ({"sparsity": {"final": 0.5}}, "unknown key 'final'"),
        ({"sparsity": 0.5, "early_stopping": 2}, "sparsity and early_stopping do not go together"),
    ],
)
def test_what_cannot_be_meant_is_told(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        validate(Recipe, given, source=Path("study.yaml"))
    assert "\n" not in str(caught.value)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_captured_step_holds_them_at_zero_too(network: Architecture, digits: Dataset) -> None:
    recipe = Recipe(epochs=4, batch_size=64, sparsity=Sparsity(share=0.7), ema=0.9, precision="float32")
    model = train(network, digits, recipe, seed=0, device=torch.device("cuda:0")).model
    assert zeros(model) == asked(model, 0.7)
