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
"""What a channel is judged by, x being the weights that make it, one filter of a convolution:

- ``l1``: sum of |x| (Li et al. 2017, arXiv:1608.08710).
- ``l2``: ‖x‖, of the raw weights.
- ``scale``: |scale| of its batch norm (Liu et al. 2017, arXiv:1708.06519). What has no batch norm is removed last.
- ``share``: ‖x‖² / Σ‖xᵢ‖² over the filters xᵢ of the layer. Its mean over a layer of n channels is 1 / n whatever the
  weights, so with one threshold for all layers (scope ``global``) it is the number of channels that decides, and wide
  layers are emptied before narrow ones lose anything. Within a layer it orders channels as ``l2`` does.
- ``share_times_channels``: The same times n, so that its mean is 1 in every layer.
- ``random``: A number drawn at random, as the control: a criterion that is no better knows nothing.
"""

CRITERIA: tuple[Criterion, ...] = get_args(Criterion)

Scores: TypeAlias = NDArray[np.float64]


def unit_scores(channels: Channels, state: Mapping[str, Tensor], criterion: Criterion, *, seed: int = 0) -> Scores:
    """Return how much each unit of a network matters: the mean over its channels in all layers that write them.

    Args:
        channels: Of the network.
        state: Its parameters and buffers.
        criterion: By which channels are judged.
        seed: Of ``random``.

    Returns:
        Of shape (units,); infinite where the criterion has nothing to say.

    Raises:
        WeightsError: A tensor is missing, or not of the network's shape.
    """
    if criterion == "random":
        return np.asarray(np.random.default_rng(seed).random(channels.count))
    sums, counts = np.zeros(channels.count), np.zeros(channels.count)
    for site in channels.sites:
        if isinstance(site.layer, Conv) and (criterion != "scale" or site.layer.norm):
            sums += np.bincount(site.writes, _SCORES[criterion](site, state), minlength=channels.count)
            counts += np.bincount(site.writes, minlength=channels.count)
    means = np.divide(sums, counts, out=np.full(channels.count, np.inf), where=counts > 0)
    return np.asarray(means)


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


def _l1(site: Site, state: Mapping[str, Tensor]) -> Scores:
    return np.asarray(np.abs(_filters(site, state)).sum(axis=1))


def _squared(site: Site, state: Mapping[str, Tensor]) -> Scores:
    return np.asarray((_filters(site, state) ** 2).sum(axis=1))


def _scale(site: Site, state: Mapping[str, Tensor]) -> Scores:
    scale = tensor_of(state, f"{site.path}.norm.weight", size=len(site.writes))
    return np.asarray(scale.detach().double().abs().cpu().numpy())


def _share(site: Site, state: Mapping[str, Tensor]) -> Scores:
    squared = _squared(site, state)
    return np.asarray(squared / max(squared.sum(), np.finfo(float).tiny))  # of a layer of zeros nothing


_SCORES: dict[Criterion, Callable[[Site, Mapping[str, Tensor]], Scores]] = {
    "l1": _l1,
    "l2": lambda site, state: np.sqrt(_squared(site, state)),
    "scale": _scale,
    "share": _share,
    "share_times_channels": lambda site, state: len(site.writes) * _share(site, state),
}
