"""Depthwise convolutions by torch's own kernels: when, and that they are the same convolution."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from nas.architecture.layers import Conv, Shape
from nas.architecture.space import load_space
from nas.models import depthwise
from nas.models.build import build_layer
from nas.models.depthwise import DepthwiseConv, compiles_first, contiguous
from nas.training.preparing import build_on
from nas.training.recipe import Recipe

LAST = torch.channels_last


def conv_of(channels: int = 32, kernel: int = 3, stride: int = 1) -> DepthwiseConv:
    conv = build_layer(Conv(channels, kernel, stride, channels), Shape(channels, 9))[0]
    assert isinstance(conv, DepthwiseConv)
    return conv.to(memory_format=LAST)  # type: ignore[call-overload, no-any-return]


@pytest.mark.parametrize(
    ("channels", "groups", "device", "dtype", "channels_last", "compiles"),
    [
        (32, 32, "cuda", torch.bfloat16, True, True),
        (32, 32, "cuda", torch.bfloat16, False, False),
        (32, 32, "cuda", torch.float32, True, False),
        (32, 32, "cpu", torch.bfloat16, True, False),
        (32, 16, "cuda", torch.bfloat16, True, False),
        (32, 1, "cuda", torch.bfloat16, True, False),
        (1, 1, "cuda", torch.bfloat16, True, False),
    ],
)
def test_when_cudnn_compiles_first(
    channels: int, groups: int, device: str, dtype: torch.dtype, channels_last: bool, compiles: bool
) -> None:
    conv = nn.Conv2d(channels, channels, 3, groups=groups)
    assert compiles_first(conv, device=device, dtype=dtype, channels_last=channels_last) is compiles


def test_only_depthwise_convolutions_are_built_so() -> None:
    for groups, kind in ((8, DepthwiseConv), (4, nn.Conv2d), (1, nn.Conv2d)):
        assert type(build_layer(Conv(8, 3, 1, groups), Shape(8, 9))[0]) is kind
    assert type(build_layer(Conv(8, 3, 1, 1), Shape(1, 9))[0]) is nn.Conv2d


@pytest.mark.parametrize(
    ("changes", "own"),
    [
        ({"depthwise": "torch"}, True),
        ({}, False),
        ({"depthwise": "torch", "channels_last": False}, False),
        ({"depthwise": "torch", "precision": "bfloat16"}, False),
    ],
)
def test_a_recipe_tells_whose_kernels_run(
    changes: dict[str, object], own: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(depthwise, "COMPILED_FIRST", {"cpu": (torch.float32,)})
    network = load_space("efficientnet_small").architecture(width=0.25, depth=0.25, resolution=8, num_classes=10)
    recipe = Recipe.model_validate({"precision": "float32", **changes})
    model = build_on(torch.device("cpu"), network, recipe)
    convs = [module for module in model.modules() if isinstance(module, DepthwiseConv)]
    assert convs and [conv.own_kernels for conv in convs] == [own] * len(convs)
    assert all(conv.own_kernels is own for conv in copy.deepcopy(model).modules() if isinstance(conv, DepthwiseConv))


def test_what_may_mean_either_layout_is_made_plain() -> None:
    weight, pixel = conv_of().weight, torch.randn(4, 32, 1, 1).to(memory_format=LAST)
    assert (weight.contiguous().stride(), pixel.contiguous().stride()) == ((9, 1, 3, 1), (32, 1, 32, 32))
    assert (contiguous(weight).stride(), contiguous(pixel).stride()) == ((9, 9, 3, 1), (32, 1, 1, 1))
    maps = torch.randn(4, 32, 5, 6).to(memory_format=LAST)
    assert contiguous(maps).stride() == (960, 30, 6, 1) and torch.equal(contiguous(maps), maps)


def gradients(conv: DepthwiseConv, images: Tensor, pull: Tensor, *, own: bool) -> list[Tensor]:
    """Return the result of a convolution, and the gradients of its input and its parameters."""
    given = images.detach().clone(memory_format=LAST).requires_grad_()
    result = conv.with_contiguous_maps(given) if own else conv(given)
    found = torch.autograd.grad(result, [given, *conv.parameters()], pull.to(result.dtype))
    return [result, *found]


@pytest.mark.parametrize(("kernel", "stride", "size"), [(3, 1, 9), (5, 2, 14), (3, 2, 1), (3, 1, 1)])
def test_it_is_the_same_convolution(kernel: int, stride: int, size: int) -> None:
    torch.manual_seed(0)
    conv, images = conv_of(kernel=kernel, stride=stride), torch.randn(4, 32, size, size)
    pull = torch.randn_like(conv(images))
    own, plain = (gradients(conv, images, pull, own=own) for own in (True, False))
    torch.testing.assert_close(own, plain, rtol=1e-4, atol=1e-4)
    assert own[0].is_contiguous(memory_format=LAST)


def test_elsewhere_it_is_the_convolution_as_it_is() -> None:
    conv, images = conv_of(), torch.randn(4, 32, 9, 9).to(memory_format=LAST)
    expected = conv(images)
    conv.own_kernels = True
    assert torch.equal(conv(images), expected) and set(conv.state_dict()) == {"weight"}


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize(("kernel", "stride", "size"), [(3, 1, 32), (5, 2, 15), (3, 1, 1)])
def test_on_a_gpu_torchs_kernels_run_and_give_the_same(kernel: int, stride: int, size: int) -> None:
    torch.manual_seed(0)
    conv = conv_of(kernel=kernel, stride=stride).cuda()
    images = torch.randn(4, 32, size, size, device="cuda")
    with torch.autocast("cuda", torch.bfloat16):
        pull = torch.randn_like(conv(images.to(memory_format=LAST)))
        plain = gradients(conv, images, pull, own=False)
        with torch.profiler.profile() as profile:
            own = gradients(conv, images, pull, own=True)
    torch.testing.assert_close(own, plain, rtol=2e-2, atol=2e-1)
    operations = {event.name for event in profile.events()}
    assert "aten::_conv_depthwise2d" in operations and not any("cudnn" in name for name in operations)
