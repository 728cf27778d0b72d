"""A moving average of weights."""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from nas.models.build import Network


class MovingAverage:
    """The exponential moving average of a network's parameters and norms.

    It begins as the network after the first step. torch's ``AveragedModel`` asks the device for its count in every
    step, which makes the host wait; here the count is the host's.
    """

    def __init__(self, network: Network, decay: float) -> None:
        """Prepare the average of a network on its device; ``decay`` is the share kept in each step."""
        self.model = copy.deepcopy(network)
        self._decay = decay
        self._begun = False
        pairs = list(zip(_tensors(self.model), _tensors(network), strict=True))
        floats = [pair for pair in pairs if pair[0].is_floating_point()]
        self._counts = [pair for pair in pairs if not pair[0].is_floating_point()]
        self._average, self._current = [a for a, _ in floats], [b for _, b in floats]

    @torch.no_grad()
    def update(self) -> None:
        """Take the network's present weights into the average."""
        torch._foreach_lerp_(self._average, self._current, 1 - self._decay if self._begun else 1.0)
        for average, current in self._counts:
            average.copy_(current)
        self._begun = True

    def state(self) -> dict[str, Tensor]:
        """Return what ``restore`` needs."""
        return self.model.state_dict() if self._begun else {}

    def restore(self, state: dict[str, Tensor]) -> None:
        """Go on from a state."""
        if state:
            self.model.load_state_dict(state)
        self._begun = bool(state)


def _tensors(network: Network) -> list[Tensor]:
    return [*(parameter.detach() for parameter in network.parameters()), *network.buffers()]
