"""What a run draws and times belongs to its training alone, stopped or not."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from nas.architecture.space import load_space
from nas.architecture.spec import Architecture
from nas.data.sources import DataConfig, Dataset, load_data
from nas.training import augmentation, run
from nas.training.loop import train
from nas.training.recipe import Recipe
from nas.training.result import StepDone

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return load_data(DataConfig(digits=True, limit=200))  # 160 to train on: two steps in an epoch


@pytest.fixture(scope="module")
def network() -> Architecture:
    return load_space("resnet_small").architecture(width=0.25, depth=0.25, resolution=8, num_classes=10, in_channels=1)


@pytest.mark.parametrize(
    ("mixing", "function"),
    [({"cutout": 0.3}, "cut_out"), ({"mixup": 0.2}, "mix_up"), ({"cutmix": 1.0}, "cut_mix"), ({"rotate": 9.0}, "turn")],
    ids=lambda value: "" if isinstance(value, dict) else value,
)
def test_each_seed_mixes_in_its_own_way_and_draws_it_apart_from_the_order(
    mixing: dict[str, float], function: str, network: Architecture, digits: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    first_drawn: list[Any] = []
    original = getattr(augmentation, function)

    def watched(*arguments: Any, generator: torch.Generator, **keywords: Any) -> Any:
        first_drawn.append(tuple(generator.get_state().tolist()))
        return original(*arguments, generator=generator, **keywords)

    monkeypatch.setattr(augmentation, function, watched)
    for seed in (4, 5, 4):
        train(network, digits, Recipe(steps=1, batch_size=80, **mixing), seed=seed, device=CPU)
    four, five, again = first_drawn
    assert four == again != five
    order = torch.Generator().manual_seed(4)
    assert four != tuple(order.get_state().tolist())
    torch.randperm(len(digits.train), generator=order)
    assert four != tuple(order.get_state().tolist())


def test_the_seconds_of_an_epoch_count_what_was_trained_before_it_was_stopped(
    network: Architecture, digits: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr(run, "time", SimpleNamespace(perf_counter=lambda: now[0]))

    def step_of_ten_seconds(done: StepDone) -> None:
        now[0] += 10.0
        if done.done in stops[:1]:
            stops.pop(0)
            raise InterruptedError

    recipe, file = Recipe(epochs=2, batch_size=40), Path("run.safetensors")
    keywords = {"seed": 0, "device": CPU, "checkpoint": file, "on_step": step_of_ten_seconds}
    stops = [2, 3, 6]  # of four steps an epoch
    while stops:  # each loses the ten seconds that pass after the file was written
        with pytest.raises(InterruptedError):
            train(network, digits, recipe, checkpoint_seconds=0, **keywords)
        now[0] += 1000.0  # nobody trains meanwhile
    result = train(network, digits, recipe, **keywords)
    assert [epoch.seconds for epoch in result.curve] == [20.0, 30.0]
