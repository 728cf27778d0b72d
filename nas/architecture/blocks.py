"""Blocks: a function of a few numbers returns data. A new block is one more function here."""

from __future__ import annotations

from functools import lru_cache

from nas.architecture.spec import Activation, Block, Conv, Layer, SqueezeExcite


@lru_cache(maxsize=1 << 14)
def mbconv(
    in_channels: int,
    channels: int,
    *,
    kernel: int,
    stride: int,
    expansion: int,
    squeeze_excitation: float,
    activation: Activation = "silu",
) -> Block:
    """Inverted residual with squeeze-and-excitation (EfficientNet, Tan & Le 2019, arXiv:1905.11946).

    1x1 expansion (none at ratio 1), depthwise kernel x kernel, squeeze-and-excitation, linear 1x1 projection; the
    identity is added where the shape stays.

    Args:
        in_channels: Channels before the block.
        channels: Channels after it.
        kernel: Size of the depthwise kernel.
        stride: Stride of the depthwise convolution.
        expansion: Ratio of the depthwise channels to ``in_channels``.
        squeeze_excitation: Ratio of the squeezed channels to ``in_channels``; 0 leaves the layer out.
        activation: After expansion, depthwise convolution and squeeze.
    """
    inner = in_channels * expansion
    layers: list[Layer] = []
    if expansion != 1:
        layers.append(Conv(inner, 1, activation=activation))
    layers.append(Conv(inner, kernel, stride, groups=inner, activation=activation))
    if squeeze_excitation > 0:
        layers.append(SqueezeExcite(max(1, int(in_channels * squeeze_excitation)), activation))
    layers.append(Conv(channels, 1))
    return Block((tuple(layers),), shortcut=() if stride == 1 and in_channels == channels else None)


@lru_cache(maxsize=1 << 14)
def basic(in_channels: int, channels: int, *, kernel: int, stride: int, activation: Activation = "relu") -> Block:
    """Two convolutions and a shortcut (ResNet, He et al. 2016, arXiv:1512.03385, figure 5 left).

    Args:
        in_channels: Channels before the block.
        channels: Channels after it.
        kernel: Size of both kernels.
        stride: Stride of the first convolution.
        activation: Between the convolutions and after the addition.
    """
    layers = (Conv(channels, kernel, stride, activation=activation), Conv(channels, kernel))
    return Block((layers,), _projection(in_channels, channels, stride), activation=activation)


@lru_cache(maxsize=1 << 14)
def bottleneck(
    in_channels: int, channels: int, *, kernel: int, stride: int, expansion: int, activation: Activation = "relu"
) -> Block:
    """1x1, kernel x kernel, 1x1 and a shortcut (ResNet, He et al. 2016, arXiv:1512.03385, figure 5 right).

    The stride sits in the middle convolution, as in torchvision and in Goyal et al. 2017 (arXiv:1706.02677).

    Args:
        in_channels: Channels before the block.
        channels: Channels of the two inner convolutions; the block ends in ``expansion * channels``.
        kernel: Size of the middle kernel.
        stride: Stride of the middle convolution.
        expansion: Ratio of the last channels to the inner ones.
        activation: Between the convolutions and after the addition.
    """
    layers = (
        Conv(channels, 1, activation=activation),
        Conv(channels, kernel, stride, activation=activation),
        Conv(expansion * channels, 1),
    )
    return Block((layers,), _projection(in_channels, expansion * channels, stride), activation=activation)


def _projection(in_channels: int, channels: int, stride: int) -> tuple[Layer, ...]:
    """Return option B of the ResNet paper: the identity where the shape stays, else a strided 1x1 convolution."""
    return () if stride == 1 and in_channels == channels else (Conv(channels, 1, stride),)
