"""Weights that are held at zero while the others are trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from nas.training.sparsity import Sparsity

_CHOICES = 100  # of the weights that go, spread over a training: each sorts all weights


def prunable_weights(network: nn.Module) -> dict[str, Tensor]:
    """Return the weights of a network that may become zeros, by name.

    Those are the weights of convolutions and linear layers, but for the first convolution and for depthwise ones, which
    have few weights, none to spare (Zhu & Gupta 2017, arXiv:1710.01878, section 4.2).
    """
    layers = {name: part for name, part in network.named_modules() if isinstance(part, nn.Conv2d | nn.Linear)}
    first = next((part for part in layers.values() if isinstance(part, nn.Conv2d)), None)
    return {
        f"{name}.weight": part.weight for name, part in layers.items() if part is not first and not _depthwise(part)
    }


def _depthwise(layer: nn.Module) -> bool:
    return isinstance(layer, nn.Conv2d) and layer.groups > 1 and layer.groups == layer.in_channels


class Masks:
    """Ones where a weight is trained and zeros where it is held at zero, for all layers of a network.

    What is zero at first stays so, so that a sparse network can be trained on.
    """

    def __init__(
        self, network: nn.Module, sparsity: Sparsity, *, steps: int, followers: Sequence[nn.Module] = ()
    ) -> None:
        """Prepare the first step.

        Args:
            network: With the weights that it begins with, on its device.
            sparsity: How many become zeros, and when.
            steps: Of the whole training.
            followers: Networks of the same shape, such as a moving average, whose weights are held at zero with it.
        """
        self._sparsity = sparsity
        self._steps = steps
        self._every = max(1, steps // _CHOICES)
        self._names = list(prunable_weights(network))
        self._weights = [weight.detach() for weight in prunable_weights(network).values()]
        self._masks = [(weight != 0).to(weight.dtype) for weight in self._weights]
        self._held = [self._weights]
        for follower in followers:
            self._held.append([weight.detach() for weight in prunable_weights(follower).values()])

    @torch.no_grad()
    def hold(self) -> None:
        """Make zeros of what is to be zero; it can be captured with the step."""
        for weights in self._held:
            torch._foreach_mul_(weights, self._masks)

    @torch.no_grad()
    def advance(self, step: int) -> None:
        """Choose which weights are zeros from now on, if it is time to; the host does not wait for the device.

        Args:
            step: How many were taken.
        """
        share = self._sparsity.at(step / self._steps)
        if share == 0 or (step % self._every and step != self._steps):
            return
        for weight, mask in zip(self._weights, self._masks, strict=True):
            mask.mul_(_largest(weight, weight.numel() - int(share * weight.numel())))
        self.hold()

    def state(self) -> dict[str, Tensor]:
        """Return what ``restore`` needs, by the names of the weights."""
        return dict(zip(self._names, self._masks, strict=True))

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Go on from a state."""
        for name, mask in zip(self._names, self._masks, strict=True):
            mask.copy_(state[name])


def _largest(weight: Tensor, count: int) -> Tensor:
    """Return ones where the largest magnitudes of a tensor are, so many, and zeros elsewhere; of its shape."""
    flat = weight.abs().reshape(-1)
    return torch.zeros_like(flat).scatter_(0, flat.topk(count).indices, 1.0).reshape(weight.shape)
