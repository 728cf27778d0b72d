"""A training that was stopped goes on as if it had not, to the bit; checkpoints are whole or not there."""

from __future__ import annotations

import multiprocessing
import random
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import scaled, wait_until

from nas.architecture.space import load_space
from nas.architecture.spec import Architecture
from nas.data.sources import DataConfig, Dataset, load_data
from nas.errors import StudyError
from nas.records import Epoch
from nas.training import checkpoint
from nas.training.checkpoint import State, load_checkpoint, save_checkpoint
from nas.training.loop import train
from nas.training.recipe import Recipe
from nas.training.result import TrainingResult
from nas.training.run import Run

CPU = torch.device("cpu")
FILE = Path("run.safetensors")
RECIPES = {
    "default": Recipe(epochs=3, batch_size=64),
    "adamw, average": Recipe(
        epochs=3, batch_size=64, optimizer="adamw", learning_rate=0.01, schedule="cosine", ema=0.9
    ),
    "plateau": Recipe(epochs=4, batch_size=64, schedule="plateau", patience=1, optimizer="rmsprop", learning_rate=1e-3),
    "adagrad, progressive": Recipe(epochs=4, batch_size=64, optimizer="adagrad", learning_rate=0.02, progressive=0.5),
    "mixed": Recipe(epochs=3, batch_size=64, cutout=0.3, mixup=0.2, cutmix=1.0, loss="binary_cross_entropy"),
    "steps": Recipe(steps=17, batch_size=64, schedule="step", clip=1.0, l1=1e-4, flip=True, norm_statistics="running"),
    "sparse, average": Recipe(epochs=3, batch_size=64, sparsity=0.9, ema=0.9),
}


LONG = Recipe(epochs=30, batch_size=64)
"""Takes a second or more, so that a process can be killed many times on the way."""


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return load_data(DataConfig(digits=True, limit=500))


@pytest.fixture(scope="module")
def network() -> Architecture:
    space = load_space("efficientnet_small")  # draws dropout and stochastic depth
    return space.architecture(width=0.25, depth=0.5, resolution=8, num_classes=10, in_channels=1)


def figures(curve: tuple[Epoch, ...] | list[Epoch]) -> list[dict[str, float]]:
    return [{key: value for key, value in asdict(epoch).items() if key != "seconds"} for epoch in curve]


def same(first: TrainingResult, second: TrainingResult) -> None:
    assert figures(first.curve) == figures(second.curve)
    for key, tensor in first.model.state_dict().items():
        assert torch.equal(tensor, second.model.state_dict()[key]), key
    assert np.array_equal(first.answers, second.answers)


class Stopped(Exception):
    pass


def stopping(steps: int) -> Callable[[Run, Any, Any], None]:
    """Return a ``take_steps`` that stops after the step of that number, counted over the whole training."""
    original = Run.take_steps

    def take_steps(self: Run, batches: Any, after_step: Any = None) -> None:
        def count() -> None:
            if after_step is not None:
                after_step()
            if self._total_steps - self._steps_left == steps:
                raise Stopped

        original(self, batches, count)

    return take_steps


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("seconds", [0.0, 1e9], ids=["each step", "each epoch"])
def test_a_stopped_training_goes_on_to_the_same_end(
    name: str, seconds: float, network: Architecture, digits: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = RECIPES[name]
    whole = train(network, digits, recipe, seed=5, device=CPU)
    for stop in sorted(random.Random(name).sample(range(1, recipe.total_steps(len(digits.train))), 3)):
        with monkeypatch.context() as patch, pytest.raises(Stopped):
            patch.setattr(Run, "take_steps", stopping(stop))
            train(network, digits, recipe, seed=5, device=CPU, checkpoint=FILE, checkpoint_seconds=seconds)
        torch.rand(2)  # what else a process draws makes no difference
    told: list[Epoch] = []
    again = train(network, digits, recipe, seed=5, device=CPU, checkpoint=FILE, on_epoch=told.append)
    same(whole, again)
    assert tuple(told) == again.curve
    assert not FILE.exists()


@pytest.mark.parametrize("name", ["adamw, average", "plateau", "mixed"])
def test_a_training_that_paused_is_the_same_in_the_end(name: str, network: Architecture, digits: Dataset) -> None:
    recipe = RECIPES[name]
    whole = train(network, digits, recipe, seed=5, device=CPU)

    def until(last: int, *, lost: bool = False) -> TrainingResult:
        if lost:
            FILE.unlink()
        return train(
            network, digits, recipe, seed=5, device=CPU, checkpoint=FILE, go_on=lambda epoch: epoch.epoch < last
        )

    for lost in (False, True):
        paused = until(1)
        assert paused.paused and figures(paused.curve) == figures(whole.curve[:1]) and FILE.exists()
        torch.rand(2)
        assert len(until(2, lost=lost).curve) == 2 and FILE.exists()
        rest = until(100, lost=lost)
        assert not rest.paused and not FILE.exists()
        same(whole, rest)


def test_a_training_asks_again_where_it_was_stopped_before_the_answer(network: Architecture, digits: Dataset) -> None:
    def stop(epoch: Epoch) -> None:
        if epoch.epoch == 2:
            raise Stopped

    asked: list[int] = []

    def ask(epoch: Epoch) -> bool:
        asked.append(epoch.epoch)
        return epoch.epoch < 2

    recipe, keywords = RECIPES["plateau"], {"seed": 5, "device": CPU, "checkpoint": FILE, "go_on": ask}
    with pytest.raises(Stopped):
        train(network, digits, recipe, on_epoch=stop, **keywords)
    result = train(network, digits, recipe, **keywords)
    assert asked == [1, 2] and result.paused and len(result.curve) == 2 and FILE.exists()
    assert train(network, digits, recipe, **{**keywords, "go_on": None}).curve[:2] == result.curve
    asked.clear()
    train(network, digits, recipe, **{**keywords, "go_on": lambda epoch: bool(asked.append(epoch.epoch)) or True})
    assert asked == [1, 2, 3]  # the end is no question


@pytest.mark.parametrize(
    "changed",
    [
        {"seed": 6},
        {"architecture": load_space("resnet_small").architecture(resolution=8, num_classes=10, in_channels=1)},
        {"initial": {"classifier.bias": torch.ones(10)}},
        {"recipe": {"crop": 0.0}},
        {"recipe": {"learning_rate": 0.3}},
        {"recipe": {"ema": 0.9}},
        {"recipe": {"flip": True}},
    ],
    ids=lambda changed: " ".join(map(str, changed.get("recipe", changed))),
)
def test_a_checkpoint_of_something_else_is_not_gone_on_from(
    changed: dict[str, Any], network: Architecture, digits: Dataset
) -> None:
    def trained(**changes: Any) -> tuple[int, TrainingResult]:
        steps: list[object] = []
        recipe = Recipe(steps=2, batch_size=64).model_copy(update=changes.pop("recipe", {}))
        keywords = {"architecture": network, "seed": 5, "device": CPU, "on_step": steps.append, **changes}
        result = train(dataset=digits, recipe=recipe, **keywords)
        return len(steps), result

    kept = {"checkpoint": FILE, "keep_checkpoint": True}
    assert [trained(**kept)[0], trained(**kept)[0]] == [2, 0]
    steps, with_file = trained(**kept, **changed)
    assert steps == 2
    same(trained(**changed)[1], with_file)


@pytest.mark.parametrize("damage", [b"", b"text", b"\xff" * 100])
def test_a_damaged_checkpoint_is_passed_over(damage: bytes, network: Architecture, digits: Dataset) -> None:
    FILE.write_bytes(damage)
    recipe = Recipe(steps=4, batch_size=64)
    same(
        train(network, digits, recipe, seed=5, device=CPU),
        train(network, digits, recipe, seed=5, device=CPU, checkpoint=FILE),
    )


def test_a_state_survives_its_file() -> None:
    state = State({"a": torch.arange(6.0).view(2, 3).t(), "b": torch.tensor(3)}, {"x": [1, {"y": float("inf")}]})
    save_checkpoint(FILE, state, key="k")
    again = load_checkpoint(FILE, key="k")
    assert again is not None and again.facts == state.facts
    assert all(torch.equal(again.tensors[key], value) for key, value in state.tensors.items())
    assert load_checkpoint(FILE, key="other") is None and load_checkpoint(Path("nowhere"), key="k") is None
    assert list(Path().glob("*.safetensors*")) == [FILE]


def test_a_full_disk_is_an_error_and_keeps_the_earlier_checkpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    save_checkpoint(FILE, State({"a": torch.zeros(2)}, {}), key="k")

    def full(tensors: Any, path: Path, metadata: Any) -> None:
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "save_file", full)
    with pytest.raises(StudyError, match="run.safetensors: the checkpoint cannot be written: No space left on device"):
        save_checkpoint(FILE, State({"a": torch.ones(2)}, {}), key="k")
    assert [path.name for path in Path().glob("run*")] == ["run.safetensors"]
    kept = load_checkpoint(FILE, key="k")
    assert kept is not None and kept.tensors["a"].sum() == 0


def train_and_tell(sender: Connection, network: Architecture) -> None:
    """Train to the end, from where a killed process left it; the body of a process."""
    digits = load_data(DataConfig(digits=True, limit=500))
    result = train(network, digits, LONG, seed=5, device=CPU, checkpoint=FILE, checkpoint_seconds=0.005)
    sender.send(figures(result.curve))


@pytest.mark.endurance
@pytest.mark.slow
def test_kills_at_random_moments_change_nothing(network: Architecture, digits: Dataset) -> None:
    expected = figures(train(network, digits, LONG, seed=5, device=CPU).curve)
    context = multiprocessing.get_context("forkserver")  # loads once what each process needs
    context.set_forkserver_preload(["pytest", "hypothesis", "nas.search.opening", "sklearn.datasets", "torch._dynamo"])

    def written() -> int:
        with suppress(FileNotFoundError):
            return FILE.stat().st_ino
        return 0

    def start() -> tuple[Any, Connection]:
        before, (receiver, sender) = written(), context.Pipe(duplex=False)
        process = context.Process(target=train_and_tell, args=(sender, network))
        process.start()
        sender.close()
        wait_until(lambda: written() != before)  # so that each goes on from where the one before it came to
        return process, receiver

    generator, kills = random.Random(0), 0
    while kills < scaled(3, 200):
        process, receiver = start()
        time.sleep(generator.uniform(0.0, 0.1))
        process.kill()
        process.join()
        if process.exitcode == 0:  # it was faster, and the next begins anew
            assert receiver.recv() == expected
        else:
            assert process.exitcode == -signal.SIGKILL
            kills += 1
    process, receiver = start()
    assert receiver.recv() == expected
    process.join()
    assert process.exitcode == 0 and not FILE.exists()


def test_others_may_read_what_the_umask_lets_them(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("plain").touch()
    monkeypatch.setattr("os.umask", lambda mask: pytest.fail("the mask is the whole process's"))
    save_checkpoint(FILE, State({"x": torch.zeros(1)}, {}), key="key")
    assert FILE.stat().st_mode == Path("plain").stat().st_mode
