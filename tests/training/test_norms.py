"""What is validated and kept has the statistics of its weights, and training does not notice."""

from __future__ import annotations

import copy
import itertools
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from nas.architecture.space import load_space
from nas.architecture.spec import Architecture
from nas.data.batches import StreamedImages, standardisation, to_device
from nas.data.sources import DataConfig, Dataset, load_data
from nas.data.types import ImageSet
from nas.models.build import build_model
from nas.training import run
from nas.training.evaluate import evaluate
from nas.training.loop import train
from nas.training.norms import chosen_images, recompute_statistics, twin
from nas.training.preparing import build_on
from nas.training.recipe import Recipe
from nas.training.result import TrainingResult

CPU = torch.device("cpu")
RUNNING = {"norm_statistics": "running"}


def small(family: str = "efficientnet_small", **changes: Any) -> Architecture:
    given = {"width": 0.25, "depth": 0.5, "resolution": 8, "num_classes": 10, "in_channels": 1, **changes}
    return load_space(family).architecture(**given)


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return load_data(DataConfig(digits=True, limit=400))


@pytest.fixture(scope="module")
def bright_or_dark() -> Dataset:
    """Return two classes that a few steps tell apart; what is validated is what was learnt."""
    generator = np.random.default_rng(0)
    labels = np.arange(64) % 2
    images = generator.integers(0, 100, (64, 16, 16, 3)) + 120 * labels[:, None, None, None]
    part = ImageSet(images.astype(np.uint8), labels)
    return Dataset("levels", ("dark", "bright"), True, part, part)


def norms(model: nn.Module) -> list[nn.BatchNorm2d]:
    return [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]


def lagging(seed: int = 0) -> nn.Module:
    """Return a network whose running averages are not those of its weights."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return build_model(small())


@pytest.mark.parametrize("changes", [{}, {"ema": 0.999}, {"progressive": 0.5}, {"precision": "bfloat16"}], ids=str)
def test_a_network_that_knows_all_images_after_a_few_steps_validates_so(
    changes: dict[str, Any], bright_or_dark: Dataset
) -> None:
    network = small("resnet_small", width=1.0, depth=1.0, resolution=16, num_classes=2, in_channels=3)
    recipe = Recipe(epochs=8, batch_size=32, **changes)  # 16 steps
    result = train(network, bright_or_dark, recipe, seed=0, device=CPU)
    assert result.val_accuracy == 1.0 == result.curve[-1].train_accuracy
    before = train(network, bright_or_dark, recipe.model_copy(update=RUNNING), seed=0, device=CPU)
    assert before.val_accuracy < 0.9


def test_training_is_the_same_whatever_the_validation_uses(digits: Dataset) -> None:
    def weights(result: TrainingResult) -> list[Tensor]:
        return list(result.model.parameters())

    recipe = Recipe(epochs=2, batch_size=64)
    ours, before = (train(small(), digits, recipe.model_copy(update=way), seed=3, device=CPU) for way in ({}, RUNNING))
    assert all(torch.equal(a, b) for a, b in zip(weights(ours), weights(before), strict=True))
    assert [epoch.train_loss for epoch in ours.curve] == [epoch.train_loss for epoch in before.curve]
    assert [epoch.val_loss for epoch in ours.curve] != [epoch.val_loss for epoch in before.curve]


@pytest.mark.parametrize("way", [{}, RUNNING], ids=["recomputed", "running"])
def test_what_is_kept_is_what_was_validated(way: dict[str, Any], digits: Dataset) -> None:
    result = train(small(), digits, Recipe(epochs=2, batch_size=64, ema=0.9, **way), seed=3, device=CPU)
    images = to_device(digits.validation, resolution=8, standard=standardisation(digits), device=CPU)
    again = evaluate(result.model, images)
    assert again.accuracy == result.val_accuracy and again.loss == result.curve[-1].val_loss
    assert np.array_equal(again.answers.numpy(), result.answers) and result.answers.dtype == np.int64
    assert result.val_accuracy == np.mean(result.answers == digits.validation.labels)
    assert all(norm.momentum == 0.1 and not norm.training for norm in norms(result.model))


@pytest.mark.parametrize("batch", [512, 100, 7], ids=["whole", "parts", "odd"])
def test_statistics_are_those_of_all_images(batch: int, digits: Dataset) -> None:
    model = lagging()
    images = to_device(digits.train, resolution=8, standard=standardisation(digits), device=CPU)
    inputs: list[Tensor] = []
    first = norms(model)[0]
    handle = first.register_forward_pre_hook(lambda module, given: inputs.append(given[0].detach()))
    state = torch.get_rng_state()
    recompute_statistics(model, images, precision="float32", batch=batch)
    handle.remove()
    assert torch.equal(state, torch.get_rng_state())
    assert len({len(part) for part in inputs}) == 1  # batches of one size
    seen = torch.cat(inputs)
    assert len(images) - len(inputs) < len(seen) <= len(images)
    torch.testing.assert_close(first.running_mean, seen.mean(dim=(0, 2, 3)))
    torch.testing.assert_close(first.running_var, seen.var(dim=(0, 2, 3)), rtol=0.01, atol=1e-4)
    assert not any(module.training for module in model.modules())
    assert all(norm.momentum == 0.1 for norm in norms(model))


def test_images_that_stream_and_bfloat16_give_the_same(digits: Dataset) -> None:
    standard = standardisation(digits)
    resident = to_device(digits.train, resolution=8, standard=standard, device=CPU)
    streamed = to_device(digits.train, resolution=8, standard=standard, device=CPU, room=0)
    assert isinstance(streamed, StreamedImages)
    models = [lagging() for _ in range(3)]
    ways = ((resident, "float32"), (streamed, "float32"), (resident, "bfloat16"))
    for model, (images, precision) in zip(models, ways, strict=True):
        recompute_statistics(model, images, precision=precision, batch=512)  # type: ignore[arg-type]
    for exact, other, coarse in zip(*map(norms, models), strict=True):
        assert torch.equal(exact.running_mean, other.running_mean)
        assert torch.equal(exact.running_var, other.running_var)
        torch.testing.assert_close(exact.running_var, coarse.running_var, rtol=0.1, atol=0.01)


def test_what_there_is_no_memory_for_is_halved(digits: Dataset) -> None:
    model = lagging()
    given: list[int] = []

    def refuse(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        given.append(len(inputs[0]))
        if len(inputs[0]) > 100:
            raise torch.OutOfMemoryError("out of memory")

    model.register_forward_pre_hook(refuse)
    images = to_device(digits.train.take(np.arange(256)), resolution=8, standard=standardisation(digits), device=CPU)
    recompute_statistics(model, images, precision="float32", batch=512)
    assert given == [256, 128, 64, 64, 64, 64]
    model.register_forward_pre_hook(lambda module, inputs: {}["other"])
    with pytest.raises(KeyError):
        recompute_statistics(model, images, precision="float32", batch=64)
    assert all(norm.momentum == 0.1 and not norm.training for norm in norms(model))


def test_a_twin_has_the_weights_of_its_network_now_and_later_and_its_own_norms(digits: Dataset) -> None:
    model = build_model(small())
    other = twin(model)
    with torch.no_grad():
        model.classifier.weight += 1
    assert all(a is b for a, b in zip(model.parameters(), other.parameters(), strict=True))
    before = copy.deepcopy(list(model.buffers()))
    images = to_device(digits.train, resolution=8, standard=standardisation(digits), device=CPU)
    recompute_statistics(other, images, precision="float32", batch=512)
    assert all(torch.equal(a, b) for a, b in zip(before, model.buffers(), strict=True))
    assert not torch.equal(norms(model)[0].running_mean, norms(other)[0].running_mean)


def test_statistics_are_of_the_resolution_that_is_validated(digits: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[tuple[int, int]] = []
    original = run.recompute_statistics

    def watch(model: nn.Module, images: Any, **how: Any) -> None:
        sizes.append((images.size, len(images)))
        original(model, images, **how)

    monkeypatch.setattr(run, "recompute_statistics", watch)
    train(small(resolution=16), digits, Recipe(epochs=3, progressive=0.5), seed=0, device=CPU)
    assert sizes == [(16, 256)] * 3
    train(small(), digits, Recipe(epochs=1, **RUNNING), seed=0, device=CPU)
    assert len(sizes) == 3


def test_about_a_fiftieth_of_the_images_is_chosen_within_bounds() -> None:
    assert [len(chosen_images(count, seed=0)) for count in (2, 256, 4000, 30_000, 50_000, 10**6)] == [
        *(2, 256, 256, 512, 1024, 1024)
    ]
    some = chosen_images(5000, seed=1)
    assert len(set(some)) == 256 and np.array_equal(some, chosen_images(5000, seed=1))
    assert not np.array_equal(some, chosen_images(5000, seed=2))


def test_norms_of_a_recipe_move_by_its_momentum(digits: Dataset) -> None:
    own, given = (build_on(CPU, small(), Recipe(norm_momentum=share)) for share in (None, 0.3))
    assert {norm.momentum for norm in norms(own)} == {0.1}
    assert {norm.momentum for norm in norms(given)} == {0.3}
    whole = Recipe(epochs=1, batch_size=len(digits.train), norm_momentum=1.0, crop=0.0, learning_rate=1e-9, **RUNNING)
    result = train(small("resnet_small"), digits, whole, seed=0, device=CPU)
    first = norms(result.model)[0]
    images = to_device(digits.train, resolution=8, standard=standardisation(digits), device=CPU)
    expected = twin(result.model)
    recompute_statistics(expected, images, precision="float32", batch=512)
    torch.testing.assert_close(first.running_mean, norms(expected)[0].running_mean)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("changes", [{}, {"cuda_graphs": False}, {"ema": 0.999}, {"batch_size": 8}], ids=str)
def test_a_few_steps_are_enough_on_the_gpu(changes: dict[str, Any], bright_or_dark: Dataset) -> None:
    network = small("resnet_small", width=1.0, depth=1.0, resolution=16, num_classes=2, in_channels=3)
    recipe = Recipe(**{"epochs": 8, "batch_size": 32, **changes})
    result = train(network, bright_or_dark, recipe, seed=0, device=torch.device("cuda:0"))
    assert result.val_accuracy == 1.0
    assert result.val_accuracy == np.mean(result.answers == bright_or_dark.validation.labels)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_the_host_does_not_wait_for_statistics_on_the_gpu(digits: Dataset) -> None:
    device = torch.device("cuda:0")
    model = twin(build_on(device, small(), Recipe()))
    images = to_device(digits.train, resolution=8, standard=standardisation(digits), device=device)
    recompute_statistics(model, images, precision="auto", batch=100)  # the libraries wait at their first use
    torch.cuda.set_sync_debug_mode("error")
    try:
        recompute_statistics(model, images, precision="auto", batch=100)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    on_host = lagging()
    on_host.load_state_dict(model.state_dict())
    here = to_device(digits.train, resolution=8, standard=standardisation(digits), device=CPU)
    recompute_statistics(on_host, here, precision="float32", batch=100)
    for ours, expected in itertools.islice(zip(norms(model), norms(on_host), strict=True), 3):
        torch.testing.assert_close(ours.running_var.cpu(), expected.running_var, rtol=0.1, atol=0.02)
