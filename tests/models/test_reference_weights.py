"""torchvision's weights in our modules: names, shapes and logits as torchvision itself recorded them."""

from __future__ import annotations

import gzip
import json
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import scaled

from nas.architecture.presets import PRESETS, preset
from nas.architecture.spec import Architecture
from nas.errors import WeightsError
from nas.models.build import Network, build_model
from nas.models.reference_weights import load_reference_weights

GOLDEN = Path(__file__).parent.parent / "golden"
sys.path.insert(0, str(GOLDEN))
from record_torchvision import IMAGES, RECORD, fill  # noqa: E402

NETWORKS: dict[str, dict[str, Any]] = json.loads(gzip.decompress(RECORD.read_bytes()))["networks"]


LARGE = ("efficientnet_b6", "efficientnet_b7", "resnet101", "resnet152", "resnext101_32x8d", "wide_resnet50_2")
"""Take seconds to fill and to run; what their tensors are called is tested of all, what they compute in endurance."""
COMPUTED = tuple(name for name in PRESETS if scaled(0, 1) or name not in LARGE)


def torchvision_weights(name: str) -> dict[str, torch.Tensor]:
    """Return the weights that torchvision's network was recorded with."""
    return dict(_weights_of_small(name)) if name not in LARGE else _make_weights(name)


@cache
def _weights_of_small(name: str) -> dict[str, torch.Tensor]:
    return _make_weights(name)


def _make_weights(name: str) -> dict[str, torch.Tensor]:
    recorded = NETWORKS[name]
    return {
        key: torch.from_numpy(fill(key, tuple(shape), recorded["norm"])) for key, shape in recorded["tensors"].items()
    }


def fresh(name: str) -> tuple[Network, Architecture]:
    """Return a preset at 96 px, the size of the recorded image, its parameters filled with nan."""
    architecture = preset(name, resolution=96)
    with torch.device("meta"):
        model = build_model(architecture)
    model = model.to_empty(device="cpu")
    for tensor in model.state_dict().values():
        tensor.fill_(float("nan") if tensor.is_floating_point() else 7)
    return model.eval(), architecture


def test_every_preset_was_recorded() -> None:
    assert set(NETWORKS) == set(PRESETS)


@pytest.mark.parametrize("name", PRESETS)
def test_every_tensor_of_torchvisions_network_has_its_place(name: str) -> None:
    architecture = preset(name, resolution=96)
    with torch.device("meta"):
        model = build_model(architecture)
        weights = {key: torch.empty(shape) for key, shape in NETWORKS[name]["tensors"].items()}
    load_reference_weights(model, architecture, weights)
    weights.pop(next(key for key in reversed(weights) if key.endswith("weight")))
    with pytest.raises(WeightsError, match="the state dict has no"):
        load_reference_weights(model, architecture, weights)


@pytest.mark.endurance
@pytest.mark.parametrize("name", COMPUTED)
def test_logits_are_torchvisions(name: str) -> None:
    model, architecture = fresh(name)
    load_reference_weights(model, architecture, torchvision_weights(name))
    with torch.inference_mode():
        logits = model(torch.from_numpy(fill(*IMAGES)))[0]
    expected = torch.tensor(NETWORKS[name]["logits"])
    assert (logits[: len(expected)] - expected).abs().max() <= 1e-4 * min(1.0, expected.abs().max())


@pytest.mark.parametrize("name", ["resnet18", "googlenet"])
def test_the_order_of_the_state_dict_does_not_matter(name: str) -> None:
    weights = torchvision_weights(name)
    model, architecture = fresh(name)
    load_reference_weights(model, architecture, weights)
    again, _ = fresh(name)
    load_reference_weights(again, architecture, dict(sorted(weights.items(), reverse=True)))
    for key, tensor in model.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[key]), key


def test_counters_that_old_checkpoints_lack_are_not_needed() -> None:
    weights = {k: v for k, v in torchvision_weights("resnet18").items() if not k.endswith("num_batches_tracked")}
    model, architecture = fresh("resnet18")
    load_reference_weights(model, architecture, weights)
    assert not any(tensor.isnan().any() for tensor in model.parameters())


@pytest.mark.parametrize(
    ("name", "edit", "message"),
    [
        (
            "resnet18",
            lambda w: w.update({"fc.weight": torch.zeros(10, 512)}),
            "fc.weight has shape 10x512, but classifier.weight of resnet18 has shape 1000x512",
        ),
        ("resnet18", lambda w: w.pop("layer3.0.downsample.0.weight"), "no layer3.0.downsample.0.weight.*256x128x1x1"),
        ("resnet18", lambda w: w.update({"spare": torch.zeros(2)}), "spare of the state dict, shape 2, has no counter"),
        ("efficientnet_b0", lambda w: w.pop("features.4.1.block.2.fc1.bias"), r"features\.4\.1\.block\.2\.fc1\.bias"),
        ("inception_v3", lambda w: w.pop("Mixed_7b.branch3x3_2a.conv.weight"), "no Mixed_7b.branch3x3_2a.conv.weight"),
        ("resnet18", lambda w: w.clear(), "it is empty"),
        ("resnet18", lambda w: [w.pop(k) for k in list(w) if k != "fc.bias"], "its first tensor is fc.bias"),
    ],
)
def test_a_mismatch_names_the_first_tensor_and_changes_nothing(name: str, edit: Any, message: str) -> None:
    weights = torchvision_weights(name)
    edit(weights)
    model, architecture = fresh(name)
    with pytest.raises(WeightsError, match=message) as caught:
        load_reference_weights(model, architecture, weights)
    assert "\n" not in str(caught.value)
    assert all(parameter.isnan().all() for parameter in model.parameters())


def test_a_module_of_another_architecture_and_arrays_are_refused() -> None:
    model, _ = fresh("resnet50")
    _, other = fresh("resnet18")
    with pytest.raises(WeightsError, match="the module does not match resnet18: .* in the module and .* in the archi"):
        load_reference_weights(model, other, torchvision_weights("resnet50"))
    model, architecture = fresh("resnet18")
    arrays = {key: tensor.numpy() for key, tensor in torchvision_weights("resnet18").items()}
    with pytest.raises(WeightsError, match="conv1.weight of the state dict must be a tensor, but is a ndarray"):
        load_reference_weights(model, architecture, arrays)


@pytest.mark.parametrize("other", ["resnet34", "resnet50", "efficientnet_b0", "googlenet", "inception_v3"])
def test_weights_of_another_network_are_refused(other: str) -> None:
    model, architecture = fresh("resnet18")
    with pytest.raises(WeightsError, match="shape"):
        load_reference_weights(model, architecture, torchvision_weights(other))
