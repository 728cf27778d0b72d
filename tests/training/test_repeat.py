"""One network over several seeds, and weights to begin with."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from nas.architecture.presets import preset
from nas.architecture.space import load_space
from nas.data.sources import DataConfig, load_data, load_test
from nas.errors import TrainingDiverged, WeightsError
from nas.models.build import build_model
from nas.training.loop import train, trial_seed
from nas.training.recipe import Recipe
from nas.training.repeat import AFTER_SEARCHES, mean_and_std, read_initial_weights, train_repeatedly
from nas.training.run import Run

sys.path.insert(0, str(Path(__file__).parent.parent / "models"))
from test_reference_weights import torchvision_weights  # noqa: E402

CPU = torch.device("cpu")
CONFIG = DataConfig(digits=True, limit=400)
NETWORK = load_space("resnet_small").architecture(width=0.5, depth=0.25, resolution=8, num_classes=10, in_channels=1)


def test_every_seed_is_a_training_of_its_own_and_the_assessment_adds_up() -> None:
    dataset, test = load_data(CONFIG), load_test(CONFIG)
    told: list[int] = []
    results = train_repeatedly(
        NETWORK,
        dataset,
        test,
        Recipe(epochs=3, batch_size=64),
        repeats=2,
        device=CPU,
        on_epoch=lambda repeat, epoch: told.append(repeat),
    )
    assert told == [0, 0, 0, 1, 1, 1]
    assert results[0].curve[-1].train_loss != results[1].curve[-1].train_loss
    for result in results:
        confusion = torch.tensor(result.test.confusion)
        assert confusion.sum() == len(test) and confusion.sum(1).tolist() == [
            int((test.labels == label).sum()) for label in range(10)
        ]
        assert result.test.accuracy == pytest.approx(confusion.diagonal().sum().item() / len(test))
        assert result.test.accuracy <= result.test.top5 <= 1
        assert [a * n for a, n in zip(result.test.by_class, confusion.sum(1).tolist(), strict=True)] == pytest.approx(
            confusion.diagonal().tolist()
        )
    again = train_repeatedly(NETWORK, dataset, test, Recipe(epochs=3, batch_size=64), repeats=1, device=CPU)
    assert again[0].test == results[0].test


def test_seeds_that_are_finished_are_not_trained_again(monkeypatch: pytest.MonkeyPatch) -> None:
    dataset, test = load_data(CONFIG), load_test(CONFIG)
    recipe = Recipe(epochs=2, batch_size=64, ema=0.9)

    def run(told: list[int], stop_at: int | None = None) -> Any:
        def tell(repeat: int, epoch: Any) -> None:
            told.append(repeat)
            if len(told) == stop_at:
                raise KeyboardInterrupt

        return train_repeatedly(
            NETWORK, dataset, test, recipe, repeats=2, device=CPU, folder=Path("out"), on_epoch=tell
        )

    with pytest.raises(KeyboardInterrupt):
        run([], stop_at=3)  # in the second training
    steps: list[int] = []
    original = Run.take_steps
    monkeypatch.setattr(Run, "take_steps", lambda self, *a: steps.append(1) or original(self, *a))
    again = run([])
    assert len(steps) == 1  # the last epoch of the second training
    whole = train_repeatedly(NETWORK, dataset, test, recipe, repeats=2, device=CPU)
    assert [result.test for result in again] == [result.test for result in whole]
    assert all(result.train_seconds > 0 and result.images_per_second > 0 for result in again)


def diverging(monkeypatch: pytest.MonkeyPatch, *which: int) -> list[int]:
    """Let the trainings with these numbers diverge, and return where the seeds of all are kept."""
    seeds: list[int] = []

    def train_or_not(*arguments: Any, seed: int, **options: Any) -> Any:
        seeds.append(seed)
        if len(seeds) - 1 in which:
            raise TrainingDiverged("the training loss of epoch 1 is nan")
        return train(*arguments, seed=seed, **options)

    monkeypatch.setattr("nas.training.repeat.train", train_or_not)
    return seeds


def test_the_others_go_on_where_a_training_diverges(monkeypatch: pytest.MonkeyPatch) -> None:
    dataset, test = load_data(CONFIG), load_test(CONFIG)
    options: Any = {"repeats": 3, "device": CPU}
    diverged: dict[int, str] = {}
    recipe = Recipe(epochs=1, batch_size=64)
    diverging(monkeypatch, 0, 2)
    results = train_repeatedly(NETWORK, dataset, test, recipe, **options, on_diverged=diverged.__setitem__)
    assert [result.repeat for result in results] == [1]
    assert diverged == dict.fromkeys((0, 2), "the training loss of epoch 1 is nan")
    diverging(monkeypatch, 0, 1, 2)
    with pytest.raises(TrainingDiverged, match="every training diverged, 3 of 3; the last: the training loss of"):
        train_repeatedly(NETWORK, dataset, test, recipe, **options, on_diverged=diverged.__setitem__)
    diverging(monkeypatch, 0)
    with pytest.raises(TrainingDiverged, match="training 1 of 3: the training loss"):
        train_repeatedly(NETWORK, dataset, test, recipe, **options)


def test_seeds_after_a_search_are_not_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    seeds = diverging(monkeypatch, 0, 1, 2)
    with pytest.raises(TrainingDiverged):
        train_repeatedly(
            NETWORK,
            load_data(CONFIG),
            load_test(CONFIG),
            Recipe(epochs=1),
            repeats=3,
            counted_from=AFTER_SEARCHES,
            device=CPU,
            on_diverged=lambda repeat, reason: None,
        )
    searched = {trial_seed(0, NETWORK.digest, repeat) for repeat in range(AFTER_SEARCHES)}
    assert len(set(seeds)) == 3 and not searched & set(seeds)


def test_mean_and_deviation_are_the_samples() -> None:
    assert mean_and_std([1.0, 3.0]) == (2.0, pytest.approx(2**0.5))
    assert mean_and_std([4.0]) == (4.0, None)


def test_a_training_begins_with_the_weights_it_is_given() -> None:
    dataset = load_data(CONFIG)
    recipe = Recipe(epochs=4, batch_size=64)
    first = train(NETWORK, dataset, recipe, seed=1, device=CPU)
    save_file({k: v.contiguous() for k, v in first.model.state_dict().items()}, "weights.safetensors")
    initial = read_initial_weights(Path("weights.safetensors"), NETWORK)
    cold = Recipe(steps=1, learning_rate=1e-6)
    warm = train(NETWORK, dataset, cold, seed=2, device=CPU, initial=initial)
    fresh = train(NETWORK, dataset, cold, seed=2, device=CPU)
    assert warm.val_accuracy > fresh.val_accuracy
    torch.testing.assert_close(warm.model.classifier.weight, first.model.classifier.weight, atol=1e-4, rtol=1e-3)


def test_a_network_of_other_classes_gets_a_fresh_head() -> None:
    torch.save(torchvision_weights("resnet18"), "resnet18.pth")
    network = preset("resnet18", num_classes=7, resolution=64)
    initial = read_initial_weights(Path("resnet18.pth"), network)
    assert set(build_model(network).state_dict()) - set(initial) == {"classifier.weight", "classifier.bias"}
    assert torch.equal(initial["stem.0.conv.weight"], torchvision_weights("resnet18")["conv1.weight"])


@pytest.mark.parametrize("bias", [torch.zeros(()), torch.zeros(3), torch.zeros(0), torch.zeros(10, 1)])
def test_a_bias_of_another_shape_is_one_line(bias: torch.Tensor) -> None:
    state = {key: tensor.clone() for key, tensor in build_model(NETWORK).state_dict().items()}
    for key in ("classifier.bias", "stem.0.norm.bias"):
        save_file({**state, key: bias}, "own.safetensors")
        with pytest.raises(WeightsError, match=rf"^own.safetensors: {key} has shape .+, but the network's has \d+$"):
            read_initial_weights(Path("own.safetensors"), NETWORK)
    foreign = torchvision_weights("resnet18")
    for key in ("fc.bias", "bn1.bias"):
        save_file({**foreign, key: bias.clone()}, "foreign.safetensors")
        with pytest.raises(WeightsError, match=r"^foreign.safetensors: .* has shape ") as caught:
            read_initial_weights(Path("foreign.safetensors"), preset("resnet18", num_classes=7, resolution=64))
        assert "\n" not in str(caught.value)


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return (Path("pwned").write_text, ("x",))


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda path: None, "no such file"),
        (lambda path: path.write_text("text"), "cannot be read as weights|contains more than tensors"),
        (lambda path: torch.save({"a": Evil()}, path), "contains more than tensors"),
        (lambda path: torch.save([1, 2], path), "must be a state dict of tensors"),
        (lambda path: torch.save({"a": torch.zeros(2)}, path), "not a state dict of torchvision's"),
        (
            lambda path: torch.save(build_model(preset("resnet18", resolution=32)).state_dict(), path),
            r"has shape 64x3x7x7, but the network's has 8x1x3x3|has no counterpart",
        ),
    ],
)
def test_other_files_are_refused_and_nothing_is_unpickled(write: Any, message: str) -> None:
    path = Path("weights.pth")
    write(path)
    with pytest.raises(WeightsError, match=message) as caught:
        read_initial_weights(path, NETWORK)
    assert "\n" not in str(caught.value) and not Path("pwned").exists()
