"""Depthwise convolutions of which cuDNN would first compile the kernels."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

COMPILED_FIRST: Mapping[str, tuple[torch.dtype, ...]] = {"cuda": (torch.bfloat16,)}
"""Types for which cuDNN compiles depthwise kernels in channels last, by kind of device.

Of EfficientNets on an H100: 2.1 to 5.7 s for each new shape in bfloat16 with channels last, and 0.00 s with contiguous
maps or torch's own kernels, whose steps then take 1.0 to 1.4 times as long. Those are earlier measurements of cuDNN
and torch as they are: what follows from them here, ``DepthwiseConv`` with ``own_kernels``, was not measured.
"""


def compiles_first(conv: nn.Conv2d, *, device: str, dtype: torch.dtype, channels_last: bool) -> bool:
    """Tell whether cuDNN compiles kernels of its own where a convolution first meets a shape.

    Args:
        conv: The convolution.
        device: Kind of its device.
        dtype: In which it computes.
        channels_last: Layout of its input.
    """
    depthwise = 1 < conv.groups == conv.in_channels
    return depthwise and channels_last and dtype in COMPILED_FIRST.get(device, ())


class DepthwiseConv(nn.Conv2d):
    """A convolution of each channel by itself, for which torch has kernels of its own on GPUs.

    torch leaves those with channels last to cuDNN, and takes its own where neither the map nor the weight is laid out
    so. That holds for gradients too, and is nothing but a copy there and back, so a step can be captured. A switch of
    ``torch.backends.cudnn`` would be that of all threads, and is not asked again for gradients.
    """

    own_kernels = False
    """Whether torch's kernels are used on GPUs; elsewhere it is the convolution as it is."""

    def forward(self, features: Tensor) -> Tensor:
        """Map (batch, in_channels, height, width) to (batch, out_channels, ...), in the layout of the input."""
        if not (self.own_kernels and features.is_cuda):
            return super().forward(features)
        return self.with_contiguous_maps(features)

    def with_contiguous_maps(self, features: Tensor) -> Tensor:
        """Return the same as ``forward``, computed on maps whose channels are not last."""
        result: Tensor = self._conv_forward(contiguous(features), contiguous(self.weight), self.bias)
        return result.contiguous(memory_format=torch.channels_last)


def contiguous(tensor: Tensor) -> Tensor:
    """Return a tensor of four dimensions whose strides say that its channels are not last.

    Those of weights with one channel in a group, and of maps with one pixel, may mean either; torch then reads last.
    """
    return tensor.contiguous().flatten().view(tensor.shape)
