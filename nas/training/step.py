"""The gradients of one batch: eager, in micro-batches where memory is short, or replayed as a CUDA graph."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Literal, TypeAlias

import torch
from torch import Tensor, nn

from nas.training.optimizer import Loss
from nas.training.recipe import Precision, Recipe

Forward: TypeAlias = Callable[[Tensor], Tensor]

PRECISIONS: tuple[Literal["float32", "bfloat16"], ...] = ("float32", "bfloat16")
"""What ``auto`` chooses from."""

SMALLEST_BATCH = 2
"""Of a micro-batch: batch norm needs two images wherever a feature map has a single pixel."""


class Step:
    """Leaves the gradients of a batch in a model's parameters, and tells its loss.

    Where the device has not the memory for a batch, the batch is halved until there is enough: gradients of its parts
    are added up, so that the optimiser sees those of the whole. Batch norm sees the parts.

    On CUDA the work is captured once for batches of one shape and replayed for the others, which spares the host from
    launching each kernel; what cannot be captured runs as it is.
    """

    def __init__(self, model: nn.Module, loss: Loss, recipe: Recipe, *, micro_batch: int | None = None) -> None:
        """Prepare a model.

        Args:
            model: On its device, in training mode when the step is taken.
            loss: Of logits and targets, the mean over the batch.
            recipe: Tells precision, compilation and graphs.
            micro_batch: Most images at once; None for whole batches.
        """
        self.micro_batch = micro_batch
        self._model = model
        self._forward = compiled(model) if recipe.compile else model
        self._loss = loss
        self._precision = recipe.precision
        self._graphs = recipe.cuda_graphs and next(model.parameters()).is_cuda
        self._graph: _Graph | None = None
        self._proven: set[tuple[int, ...]] = set()  # shapes and micro-batches that there was memory for

    def __call__(self, images: Tensor, target: Tensor, labels: Tensor) -> Tensor:
        """Compute gradients, in place of those that were there.

        Args:
            images: float32 of shape (batch, channels, size, size).
            target: What the loss compares logits with: labels, or shares of the classes.
            labels: int64 of shape (batch,).

        Returns:
            Sum of the loss over the images and number of images right, float64 of shape (2,) on the device.

        Raises:
            RuntimeError: Not even two images fit into the memory at once.
        """
        while True:
            try:
                return self._tried(images, target, labels)
            except RuntimeError as error:
                self._halve(self.micro_batch or len(labels), error)

    def _tried(self, images: Tensor, target: Tensor, labels: Tensor) -> Tensor:
        """Compute gradients, and leave no trace in the norms where the first batch of a shape does not succeed."""
        size = self.micro_batch
        shape = (*images.shape, size or 0)
        before = [] if shape in self._proven else [(buffer, buffer.clone()) for buffer in self._model.buffers()]
        try:
            totals = (self._in_parts if size else self._whole)(images, target, labels)
        except RuntimeError:
            for buffer, value in before:
                buffer.copy_(value)
            raise
        self._proven.add(shape)
        return totals

    def _halve(self, batch: int, error: RuntimeError) -> None:
        if not is_out_of_memory(error) or batch <= SMALLEST_BATCH:
            raise error
        self.micro_batch = max(SMALLEST_BATCH, math.ceil(batch / 2))
        self._graph = None
        error.__traceback__ = None  # its frames hold the tensors that there is no room for
        clear_gradients(self._model)
        if next(self._model.parameters()).is_cuda:
            torch.cuda.empty_cache()

    def _whole(self, images: Tensor, target: Tensor, labels: Tensor) -> Tensor:
        if not self._graphs:
            return self._eager(images, target, labels)
        if self._graph is None or not self._graph.takes(images, target):
            self._graph = None
            stream = torch.cuda.current_stream()
            try:
                self._graph = _Graph(self._eager, self._model, (images, target, labels))
            except RuntimeError as error:
                torch.cuda.set_stream(stream)  # a capture that fails leaves its own behind
                if is_out_of_memory(error):
                    raise
                self._graphs = False
                reason = " ".join(str(error).split())[:200]
                warnings.warn(f"the step cannot be captured as a CUDA graph and runs as it is: {reason}", stacklevel=2)
                return self._eager(images, target, labels)
        return self._graph(images, target, labels)

    def _eager(self, images: Tensor, target: Tensor, labels: Tensor) -> Tensor:
        clear_gradients(self._model)
        return self._backward(images, target, labels, share=1.0)

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
    """Work on batches of one shape, captured as it ran once."""

    def __init__(self, run: Callable[..., Tensor], model: nn.Module, inputs: tuple[Tensor, Tensor, Tensor]) -> None:
        """Capture ``run``, after running it a few times as torch asks for, without trace in the model's buffers."""
        self._inputs = tuple(tensor.clone() for tensor in inputs)
        buffers = [(buffer, buffer.clone()) for buffer in model.buffers()]
        aside = torch.cuda.Stream(inputs[0].device)  # type: ignore[no-untyped-call]
        aside.wait_stream(torch.cuda.current_stream())
        try:
            with torch.cuda.stream(aside):
                for _ in range(3):
                    run(*self._inputs)
            clear_gradients(model)  # so that the graph owns those it makes
            self._graph = torch.cuda.CUDAGraph()
            # thread_local: images may stream meanwhile
            with torch.cuda.graph(self._graph, stream=aside, capture_error_mode="thread_local"):
                self._result = run(*self._inputs)
        finally:
            torch.cuda.current_stream().wait_stream(aside)
            for buffer, before in buffers:
                buffer.copy_(before)

    def takes(self, images: Tensor, target: Tensor) -> bool:
        """Tell whether a batch has the shape that was captured."""
        return (self._inputs[0].shape, self._inputs[1].shape) == (images.shape, target.shape)

    def __call__(self, *inputs: Tensor) -> Tensor:
        """Run the captured work on a batch; the result is overwritten by the next."""
        for held, given in zip(self._inputs, inputs, strict=True):
            held.copy_(given)
        self._graph.replay()
        return self._result


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
    """Tell whether torch could not allocate memory, on a GPU or on the CPU."""
    return isinstance(error, torch.OutOfMemoryError) or any(sign in str(error) for sign in _OUT_OF_MEMORY)


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
