"""A network learns from a teacher: the loss, what teachers are asked, and who is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from nas.architecture.serialization import architecture_to_json
from nas.architecture.space import load_space
from nas.architecture.spec import Architecture
from nas.data.batches import standardisation
from nas.data.sources import DataConfig, Dataset, load_data
from nas.data.types import ImageSet
from nas.errors import BundleError, UserError, WeightsError
from nas.models import reading
from nas.models.build import Network, build_model
from nas.training import teachers
from nas.training.augmentation import Prepared
from nas.training.checkpoint import save_weights
from nas.training.distillation import Distillation
from nas.training.loop import train
from nas.training.optimizer import make_loss
from nas.training.recipe import Recipe
from nas.training.result import TrainingResult
from nas.training.teacher_folder import Teacher, digests_of, read_teacher
from nas.training.teachers import load_teachers, taught_loss

CPU = torch.device("cpu")
AS_THEY_ARE = {"crop": 0, "flip": False}


def small(resolution: int = 8, width: float = 0.25, channels: int = 1) -> Architecture:
    return load_space("resnet_small").architecture(
        width=width, depth=0.25, resolution=resolution, num_classes=10, in_channels=channels
    )


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return load_data(DataConfig(digits=True, limit=300))


@pytest.fixture
def folder_of(digits: Dataset, tmp_path: Path) -> Callable[..., str]:
    """Return a function that writes a teacher and returns its folder."""

    def write(
        name: str = "teacher",
        *,
        seed: int = 0,
        resolution: int = 8,
        architecture: Architecture | None = None,
        **facts: Any,
    ) -> str:
        folder, architecture = tmp_path / name, architecture or small(resolution)
        folder.mkdir()
        standard = standardisation(digits)
        told = {
            "classes": list(digits.classes),
            "color": "grayscale",
            "mean": list(standard.mean),
            "std": list(standard.std),
        }
        (folder / "architecture.json").write_text(architecture_to_json(architecture))
        (folder / "preprocessing.json").write_text(json.dumps({**told, **facts}))
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            model = build_model(architecture)
            torch.nn.init.normal_(model.classifier.weight)
        save_weights(model, folder / "weights.safetensors")
        return str(folder)

    return write


def taught(*folders: str, **changes: Any) -> Recipe:
    recipe: dict[str, Any] = {"epochs": 1, "batch_size": 64, "distillation": {"teacher": folders}, **changes}
    return Recipe.model_validate(recipe)


def losses(result: TrainingResult) -> list[float]:
    return [epoch.train_loss for epoch in result.curve]


def test_the_loss_by_hand() -> None:
    logits, labels = torch.tensor([[1.0, 2.0, 0.5], [0.0, -1.0, 3.0]]), torch.tensor([1, 0])
    told = torch.tensor([[0.2, 0.5, 0.3], [0.7, 0.2, 0.1]])
    recipe = taught("t", distillation={"teacher": "t", "temperature": 2, "weight": 0.75})
    given = torch.cat([labels[:, None].float(), told], dim=1)
    mine = (logits / 2).softmax(dim=1)
    divergence = (told * (told.log() - mine.log())).sum(dim=1).mean()
    expected = 0.25 * functional.cross_entropy(logits, labels, label_smoothing=0.1) + 0.75 * 4 * divergence
    own = make_loss(recipe, build_model(small()))
    torch.testing.assert_close(taught_loss(own, recipe)(logits, given), expected)
    shares = torch.tensor([[0.0, 0.5, 0.5], [1.0, 0.0, 0.0]])
    mixing = recipe.model_copy(update={"mixup": 0.2})
    expected = 0.25 * functional.cross_entropy(logits, shares, label_smoothing=0.1) + 3 * divergence
    torch.testing.assert_close(taught_loss(own, mixing)(logits, torch.cat([shares, told], dim=1)), expected)


def probabilities(folder: str, images: Tensor, temperature: float = 4.0) -> Tensor:
    with torch.no_grad():
        return (read_teacher(Path(folder)).network(images) / temperature).softmax(dim=1)


def test_several_teachers_are_their_mean_and_they_see_the_images_at_their_size(
    digits: Dataset, folder_of: Callable[..., str]
) -> None:
    folders = [folder_of("a"), folder_of("b", seed=1, resolution=16)]
    found = load_teachers(taught(*folders), digits, device=CPU, resolution=8)
    assert found is not None
    assert not found.asked_once
    images, labels = torch.randn(4, 1, 8, 8), torch.tensor([3, 1, 4, 1])
    larger = functional.interpolate(images, size=(16, 16), mode="bilinear", antialias=True)
    mean = (probabilities(folders[0], images) + probabilities(folders[1], larger)) / 2
    target = found.target(Prepared(images, labels, labels))
    torch.testing.assert_close(target, torch.cat([labels[:, None].float(), mean], dim=1))


def test_a_teacher_of_other_pixels_sees_them_as_it_knows_them(digits: Dataset, folder_of: Callable[..., str]) -> None:
    plain = folder_of("raw", mean=[0.0], std=[1.0])
    found = load_teachers(taught(plain), digits, device=CPU, resolution=8)
    assert found is not None
    standard, pixels, labels = standardisation(digits), torch.rand(3, 1, 8, 8), torch.zeros(3, dtype=torch.long)
    images = (pixels - standard.mean[0]) / standard.std[0]
    told = found.target(Prepared(images, labels, labels))[:, 1:]
    torch.testing.assert_close(told, probabilities(plain, pixels), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("changes", "once"),
    [({}, False), (AS_THEY_ARE, True), ({**AS_THEY_ARE, "mixup": 0.2}, False), ({**AS_THEY_ARE, "rotate": 5}, False)],
)
def test_teachers_are_asked_once_where_images_stay_as_they_are(
    digits: Dataset, folder_of: Callable[..., str], changes: dict[str, Any], once: bool
) -> None:
    found = load_teachers(taught(folder_of(), **changes), digits, device=CPU, resolution=8)
    assert found is not None
    assert found.asked_once == once


def test_to_be_asked_once_or_in_every_step_is_the_same(
    digits: Dataset, folder_of: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = taught(folder_of(), **AS_THEY_ARE)
    once = train(small(), digits, recipe, seed=0, device=CPU)
    monkeypatch.setattr(teachers, "_LARGEST_TABLE", 0)
    found = load_teachers(recipe, digits, device=CPU, resolution=8)
    assert found is not None
    assert not found.asked_once
    each = train(small(), digits, recipe, seed=0, device=CPU)
    np.testing.assert_allclose(losses(once), losses(each), rtol=1e-4)
    alone = train(small(), digits, recipe.model_copy(update={"distillation": None}), seed=0, device=CPU)
    assert abs(losses(alone)[0] - losses(once)[0]) > 0.01


@pytest.mark.parametrize("progressive", [1.0, 0.5])
def test_in_every_step_a_teacher_of_more_pixels_sees_the_images_as_sharp_as_they_are_stored(
    folder_of: Callable[..., str], digits: Dataset, monkeypatch: pytest.MonkeyPatch, progressive: float
) -> None:
    monkeypatch.setattr(teachers, "_LARGEST_TABLE", 0)
    asked, seen = list[Tensor](), set[int]()
    ask, forward = teachers.ask, Network.forward

    def record(teacher: Teacher, images: Tensor, *given: Any) -> Tensor:
        asked.append(images)
        return ask(teacher, images, *given)

    def notice(self: Network, images: Tensor) -> Tensor:
        if self.training:
            seen.add(images.shape[-1])
        return forward(self, images)

    monkeypatch.setattr(teachers, "ask", record)
    monkeypatch.setattr(Network, "forward", notice)
    pixels = np.random.default_rng(0).integers(0, 256, (300, 24, 24, 1), np.uint8)
    sharp = replace(digits, train=ImageSet(pixels, digits.train.labels.repeat(2)[:300]))
    recipe = taught(folder_of(resolution=24), **AS_THEY_ARE, epochs=2, progressive=progressive)
    train(small(12), sharp, recipe, seed=0, device=CPU)
    standard = standardisation(digits)  # the teacher's
    shown = (255 * (torch.cat(asked) * standard.std[0] + standard.mean[0])).round().to(torch.uint8)
    assert {image.numpy().tobytes() for image in shown} <= {image.tobytes() for image in pixels}
    assert seen == ({12} if progressive == 1 else {6, 12})


def test_a_taught_training_is_the_same_twice_and_after_an_interruption(
    digits: Dataset, folder_of: Callable[..., str], tmp_path: Path
) -> None:
    recipe = taught(folder_of(), epochs=2)
    whole = train(small(), digits, recipe, seed=0, device=CPU)
    path = tmp_path / "checkpoint.safetensors"
    train(small(), digits, recipe, seed=0, device=CPU, checkpoint=path, go_on=lambda epoch: False)
    assert path.exists()
    resumed = train(small(), digits, recipe, seed=0, device=CPU, checkpoint=path)
    assert losses(resumed) == losses(whole)


def test_a_small_batch_at_a_time_is_taught_too(digits: Dataset, folder_of: Callable[..., str]) -> None:
    recipe = taught(folder_of(), mixup=0.2, ema=0.9, class_weights="balanced", loss="binary_cross_entropy")
    assert np.isfinite(losses(train(small(), digits, recipe, seed=0, device=CPU))).all()


def test_who_cannot_teach_is_refused(digits: Dataset, folder_of: Callable[..., str], tmp_path: Path) -> None:
    def refusal(folder: str, *, kind: type[UserError] = WeightsError) -> str:
        with pytest.raises(kind) as caught:
            load_teachers(taught(folder), digits, device=CPU, resolution=8)
        return str(caught.value).removeprefix(str(tmp_path))

    other = folder_of("other", classes=["cat", "dog"])
    known = "0, 1, 2, 3, 4, ... (10)"
    wrong_classes = f"/other: the teacher's classes are cat, dog, but those of {digits.name} are {known}"
    assert refusal(other) == wrong_classes
    assert "preprocessing.json: channels cannot be 1" in refusal(folder_of("rgb", color="rgb"), kind=BundleError)
    colored = folder_of("colored", architecture=small(channels=3), color="rgb", mean=[0.0] * 3, std=[1.0] * 3)
    assert "the teacher was trained on rgb images of 3 channels, but" in refusal(colored)
    assert refusal(str(tmp_path / "none")).startswith("/none: is no trained network: architecture.json is missing")


def test_a_folder_of_a_stranger_is_read_within_bounds(
    digits: Dataset, folder_of: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(folder_of())
    whole = {path.name: path.read_bytes() for path in folder.iterdir()}

    def refusal(name: str, content: bytes) -> str:
        (folder / name).write_bytes(content)
        with pytest.raises(BundleError) as caught:
            read_teacher(folder)
        (folder / name).write_bytes(whole[name])
        return str(caught.value).removeprefix(f"{folder}/")

    weights = whole["weights.safetensors"]
    assert refusal("weights.safetensors", b"\x80\x04pickle").startswith("weights.safetensors: its header says that")
    assert "at most" in refusal("weights.safetensors", weights + bytes(40 << 20))
    nine = architecture_to_json(replace(small(), num_classes=9)).encode()
    assert "the tensor 'classifier.bias' is not that of the network" in refusal("architecture.json", nine)
    assert "at most 1,048,576 are expected" in refusal("architecture.json", bytes(2 << 20))
    monkeypatch.setattr(reading, "LARGEST_FLOPS", 10)
    assert "too large to be run here" in refusal("architecture.json", whole["architecture.json"])
    monkeypatch.undo()
    assert "lacks color, mean, std" in refusal("preprocessing.json", b'{"classes": ["a", "b"]}')
    assert "is not JSON" in refusal("preprocessing.json", b"[" * 100_000)
    assert "mean cannot be [nan]" in refusal("preprocessing.json", _with(whole["preprocessing.json"], mean=[np.nan]))
    for name in whole:
        (folder / name).rename(tmp_path / name)
        (folder / name).symlink_to(tmp_path / name)
        with pytest.raises(BundleError, match=f"{name}: is a link"):
            read_teacher(folder)
        (folder / name).unlink()
        (tmp_path / name).rename(folder / name)
    assert read_teacher(folder).facts["classes"] == list(digits.classes)


def _with(content: bytes, **changes: Any) -> bytes:
    return json.dumps({**json.loads(content), **changes}).encode()


def test_a_teacher_that_has_changed_is_refused(digits: Dataset, folder_of: Callable[..., str]) -> None:
    folder = folder_of()
    section = digests_of(Distillation(teacher=(folder,)))
    recipe = Recipe(epochs=1, distillation=section)
    assert load_teachers(recipe, digits, device=CPU, resolution=8) is not None
    save_weights(build_model(small()), Path(folder) / "weights.safetensors")
    teachers._on_device.cache_clear()
    with pytest.raises(WeightsError, match=f"the teacher has changed: its digest was {section.digests[0]}, is"):
        load_teachers(recipe, digits, device=CPU, resolution=8)


def test_a_recipe_without_a_teacher_is_written_as_it_always_was() -> None:
    assert "distillation" not in Recipe().model_dump(mode="json")
    section = Distillation(teacher=("a",), temperature=2)
    recipe = Recipe(distillation=section)
    assert Recipe.model_validate_json(recipe.model_dump_json()) == recipe
    assert recipe.model_dump(mode="json")["distillation"]["teacher"] == ["a"]
