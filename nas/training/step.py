"""One step of a training: eager, in micro-batches where memory is short, or replayed as a CUDA graph."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal, TypeAlias

import torch
from torch import Tensor, nn

from nas.training.average import MovingAverage
from nas.training.masks import Masks
from nas.training.neighbours import NOBODY, Neighbours
from nas.training.optimizer import Loss, captures
from nas.training.recipe import Precision, Recipe

Forward: TypeAlias = Callable[[Tensor], Tensor]

PRECISIONS: tuple[Literal["float32", "bfloat16"], ...] = ("float32", "bfloat16")
"""What ``auto`` chooses from."""

SMALLEST_BATCH = 2
"""Of a micro-batch: batch norm needs two images wherever a feature map has a single pixel."""

_WARM_UPS = 3  # as torch asks for before a capture

STEPS_BEFORE_REPLAY = _WARM_UPS + 1
"""Of a batch's shape, where the step is captured."""


class Step:
    """Takes the step of a batch: gradients, clipping, optimiser and moving average; and tells the batch's loss.

    Where the device has not the memory for a batch, the batch is halved until there is enough: gradients of its parts
    are added up, so that the optimiser sees those of the whole. Batch norm sees the parts.

    On CUDA the step of a batch's shape is captured once and replayed for the others, which spares the host from
    launching each kernel; what cannot be captured runs as it is.
    """

    def __init__(
        self,
        model: nn.Module,
        loss: Loss,
        optimizer: torch.optim.Optimizer,
        recipe: Recipe,
        *,
        average: MovingAverage | None = None,
        masks: Masks | None = None,
        micro_batch: int | None = None,
        neighbours: Neighbours = NOBODY,
    ) -> None:
        """Prepare a model.

        Args:
            model: On its device, in training mode when the step is taken.
            loss: Of logits and targets, the mean over the batch.
            optimizer: Of the model's parameters, made by ``make_optimizer`` for the same recipe.
            recipe: Tells precision, clipping, compilation and graphs.
            average: Takes in the weights after each step.
            masks: Hold weights at zero, the average's too.
            micro_batch: Most images at once; None for whole batches.
            neighbours: Other trainings of this process. Beside some, a batch is not halved where memory is short: it
                may be there without them.
        """
        self.micro_batch = micro_batch
        self._model = model
        self._forward = compiled(model) if recipe.compile else model
        self._loss = loss
        self._optimizer = optimizer
        self._average = average
        self._masks = masks
        self._neighbours = neighbours
        self._precision = recipe.precision
        self._clip = recipe.clip
        self._graphs = captures(recipe, next(model.parameters()).device)
        self._graph: _Graph | None = None
        self._proven: set[tuple[int, ...]] = set()  # shapes and micro-batches that there was memory for

    def __call__(self, images: Tensor, target: Tensor, labels: Tensor) -> Tensor:
        """Take a step; the gradients stay in the parameters.

        Args:
            images: float32 of shape (batch, channels, size, size).
            target: What the loss compares logits with: labels, or shares of the classes.
            labels: int64 of shape (batch,).

        Returns:
            Sum of the loss over the images and number of images right, float64 of shape (2,) on the device; with graphs
            the next step overwrites it.

        Raises:
            RuntimeError: Not even two images fit into the memory at once.
        """
        if not self._graphs or self.micro_batch is not None:
            return self._eager(images, target, labels)
        if self._graph is None or not self._graph.takes(images, target):
            self._graph = None  # the memory of one is there for the next
            self._graph = _Graph(images, target)
        if self._graph.warm_ups < _WARM_UPS:
            with self._graph.warming():
                return self._eager(images, target, labels)
        try:
            return self._graph(self._captured, images, target, labels)
        except RuntimeError as error:
            self._do_without_graph(len(labels), error)
        return self._eager(images, target, labels)

    def _do_without_graph(self, batch: int, error: RuntimeError) -> None:
        if is_out_of_memory(error):
            self._halve(batch, error)
            return
        self._graph, self._graphs = None, False
        reason = " ".join(str(error).split())[:200]
        warnings.warn(f"training steps cannot be captured as a CUDA graph and run without one: {reason}", stacklevel=3)

    def _eager(self, images: Tensor, target: Tensor, labels: Tensor) -> Tensor:
        while True:
            try:
                totals = self._tried(images, target, labels)
                break
            except RuntimeError as error:
                self._halve(self.micro_batch or len(labels), error)
        self._update()
        return totals

    def _captured(self, images: Tensor, target: Tensor, labels: Tensor) -> Tensor:
        clear_gradients(self._model)  # so that the graph owns those it makes
        totals = self._backward(images, target, labels, share=1.0)
        self._update()
        return totals

    def _update(self) -> None:
        if self._clip is not None:
            nn.utils.clip_grad_norm_(self._model.parameters(), self._clip)
        self._optimizer.step()
        if self._average is not None:
            self._average.update()
        if self._masks is not None:
            self._masks.hold()

    def _tried(self, images: Tensor, target: Tensor, labels: Tensor) -> Tensor:
        """Compute gradients, and leave no trace in the norms where the first batch of a shape does not succeed."""
        shape = (*images.shape, self.micro_batch or 0)
        before = [] if shape in self._proven else [(buffer, buffer.clone()) for buffer in self._model.buffers()]
        try:
            totals = self._in_parts(images, target, labels)
        except RuntimeError:
            for buffer, value in before:
                buffer.copy_(value)
            raise
        self._proven.add(shape)
        return totals

    def _halve(self, batch: int, error: RuntimeError) -> None:
        if not is_out_of_memory(error) or batch <= SMALLEST_BATCH or self._neighbours.crowded:
            raise error
        self.micro_batch = max(SMALLEST_BATCH, math.ceil(batch / 2))
        self._graph = None
        error.__traceback__ = None  # its frames hold the tensors that there is no room for
        clear_gradients(self._model)
        if next(self._model.parameters()).is_cuda:
            torch.cuda.empty_cache()

    def _in_parts(self, images: Tensor, target: Tensor, labels: Tensor) -> Tensor:
        clear_gradients(self._model)
        size = self.micro_batch or len(labels)
        count = max(1, min(math.ceil(len(labels) / size), len(labels) // SMALLEST_BATCH))
        parts = zip(*(tensor.tensor_split(count) for tensor in (images, target, labels)), strict=True)
        return torch.stack([self._backward(*part, share=len(part[2]) / len(labels)) for part in parts]).sum(dim=0)

    def _backward(self, images: Tensor, target: Tensor, labels: Tensor, *, share: float) -> Tensor:
        """Add ``share`` times the gradients of the mean loss."""
        with autocast(images.device, self._precision):
            logits = self._forward(images)
            loss = self._loss(logits, target)
        torch.autograd.backward(loss if share == 1 else loss * share)
        return torch.stack([loss.detach().double() * len(labels), right_of(logits, labels).double()])


class _Graph:
    """Work on batches of one shape: captured when it is first asked for, after a few warm-ups, and replayed since."""

    def __init__(self, images: Tensor, target: Tensor) -> None:
        """Prepare for batches like this one."""
        self.warm_ups = 0
        self._shapes = images.shape, target.shape
        self._aside = _stream_for_capture(images.device)
        self._graph: torch.cuda.CUDAGraph | None = None
        self._inputs: tuple[Tensor, ...] = ()
        self._result = images

    def takes(self, images: Tensor, target: Tensor) -> bool:
        """Tell whether a batch has the shape that this is for."""
        return self._shapes == (images.shape, target.shape)

    @contextmanager
    def warming(self) -> Iterator[None]:
        """Run what is to be captured on the stream on which it will be: work of autograd belongs to a stream."""
        self.warm_ups += 1
        self._aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self._aside):
            yield
        torch.cuda.current_stream().wait_stream(self._aside)

    def __call__(self, run: Callable[..., Tensor], *inputs: Tensor) -> Tensor:
        """Run the work on a batch; the result is overwritten by the next."""
        if self._graph is None:
            self._inputs = tuple(tensor.clone() for tensor in inputs)
            self._graph = self._capture(run)
        for held, given in zip(self._inputs, inputs, strict=True):
            held.copy_(given)
        self._graph.replay()
        return self._result

    def _capture(self, run: Callable[..., Tensor]) -> torch.cuda.CUDAGraph:
        """Record what ``run`` launches, without running it."""
        graph, stream = torch.cuda.CUDAGraph(), torch.cuda.current_stream()
        generator = torch.cuda.default_generators[stream.device_index]
        state = generator.clone_state()
        try:
            # thread_local: images may stream meanwhile
            with torch.cuda.graph(graph, stream=self._aside, capture_error_mode="thread_local"):
                self._result = run(*self._inputs)
        except RuntimeError:
            # a capture that fails leaves its own behind
            torch.cuda.set_stream(stream)
            generator.graphsafe_set_state(state)
            raise
        return graph


def _stream_for_capture(device: torch.device) -> torch.cuda.Stream:
    """Return the present stream, or another where that is the default one, which cannot be captured."""
    present: torch.cuda.Stream = torch.cuda.current_stream(device)
    if present != torch.cuda.default_stream(device):
        return present
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]


def clear_gradients(model: nn.Module) -> None:
    """Forget the gradients of all parameters."""
    for parameter in model.parameters():
        parameter.grad = None


def compiled(model: nn.Module) -> Forward:
    """Return a model's forward pass, compiled by ``torch.compile`` when it first runs."""
    torch.compiler.reset()  # all networks are one class, of which only so many are compiled; the others run as they are
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the compiler's own imports
        forward: Forward = torch.compile(model, dynamic=False)
    return forward


def resolved_precision(precision: Precision, device: torch.device) -> Literal["float32", "bfloat16"]:
    """Return what ``auto`` means on a device: bfloat16 on CUDA and float32 on the CPU."""
    if precision == "auto":
        return "bfloat16" if device.type == "cuda" else "float32"
    return precision


def autocast(device: torch.device, precision: Precision = "auto") -> torch.autocast:
    """Return the context that computes in a precision on a device."""
    return torch.autocast(device.type, torch.bfloat16, enabled=resolved_precision(precision, device) == "bfloat16")


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether torch could not allocate memory, on a GPU or on the CPU, here or in what led to the error."""
    if isinstance(error, torch.OutOfMemoryError) or any(sign in str(error) for sign in _OUT_OF_MEMORY):
        return True
    return error.__context__ is not None and is_out_of_memory(error.__context__)  # of a capture's end, say


_OUT_OF_MEMORY = (
    "can't allocate memory",
    "CUDA error: out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
)
"""What torch and the libraries below it say, where they do not raise ``OutOfMemoryError``."""


def right_of(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the number of images whose largest logit is that of their label."""
    return (logits.argmax(dim=1) == labels).sum()
