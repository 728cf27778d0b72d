"""A trained network in fixed point: each number is round(w * 2^b), an integer of few bits, with one b for each tensor.

Norms are folded first, so that integers are all that is left. Kept in float32 beside weights of 4 bits they cost less
accuracy, but they may then take up more than the weights do.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from nas.architecture.spec import Architecture
from nas.compress.folding import Folded, fold_norms
from nas.data.batches import standardisation
from nas.data.sources import Dataset
from nas.errors import ConfigError
from nas.models.build import build_model
from nas.training.evaluate import evaluate
from nas.training.preparing import bring, own_state, validation_batch
from nas.training.recipe import Recipe

BITS = range(2, 17)
"""Of a number."""

_FINER = 4  # values of b beyond the one that keeps the largest number within the range, itself among them


class FixedTensor(NamedTuple):
    """A tensor as integers.

    Attributes:
        integers: int16, round(w * 2^exponent) within the range of so many bits in two's complement.
        exponent: b, which may be negative.
    """

    integers: Tensor
    exponent: int

    @property
    def values(self) -> Tensor:
        """What the integers stand for, float32."""
        return torch.ldexp(self.integers.float(), torch.tensor(-self.exponent))


@dataclass(frozen=True, slots=True)
class FixedPoint:
    """A network in fixed point.

    Attributes:
        architecture: Without norms, which are folded into the weights.
        bits: Of each number.
        tensors: Its parameters, by name.
    """

    architecture: Architecture
    bits: int
    tensors: dict[str, FixedTensor]

    @property
    def bytes(self) -> int:
        """Of all numbers, each tensor packed and with a byte for its b; what names and shapes take up is left out."""
        return sum(1 + math.ceil(tensor.integers.numel() * self.bits / 8) for tensor in self.tensors.values())

    def state(self) -> dict[str, Tensor]:
        """Return the float32 parameters that the integers stand for."""
        return {name: tensor.values for name, tensor in self.tensors.items()}


class BitsRow(NamedTuple):
    """What a network comes to with so many bits.

    Attributes:
        bits: Of each number; 32 for the network in float32.
        bytes: Of all numbers.
        val_accuracy: Of the validation images, in 0 to 1; by the recipe's metric.
    """

    bits: int
    bytes: int
    val_accuracy: float


def fixed_point(architecture: Architecture, state: Mapping[str, Tensor], *, bits: int = 8) -> FixedPoint:
    """Return a trained network in fixed point; nothing is trained.

    Args:
        architecture: Of the network.
        state: Its parameters and buffers.
        bits: Of each number, 2 to 16.

    Raises:
        ConfigError: There cannot be so many bits.
        WeightsError: The state is not the network's.
    """
    _require(bits)
    return _rounded(fold_norms(architecture, state), bits)


def fixed_point_table(
    architecture: Architecture,
    state: Mapping[str, Tensor],
    dataset: Dataset,
    *,
    bits: Iterable[int] = range(4, 17),
    recipe: Recipe | None = None,
    device: torch.device,
) -> list[BitsRow]:
    """Return accuracy against bytes: a row for each number of bits, fewest first, and one for float32.

    Args:
        architecture: Of the network.
        state: Its parameters and buffers.
        dataset: Its validation images are looked at.
        bits: Of each number, 2 to 16.
        recipe: Tells layout, threads and metric.
        device: Where. It computes in float32 with the values that the integers stand for.

    Raises:
        ConfigError: There cannot be so many bits.
        WeightsError: The state is not the network's.
    """
    wanted = sorted(set(bits))
    for number in wanted:
        _require(number)
    recipe, whole = recipe or Recipe(), fold_norms(architecture, state)
    standard = standardisation(dataset)
    images = bring(
        dataset.validation, resolution=architecture.resolution, standard=standard, recipe=recipe, device=device
    )
    batch = validation_batch(architecture, device)
    with own_state(device, seed=0, threads=recipe.cpu_threads):
        model = build_model(whole.architecture).to(device)

        def accuracy(weights: Mapping[str, Tensor]) -> float:
            model.load_state_dict(weights)
            return evaluate(model, images, precision="float32", batch=batch, metric=recipe.metric).accuracy

        rows = []
        for number in wanted:
            rounded = _rounded(whole, number)
            rows.append(BitsRow(number, rounded.bytes, accuracy(rounded.state())))
        count = sum(tensor.numel() for tensor in whole.state.values())
        return [*rows, BitsRow(32, 4 * count, accuracy(whole.state))]


def nearest(tensor: Tensor, bits: int) -> FixedTensor:
    """Return the integers of so many bits that come nearest to a tensor, by the sum of squared errors.

    The largest b that keeps all numbers within the range is tried, and larger ones, which cut the largest numbers off
    and are finer for all others. A smaller b is never nearer.
    """
    low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    given = tensor.detach().double().cpu()
    if (largest := float(given.abs().max())) == 0:
        return FixedTensor(torch.zeros_like(given, dtype=torch.int16), 0)
    first = math.floor(math.log2(high / largest))
    found = [
        FixedTensor((given * 2.0**b).round().clamp(low, high).to(torch.int16), b) for b in range(first, first + _FINER)
    ]
    return min(found, key=lambda one: float((one.integers * 2.0**-one.exponent - given).square().sum()))


def _rounded(whole: Folded, bits: int) -> FixedPoint:
    return FixedPoint(whole.architecture, bits, {name: nearest(tensor, bits) for name, tensor in whole.state.items()})


def _require(bits: int) -> None:
    if bits not in BITS:
        raise ConfigError(f"fixed point has {BITS[0]} to {BITS[-1]} bits, but not {bits}")
