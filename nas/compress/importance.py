"""How much each channel of a trained network matters, as far as its weights tell."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from nas.architecture.channels import Channels, Site
from nas.architecture.layers import Conv
from nas.errors import WeightsError

Criterion: TypeAlias = Literal["l1", "l2", "scale", "share", "share_times_channels", "random"]
"""What a unit of channels is judged by, x being all the weights that make it: its filters in all layers that write it.

- ``l1``: sum of |x| (Li et al. 2017, arXiv:1608.08710).
- ``l2``: ‖x‖, of the raw weights.
- ``scale``: mean of |scale| of its batch norms (Liu et al. 2017, arXiv:1708.06519). What has none is removed last.
- ``share``: ‖x‖² / Σ‖xᵢ‖² over the n units xᵢ that stand for the same channels of the same layers. Their mean is 1 / n
  whatever the weights, so with one threshold for the whole network (scope ``global``) it is their number that decides,
  and wide layers are emptied before narrow ones lose anything. Within a layer it orders channels as ``l2`` does.
- ``share_times_channels``: The same times n, so that its mean is 1 everywhere.
- ``random``: A number drawn at random, as the control: a criterion that is no better knows nothing.
"""

CRITERIA: tuple[Criterion, ...] = get_args(Criterion)

Scores: TypeAlias = NDArray[np.float64]


def unit_scores(channels: Channels, state: Mapping[str, Tensor], criterion: Criterion, *, seed: int = 0) -> Scores:
    """Return how much each unit of a network matters.

    Args:
        channels: Of the network.
        state: Its parameters and buffers.
        criterion: By which units are judged.
        seed: Of ``random``.

    Returns:
        Of shape (units,); infinite where the criterion has nothing to say.

    Raises:
        WeightsError: A tensor is missing, or not of the network's shape.
    """
    return _SCORES[criterion](channels, state, seed)


def tensor_of(state: Mapping[str, Tensor], key: str, *, size: int, dim: int = 0) -> Tensor:
    """Return a tensor of a state that is so large along a dimension.

    Raises:
        WeightsError: It is missing, or is not.
    """
    if key not in state:
        raise WeightsError(f"the weights have no {key}, which the architecture has")
    tensor = state[key]
    if tensor.ndim <= dim or tensor.shape[dim] != size:
        shape = "x".join(map(str, tensor.shape))
        raise WeightsError(f"{key} has shape {shape}, but the architecture has {size} along dimension {dim}")
    return tensor


def _filters(site: Site, state: Mapping[str, Tensor]) -> Scores:
    """Return the weights that make each channel, of shape (channels, weights of one)."""
    weight = tensor_of(state, f"{site.path}.conv.weight", size=len(site.writes))
    return np.asarray(weight.detach().double().flatten(1).cpu().numpy())


def _sums(channels: Channels, of: Callable[[Site], Scores | None]) -> Scores:
    """Return sums over the channels of each unit; ``of`` gives a number for each that a convolution writes, or none."""
    total = np.zeros(channels.count)
    for site in channels.sites:
        if isinstance(site.layer, Conv) and (values := of(site)) is not None:
            total += np.bincount(site.writes, values, minlength=channels.count)
    return total


def _l1(channels: Channels, state: Mapping[str, Tensor], seed: int) -> Scores:
    return _sums(channels, lambda site: np.asarray(np.abs(_filters(site, state)).sum(axis=1)))


def _squared(channels: Channels, state: Mapping[str, Tensor]) -> Scores:
    return _sums(channels, lambda site: np.asarray((_filters(site, state) ** 2).sum(axis=1)))


def _l2(channels: Channels, state: Mapping[str, Tensor], seed: int) -> Scores:
    return np.asarray(np.sqrt(_squared(channels, state)))


def _scale(channels: Channels, state: Mapping[str, Tensor], seed: int) -> Scores:
    def of(site: Site) -> Scores | None:
        if not (isinstance(site.layer, Conv) and site.layer.norm):
            return None
        scale = tensor_of(state, f"{site.path}.norm.weight", size=len(site.writes))
        return np.asarray(scale.detach().double().abs().cpu().numpy())

    def one(site: Site) -> Scores | None:
        return None if of(site) is None else np.ones(len(site.writes))

    counts = _sums(channels, one)
    means = np.divide(_sums(channels, of), counts, out=np.full(channels.count, np.inf), where=counts > 0)
    return np.asarray(means)


def _share(channels: Channels, state: Mapping[str, Tensor], seed: int) -> Scores:
    squared = _squared(channels, state)
    for group in channels.groups:
        # of a group of zeros nothing
        squared[group.units] /= max(squared[group.units].sum(), np.finfo(float).tiny)
    return squared


def _share_times_channels(channels: Channels, state: Mapping[str, Tensor], seed: int) -> Scores:
    shares = _share(channels, state, seed)
    for group in channels.groups:
        shares[group.units] *= len(group.units)
    return shares


def _random(channels: Channels, state: Mapping[str, Tensor], seed: int) -> Scores:
    return np.asarray(np.random.default_rng(seed).random(channels.count))


_SCORES: dict[Criterion, Callable[[Channels, Mapping[str, Tensor], int], Scores]] = {
    "l1": _l1,
    "l2": _l2,
    "scale": _scale,
    "share": _share,
    "share_times_channels": _share_times_channels,
    "random": _random,
}
