from __future__ import annotations

import copy
import gc
import weakref
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from conftest import scaled
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from nas.architecture.cost import count_cost
from nas.architecture.layers import Conv
from nas.architecture.presets import preset
from nas.architecture.space import load_space
from nas.architecture.spec import Architecture
from nas.data import batches
from nas.data.batches import standardisation, to_device
from nas.data.sources import DataConfig, Dataset, load_data
from nas.data.types import ImageSet
from nas.errors import DeviceError
from nas.models import device as devices
from nas.models.build import Network, build_model
from nas.models.device import Memory, device_memory
from nas.models.memory import _measure_training, estimate_training_memory
from nas.training import clock, preparing, timing
from nas.training import evaluate as evaluation
from nas.training import step as steps
from nas.training.average import MovingAverage
from nas.training.clock import DataClock
from nas.training.loop import train
from nas.training.optimizer import Schedule, make_loss, make_optimizer
from nas.training.preparing import fitting_batch
from nas.training.recipe import DEFAULT_RATES, Recipe
from nas.training.repeat import train_repeatedly
from nas.training.run import Run
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


def step_of(model: Network, recipe: Recipe | None = None) -> Step:
    """Return the steps of a recipe, with its optimiser and moving average."""
    recipe = recipe or Recipe()
    optimizer = make_optimizer(model, recipe, learning_rate=0.1)
    average = MovingAverage(model, recipe.ema) if recipe.ema else None
    return Step(model, make_loss(recipe, model), optimizer, recipe, average=average)


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
        step = step_of(model, recipe)
        totals = step(*batch(13))
        results.append((totals, [p.grad.clone() for p in model.parameters() if p.grad is not None]))
        assert step.micro_batch == (None if most == 100 else 4)
        assert given == ([13] if most == 100 else [13, 7, 4, 3, 3, 3])
    assert results[0][1]
    torch.testing.assert_close(results[0], results[1], rtol=1e-4, atol=1e-6)


def test_a_micro_batch_is_kept_for_the_next_step_and_never_a_single_image() -> None:
    model = fresh().train()
    given = limited(model, 3)
    step = step_of(model)
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
    step = step_of(model)
    with pytest.raises(torch.OutOfMemoryError):
        step(*batch(9))
    assert step.micro_batch == 2
    images, labels, _ = batch(9)
    with pytest.raises(RuntimeError, match="channels"):
        step_of(fresh())(images.expand(9, 3, 8, 8), labels, labels)


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
    monkeypatch.setattr(preparing, "build_model", build)
    halved = train(network(), digits, Recipe(epochs=2, batch_size=64), seed=0, device=CPU)
    assert (plain.micro_batch, halved.micro_batch) == (None, 16)
    assert halved.curve[-1].train_loss == pytest.approx(plain.curve[-1].train_loss, abs=0.2)
    assert len(halved.curve) == 2


def test_a_network_that_fits_no_memory_is_refused_and_a_large_batch_is_halved(monkeypatch: pytest.MonkeyPatch) -> None:
    architecture = network(resolution=64, width=1.0)
    cost = count_cost(architecture)

    def with_memory(total: int) -> None:
        monkeypatch.setattr(preparing, "device_memory", lambda device: Memory(total, total))

    with_memory(estimate_training_memory(cost, batch=2).low - 1)
    with pytest.raises(
        DeviceError, match=r"resnet_small .* at 64 px needs at least .* for 2 images at once, but cpu has"
    ):
        fitting_batch(architecture, 64, CPU)
    with_memory(estimate_training_memory(cost, batch=16).high)
    assert fitting_batch(architecture, 64, CPU) == 16
    assert fitting_batch(architecture, 16, CPU) is None
    assert fitting_batch(architecture, 64, torch.device("cuda:0")) is None  # which says so itself
    with_memory(estimate_training_memory(cost, batch=5).high)
    assert fitting_batch(architecture, 9, CPU) == 5
    with_memory(estimate_training_memory(cost, batch=2).low)  # the smallest step may fit
    assert fitting_batch(architecture, 64, CPU) == 2


def test_no_more_images_are_looked_at_at_once_than_the_memory_holds(
    digits: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: dict[bool, list[int]] = {True: [], False: []}

    def build(architecture: Architecture) -> Network:
        model = build_model(architecture)
        model.register_forward_pre_hook(lambda module, inputs: sizes[module.training].append(len(inputs[0])))
        return model

    cost = count_cost(network())
    total = estimate_training_memory(cost, batch=16).high
    monkeypatch.setattr(preparing, "device_memory", lambda device: Memory(total, total))
    monkeypatch.setattr(preparing, "build_model", build)
    trained = train(network(), digits, Recipe(steps=1, batch_size=64), seed=0, device=CPU)
    assert trained.micro_batch == 16 and sizes[True] == [16] * 4
    assert max(sizes[False]) == total // (8 * cost.peak_memory) < len(digits.validation)
    sizes[True].clear()
    timing.time_step(network(), digits, Recipe(batch_size=64), device=CPU, steps=1)
    assert set(sizes[True]) == {16}


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


def test_memory_is_bounded_by_the_control_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path
    plain = device_memory(CPU)
    assert 0 < plain.free <= plain.total
    (folder / "memory.max").write_text("1000000\n")
    (folder / "memory.current").write_text("400000\n")
    (folder / "memory.stat").write_text("anon 5\ninactive_file 100000\n")
    monkeypatch.setattr(devices, "_CONTROL_GROUPS", ((folder, "memory.max", "memory.current"),))
    assert device_memory(CPU) == (1000000, 700000)
    (folder / "memory.current").write_text("1200000\n")
    assert device_memory(CPU) == (1000000, 0)
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
        else:
            assert torch.equal(ours.model.state_dict()[key], model.state_dict()[key])  # a count is no average
        assert torch.equal(ours.model.state_dict()[key], restored.model.state_dict()[key])


def test_an_average_that_warms_up_forgets_the_first_weights_soon() -> None:
    model = fresh().train()
    weight = next(model.parameters())
    ours, expected = MovingAverage(model, 0.9, warm_up=True), 0.0
    for step in range(200):
        with torch.no_grad():
            weight.fill_(float(step))
        ours.update()
        kept = min(0.9, (1 + step) / (10 + step)) if step else 0.0
        expected = kept * expected + (1 - kept) * step
        if step == 30:
            assert expected > 25  # with 0.9 from the beginning it would be 21
            state = copy.deepcopy(ours.state())
            ours = MovingAverage(model, 0.9, warm_up=True)
            ours.restore(state)
        assert next(ours.model.parameters()).flatten()[0].item() == pytest.approx(expected, rel=1e-4), step


def test_the_clock_tells_how_much_time_batches_take(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(clock, "time", SimpleNamespace(perf_counter=lambda: now[0]))

    def slow() -> Iterator[None]:
        for _ in range(5):
            now[0] += 3.0
            yield None

    timer = DataClock(CPU)
    assert timer.share == 0
    for _ in timer.timed(slow()):
        now[0] += 1.0
    assert (timer.share, timer.state()) == (0.75, (15.0, 20.0))
    timer.reset()
    assert timer.share == 0


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


@pytest.mark.endurance
@pytest.mark.slow
def test_a_compiled_network_trains_alike_at_every_resolution(digits: Dataset) -> None:
    from torch._dynamo.utils import counters

    # compiling takes long: seconds for one convolution, a minute for a residual network
    small = Architecture((Conv(4, 3, activation="relu"),), (), (), 12, 10, 1)
    trained = network(resolution=12) if scaled(0, 1) else small
    recipe = Recipe(epochs=3, batch_size=64, learning_rate=0.2, progressive=0.5)
    plain = train(trained, digits, recipe, seed=0, device=CPU)
    counters.clear()
    compiled = train(trained, digits, recipe.model_copy(update={"compile": True}), seed=0, device=CPU)
    assert counters["stats"]["unique_graphs"] == 2  # of 6 px and 12 px
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
    monkeypatch.setattr(preparing, "_SHARE_OF_IMAGES", 0.0)
    streamed = train(network(), digits, recipe, seed=0, device=CPU)
    for a, b in zip(resident.model.state_dict().values(), streamed.model.state_dict().values(), strict=True):
        assert torch.equal(a, b)


def test_a_step_that_fails_leaves_the_norms_as_they_were_and_frees_its_tensors() -> None:
    model = fresh().train()
    last = model.classifier
    held: list[weakref.ref[Tensor]] = []
    sizes: list[int] = []

    def refuse(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        if sizes:
            assert held[-1]() is None  # of the attempt before
        sizes.append(len(inputs[0]))
        if len(inputs[0]) > 4:
            held.append(weakref.ref(inputs[0]))
            raise torch.OutOfMemoryError("CUDA out of memory")

    last.register_forward_pre_hook(refuse)
    step = step_of(model)
    step(*batch(8))
    assert sizes == [8, 4, 4]
    counters = [b for name, b in model.named_buffers() if name.endswith("num_batches_tracked")]
    assert {int(counter) for counter in counters} == {2}  # of the two parts, and nothing of the failed attempt


@pytest.mark.parametrize("sign", ["CUDA error: out of memory", "CUBLAS_STATUS_ALLOC_FAILED when calling"])
def test_other_words_for_a_lack_of_memory_are_known(sign: str) -> None:
    assert is_out_of_memory(RuntimeError(sign))


def test_a_resumed_training_keeps_its_micro_batch_and_clock(digits: Dataset, tmp_path: Path) -> None:
    def build(limit: int) -> Run:
        torch.manual_seed(0)
        model = build_model(network())
        limited(model, limit)
        generator = torch.Generator().manual_seed(0)
        recipe = Recipe(epochs=2, batch_size=64, learning_rate=0.2)
        return Run(model, network(), recipe, train_images=len(digits.train), generator=generator)

    images = to_device(digits.train, resolution=8, standard=standardisation(digits), device=CPU)
    first = build(40)
    first.epoch(images, images, flip=False)
    assert first.micro_batch == 32 and first.clock.share > 0
    again = build(100)
    again.restore(first.state())
    assert again.micro_batch == 32 and again.clock.share == first.clock.share
    smaller = Run(
        build_model(network()),
        network(),
        Recipe(epochs=2, batch_size=64, learning_rate=0.2),
        train_images=len(digits.train),
        generator=torch.Generator(),
        micro_batch=8,
    )
    smaller.restore(first.state())
    assert smaller.micro_batch == 8  # what this machine has memory for


def test_validation_and_test_are_in_the_recipes_precision(digits: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[object] = []
    original = evaluation.autocast
    monkeypatch.setattr(
        evaluation, "autocast", lambda device, precision: seen.append(precision) or original(device, precision)
    )
    recipe = Recipe(epochs=1, batch_size=64, precision="bfloat16")
    train_repeatedly(network(), digits, digits.validation, recipe, repeats=1, device=CPU)
    assert set(seen) == {"bfloat16"}


def test_evaluation_halves_what_there_is_no_memory_for(digits: Dataset) -> None:
    model = fresh().eval()
    images = to_device(digits.validation, resolution=8, standard=standardisation(digits), device=CPU)
    expected = evaluation.evaluate(model, images)
    given = limited(model, 30)
    assert evaluation.evaluate(model, images, batch=64)[:2] == pytest.approx(expected[:2], abs=1e-6)
    assert given[:5] == [64, 32, 16, 16, 16]


def test_the_time_of_a_step_copies_no_more_images_than_it_needs(
    digits: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[int] = []
    original = timing.to_device
    monkeypatch.setattr(timing, "to_device", lambda part, **how: taken.append(len(part)) or original(part, **how))
    timing.time_step(network(), digits, Recipe(batch_size=16), device=CPU, steps=3)
    assert taken == [16 * 5]


def test_images_of_other_labels_or_colours_are_not_gone_on_from(digits: Dataset, tmp_path: Path) -> None:
    recipe, path = Recipe(epochs=2, batch_size=64), tmp_path / "c.safetensors"

    def epochs_trained(dataset: Dataset) -> int:
        steps: list[object] = []
        train(
            network(), dataset, recipe, seed=0, device=CPU, checkpoint=path, keep_checkpoint=True, on_step=steps.append
        )
        return len(steps) // (len(dataset.train) // 64)

    assert epochs_trained(digits) == 2
    assert epochs_trained(digits) == 0
    swapped = replace(digits, train=replace(digits.train, labels=digits.train.labels[::-1].copy()))
    assert swapped.fingerprint == digits.fingerprint
    assert epochs_trained(swapped) == 2
    darker = ImageSet(digits.train.images // 2, digits.train.labels)
    assert epochs_trained(replace(swapped, train=darker)) == 2


def test_large_images_are_converted_a_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(0)
    images = ImageSet(generator.integers(0, 256, (12, 64, 64, 3), np.uint8), np.arange(12))
    expected = standardisation(Dataset("x", ("a",) * 12, True, images, images))
    sizes: list[int] = []
    original = ImageSet.chunks
    monkeypatch.setattr(ImageSet, "chunks", lambda self, count: sizes.append(count) or original(self, count))
    monkeypatch.setattr(batches, "_CHUNK_BYTES", 64 * 64 * 3 * 5)
    assert standardisation(Dataset("x", ("a",) * 12, True, images, images)) == expected
    to_device(images, resolution=128, standard=expected, device=CPU)
    to_device(images, resolution=32, standard=expected, device=CPU)
    assert sizes == [5, 1, 5]


def test_images_per_second_count_the_steps_that_were_taken(digits: Dataset) -> None:
    recipe = Recipe(epochs=50, batch_size=64, learning_rate=1e-6, early_stopping=1)
    (result,) = train_repeatedly(network(), digits, digits.validation, recipe, repeats=1, device=CPU)
    epochs = len(result.curve)
    assert epochs < 10
    seconds = sum(epoch.seconds for epoch in result.curve)
    assert result.images_per_second == pytest.approx(epochs * (len(digits.train) // 64) * 64 / seconds)


@pytest.mark.gpu
@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")
def test_a_graph_is_captured_on_the_gpu_that_trains(digits: Dataset) -> None:
    recipe = Recipe(epochs=6, batch_size=64)
    assert train(network(width=0.5), digits, recipe, seed=0, device=torch.device("cuda:1")).val_accuracy > 0.8


class Replayed:
    """Stands for a graph where there is no GPU: what is captured runs each time."""

    warm_ups = 0
    calls = 0

    def __init__(self, images: Tensor, target: Tensor) -> None:
        self.shape = images.shape

    def takes(self, images: Tensor, target: Tensor) -> bool:
        return images.shape == self.shape

    def warming(self) -> AbstractContextManager[None]:
        self.warm_ups += 1
        return nullcontext()

    def __call__(self, run: Callable[..., Tensor], *inputs: Tensor) -> Tensor:
        type(self).calls += 1
        return run(*inputs)


@pytest.fixture
def replayed(monkeypatch: pytest.MonkeyPatch) -> type[Replayed]:
    monkeypatch.setattr(steps, "_Graph", Replayed)
    monkeypatch.setattr(steps, "captures", lambda recipe, device: recipe.cuda_graphs)
    monkeypatch.setattr(Replayed, "calls", 0)
    return Replayed


def test_each_shape_is_warmed_up_and_then_captured(replayed: type[Replayed]) -> None:
    results = []
    for graphs in (False, True):
        model = fresh().train()
        step = step_of(model, Recipe(cuda_graphs=graphs))
        totals = [step(*batch(count)) for count in (12, 12, 12, 12, 12, 9, 9, 9, 9)]
        results.append((totals, list(model.state_dict().values())))
    torch.testing.assert_close(results[0], results[1])
    assert replayed.calls == 2 + 1


def test_a_capture_without_memory_is_tried_in_parts(replayed: type[Replayed], monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Replayed, run: Callable[..., Tensor], *inputs: Tensor) -> Tensor:
        try:
            raise torch.OutOfMemoryError("out of memory")
        finally:
            raise RuntimeError("the capture is invalid")  # noqa: B012

    monkeypatch.setattr(replayed, "__call__", refuse)
    model = fresh().train()
    step = step_of(model)
    for _ in range(5):
        step(*batch(12))
    assert step.micro_batch == 6 and step._graph is None
    counters = [b for name, b in model.named_buffers() if name.endswith("num_batches_tracked")]
    assert {int(counter) for counter in counters} == {3 + 2 * 2}


def test_what_cannot_be_captured_runs_as_it_is(replayed: type[Replayed], monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Replayed, run: Callable[..., Tensor], *inputs: Tensor) -> Tensor:
        raise RuntimeError("operation not permitted when stream is capturing")

    monkeypatch.setattr(replayed, "__call__", refuse)
    model = fresh().train()
    step = step_of(model)
    for _ in range(3):
        step(*batch(12))
    with pytest.warns(UserWarning, match="cannot be captured as a CUDA graph and run without one: operation not"):
        step(*batch(12))
    for _ in range(4):  # and is not tried again
        step(*batch(12))
    assert step.micro_batch is None
    counters = [b for name, b in model.named_buffers() if name.endswith("num_batches_tracked")]
    assert {int(counter) for counter in counters} == {8}


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_step_that_cannot_be_captured_runs_as_it_is() -> None:
    device = torch.device("cuda:0")
    model = fresh(family="efficientnet_small").to(device).train()
    model.classifier.register_forward_hook(lambda module, given, result: result * float(result.sum().isfinite()))
    step = step_of(model)
    for _ in range(3):
        step(*(tensor.to(device) for tensor in batch()))
    with pytest.warns(UserWarning, match="cannot be captured"):
        step(*(tensor.to(device) for tensor in batch()))
    step(*(tensor.to(device) for tensor in batch()))
    counters = [b for name, b in model.named_buffers() if name.endswith("num_batches_tracked")]
    assert {int(counter) for counter in counters} == {5}


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("optimizer", sorted(DEFAULT_RATES))
def test_a_graph_takes_the_steps_that_are_taken_as_they_are(optimizer: Any) -> None:
    device = torch.device("cuda:0")
    results = []
    for graphs in (False, True):
        recipe = Recipe(cuda_graphs=graphs, precision="float32", optimizer=optimizer, clip=1.0, ema=0.8, warmup=0.5)
        model = fresh().to(device).train()
        rate = DEFAULT_RATES[optimizer] / 10
        made = make_optimizer(model, recipe, learning_rate=rate)
        schedule, average = Schedule(made, recipe, total_steps=12), MovingAverage(model, recipe.ema, warm_up=True)
        step = Step(model, make_loss(recipe, model), made, recipe, average=average)
        totals = []
        for count in (12, 12, 12, 12, 12, 12, 12, 9, 9, 9, 9, 9):
            totals.append(step(*(tensor.to(device) for tensor in batch(count))).clone())
            schedule.step()
        results.append([*totals, *model.state_dict().values(), *average.model.state_dict().values()])
        assert (step._graph is not None) == graphs
    torch.testing.assert_close(results[0], results[1], rtol=2e-3, atol=2e-4)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_batch_that_the_gpu_has_no_memory_for_is_halved() -> None:
    device = torch.device("cuda:0")
    gc.collect()  # what other tests left would count as room
    torch.cuda.empty_cache()
    model = fresh().to(device).train()
    generator = torch.Generator(device).manual_seed(0)
    images = torch.randn(4096, 1, 64, 64, generator=generator, device=device)
    labels = torch.randint(10, (4096,), generator=generator, device=device)
    step = step_of(model, Recipe(precision="float32"))
    step(images[:64], labels[:64], labels[:64])
    torch.cuda.empty_cache()
    room = torch.cuda.memory_reserved() + 2**28
    torch.cuda.set_per_process_memory_fraction(room / torch.cuda.get_device_properties(device).total_memory)
    try:
        totals = [step(images, labels, labels)[0].item() for _ in range(2)]
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert step.micro_batch is not None and 2 <= step.micro_batch <= 2048
    assert all(0 < total / 4096 < 10 for total in totals)
