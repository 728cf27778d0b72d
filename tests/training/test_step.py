from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from nas.architecture.cost import count_cost
from nas.architecture.presets import preset
from nas.architecture.space import load_space
from nas.architecture.spec import Architecture
from nas.data.sources import DataConfig, Dataset, load_data
from nas.errors import DeviceError
from nas.models import device as devices
from nas.models.build import Network, build_model
from nas.models.device import Memory, device_memory
from nas.models.memory import _measure_training, estimate_training_memory
from nas.training import evaluate as evaluation
from nas.training import loop
from nas.training.average import MovingAverage
from nas.training.clock import DataClock
from nas.training.loop import fitting_batch, train
from nas.training.optimizer import make_loss
from nas.training.recipe import Recipe
from nas.training.step import Step, is_out_of_memory

CPU = torch.device("cpu")


def network(family: str = "resnet_small", resolution: int = 8, width: float = 0.25) -> Architecture:
    space = load_space(family)
    return space.architecture(width=width, depth=0.5, resolution=resolution, num_classes=10, in_channels=1)


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return load_data(DataConfig(digits=True, limit=500))


def fresh(seed: int = 0, family: str = "resnet_small") -> Network:
    torch.manual_seed(seed)
    return build_model(network(family))


def batch(count: int = 12) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    labels = torch.randint(10, (count,), generator=generator)
    return torch.randn(count, 1, 8, 8, generator=generator), labels, labels


def without_norms(model: Network) -> Network:
    """Return the model in which an image's logits depend on no other image."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.track_running_stats = True
            module.eval()
            module.train = lambda mode=True, module=module: module  # type: ignore[method-assign, misc, assignment]
    return model


def limited(model: Network, most: int) -> list[int]:
    """Make a model run out of memory where it is given more than so many images; return the sizes it was given."""
    given: list[int] = []

    def refuse(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        given.append(len(inputs[0]))
        if len(inputs[0]) > most:
            raise torch.OutOfMemoryError("out of memory")

    model.register_forward_pre_hook(refuse)
    return given


@pytest.mark.parametrize("loss", ["cross_entropy", "mse", "binary_cross_entropy"])
def test_micro_batches_give_the_gradients_of_the_whole_batch(loss: str) -> None:
    recipe = Recipe(loss=loss, l1=1e-3)
    results = []
    for most in (100, 5):
        model = without_norms(fresh()).train()
        given = limited(model, most)
        step = Step(model, make_loss(recipe, model), recipe)
        totals = step(*batch(13))
        results.append((totals, [p.grad.clone() for p in model.parameters() if p.grad is not None]))
        assert step.micro_batch == (None if most == 100 else 4)
        assert given == ([13] if most == 100 else [13, 7, 4, 3, 3, 3])
    assert results[0][1]
    torch.testing.assert_close(results[0], results[1], rtol=1e-4, atol=1e-6)


def test_a_micro_batch_is_kept_for_the_next_step_and_never_a_single_image() -> None:
    model = fresh().train()
    given = limited(model, 3)
    step = Step(model, make_loss(Recipe(), model), Recipe())
    step(*batch(9))
    given.clear()
    step(*batch(9))
    assert step.micro_batch == 3 and given == [3, 3, 3]
    given.clear()
    step.micro_batch = 2
    step(*batch(3))
    assert given == [3]


def test_what_does_not_fit_at_all_and_other_errors_are_raised() -> None:
    model = fresh().train()
    limited(model, 1)
    step = Step(model, make_loss(Recipe(), model), Recipe())
    with pytest.raises(torch.OutOfMemoryError):
        step(*batch(9))
    assert step.micro_batch == 2
    images, labels, _ = batch(9)
    with pytest.raises(RuntimeError, match="channels"):
        Step(fresh(), make_loss(Recipe(), model), Recipe())(images.expand(9, 3, 8, 8), labels, labels)


def test_the_cpus_want_of_memory_is_known() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(10**15)
    assert is_out_of_memory(caught.value)
    assert not is_out_of_memory(RuntimeError("something else"))


def test_training_goes_on_in_micro_batches_and_records_them(digits: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    def build(architecture: Architecture) -> Network:
        model = build_model(architecture)
        limited(model, 20)
        return model

    plain = train(network(), digits, Recipe(epochs=2, batch_size=64), seed=0, device=CPU)
    monkeypatch.setattr(loop, "build_model", build)
    monkeypatch.setattr(evaluation, "_BATCH", 40)
    halved = train(network(), digits, Recipe(epochs=2, batch_size=64), seed=0, device=CPU)
    assert (plain.micro_batch, halved.micro_batch) == (None, 16)
    assert halved.curve[-1].train_loss == pytest.approx(plain.curve[-1].train_loss, abs=0.2)
    assert len(halved.curve) == 2


def test_a_network_that_fits_no_memory_is_refused_and_a_large_batch_is_halved(monkeypatch: pytest.MonkeyPatch) -> None:
    architecture = network(resolution=64, width=1.0)
    cost = count_cost(architecture)

    def with_memory(total: int) -> None:
        monkeypatch.setattr(loop, "device_memory", lambda device: Memory(total, total))

    with_memory(estimate_training_memory(cost, batch=2).low - 1)
    with pytest.raises(
        DeviceError, match=r"resnet_small .* at 64 px takes at least .* for 2 images at once, but cpu has"
    ):
        fitting_batch(architecture, 64, CPU)
    with_memory(estimate_training_memory(cost, batch=16).high)
    assert fitting_batch(architecture, 64, CPU) == 16
    assert fitting_batch(architecture, 16, CPU) is None


@pytest.mark.parametrize("family", ["resnet_small", "efficientnet_small", "resnext_small", "inception_small"])
@pytest.mark.parametrize("size", [0.5, 2.0])
def test_the_estimate_of_memory_holds_what_is_measured(family: str, size: float) -> None:
    architecture = load_space(family).architecture(width=size, depth=size, resolution=24, num_classes=10, in_channels=3)
    for count in (8, 32):
        estimate = estimate_training_memory(count_cost(architecture), batch=count)
        assert estimate.low <= _measure_training(architecture, "cpu", count) <= estimate.high


@pytest.mark.slow
def test_the_estimate_of_memory_holds_for_a_large_network() -> None:
    architecture = preset("resnet50", resolution=64)
    estimate = estimate_training_memory(count_cost(architecture), batch=16)
    assert estimate.low <= _measure_training(architecture, "cpu", 16) <= estimate.high


def test_memory_is_bounded_by_the_control_group(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    from pathlib import Path

    folder = Path(str(tmp_path))
    plain = device_memory(CPU)
    assert 0 < plain.free <= plain.total
    (folder / "memory.max").write_text("1000000\n")
    (folder / "memory.current").write_text("400000\n")
    monkeypatch.setattr(devices, "_CONTROL_GROUPS", ((folder, "memory.max", "memory.current"),))
    assert device_memory(CPU) == (1000000, 600000)
    (folder / "memory.max").write_text("max\n")
    assert device_memory(CPU).total == plain.total


def test_the_moving_average_is_torchs() -> None:
    model = fresh(family="efficientnet_small").train()
    ours = MovingAverage(model, 0.8)
    theirs = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.8), use_buffers=True)
    restored = MovingAverage(fresh(5, family="efficientnet_small"), 0.8)
    restored.restore(ours.state())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for step in range(4):
        nn.functional.cross_entropy(model(batch()[0]), batch()[1]).backward()
        optimizer.step()
        ours.update()
        theirs.update_parameters(model)
        if step == 1:
            restored = MovingAverage(model, 0.8)
            restored.restore(copy.deepcopy(ours.state()))
        elif step > 1:
            restored.update()
    for key, value in theirs.module.state_dict().items():
        if value.is_floating_point():
            torch.testing.assert_close(ours.model.state_dict()[key], value)
        assert torch.equal(ours.model.state_dict()[key], restored.model.state_dict()[key])


def test_the_clock_tells_how_much_time_batches_take() -> None:
    import time

    def slow() -> object:
        for _ in range(5):
            time.sleep(0.03)
            yield None

    clock = DataClock(CPU)
    assert clock.share == 0
    for _ in clock.timed(slow()):
        time.sleep(0.01)
    assert 0.6 < clock.share < 0.9


@pytest.mark.parametrize("change", [{"precision": "bfloat16"}, {"channels_last": False}])
def test_layout_and_precision_change_how_not_what(digits: Dataset, change: dict[str, object]) -> None:
    recipe = Recipe(epochs=3, batch_size=64, learning_rate=0.2)
    plain = train(network(width=0.5), digits, recipe, seed=0, device=CPU)
    other = train(network(width=0.5), digits, recipe.model_copy(update=change), seed=0, device=CPU)
    if "precision" in change:
        assert [e.train_loss for e in other.curve] != [e.train_loss for e in plain.curve]
    for result, layout in (
        (plain, torch.channels_last),
        (other, torch.contiguous_format if "channels_last" in change else torch.channels_last),
    ):
        wide = [p for p in result.model.parameters() if p.ndim == 4 and p.shape[1] > 1 and p.shape[2] > 1]
        assert wide and all(p.is_contiguous(memory_format=layout) for p in wide)
    for ours, theirs in zip(plain.curve, other.curve, strict=True):
        assert theirs.train_loss == pytest.approx(ours.train_loss, abs=0.1)
    assert all(tensor.dtype == torch.float32 for tensor in other.model.parameters())


@pytest.mark.slow
def test_a_compiled_network_trains_alike_at_every_resolution(digits: Dataset) -> None:
    recipe = Recipe(epochs=3, batch_size=64, learning_rate=0.2, progressive=0.5)
    plain = train(network(resolution=12), digits, recipe, seed=0, device=CPU)
    compiled = train(network(resolution=12), digits, recipe.model_copy(update={"compile": True}), seed=0, device=CPU)
    for ours, theirs in zip(plain.curve, compiled.curve, strict=True):
        assert theirs.train_loss == pytest.approx(ours.train_loss, abs=0.05)


@pytest.mark.parametrize(
    "change",
    [{"rotate": 15.0}, {"jitter": 0.4}, {"rand_augment": 9}],
)
def test_augmentation_of_pixels_reaches_the_network_and_is_repeatable(
    digits: Dataset, change: dict[str, object]
) -> None:
    recipe = Recipe(epochs=1, batch_size=64)
    plain, *others = (
        train(network(), digits, recipe.model_copy(update=update), seed=0, device=CPU)
        for update in ({}, change, change)
    )
    assert others[0].curve[0].train_loss == others[1].curve[0].train_loss != plain.curve[0].train_loss


def test_images_that_do_not_fit_are_streamed_to_the_same_result(
    digits: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = Recipe(epochs=2, batch_size=64)
    resident = train(network(), digits, recipe, seed=0, device=CPU)
    monkeypatch.setattr(loop, "_SHARE_OF_IMAGES", 0.0)
    streamed = train(network(), digits, recipe, seed=0, device=CPU)
    for a, b in zip(resident.model.state_dict().values(), streamed.model.state_dict().values(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_graph_computes_what_runs_as_it_is() -> None:
    device = torch.device("cuda:0")
    model = fresh().to(device).train()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    results = []
    for graphs in (False, True):
        model.load_state_dict(before)
        recipe = Recipe(cuda_graphs=graphs, precision="float32")
        step = Step(model, make_loss(recipe, model), recipe)
        totals = [step(*(tensor.to(device) for tensor in batch(count))).clone() for count in (12, 12, 9)]
        gradients = [p.grad.clone() for p in model.parameters() if p.grad is not None]
        results.append((totals, gradients, [value.clone() for value in model.buffers()]))
    torch.testing.assert_close(results[0], results[1], rtol=1e-3, atol=1e-4)
