"""Weights of torchvision's reference networks in the modules of this project.

torchvision names tensors by its own classes. Here each name of a built module is translated into the name that
torchvision's network of the same family has for it, and every tensor is checked before one is copied.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from string import ascii_lowercase

import torch
from torch import Tensor, nn

from nas.architecture.layers import Conv
from nas.architecture.spec import Architecture
from nas.errors import WeightsError
from nas.models.build import build_model

_AUXILIARY = ("aux1.", "aux2.", "AuxLogits.")
"""Heads that help training only; networks here have none."""

_BRANCH = re.compile(r"stages\.(\d+)\.(\d+)\.branches\.(\d+)\.(\d+)(?:\.branches\.(\d+)\.\d+)?\.(\w+)\.(\w+)")
_SHORTCUT = re.compile(r"stages\.(\d+)\.(\d+)\.shortcut\.0\.(\w+)\.(\w+)")
_PLAIN = re.compile(r"(stem|head)\.(\d+)\.(\w+)\.(\w+)")


def load_reference_weights(model: nn.Module, architecture: Architecture, state_dict: Mapping[str, Tensor]) -> None:
    """Copy the weights of a torchvision network into a module, which then gives the same logits as torchvision.

    The auxiliary heads of GoogLeNet and Inception-v3 are left out. The published weights of these two expect images
    scaled to [-1, 1]. torchvision rescales them inside the network (``transform_input=True``); here you do it yourself.

    Args:
        model: A network made by ``build_model(architecture)``. If an error is raised, it is unchanged.
        architecture: A preset with as many classes and channels as the weights.
        state_dict: The state dict of the torchvision network with that name: ``resnet50(weights=...).state_dict()``, or
            what ``torch.load(path, weights_only=True)`` reads.

    Raises:
        WeightsError: The tensors do not fit this architecture; the message names the first that differs.
    """
    translate = _family(state_dict)
    expected = model.state_dict()
    name = architecture.name or "the architecture"
    with torch.device("meta"):
        described = build_model(architecture).state_dict()
    differing = [key for key in {**expected, **described} if _shape(expected, key) != _shape(described, key)]
    if differing:
        raise WeightsError(
            f"the module does not match {name}: {differing[0]} has shape {_shape(expected, differing[0])} in the module"
            f" and {_shape(described, differing[0])} in the architecture"
        )
    for key, value in state_dict.items():
        if not isinstance(value, Tensor):
            raise WeightsError(f"{key} of the state dict must be a tensor, but is a {type(value).__name__}")
    found, known = {}, set()
    for ours, tensor in expected.items():
        try:
            theirs = translate(ours, architecture)
        except LookupError:  # the name is none of that family's
            raise WeightsError(
                f"{ours} of {name}, shape {_text(tensor)}, has no counterpart in the state dict"
            ) from None
        known.add(theirs)
        if theirs not in state_dict:
            if ours.endswith("num_batches_tracked"):  # checkpoints of torch before 0.4.1 lack it
                continue
            raise WeightsError(f"the state dict has no {theirs}, which {ours} of {name} needs, shape {_text(tensor)}")
        if state_dict[theirs].shape != tensor.shape:
            raise WeightsError(
                f"{theirs} has shape {_text(state_dict[theirs])}, but {ours} of {name} has shape {_text(tensor)}"
            )
        found[ours] = state_dict[theirs]
    for key in state_dict:
        if key not in known and not key.startswith(_AUXILIARY):
            raise WeightsError(f"{key} of the state dict, shape {_text(state_dict[key])}, has no counterpart in {name}")
    model.load_state_dict({**expected, **found})


def _resnet(key: str, architecture: Architecture) -> str:
    if key.startswith("classifier."):
        return key.replace("classifier", "fc")
    if match := _PLAIN.fullmatch(key):
        return f"{ {'conv': 'conv1', 'norm': 'bn1'}[match[3]] }.{match[4]}"
    if match := _SHORTCUT.fullmatch(key):
        return f"layer{int(match[1]) + 1}.{match[2]}.downsample.{ {'conv': 0, 'norm': 1}[match[3]] }.{match[4]}"
    stage, block, _, layer, _, part, tensor = _branch_parts(key)
    return f"layer{int(stage) + 1}.{block}.{ {'conv': 'conv', 'norm': 'bn'}[part] }{int(layer) + 1}.{tensor}"


def _efficientnet(key: str, architecture: Architecture) -> str:
    parts = {"conv": "0", "norm": "1", "reduce": "fc1", "expand": "fc2"}
    if key.startswith("classifier."):
        return key.replace("classifier", "classifier.1")
    if match := _PLAIN.fullmatch(key):
        index = 0 if match[1] == "stem" else len(architecture.stages) + 1
        return f"features.{index}.{parts[match[3]]}.{match[4]}"
    stage, block, _, layer, _, part, tensor = _branch_parts(key)
    return f"features.{int(stage) + 1}.{block}.block.{layer}.{parts[part]}.{tensor}"


_GOOGLENET_STEM = {"0": "conv1", "2": "conv2", "3": "conv3"}
_INCEPTION_PARTS = {"conv": "conv", "norm": "bn"}


def _googlenet(key: str, architecture: Architecture) -> str:
    if key.startswith("classifier."):
        return key.replace("classifier", "fc")
    if match := _PLAIN.fullmatch(key):
        return f"{_GOOGLENET_STEM[match[2]]}.{_INCEPTION_PARTS[match[3]]}.{match[4]}"
    stage, block, branch, layer, _, part, tensor = _branch_parts(key)
    letter = ascii_lowercase[int(block) - (stage != "0")]  # the second and third stage begin with a pooling
    place = f"branch{int(branch) + 1}" + ("" if branch == "0" else f".{layer}")
    return f"inception{int(stage) + 3}{letter}.{place}.{_INCEPTION_PARTS[part]}.{tensor}"


_INCEPTION_STEM = {
    "0": "Conv2d_1a_3x3",
    "1": "Conv2d_2a_3x3",
    "2": "Conv2d_2b_3x3",
    "4": "Conv2d_3b_1x1",
    "5": "Conv2d_4a_3x3",
}
_INCEPTION_BRANCHES = {
    "A": ("branch1x1", "branch5x5", "branch3x3dbl", "branch_pool"),
    "B": ("branch3x3", "branch3x3dbl"),
    "C": ("branch1x1", "branch7x7", "branch7x7dbl", "branch_pool"),
    "D": ("branch3x3", "branch7x7x3"),
    "E": ("branch1x1", "branch3x3", "branch3x3dbl", "branch_pool"),
}


def _inception(key: str, architecture: Architecture) -> str:
    if key.startswith("classifier."):
        return key.replace("classifier", "fc")
    if match := _PLAIN.fullmatch(key):
        return f"{_INCEPTION_STEM[match[2]]}.{_INCEPTION_PARTS[match[3]]}.{match[4]}"
    stage, block, branch, layer, fork, part, tensor = _branch_parts(key)
    layers = architecture.stages[int(stage)].blocks[int(block)].branches[int(branch)]
    # modules are 5b to 5d, 6a to 6e, 7a to 7c; 6a and 7a are the reductions
    letter = ascii_lowercase[int(block) + (stage == "0")]
    kind = {"0": "AAA", "1": "BCCCC", "2": "DEE"}[stage][int(block)]
    pooled = not isinstance(layers[0], Conv)
    number = f"_{int(layer) + 1}" if len(layers) > 1 and not pooled else ""
    side = "" if fork is None else "ab"[int(fork)]
    place = f"{_INCEPTION_BRANCHES[kind][int(branch)]}{number}{side}"
    return f"Mixed_{int(stage) + 5}{letter}.{place}.{_INCEPTION_PARTS[part]}.{tensor}"


def _branch_parts(key: str) -> tuple[str, ...]:
    """Return stage, block, branch, layer, branch within it (or None), part and tensor of a name."""
    match = _BRANCH.fullmatch(key)
    if match is None:
        raise LookupError(key)
    return match.groups()


_FAMILIES: dict[str, Callable[[str, Architecture], str]] = {
    "layer1.0.conv1.weight": _resnet,
    "features.0.0.weight": _efficientnet,
    "inception3a.branch1.conv.weight": _googlenet,
    "Mixed_5b.branch1x1.conv.weight": _inception,
}
"""How names are translated, by a tensor that only that family has."""


def _family(state_dict: Mapping[str, Tensor]) -> Callable[[str, Architecture], str]:
    for key, translate in _FAMILIES.items():
        if key in state_dict:
            return translate
    first = next(iter(state_dict), None)
    raise WeightsError(
        "not a state dict of torchvision's ResNet, EfficientNet, GoogLeNet or Inception-v3: "
        + ("it is empty" if first is None else f"its first tensor is {first}")
    )


def _shape(state: Mapping[str, Tensor], key: str) -> str:
    return _text(state[key]) if key in state else "none"


def _text(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "()"
