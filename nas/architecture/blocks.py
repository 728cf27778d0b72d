"""Blocks: a function of a few numbers returns data. A new block is one more function here."""

from __future__ import annotations

from functools import lru_cache

from nas.architecture.layers import Activation, Block, Conv, Layer, SqueezeExcite


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
    layers += squeeze_excite(in_channels, squeeze_excitation, activation)
    layers.append(Conv(channels, 1))
    return Block((tuple(layers),), shortcut=_identity(in_channels, channels, stride))


@lru_cache(maxsize=1 << 14)
def fused_mbconv(
    in_channels: int,
    channels: int,
    *,
    kernel: int,
    stride: int,
    expansion: int,
    squeeze_excitation: float,
    activation: Activation = "silu",
) -> Block:
    """Inverted residual whose expansion and depthwise convolution are one (EfficientNetV2, arXiv:2104.00298, figure 2).

    A kernel x kernel expansion, squeeze-and-excitation, a linear 1x1 projection; at ratio 1 a single convolution with
    activation takes the place of the two. The identity is added where the shape stays.

    Args:
        in_channels: Channels before the block.
        channels: Channels after it.
        kernel: Size of the expanding kernel.
        stride: Stride of the expanding convolution.
        expansion: Ratio of the expanded channels to ``in_channels``.
        squeeze_excitation: Ratio of the squeezed channels to ``in_channels``; 0 leaves the layer out.
        activation: After the expansion and the squeeze.
    """
    expanded = in_channels * expansion if expansion != 1 else channels
    layers: list[Layer] = [Conv(expanded, kernel, stride, activation=activation)]
    layers += squeeze_excite(in_channels, squeeze_excitation, activation)
    if expansion != 1:
        layers.append(Conv(channels, 1))
    return Block((tuple(layers),), shortcut=_identity(in_channels, channels, stride))


@lru_cache(maxsize=1 << 14)
def basic(
    in_channels: int,
    channels: int,
    *,
    kernel: int,
    stride: int,
    squeeze_excitation: float = 0.0,
    activation: Activation = "relu",
) -> Block:
    """Two convolutions and a shortcut (ResNet, He et al. 2016, arXiv:1512.03385, figure 5 left).

    Args:
        in_channels: Channels before the block.
        channels: Channels after it.
        kernel: Size of both kernels.
        stride: Stride of the first convolution.
        squeeze_excitation: Ratio of the squeezed channels to ``channels`` of a gate before the addition (SE-ResNet, Hu
            et al. 2018, arXiv:1709.01507, figure 3); 0 leaves it out.
        activation: Between the convolutions and after the addition.
    """
    layers: tuple[Layer, ...] = (
        Conv(channels, kernel, stride, activation=activation),
        Conv(channels, kernel),
        *squeeze_excite(channels, squeeze_excitation, activation),
    )
    return Block((layers,), _projection(in_channels, channels, stride), activation=activation)


@lru_cache(maxsize=1 << 14)
def bottleneck(
    in_channels: int,
    channels: int,
    *,
    kernel: int,
    stride: int,
    expansion: int,
    cardinality: int = 1,
    squeeze_excitation: float = 0.0,
    activation: Activation = "relu",
) -> Block:
    """1x1, kernel x kernel, 1x1 and a shortcut (ResNet, He et al. 2016, arXiv:1512.03385, figure 5 right).

    With a cardinality above one it is ResNeXt's block (Xie et al. 2017, arXiv:1611.05431, figure 3c), with more inner
    channels at a smaller expansion the wide one (Zagoruyko & Komodakis 2016, arXiv:1605.07146). The stride sits in the
    middle convolution, as in torchvision and in Goyal et al. 2017 (arXiv:1706.02677).

    Args:
        in_channels: Channels before the block.
        channels: Channels of the two inner convolutions; the block ends in ``expansion * channels``.
        kernel: Size of the middle kernel.
        stride: Stride of the middle convolution.
        expansion: Ratio of the last channels to the inner ones.
        cardinality: Groups of the middle convolution.
        squeeze_excitation: Ratio of the squeezed channels to the last ones; 0 leaves the gate out.
        activation: Between the convolutions and after the addition.
    """
    last = expansion * channels
    layers: tuple[Layer, ...] = (
        Conv(channels, 1, activation=activation),
        Conv(channels, kernel, stride, groups=cardinality, activation=activation),
        Conv(last, 1),
        *squeeze_excite(last, squeeze_excitation, activation),
    )
    return Block((layers,), _projection(in_channels, last, stride), activation=activation)


def squeeze_excite(channels: int, ratio: float, activation: Activation) -> tuple[SqueezeExcite, ...]:
    """Return a gate on ``channels`` with that ratio of squeezed ones, or nothing at ratio 0."""
    return (SqueezeExcite(max(1, int(channels * ratio)), activation),) if ratio > 0 else ()


def _identity(in_channels: int, channels: int, stride: int) -> tuple[Layer, ...] | None:
    """Return the shortcut of inverted residuals: the identity where the shape stays, else none."""
    return () if stride == 1 and in_channels == channels else None


def _projection(in_channels: int, channels: int, stride: int) -> tuple[Layer, ...]:
    """Return option B of the ResNet paper: the identity where the shape stays, else a strided 1x1 convolution."""
    return () if stride == 1 and in_channels == channels else (Conv(channels, 1, stride),)
