"""Build the ``nn.Module`` of any architecture: code that knows layers and nothing of families."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from nas.architecture.layers import Activation, AvgPool, Block, Conv, Layer, MaxPool, Shape
from nas.architecture.shapes import branch_shape, kernel_padding, kernel_sides, layer_shape
from nas.architecture.spec import Architecture
from nas.models.depthwise import DepthwiseConv

_ONEDNN_BLOCK = 16  # channels that oneDNN's convolutions take at a time under AVX-512; under AVX2 it is 8

_ACTIVATIONS: dict[Activation, type[nn.Module]] = {
    "identity": nn.Identity,
    "relu": nn.ReLU,
    "prelu": nn.PReLU,
    "leaky_relu": nn.LeakyReLU,
    "elu": nn.ELU,
    "silu": nn.SiLU,
    "gelu": nn.GELU,
    "hardswish": nn.Hardswish,
}


def build_model(architecture: Architecture) -> Network:
    """Build a network with freshly initialised float32 parameters, in training mode.

    Convolutions are initialised as in He et al. 2015 (arXiv:1502.01852, the fan-out form), and the classifier from a
    normal distribution with standard deviation 0.01. Both use torch's global random state.

    Args:
        architecture: Any architecture.

    Returns:
        A module that maps (batch, in_channels, resolution, resolution) float32 to (batch, num_classes) logits.
    """
    network = Network(architecture)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    nn.init.normal_(network.classifier.weight, std=0.01)
    nn.init.zeros_(network.classifier.bias)
    return network


class Network(nn.Module):
    """A whole network: stem, stages, head, global average pooling, dropout, linear classifier."""

    def __init__(self, architecture: Architecture) -> None:
        """Build the parts with torch's own initialisation; ``build_model`` adds this project's."""
        super().__init__()
        shape = Shape(architecture.in_channels, architecture.resolution)
        self.stem = build_branch(architecture.stem, shape)
        shape = branch_shape(architecture.stem, shape)
        total, index = sum(len(stage.blocks) for stage in architecture.stages), 0
        self.stages = nn.Sequential()
        for stage in architecture.stages:
            modules = nn.Sequential()
            for block in stage.blocks:
                modules.append(BlockModule(block, shape, drop_rate=architecture.stochastic_depth * index / total))
                shape, index = layer_shape(block, shape), index + 1
            self.stages.append(modules)
        self.head = build_branch(architecture.head, shape)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(architecture.dropout)
        self.classifier = nn.Linear(branch_shape(architecture.head, shape).channels, architecture.num_classes)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eps = architecture.norm_epsilon

    def forward(self, images: Tensor) -> Tensor:
        """Map (batch, in_channels, resolution, resolution) to (batch, num_classes) logits."""
        features = self.head(self.stages(self.stem(images)))
        logits: Tensor = self.classifier(self.dropout(self.pool(features).flatten(1)))
        return logits


class BlockModule(nn.Module):
    """``activation(join(branch(x) for each branch) + shortcut(x))``, branches dropped by stochastic depth."""

    def __init__(self, block: Block, shape: Shape, *, drop_rate: float) -> None:
        """Build the branches for inputs of the given shape."""
        super().__init__()
        self.branches = nn.ModuleList(build_branch(branch, shape) for branch in block.branches)
        self.shortcut = None if block.shortcut is None else build_branch(block.shortcut, shape)
        self.drop = StochasticDepth(drop_rate) if self.shortcut is not None and drop_rate > 0 else nn.Identity()
        self.concat = block.join == "concat"
        self.activation = build_activation(block.activation)

    def forward(self, features: Tensor) -> Tensor:
        """Map (batch, channels, size, size) to the block's output shape."""
        joined: Tensor = self.branches[0](features)
        if self.concat and len(self.branches) > 1:
            joined = torch.cat([joined, *(branch(features) for branch in self.branches[1:])], dim=1)
        else:
            for branch in self.branches[1:]:
                joined = joined + branch(features)
        if self.shortcut is not None:
            joined = self.drop(joined) + self.shortcut(features)
        result: Tensor = self.activation(joined)
        return result


class StochasticDepth(nn.Module):
    """Drop a residual branch image by image in training (Huang et al. 2016, arXiv:1603.09382)."""

    def __init__(self, rate: float) -> None:
        """Keep the drop rate, in (0, 1)."""
        super().__init__()
        self.rate = rate

    def forward(self, features: Tensor) -> Tensor:
        """Zero whole images of (batch, channels, size, size) and scale the kept ones; the identity in eval mode."""
        if not self.training:
            return features
        keep = features.new_empty((len(features), 1, 1, 1)).bernoulli_(1 - self.rate)
        return features * keep.div_(1 - self.rate)


class SqueezeExciteModule(nn.Module):
    """Scale channels by a gate computed from their means (Hu et al. 2018, arXiv:1709.01507)."""

    def __init__(self, channels: int, squeezed: int, activation: Activation) -> None:
        """Build the two 1x1 convolutions with bias."""
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.reduce = nn.Conv2d(channels, squeezed, 1)
        self.activation = build_activation(activation)
        self.expand = nn.Conv2d(squeezed, channels, 1)

    def forward(self, features: Tensor) -> Tensor:
        """Keep the shape (batch, channels, size, size)."""
        gate: Tensor = self.expand(self.activation(self.reduce(self.pool(features))))
        return features * gate.sigmoid()


class StridedPointwiseConv(nn.Conv2d):
    """A 1x1 convolution with a stride, which reads a slice of its input where a gradient may be wanted.

    In channels last, oneDNN's gradient of its weights writes past the workspace where the input has fewer channels than
    oneDNN's block (uxlfoundation/oneDNN#6035): the process dies, or the gradient is wrong.
    """

    def forward(self, features: Tensor) -> Tensor:
        """Map (batch, in_channels, height, width) to (batch, out_channels, height / stride, width / stride)."""
        if self.in_channels // self.groups >= _ONEDNN_BLOCK or not torch.is_grad_enabled():
            return super().forward(features)
        rows, columns = self.stride
        return functional.conv2d(features[:, :, ::rows, ::columns], self.weight, self.bias, groups=self.groups)


def build_branch(layers: tuple[Layer | Block, ...], shape: Shape) -> nn.Sequential:
    """Build layers in sequence for inputs of the given shape; no layers are the identity."""
    modules = nn.Sequential()
    for layer in layers:
        modules.append(build_layer(layer, shape))
        shape = layer_shape(layer, shape)
    return modules


def build_layer(layer: Layer | Block, shape: Shape) -> nn.Module:
    """Build one layer, or a block within a block, for inputs of the given shape."""
    if isinstance(layer, Block):
        return BlockModule(layer, shape, drop_rate=0.0)
    if isinstance(layer, Conv):
        return _build_conv(layer, shape.channels)
    if isinstance(layer, MaxPool | AvgPool):
        pool = nn.MaxPool2d if isinstance(layer, MaxPool) else nn.AvgPool2d
        padding = kernel_padding(layer)[0]
        return pool(layer.kernel, layer.stride, padding, ceil_mode=layer.padding == "ceil")
    return SqueezeExciteModule(shape.channels, layer.channels, layer.activation)


def build_activation(activation: Activation) -> nn.Module:
    """Build an activation by its name."""
    return _ACTIVATIONS[activation]()


def _build_conv(layer: Conv, in_channels: int) -> nn.Sequential:
    modules = nn.Sequential()
    strided_pointwise = kernel_sides(layer.kernel) == (1, 1) and layer.stride > 1
    plain = DepthwiseConv if 1 < layer.groups == in_channels else nn.Conv2d
    conv = (StridedPointwiseConv if strided_pointwise else plain)(
        in_channels,
        layer.channels,
        layer.kernel,
        layer.stride,
        padding=kernel_padding(layer),
        groups=layer.groups,
        bias=not layer.norm,
    )
    modules.add_module("conv", conv)
    if layer.norm:
        modules.add_module("norm", nn.BatchNorm2d(layer.channels))
    if layer.activation != "identity":
        modules.add_module("activation", build_activation(layer.activation))
    return modules
