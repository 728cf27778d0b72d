from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import pytest
import torch

from nas.architecture.space import load_space
from nas.architecture.spec import Architecture
from nas.data.sources import DataConfig, Dataset, load_data
from nas.errors import DeviceError, TrainingDiverged
from nas.models.device import resolve_device
from nas.training.loop import train, trial_seed
from nas.training.recipe import Recipe
from nas.training.result import StepDone, TrainingResult
from nas.training.timing import time_step

CPU = torch.device("cpu")
RECIPE = Recipe(epochs=2, batch_size=64, learning_rate=0.1)


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return load_data(DataConfig(digits=True))


@pytest.fixture
def network() -> Architecture:
    # the family that also draws dropout and stochastic depth
    space = load_space("efficientnet_small")
    return space.architecture(width=0.25, depth=0.5, resolution=8, num_classes=10, in_channels=1)


def figures(result: TrainingResult) -> list[dict[str, float]]:
    return [{key: value for key, value in asdict(epoch).items() if key != "seconds"} for epoch in result.curve]


def test_the_same_trial_twice_is_identical_to_the_bit(network: Architecture, digits: Dataset) -> None:
    first = train(network, digits, RECIPE, seed=7, device=CPU)
    torch.rand(3)  # what else a process draws makes no difference
    second = train(network, digits, RECIPE, seed=7, device=CPU)
    assert figures(first) == figures(second)
    for a, b in zip(first.model.state_dict().values(), second.model.state_dict().values(), strict=True):
        assert torch.equal(a, b)
    assert figures(first) != figures(train(network, digits, RECIPE, seed=8, device=CPU))


def test_training_leaves_the_global_random_state_alone(network: Architecture, digits: Dataset) -> None:
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    train(network, digits, RECIPE, seed=1, device=CPU)
    assert torch.equal(torch.rand(1), expected)


def test_a_network_learns_and_its_curve_is_told_as_it_grows(digits: Dataset) -> None:
    network = load_space("resnet_small").architecture(width=0.5, depth=0.5, resolution=8, num_classes=10, in_channels=1)
    told = []
    recipe = RECIPE.model_copy(update={"epochs": 6})
    result = train(network, digits, recipe, seed=0, device=CPU, on_epoch=told.append)
    assert tuple(told) == result.curve
    assert [epoch.epoch for epoch in result.curve] == [1, 2, 3, 4, 5, 6]
    assert result.val_accuracy == result.curve[-1].val_accuracy > 0.9
    assert result.curve[-1].train_loss < result.curve[0].train_loss
    assert not result.model.training


def test_an_infinite_loss_ends_the_training(network: Architecture, digits: Dataset) -> None:
    with pytest.raises(TrainingDiverged, match="lower the learning rate"):
        train(network, digits, RECIPE.model_copy(update={"learning_rate": 1e30}), seed=0, device=CPU)


@pytest.mark.parametrize("warmup", [0.0, 0.5, 0.25])
def test_any_warmup_makes_a_schedule(network: Architecture, digits: Dataset, warmup: float) -> None:
    recipe = Recipe(epochs=2, batch_size=len(digits.train), warmup=warmup, learning_rate=0.01)  # two steps in all
    assert len(train(network, digits, recipe, seed=0, device=CPU).curve) == 2


def test_weights_that_break_in_the_last_step_end_the_training(network: Architecture, digits: Dataset) -> None:
    recipe = Recipe(epochs=1, batch_size=len(digits.train), learning_rate=1e18)
    with pytest.raises(TrainingDiverged, match="validation loss of epoch 1"):
        train(network, digits, recipe, seed=0, device=CPU)


def test_weight_decay_spares_norms_and_biases(network: Architecture, digits: Dataset) -> None:
    decayed = train(network, digits, RECIPE.model_copy(update={"weight_decay": 0.5}), seed=0, device=CPU).model
    plain = train(network, digits, RECIPE.model_copy(update={"weight_decay": 0.0}), seed=0, device=CPU).model
    assert decayed.classifier.weight.norm() < 0.5 * plain.classifier.weight.norm()
    scales = [p for name, p in decayed.named_parameters() if name.endswith("norm.weight")]
    assert torch.cat(scales).mean() > 0.7


def test_seeds_tell_trials_apart() -> None:
    seeds = {trial_seed(s, d, r) for s in range(3) for d in ("a", "b") for r in range(3)}
    assert len(seeds) == 18
    assert trial_seed(0, "a") == trial_seed(0, "a", 0) < 2**63


def test_a_step_takes_time_of_which_batches_take_a_part(network: Architecture, digits: Dataset) -> None:
    state = torch.random.get_rng_state()
    timed = time_step(network, digits, RECIPE, device=CPU, steps=10)
    assert timed.seconds > 0 and 0 < timed.data_share < 0.5
    heavy = time_step(network, digits, RECIPE.model_copy(update={"rand_augment": 9}), device=CPU, steps=2)
    assert heavy.data_share > timed.data_share
    assert time_step(network, digits, Recipe(batch_size=len(digits.train)), device=CPU, steps=2).seconds > 0
    assert torch.equal(state, torch.random.get_rng_state())


@pytest.mark.parametrize("name", ["gpu", "cuda:99", "cpu:0", "mps"])
def test_unknown_devices_are_refused(name: str) -> None:
    with pytest.raises(DeviceError, match=rf"this machine has no device '{name}'; known: auto, cpu"):
        resolve_device(name)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"optimizer": "adamw", "learning_rate": 0.01, "clip": 1.0, "ema": 0.9, "progressive": 0.5, "mixup": 0.2},
        {"cuda_graphs": False},
        {"compile": True},
    ],
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the compiler's own imports
def test_a_network_learns_on_the_gpu(changes: dict[str, object], digits: Dataset) -> None:
    network = load_space("resnet_small").architecture(resolution=8, num_classes=10, in_channels=1)
    recipe = RECIPE.model_copy(update={"epochs": 8, **changes})
    assert train(network, digits, recipe, seed=0, device=resolve_device("cuda")).val_accuracy > 0.9


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("optimizer", ["nesterov", "adamw", "rmsprop"])
def test_a_training_that_was_stopped_goes_on_on_the_gpu(optimizer: str, digits: Dataset, tmp_path: Path) -> None:
    def stop(done: StepDone) -> None:
        if done.done == 30:
            raise InterruptedError

    network = load_space("resnet_small").architecture(width=0.5, resolution=8, num_classes=10, in_channels=1)
    recipe = RECIPE.model_copy(update={"optimizer": optimizer, "learning_rate": 0.01, "ema": 0.9, "epochs": 3})
    device, path = resolve_device("cuda"), tmp_path / "run.safetensors"
    whole = train(network, digits, recipe, seed=0, device=device)
    with pytest.raises(InterruptedError):
        train(network, digits, recipe, seed=0, device=device, checkpoint=path, checkpoint_seconds=0, on_step=stop)
    resumed = train(network, digits, recipe, seed=0, device=device, checkpoint=path, checkpoint_seconds=1e9)
    for one, other in zip(figures(whole), figures(resumed), strict=True):
        assert one == pytest.approx(other, rel=0.05, abs=0.02)
