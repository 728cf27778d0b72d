"""A moving average of weights."""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from nas.models.build import Network

_UPDATES = "updates"
"""Key of a state: how often the average was moved, beyond the names of a network's tensors."""


class MovingAverage:
    """The exponential moving average of a network's parameters and norms.

    It begins as the network after the first step. torch's ``AveragedModel`` asks the device for its count in every
    step, which makes the host wait; here the count is the host's.
    """

    def __init__(self, network: Network, decay: float, *, warm_up: bool = False) -> None:
        """Prepare the average of a network on its device.

        Args:
            network: What is averaged.
            decay: Share that is kept in each step.
            warm_up: Keep at most (1 + t) / (10 + t) in step t, so that the first weights are forgotten in a short
                training too: the rule of TensorFlow's ``ExponentialMovingAverage`` with ``num_updates``.
        """
        self.model = copy.deepcopy(network)
        self._decay = decay
        self._warm_up = warm_up
        # on the device, because a captured step counts there
        self._updates = torch.zeros((), device=next(network.parameters()).device)
        self._begun = False
        pairs = list(zip(_tensors(self.model), _tensors(network), strict=True))
        floats = [pair for pair in pairs if pair[0].is_floating_point()]
        self._counts = [pair for pair in pairs if not pair[0].is_floating_point()]
        self._average, self._current = [a for a, _ in floats], [b for _, b in floats]

    @torch.no_grad()
    def update(self) -> None:
        """Take the network's present weights into the average."""
        if self._begun and self._warm_up:
            self._updates += 1
            kept = ((1 + self._updates) / (10 + self._updates)).clamp(max=self._decay)
            changes = torch._foreach_sub(self._current, self._average)
            torch._foreach_mul_(changes, 1 - kept)
            torch._foreach_add_(self._average, changes)
        else:
            torch._foreach_lerp_(self._average, self._current, 1 - self._decay if self._begun else 1.0)
        for average, current in self._counts:
            average.copy_(current)
        self._begun = True

    def state(self) -> dict[str, Tensor]:
        """Return what ``restore`` needs."""
        return {**self.model.state_dict(), _UPDATES: self._updates} if self._begun else {}

    def restore(self, state: dict[str, Tensor]) -> None:
        """Go on from a state."""
        if state:
            self._updates.copy_(state[_UPDATES])
            self.model.load_state_dict({key: value for key, value in state.items() if key != _UPDATES})
        self._begun = bool(state)


def _tensors(network: Network) -> list[Tensor]:
    return [*(parameter.detach() for parameter in network.parameters()), *network.buffers()]
