"""What a recipe says is what training does: lengths, optimisers, schedules, losses, averages, early ends."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional
from torch.optim.optimizer import register_optimizer_step_post_hook

from nas.architecture.space import load_space
from nas.architecture.spec import Architecture
from nas.data.batches import standardisation, to_device
from nas.data.sources import DataConfig, Dataset, load_data
from nas.models.build import StochasticDepth, build_model
from nas.training import augmentation, preparing, run
from nas.training.evaluate import evaluate
from nas.training.loop import train
from nas.training.optimizer import Schedule, learning_rate, make_loss, make_optimizer
from nas.training.recipe import Recipe
from nas.training.result import Validation

CPU = torch.device("cpu")
OPTIMIZERS = ("sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam", "adamw")


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return load_data(DataConfig(digits=True, limit=600))


@pytest.fixture
def network() -> Architecture:
    return load_space("resnet_small").architecture(width=0.25, depth=0.25, resolution=8, num_classes=10, in_channels=1)


def rates(recipe: Recipe, *, steps: int, val_losses: list[float] | None = None) -> list[float]:
    """Return the learning rate of each step; ``val_losses`` end epochs of two steps."""
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(2, 2))], lr=recipe.learning_rate)
    schedule, found, losses = Schedule(optimizer, recipe, total_steps=steps), [], list(val_losses or [])
    for step in range(steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if step < steps - 1:
            if losses and step % 2 == 1:
                schedule.end_epoch(losses.pop(0))
            schedule.step()
    return found


def test_the_length_of_training_is_epochs_steps_or_images() -> None:
    assert Recipe().total_steps(1000) == 10 * (1000 // 32)
    assert Recipe(steps=37).total_steps(1000) == 37 and Recipe(steps=37).total_epochs(1000) == 2
    assert Recipe(images="10k", batch_size=100).total_steps(1000) == 100
    assert Recipe(images=10_001, batch_size=100).total_steps(1000) == 101
    assert Recipe(batch_size=512).total_steps(100) == 10  # a batch is no larger than the images
    for given_twice in ({"epochs": 3, "steps": 4}, {"steps": 3, "images": 4}):
        with pytest.raises(ValueError, match="the length of training is given more than once"):
            Recipe.model_validate(given_twice)
    for recipe in (Recipe(), Recipe(steps=5), Recipe(images=7)):
        assert Recipe.model_validate_json(recipe.model_dump_json()) == recipe


def test_training_ends_after_the_steps_it_was_given(network: Architecture, digits: Dataset) -> None:
    per_epoch = len(digits.train) // 64
    result = train(network, digits, Recipe(steps=per_epoch + 2, batch_size=64), seed=0, device=CPU)
    assert [epoch.epoch for epoch in result.curve] == [1, 2]
    seen = {int(b) for key, b in result.model.state_dict().items() if key.endswith("num_batches_tracked")}
    assert seen == {per_epoch + 2}


def test_the_rate_grows_with_the_batch_where_it_is_asked_to() -> None:
    assert Recipe(learning_rate=0.1, batch_size=512).peak_learning_rate(10_000) == 0.1
    assert Recipe(learning_rate=0.1, learning_rate_batch=128, batch_size=512).peak_learning_rate(10_000) == 0.4
    assert Recipe(learning_rate=0.1, learning_rate_batch=128, batch_size=512).peak_learning_rate(64) == 0.05


def test_schedules_rise_and_fall_as_they_are_named() -> None:
    def of(schedule: str, **changes: Any) -> list[float]:
        return rates(Recipe(learning_rate=1.0, schedule=schedule, **{"warmup": 0.0, **changes}), steps=20)

    assert of("constant") == [1.0] * 20
    assert of("step") == pytest.approx([1.0] * 10 + [0.1] * 5 + [0.01] * 5)
    cosine = of("cosine")
    assert cosine[0] == 1.0 and cosine[10] == pytest.approx(0.5) and sorted(cosine, reverse=True) == cosine
    assert of("constant", warmup=0.25)[:6] == pytest.approx([1 / 6, 2 / 6, 3 / 6, 4 / 6, 5 / 6, 1.0])
    one_cycle = of("one_cycle", warmup=0.3)
    assert max(one_cycle) == pytest.approx(1.0) and one_cycle[-1] < one_cycle[0] < 0.1
    assert one_cycle.index(max(one_cycle)) == 5


def test_a_plateau_lowers_the_rate_after_its_patience() -> None:
    recipe = Recipe(learning_rate=1.0, schedule="plateau", warmup=0.0, patience=2, decay_factor=0.5)
    # the second epoch is better, the third and fourth are not
    found = rates(recipe, steps=12, val_losses=[3.0, 2.0, 2.5, 2.0, 1.0])
    assert found == [1.0] * 8 + [0.5] * 4


@given(st.integers(1, 200), st.floats(0, 0.9))
@example(10, 0.1)
def test_one_cycle_is_that_of_torch(steps: int, warmup: float) -> None:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(2))], lr=0.7)
    one_step = abs(warmup * steps - 1) < 1e-6  # torch divides by the steps of the rise less one
    kept = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=0.7, total_steps=steps, pct_start=0.0 if one_step else float(warmup), cycle_momentum=False
    )
    expected = []
    for _ in range(steps):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        kept.step()
    assert rates(Recipe(learning_rate=0.7, schedule="one_cycle", warmup=warmup), steps=steps) == expected


@given(st.integers(1, 200), st.floats(0, 0.9), st.sampled_from(("one_cycle", "cosine", "step", "plateau", "constant")))
def test_no_step_has_a_rate_above_the_peak_or_below_nothing(steps: int, warmup: float, schedule: Any) -> None:
    recipe = Recipe(schedule=schedule, warmup=warmup)
    factors = [learning_rate(recipe, step, peak=1.0, total_steps=steps) for step in range(steps)]
    assert all(0 <= factor <= 1 for factor in factors) and factors[0] > 0


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_weight_decay_spares_norms_and_biases_unless_asked(optimizer: Any, network: Architecture) -> None:
    model = build_model(network)
    names = {id(p): name for name, p in model.named_parameters()}
    made = make_optimizer(model, Recipe(optimizer=optimizer, weight_decay=0.1), learning_rate=0.1)
    decayed = {names[id(p)] for g in made.param_groups if g["weight_decay"] > 0 for p in g["params"]}
    assert decayed == {name for name, p in model.named_parameters() if p.ndim > 1}
    everything = make_optimizer(model, Recipe(optimizer=optimizer, decay_norms=True), learning_rate=0.1)
    assert all(group["weight_decay"] > 0 for group in everything.param_groups)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("loss", ["cross_entropy", "mse", "binary_cross_entropy"])
def test_every_optimiser_lowers_every_loss(optimizer: Any, loss: Any, network: Architecture, digits: Dataset) -> None:
    rate = {"adagrad": 0.02, "rmsprop": 1e-3, "adam": 5e-3, "adamw": 5e-3, "sgd": 0.5}.get(optimizer, 0.1)
    recipe = Recipe(epochs=3, batch_size=32, optimizer=optimizer, learning_rate=rate, loss=loss, schedule="cosine")
    curve = train(network, digits, recipe, seed=1, device=CPU).curve
    assert curve[-1].train_loss < curve[0].train_loss


def test_losses_are_torchs() -> None:
    logits, labels = torch.randn(6, 4), torch.tensor([0, 1, 2, 3, 0, 1])
    smooth = functional.one_hot(labels, 4) * 0.8 + 0.05
    model = nn.Linear(2, 2)

    def value(loss: Any, **changes: Any) -> float:
        return make_loss(Recipe(loss=loss, label_smoothing=0.2, **changes), model)(logits, labels).item()

    assert value("cross_entropy") == pytest.approx(-(smooth * logits.log_softmax(1)).sum(1).mean().item(), rel=1e-5)
    assert value("mse") == pytest.approx(((logits - smooth) ** 2).mean().item(), rel=1e-5)
    log_odds = smooth * functional.logsigmoid(logits) + (1 - smooth) * functional.logsigmoid(-logits)
    assert value("binary_cross_entropy") == pytest.approx(-log_odds.mean().item(), rel=1e-5)
    penalty = value("mse", l1=0.5) - value("mse")
    assert penalty == pytest.approx(0.5 * model.weight.abs().sum().item(), rel=1e-4)


def test_gradients_are_clipped_to_their_norm(
    network: Architecture, digits: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    norms: list[float] = []
    step = torch.optim.SGD.step

    def watch(self: torch.optim.SGD, *arguments: Any, **keywords: Any) -> Any:
        gradients = [p.grad for group in self.param_groups for p in group["params"]]
        norms.append(torch.linalg.vector_norm(torch.cat([g.flatten() for g in gradients])).item())
        return step(self, *arguments, **keywords)

    monkeypatch.setattr(torch.optim.SGD, "step", watch)
    train(network, digits, Recipe(steps=5, clip=0.01), seed=0, device=CPU)
    assert norms and max(norms) <= 0.01 * (1 + 1e-4)
    train(network, digits, Recipe(steps=5), seed=0, device=CPU)
    assert max(norms[5:]) > 0.01


def test_dropout_and_stochastic_depth_of_the_recipe_take_the_networks_place(
    digits: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    built: list[nn.Module] = []
    monkeypatch.setattr(preparing, "build_model", lambda a: built.append(build_model(a)) or built[-1])
    network = load_space("efficientnet_small").architecture(
        width=0.25, depth=1.0, resolution=8, num_classes=10, in_channels=1
    )
    train(network, digits, Recipe(steps=1, dropout=0.4, stochastic_depth=0.0), seed=0, device=CPU)
    train(network, digits, Recipe(steps=1), seed=0, device=CPU)
    assert [model.dropout.p for model in built] == [0.4, network.dropout]
    rates = [[m.rate for m in model.modules() if isinstance(m, StochasticDepth)] for model in built]
    assert rates[0] == [] and max(rates[1]) > 0


def test_the_average_is_what_is_validated_and_kept(network: Architecture, digits: Dataset) -> None:
    recipe = Recipe(steps=6, batch_size=64, ema=0.5, ema_warm_up=False)
    weights: list[torch.Tensor] = []

    def note(optimizer: torch.optim.Optimizer, *_: Any) -> None:
        weights.append(optimizer.param_groups[0]["params"][0].detach().clone())

    handle = register_optimizer_step_post_hook(note)
    try:
        result = train(network, digits, recipe, seed=0, device=CPU)
    finally:
        handle.remove()
    expected = weights[0]
    for weight in weights[1:]:
        expected = 0.5 * expected + 0.5 * weight
    torch.testing.assert_close(next(result.model.parameters()).detach(), expected)
    validation = to_device(digits.validation, resolution=8, standard=standardisation(digits), device=CPU)
    assert evaluate(result.model, validation).accuracy == result.val_accuracy


def test_training_ends_early_where_nothing_is_gained(
    network: Architecture, digits: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    accuracies = iter([0.1, 0.3, 0.2, 0.3, 0.25, 0.9])
    monkeypatch.setattr(run, "evaluate", lambda *_, **__: Validation(1.0, next(accuracies), torch.zeros(1)))
    result = train(network, digits, Recipe(epochs=6, early_stopping=3), seed=0, device=CPU)
    assert [epoch.val_accuracy for epoch in result.curve] == [0.1, 0.3, 0.2, 0.3, 0.25]


def test_resolution_rises_to_the_networks_own(digits: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    original = run.Run.take_steps

    def watch(self: Any, batches: Any, after_step: Any) -> Any:
        batches = list(batches)
        sizes.append(batches[0].images.shape[-1])
        return original(self, batches, after_step)

    monkeypatch.setattr(run.Run, "take_steps", watch)
    network = load_space("resnet_small").architecture(
        width=0.25, depth=0.25, resolution=16, num_classes=10, in_channels=1
    )
    train(network, digits, Recipe(epochs=10, progressive=0.5), seed=0, device=CPU)
    assert sizes == [8, 9, 10, 11, 13, 14, 15, 16, 16, 16]
    sizes.clear()
    train(network, digits, Recipe(epochs=3, progressive=0.01), seed=0, device=CPU)
    assert sizes == [3, 16, 16]  # three pixels are what two strides need


@pytest.mark.parametrize("loss", ["cross_entropy", "mse", "binary_cross_entropy"])
def test_shares_of_one_class_are_labels(loss: Any) -> None:
    logits, labels = torch.randn(6, 4), torch.tensor([0, 1, 2, 3, 0, 1])
    value = make_loss(Recipe(loss=loss), nn.Linear(2, 2))
    shares = functional.one_hot(labels, 4).float()
    torch.testing.assert_close(value(logits, shares), value(logits, labels))


@pytest.mark.parametrize(
    ("changes", "used"),
    [
        ({"cutout": 0.5}, {"cut_out"}),
        ({"mixup": 0.2}, {"mix_up"}),
        ({"cutmix": 1.0}, {"cut_mix"}),
        ({"mixup": 0.2, "cutmix": 1.0}, {"mix_up", "cut_mix"}),
        ({}, set()),
    ],
)
def test_images_are_mixed_and_erased_as_the_recipe_says(
    changes: dict[str, Any], used: set[str], network: Architecture, digits: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    called: set[str] = set()
    for name in ("cut_out", "mix_up", "cut_mix"):
        original = getattr(augmentation, name)

        def note(*arguments: Any, name: str = name, original: Any = original, **keywords: Any) -> Any:
            called.add(name)
            return original(*arguments, **keywords)

        monkeypatch.setattr(augmentation, name, note)
    curve = train(network, digits, Recipe(epochs=3, batch_size=64, **changes), seed=0, device=CPU).curve
    assert called == used
    assert curve[-1].train_loss < curve[0].train_loss


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"decay_at": [0.5, 0.5]}, "decay_at must be rising shares between 0 and 1"),
        ({"decay_at": [0.0]}, "decay_at must be rising shares"),
        ({"optimizer": "lion"}, "optimizer"),
        ({"schedule": "linear"}, "schedule"),
        ({"ema": 1.0}, "ema"),
        ({"progressive": 0.0}, "progressive"),
        ({"images": 0}, "images"),
    ],
)
def test_wrong_recipes_are_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Recipe.model_validate(given)


def test_what_a_recipe_leaves_open_follows_data_and_optimiser() -> None:
    assert [Recipe().step_images(n) for n in (20, 1000, 4000, 5000, 8000, 10_000, 50_000, 10**6)] == [
        *(20, 32, 32, 64, 64, 128, 128, 128)
    ]
    assert [Recipe().peak_learning_rate(n) for n in (1000, 6000, 50_000)] == [0.2, 0.28, 0.4]
    assert Recipe(batch_size=512).peak_learning_rate(50_000) == 0.8
    assert Recipe(optimizer="adamw").peak_learning_rate(1000) == 0.01
    assert (Recipe(optimizer="adamw").decay, Recipe().decay, Recipe(weight_decay=0.0).decay) == (0.05, 5e-4, 0.0)
    assert Recipe(learning_rate_batch=64, batch_size=256).peak_learning_rate(1000) == 4 * 0.28
    assert Recipe(learning_rate=0.1, learning_rate_batch=64, batch_size=256).peak_learning_rate(1000) == 0.4
    resolved = Recipe(optimizer="adamw").resolved(6000)
    assert (resolved.batch_size, resolved.learning_rate, resolved.weight_decay) == (64, 0.014, 0.05)
    assert resolved.resolved(50_000) == resolved


def test_settled_values_are_open_again_where_they_would_be_chosen() -> None:
    settled = Recipe().resolved(1000)
    assert settled.reopened(1000) == Recipe()
    assert Recipe(batch_size=50, learning_rate=0.3).resolved(1000).reopened(1000).learning_rate == 0.3
    assert Recipe(decay_at=0.5).decay_at == (0.5,)
