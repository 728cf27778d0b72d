"""One training, step by step: it can be stopped after any step and go on as if it had not."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict

import torch
from torch import Tensor

from nas.architecture.spec import Architecture
from nas.data.batches import Batch, ImageBatches
from nas.errors import TrainingDiverged
from nas.models.build import Network
from nas.records import Epoch
from nas.training.augmentation import Augmentation
from nas.training.average import MovingAverage
from nas.training.checkpoint import State
from nas.training.clock import DataClock
from nas.training.evaluate import LARGEST_BATCH, evaluate
from nas.training.masks import Masks
from nas.training.neighbours import NOBODY, Neighbours
from nas.training.norms import ON_THE_WAY, recompute_statistics, twin
from nas.training.optimizer import Schedule, make_loss, make_optimizer
from nas.training.progressive import resolution_in
from nas.training.recipe import Recipe
from nas.training.result import Score, Validation
from nas.training.step import Step
from nas.training.teachers import Teachers, resized, taught_loss


class Run:
    """One training: the model, what steps it, and how far it has come."""

    def __init__(
        self,
        model: Network,
        architecture: Architecture,
        recipe: Recipe,
        *,
        train_images: int,
        generator: torch.Generator,
        micro_batch: int | None = None,
        validation_batch: int = LARGEST_BATCH,
        class_weights: Tensor | None = None,
        teachers: Teachers | None = None,
        neighbours: Neighbours = NOBODY,
    ) -> None:
        """Prepare the first step.

        Args:
            model: On its device.
            architecture: Of the model; tells the last epoch's resolution.
            recipe: Optimiser, schedule and augmentation.
            train_images: Number of training images.
            generator: Of order and augmentation, on the model's device.
            micro_batch: Most images at once, where the memory has not room for a whole batch.
            validation_batch: Images at once in validation.
            class_weights: How much the images of each class count in the loss, (classes,); by default all alike.
            teachers: What the model learns from besides the labels, where the recipe says so.
            neighbours: Other trainings of this process.

        Raises:
            DataError: The recipe asks for an augmentation whose library is not installed.
        """
        self.model = model
        self.curve: list[Epoch] = []
        self._generator = generator
        self._mixing = torch.Generator(generator.device).manual_seed(generator.initial_seed() ^ 1)
        self._augmentation = Augmentation(recipe, num_classes=architecture.num_classes, generator=self._mixing)
        self._epoch_began = generator.get_state()
        self._steps_of_epoch = 0
        self._began = self._elapsed = 0.0  # when the epoch began or went on, and its seconds before that
        self._totals = torch.zeros(2, device=generator.device, dtype=torch.float64)  # loss and right images so far
        self._seen = 0
        self._validation_batch = validation_batch
        self._neighbours = neighbours
        self._teachers = teachers
        self._architecture = architecture
        self._recipe = recipe
        self._batch_size = recipe.step_images(train_images)
        self._total_steps = recipe.total_steps(train_images)
        self._total_epochs = recipe.total_epochs(train_images)
        self._steps_left = self._total_steps
        rate = recipe.peak_learning_rate(train_images)
        self._advice = f"lower the learning rate, whose peak is {rate:g}"
        self._optimizer = make_optimizer(model, recipe, learning_rate=rate)
        self._schedule = Schedule(self._optimizer, recipe, total_steps=self._total_steps)
        self._average = MovingAverage(model, recipe.ema, warm_up=recipe.ema_warm_up) if recipe.ema else None
        self._masks = self._masks_of(recipe)
        self._twin: Network | None = None  # of the model that is validated, with its norms recomputed
        self._answers = torch.zeros(0, device=generator.device, dtype=torch.int64)
        loss = make_loss(recipe, model, class_weights=class_weights)
        loss = loss if teachers is None else taught_loss(loss, recipe)
        given = (model, loss, self._optimizer, recipe)
        average, masks = self._average, self._masks
        self._step = Step(*given, average=average, masks=masks, micro_batch=micro_batch, neighbours=neighbours)
        self.clock = DataClock(generator.device)

    def _masks_of(self, recipe: Recipe) -> Masks | None:
        if recipe.sparsity is None:
            return None
        followers = [] if self._average is None else [self._average.model]
        return Masks(self.model, recipe.sparsity, steps=self._total_steps, followers=followers)

    @property
    def micro_batch(self) -> int | None:
        """Most images at once, where the memory had not room for a whole batch."""
        return self._step.micro_batch

    @property
    def steps(self) -> tuple[int, int]:
        """Steps taken and steps in all."""
        return self._total_steps - self._steps_left, self._total_steps

    @property
    def ended(self) -> bool:
        """Whether all steps were taken, or the validation accuracy has not risen for too long."""
        patience, curve = self._recipe.early_stopping, self.curve
        if patience is not None and len(curve) > patience:
            best = max(epoch.val_accuracy for epoch in curve[:-patience])
            if all(epoch.val_accuracy <= best for epoch in curve[-patience:]):
                return True
        return self._steps_left == 0 and self._steps_of_epoch == 0

    @property
    def resolution(self) -> int:
        """Of the training images in the epoch that comes or runs."""
        epoch, share = len(self.curve) + 1, self._recipe.progressive
        return resolution_in(self._architecture, share, epoch=epoch, epochs=self._total_epochs)

    @property
    def image_size(self) -> int:
        """Side of the images that the epoch's batches are cut from: a teacher that is asked in every step sees its own.

        Made larger afterwards they would be blurred, and the teacher wrong: so the network's are made smaller instead.
        """
        return max(self.resolution, 0 if self._teachers is None else self._teachers.image_size)

    def train_accuracy(self) -> float:
        """Return the share right of the images that this epoch has shown so far; on a GPU this waits for it."""
        return float(self._totals[1]) / self._seen if self._seen else 0.0

    @property
    def answers(self) -> Tensor:
        """Class that each validation image was taken for after the last epoch, int64 of shape (images,)."""
        return self._answers

    def validated_model(self) -> Network:
        """Return the model that counts: the average where there is one, with its norms recomputed where they are."""
        return self._trained_model() if self._twin is None else self._twin

    def _trained_model(self) -> Network:
        return self.model if self._average is None else self._average.model

    def _validate(self, val_set: ImageBatches, norm_set: ImageBatches | None) -> Validation:
        precision, batch = self._recipe.precision, self._validation_batch
        if norm_set is not None:
            self._twin = self._twin or twin(self._trained_model())
            most = len(norm_set) if self._steps_left == 0 else ON_THE_WAY
            recompute_statistics(self._twin, norm_set, precision=precision, batch=batch, most=most)
        metric = self._recipe.metric
        model, after_batch = self.validated_model(), self._neighbours.let_go_on
        return evaluate(model, val_set, precision=precision, batch=batch, metric=metric, after_batch=after_batch)

    def epoch(
        self,
        train_set: ImageBatches,
        val_set: ImageBatches,
        *,
        flip: bool,
        norm_set: ImageBatches | None = None,
        after_step: Callable[[], None] | None = None,
    ) -> Epoch:
        """Train to the end of the epoch, validate, and return what is now the last entry of the curve.

        Args:
            train_set: At the ``image_size`` of the epoch.
            val_set: At that of the network.
            flip: Whether to mirror training images at random.
            norm_set: Training images at the network's resolution, over which norms are recomputed for the validation;
                without them it uses the running averages.
            after_step: Called after each step.

        Raises:
            TrainingDiverged: The loss of the epoch is not finite.
        """
        self._began, number = time.perf_counter(), len(self.curve) + 1
        if self._steps_of_epoch == 0:
            self._epoch_began = self._generator.get_state()
        batches = self._batches(train_set, flip=flip)
        self.take_steps(itertools.islice(batches, self._steps_left), after_step)
        score = Score(*(self._totals / self._seen).tolist())
        if not math.isfinite(score.loss):
            raise TrainingDiverged(f"the training loss of epoch {number} is {score.loss}: {self._advice}")
        validation = self._validate(val_set, norm_set)
        if not math.isfinite(validation.loss):
            raise TrainingDiverged(f"the validation loss of epoch {number} is not finite: {self._advice}")
        self._schedule.end_epoch(validation.loss)
        self._totals.zero_()
        self._seen = self._steps_of_epoch = 0
        seconds = self._elapsed + time.perf_counter() - self._began
        self._elapsed = 0.0
        self.clock.state()  # the device is done: its times can be added up without waiting
        self._answers = validation.answers
        self.curve.append(Epoch(number, *score, validation.loss, validation.accuracy, seconds))
        return self.curve[-1]

    def all_batches(self, train_set: ImageBatches, *, flip: bool) -> Iterator[Batch]:
        """Yield the batches of all steps that are left, over as many epochs as they take; for timing."""
        while self._steps_left:
            self._steps_of_epoch = 0
            yield from itertools.islice(self._batches(train_set, flip=flip), self._steps_left)

    def _batches(self, train_set: ImageBatches, *, flip: bool) -> Iterator[Batch]:
        return train_set.shuffled(
            self._batch_size,
            padding=round(self._recipe.crop * train_set.size),
            flip=flip,
            generator=self._generator,
            skip=self._steps_of_epoch,
            change=self._augmentation.of_pixels(),
        )

    def take_steps(self, batches: Iterable[Batch], after_step: Callable[[], None] | None = None) -> None:
        """Take one step per batch; sums stay on the device, so that the host does not wait for it."""
        self.model.train()
        resolution = self.resolution
        augmented = (self._augmentation(batch, steps_left=self._steps_left) for batch in batches)
        for prepared in self.clock.timed(augmented):
            target = prepared.target if self._teachers is None else self._teachers.target(prepared)
            self._totals += self._step(resized(prepared.images, resolution), target, prepared.labels)
            self._schedule.step()
            self._steps_left -= 1
            self._steps_of_epoch += 1
            self._seen += len(prepared.labels)
            if self._masks is not None:
                self._masks.advance(self.steps[0])
            if after_step is not None:
                after_step()

    def state(self) -> State:
        """Return all that a run needs to go on as if it had never stopped."""
        optimizer = self._optimizer.state_dict()
        tensors = {f"model.{key}": value for key, value in self.model.state_dict().items()}
        tensors |= {
            f"optimizer.{index}.{key}": value
            for index, values in optimizer["state"].items()
            for key, value in values.items()
            if value is not None
        }
        if self._average is not None:
            tensors |= {f"average.{key}": value for key, value in self._average.state().items()}
        if self._masks is not None:
            tensors |= {f"masks.{key}": value for key, value in self._masks.state().items()}
        if self._twin is not None:
            tensors |= {f"norms.{key}": value for key, value in self._twin.named_buffers()}
        device = self._generator.device
        tensors |= {
            "totals": self._totals,
            "answers": self._answers,
            "random.epoch": self._epoch_began if self._steps_of_epoch else self._generator.get_state(),
            "random.mixing": self._mixing.get_state(),
            "random.host": torch.get_rng_state(),
            **({"random.device": torch.cuda.get_rng_state(device)} if device.type == "cuda" else {}),
        }
        facts = {
            "curve": [asdict(epoch) for epoch in self.curve],
            "schedule": self._schedule.state(),
            "steps_left": self._steps_left,
            "steps_of_epoch": self._steps_of_epoch,
            "seen": self._seen,
            "micro_batch": self._step.micro_batch,
            "clock": self.clock.state(),
            "elapsed": self._elapsed + (time.perf_counter() - self._began if self._steps_of_epoch else 0.0),
        }
        return State(tensors, facts)

    def can_restore(self, state: State) -> bool:
        """Tell whether a state's random numbers go on here: those of a GPU do not on a CPU, nor the other way."""
        return ("random.device" in state.tensors) == (self._generator.device.type == "cuda")

    def restore(self, state: State) -> None:
        """Go on from a state of a run with the same network, recipe and number of images."""
        tensors, facts = state
        device = self._generator.device

        def part(prefix: str) -> dict[str, Tensor]:
            return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}

        self.model.load_state_dict(part("model."))
        optimizer = self._optimizer.state_dict()
        layout = torch.channels_last if self._recipe.channels_last else torch.contiguous_format
        for key, value in part("optimizer.").items():
            index, _, name = key.partition(".")
            # torch places counters of steps itself: for some optimisers they are the host's
            where = device if value.ndim else value.device
            placed = value.to(where, memory_format=layout if value.ndim == 4 else torch.preserve_format)
            optimizer["state"].setdefault(int(index), {})[name] = placed
        self._optimizer.load_state_dict(optimizer)
        if self._average is not None:
            self._average.restore(part("average."))
        if self._masks is not None:
            self._masks.restore(part("masks."))
        if norms := part("norms."):
            self._twin = twin(self._trained_model())
            self._twin.load_state_dict(norms, strict=False)  # its parameters are those of the model
        self._totals.copy_(tensors["totals"])
        self._answers = tensors["answers"].to(device)
        self._epoch_began = tensors["random.epoch"]
        self._generator.set_state(self._epoch_began)
        self._mixing.set_state(tensors["random.mixing"])
        torch.set_rng_state(tensors["random.host"])
        if device.type == "cuda":
            torch.cuda.set_rng_state(tensors["random.device"], device)
        self._schedule.restore(facts["schedule"])
        self.curve = [Epoch(**epoch) for epoch in facts["curve"]]
        self._steps_left, self._steps_of_epoch = facts["steps_left"], facts["steps_of_epoch"]
        self._seen = facts["seen"]
        sizes = [size for size in (facts["micro_batch"], self._step.micro_batch) if size is not None]
        self._step.micro_batch = min(sizes, default=None)
        self.clock.restore(facts["clock"])
        self._elapsed = facts["elapsed"]
