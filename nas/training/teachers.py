"""Networks that another one learns from besides the labels (Hinton et al. 2015, arXiv:1503.02531)."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from nas.data.batches import Standardisation, standardisation
from nas.data.sources import Dataset
from nas.errors import WeightsError
from nas.training.augmentation import Prepared
from nas.training.distillation import Distillation
from nas.training.optimizer import Loss
from nas.training.preparing import bring, flips, validation_batch
from nas.training.recipe import Precision, Recipe
from nas.training.step import autocast
from nas.training.teacher_folder import Teacher, digests_of, read_teacher

_LARGEST_TABLE = 2**28  # bytes of probabilities that are kept


class Teachers:
    """What the teachers of a recipe say of images: the mean of their probabilities at its temperature."""

    def __init__(
        self, teachers: tuple[Teacher, ...], recipe: Recipe, standard: Standardisation, table: Tensor | None
    ) -> None:
        """Keep the teachers.

        Args:
            teachers: On the device of the batches.
            recipe: Tells temperature and precision.
            standard: Of the images of the batches.
            table: What they say of each training image, (images, classes), where that is known beforehand.
        """
        assert recipe.distillation is not None
        self._teachers = teachers
        self._precision = recipe.precision
        self._temperature = recipe.distillation.temperature
        self._standard = standard
        self._table = table

    @property
    def asked_once(self) -> bool:
        """Whether they were asked once for each image, and are not in every step."""
        return self._table is not None

    @property
    def image_size(self) -> int:
        """Side of the images that they are asked about in every step, 0 where they are not: the largest resolution."""
        return 0 if self.asked_once else max(teacher.architecture.resolution for teacher in self._teachers)

    def target(self, batch: Prepared) -> Tensor:
        """Return what ``taught_loss`` compares logits with: the batch's own target, then the teachers' probabilities.

        Returns:
            float32 of shape (count, 1 + classes), or (count, 2 * classes) where images were mixed.
        """
        own = batch.target if batch.target.ndim == 2 else batch.target[:, None]
        return torch.cat([own.float(), self._told(batch)], dim=1)

    def _told(self, batch: Prepared) -> Tensor:
        if self._table is not None and batch.chosen is not None:
            return self._table.index_select(0, batch.chosen)
        told = [
            ask(teacher, _seen_by(teacher, batch.images, self._standard), self._temperature, self._precision)
            for teacher in self._teachers
        ]
        return torch.stack(told).mean(dim=0)


def taught_loss(own: Loss, recipe: Recipe) -> Loss:
    """Return the loss of a recipe with teachers, of logits and what ``Teachers.target`` gives.

    Args:
        own: The recipe's loss of logits and labels, or shares of the classes where images are mixed.
        recipe: Tells temperature and weight.
    """
    assert recipe.distillation is not None
    temperature, weight = recipe.distillation.temperature, recipe.distillation.weight
    mixes = recipe.mixup > 0 or recipe.cutmix > 0

    def loss(logits: Tensor, target: Tensor) -> Tensor:
        classes = logits.shape[1]
        given, told = target[:, :-classes], target[:, -classes:]
        softened = functional.log_softmax(logits.float() / temperature, dim=1)
        divergence = functional.kl_div(softened, told, reduction="batchmean")
        # of soft targets the gradients fall with the square of the temperature
        taught = weight * temperature**2 * divergence
        return (1 - weight) * own(logits, given if mixes else given[:, 0].long()) + taught

    return loss


@torch.no_grad()
def ask(teacher: Teacher, images: Tensor, temperature: float, precision: Precision) -> Tensor:
    """Return a teacher's probabilities at a temperature, float32 of shape (count, classes)."""
    with autocast(images.device, precision):
        logits = teacher.network(images)
    return functional.softmax(logits.float() / temperature, dim=1)


def load_teachers(recipe: Recipe, dataset: Dataset, *, device: torch.device, resolution: int) -> Teachers | None:
    """Return the teachers of a recipe on a device, or None where it has none; nothing is drawn at random.

    Where augmentation leaves the images as they are, each teacher is asked once for each of them, at its own
    resolution. Otherwise it sees in every step what the network sees, at its own resolution too: batches are cut at the
    largest one (``Run.image_size``), and made smaller for all others.

    Args:
        recipe: Names them.
        dataset: Whose classes they must know.
        device: Where.
        resolution: Of the network that learns.

    Raises:
        WeightsError: A teacher cannot be read, has changed since the recipe was settled, or knows other classes.
    """
    if recipe.distillation is None:
        return None
    section = recipe.distillation if recipe.distillation.digests else digests_of(recipe.distillation)
    require_teachers(section, dataset)
    teachers = _on_device(section, device)
    once = asks_once(recipe, dataset, resolution)
    table = _table(dataset, section, recipe.precision, recipe.channels_last, device) if once else None
    return Teachers(teachers, recipe, standardisation(dataset), table)


def require_teachers(distillation: Distillation, dataset: Dataset) -> None:
    """Raise WeightsError where a teacher cannot be read, has changed, or knows other classes or colours."""
    teachers = _on_device(distillation, torch.device("cpu"))
    for name, teacher in zip(distillation.places, teachers, strict=True):
        _require_same_images(name, teacher, dataset)


def asks_once(recipe: Recipe, dataset: Dataset, resolution: int) -> bool:
    """Tell whether teachers are asked once for each image: training shows each as it is, and there is room for all."""
    changes = (recipe.rotate, recipe.jitter, recipe.rand_augment, recipe.cutout, recipe.mixup, recipe.cutmix)
    shown_whole = round(recipe.crop * resolution) == 0 and not flips(dataset, recipe)
    always_the_same = shown_whole and not any(changes) and recipe.progressive == 1
    return always_the_same and 4 * len(dataset.train) * len(dataset.classes) <= _LARGEST_TABLE


@lru_cache(maxsize=2)  # every trial of a study asks again
def _on_device(distillation: Distillation, device: torch.device) -> tuple[Teacher, ...]:
    teachers = [read_teacher(Path(folder)) for folder in distillation.places]
    for folder, teacher, then in zip(distillation.places, teachers, distillation.digests, strict=True):
        if teacher.digest != then:
            raise WeightsError(f"{folder}: the teacher has changed: its digest was {then}, is {teacher.digest}")
    return tuple(teacher._replace(network=teacher.network.to(device)) for teacher in teachers)


@lru_cache(maxsize=1)
def _table(
    dataset: Dataset, distillation: Distillation, precision: Precision, channels_last: bool, device: torch.device
) -> Tensor:
    """Return what the teachers say of each training image as it is, float32 of shape (images, classes)."""
    recipe, told = Recipe(precision=precision, channels_last=channels_last), []
    for teacher in _on_device(distillation, device):
        size, standard = teacher.architecture.resolution, teacher.standard._replace(space=dataset.space)
        images = bring(dataset.train, resolution=size, standard=standard, recipe=recipe, device=device)
        batches = images.in_order(validation_batch(teacher.architecture, device))
        told.append(torch.cat([ask(teacher, b.images, distillation.temperature, precision) for b in batches]))
    return torch.stack(told).mean(dim=0)


def _seen_by(teacher: Teacher, images: Tensor, standard: Standardisation) -> Tensor:
    """Return standardised images as a teacher knows them: at its resolution, by its mean and standard deviation."""
    if (standard.mean, standard.std) != (teacher.standard.mean, teacher.standard.std):
        mean, std, own_mean, own_std = (
            torch.tensor(values, device=images.device).view(-1, 1, 1)
            for values in (standard.mean, standard.std, teacher.standard.mean, teacher.standard.std)
        )
        images = (images * std + mean - own_mean) / own_std
    return resized(images, teacher.architecture.resolution)


def resized(images: Tensor, size: int) -> Tensor:
    """Return images of shape (count, channels, side, side) at another side, as preprocessing resizes them."""
    if images.shape[-1] == size:
        return images
    return functional.interpolate(images, size=(size, size), mode="bilinear", antialias=True, align_corners=False)


def _require_same_images(name: str, teacher: Teacher, dataset: Dataset) -> None:
    facts = teacher.facts
    if facts["classes"] != list(dataset.classes) or teacher.architecture.num_classes != len(dataset.classes):
        known, wanted = _some(facts["classes"]), _some(list(dataset.classes))
        raise WeightsError(f"{name}: the teacher's classes are {known}, but those of {dataset.name} are {wanted}")
    channels = {facts["channels"], teacher.architecture.in_channels}
    if facts["color"] != dataset.color or channels != {dataset.channels}:
        own = f"{facts['color']} images of {teacher.architecture.in_channels} channels"
        raise WeightsError(
            f"{name}: the teacher was trained on {own}, but those of {dataset.name} are {dataset.color} of"
            f" {dataset.channels}"
        )


def _some(classes: list[str]) -> str:
    shown = ", ".join(classes[:5])
    return f"{shown}, ... ({len(classes)})" if len(classes) > 5 else shown
