"""Batch norm written into the convolution before it, as it is at inference."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import NamedTuple

from torch import Tensor

from nas.architecture.channels import channels_of, with_convs
from nas.architecture.layers import Conv
from nas.architecture.spec import Architecture
from nas.compress.importance import tensor_of


class Folded(NamedTuple):
    """A network without norms that computes the same.

    Attributes:
        architecture: An ordinary one, whose convolutions have a bias in place of a norm.
        state: Its parameters.
    """

    architecture: Architecture
    state: dict[str, Tensor]


def fold_norms(architecture: Architecture, state: Mapping[str, Tensor]) -> Folded:
    """Return the network that a trained one is at inference, with its norms in the weights and biases.

    Where a norm scales a channel by g / sqrt(v + e) and shifts it to b - m g / sqrt(v + e), the channel's filter is
    scaled so, and its bias is the shift (Jacob et al. 2018, arXiv:1712.05877, equation 14).

    Args:
        architecture: Of the network.
        state: Its parameters and buffers.

    Raises:
        WeightsError: The state is not the network's.
    """
    folded = {name: tensor.detach() for name, tensor in state.items() if tensor.is_floating_point()}
    for site in channels_of(architecture).sites:
        if isinstance(site.layer, Conv) and site.layer.norm:
            _fold(folded, site.path, len(site.writes), architecture.norm_epsilon)
    without = with_convs(architecture, lambda conv, path: dataclasses.replace(conv, norm=False))
    return Folded(without, folded)


def _fold(state: dict[str, Tensor], path: str, channels: int, epsilon: float) -> None:
    """Fold the norm of a convolution, in place; in float64, so that nothing is lost but the last rounding."""
    names = [f"{path}.norm.{name}" for name in ("weight", "bias", "running_mean", "running_var")]
    scale, shift, mean, variance = (tensor_of(state, name, size=channels).double() for name in names)
    weight = tensor_of(state, f"{path}.conv.weight", size=channels)
    factor = scale / (variance + epsilon).sqrt()
    state[f"{path}.conv.weight"] = (weight.double() * factor[:, None, None, None]).to(weight.dtype)
    state[f"{path}.conv.bias"] = (shift - mean * factor).to(weight.dtype)
    for name in names:
        del state[name]
