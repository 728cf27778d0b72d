"""Remove channels from a trained network until it costs what it may."""

from __future__ import annotations

import bisect
import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nas.architecture.channels import Channels, Group, Site, Units, channels_of
from nas.architecture.cost import count_cost
from nas.architecture.layers import Conv, SqueezeExcite
from nas.architecture.spec import Architecture
from nas.compress.importance import CRITERIA, Criterion, Scores, tensor_of, unit_scores
from nas.errors import ConfigError
from nas.schema import did_you_mean

Scope: TypeAlias = Literal["global", "uniform"]
"""Whether the units of least importance go wherever they are, or every group loses the same share of its own."""

Mask: TypeAlias = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Pruned:
    """What is left of a network.

    Attributes:
        architecture: An ordinary one, with a digest and a cost of its own.
        state: Its parameters and buffers: those of the channels that stay, unchanged.
        kept: Places of the channels that stay, among those there were, by the convolution's path.
    """

    architecture: Architecture
    state: dict[str, Tensor]
    kept: dict[str, tuple[int, ...]]


def prune_network(
    architecture: Architecture,
    state: Mapping[str, Tensor],
    *,
    flops: float = 0.5,
    criterion: Criterion = "l2",
    multiple: int = 8,
    scope: Scope = "uniform",
    seed: int = 0,
) -> Pruned:
    """Remove the channels that matter least until a network costs at most a share of its FLOPs.

    The weights that stay are not changed, so that the result needs its batch norms estimated anew and some training.

    Args:
        architecture: Of the network.
        state: Its parameters and buffers.
        flops: Most FLOPs that are left, as a share of the network's, above 0 and at most 1. What need not go for
            that is put back, so that the result is as little below as whole steps of channels allow.
        criterion: What channels are judged by.
        multiple: Every convolution's channels become a multiple of this number, or stay as many as they are. Fast
            kernels take 8 or 16 channels at a time: other numbers save FLOPs and little time.
        scope: Where they are removed.
        seed: Of the criterion ``random``.

    Raises:
        ConfigError: An argument is not among those allowed, or so few FLOPs cannot be reached.
        WeightsError: The state is not the network's.
    """
    _require(flops, criterion, multiple, scope)
    channels = channels_of(architecture)
    cuts = _cuts(channels, unit_scores(channels, state, criterion, seed=seed), multiple, scope)
    most = flops * count_cost(architecture).flops
    removed = _fewest(channels, cuts, most)
    if (left := _flops_without(channels, removed)) > most:
        raise ConfigError(
            f"{architecture.name or 'the network'} cannot be pruned to {100 * flops:g} % of its FLOPs: with channels in"
            f" multiples of {multiple} at least {100 * left / count_cost(architecture).flops:.1f} % are left"
        )
    stay = np.ones(channels.count, bool)
    for cut in removed:
        stay[cut.units] = False
    pruned = keep_units(channels, state, stay)
    name = f"{architecture.name} pruned to {flops:g}" if architecture.name else ""
    return dataclasses.replace(pruned, architecture=dataclasses.replace(pruned.architecture, name=name))


def keep_units(channels: Channels, state: Mapping[str, Tensor], stay: Mask) -> Pruned:
    """Return a network with those of its units that stay, of shape (units,), at least one of each group.

    Raises:
        ArchitectureError: A group keeps none, or loses what is fixed.
        WeightsError: The state is not the network's.
    """
    smaller = dict(state)
    for site in channels.sites:
        for cut in _places(site):
            size = len(site.writes if cut.writes else site.reads)
            tensor = tensor_of(state, cut.key, size=size, dim=cut.dim)
            chosen = torch.from_numpy(np.flatnonzero(stay[site.writes if cut.writes else site.reads]))
            smaller[cut.key] = smaller[cut.key].index_select(cut.dim, chosen.to(tensor.device))
    kept = {site.path: tuple(np.flatnonzero(stay[site.writes]).tolist()) for site in channels.sites if len(site.writes)}
    return Pruned(channels.keeping([int(stay[group.units].sum()) for group in channels.groups]), smaller, kept)


class _Place(NamedTuple):
    """A dimension of a tensor that runs along the channels that a layer reads, or writes."""

    key: str
    dim: int
    writes: bool


def _places(site: Site) -> Iterator[_Place]:
    """Yield all dimensions of a layer's tensors that run along channels."""
    path, layer = site.path, site.layer
    if isinstance(layer, Conv):
        yield _Place(f"{path}.conv.weight", 0, True)
        if layer.groups == 1:  # whole groups are lost: those that stay read as many channels as before
            yield _Place(f"{path}.conv.weight", 1, False)
        norm = [f"norm.{name}" for name in ("weight", "bias", "running_mean", "running_var")]
        for name in norm if layer.norm else ["conv.bias"]:
            yield _Place(f"{path}.{name}", 0, True)
    elif isinstance(layer, SqueezeExcite):
        yield _Place(f"{path}.reduce.weight", 1, False)
        yield _Place(f"{path}.expand.weight", 0, False)
        yield _Place(f"{path}.expand.bias", 0, False)
    else:
        yield _Place(f"{path}.weight", 1, False)


class _Cut(NamedTuple):
    """Units of a group that go together; those of the lowest rank go first."""

    rank: float
    group: int
    units: Units


def _cuts(channels: Channels, scores: Scores, multiple: int, scope: Scope) -> list[_Cut]:
    """Return all that can be removed, in the order in which it goes."""
    cuts = [
        cut
        for index, group in enumerate(channels.groups)
        if not group.fixed
        for cut in _cuts_of(group, index, scores, multiple, scope)
    ]
    return sorted(cuts, key=lambda cut: cut.rank)  # those of a group stay in order: their ranks rise


def _cuts_of(group: Group, index: int, scores: Scores, multiple: int, scope: Scope) -> Iterator[_Cut]:
    """Yield what can be removed from a group: to the multiple below, then step by step but for the last one."""
    total, step = len(group.units), group.step(multiple)
    order = group.units[np.argsort(scores[group.units], kind="stable")]
    start = 0
    for end in range(total % step or step, total, step):
        units = order[start:end]
        yield _Cut(float(scores[units].mean()) if scope == "global" else end / total, index, units)
        start = end


def _fewest(channels: Channels, cuts: list[_Cut], most: float) -> list[_Cut]:
    """Return the first cuts that leave at most so many FLOPs, without those that need not be for it."""
    number = bisect.bisect_left(range(len(cuts)), -most, key=lambda n: -_flops_without(channels, cuts[:n]))
    removed, settled = cuts[:number], set[int]()
    for cut in cuts[:number][::-1]:
        rest = [other for other in removed if other is not cut]
        if cut.group not in settled and _flops_without(channels, rest) <= most:
            removed = rest
        else:
            settled.add(cut.group)  # the units that matter less stay away too
    return removed


def _flops_without(channels: Channels, cuts: list[_Cut]) -> int:
    counts = [len(group.units) for group in channels.groups]
    for cut in cuts:
        counts[cut.group] -= len(cut.units)
    return count_cost(channels.keeping(counts)).flops


def _require(flops: float, criterion: str, multiple: int, scope: str) -> None:
    """Refuse what cannot be meant."""
    if not 0 < flops <= 1:
        raise ConfigError(f"flops must be a share of the network's, above 0 and at most 1, but is {flops:g}")
    if multiple < 1:
        raise ConfigError(f"multiple must be at least 1, but is {multiple}")
    for what, given, allowed in (("criterion", criterion, CRITERIA), ("scope", scope, get_args(Scope))):
        if given not in allowed:
            raise ConfigError(f"{what}: unknown {given!r}{did_you_mean(given, allowed)}")
