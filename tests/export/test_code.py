from __future__ import annotations

import ast
import hashlib
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import SPACES, architectures, scaled, strange_architectures
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import nas
from nas.architecture.serialization import architecture_from_json, architecture_to_json
from nas.architecture.spec import Architecture
from nas.export.code.module import CODE_VERSION, model_code, plain_name
from nas.export.code.terms import Value, generalised, skeleton
from nas.models.build import build_model
from nas.training.checkpoint import save_weights

SMALL = tuple(name for name in SPACES if name.endswith("_small"))
PRESETS = (
    *("efficientnet_b0", "efficientnet_v2_s", "resnet18", "resnet50"),
    *("resnext50_32x4d", "googlenet", "inception_v3"),
)
LINES = 300
"""More than the longest of the presets takes."""

WRITTEN = (1, "4528ed13f408146e")
"""Version and digest of the code of these networks: ``nas verify`` compares the bytes with those of a bundle."""


def code_of(architecture: Architecture) -> str:
    channels = architecture.in_channels
    return model_code(architecture, {"mean": [0.5] * channels, "std": [0.25] * channels})


def shaken(model: nn.Module) -> nn.Module:
    """Return a model in eval mode of which no parameter and no statistic is what it begins with."""
    generator = torch.Generator().manual_seed(0)
    for tensor in model.state_dict().values():
        if tensor.is_floating_point():
            tensor.mul_(1 + 0.1 * torch.rand(tensor.shape, generator=generator)).add_(
                0.01 * torch.rand(tensor.shape, generator=generator)
            )
    return model.eval()


def run(code: str) -> dict[str, Any]:
    space: dict[str, Any] = {}
    exec(compile(code, "model.py", "exec"), space)
    return space


def require_same_outputs(architecture: Architecture) -> str:
    code = code_of(architecture)
    model, written = shaken(build_model(architecture)), run(code)["Network"]().eval()
    assert list(written.state_dict()) == list(model.state_dict())
    written.load_state_dict(model.state_dict())
    size = architecture.resolution
    images = torch.rand(2, architecture.in_channels, size, size, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        torch.testing.assert_close(written(images), model(images), rtol=0, atol=0, equal_nan=True)
    return code


@pytest.mark.parametrize("name", [*SMALL, *PRESETS])
def test_the_code_is_the_network_bit_for_bit(name: str) -> None:
    if name in PRESETS:
        architecture = replace(nas.preset(name), resolution=96, num_classes=10)
    else:
        architecture = nas.load_space(name).architecture(width=0.5, depth=1.5, resolution=32, num_classes=10)
    assert len(require_same_outputs(architecture).splitlines()) <= LINES


@given(architectures(largest=48))
@settings(max_examples=scaled(10, 300))
def test_every_network_of_the_spaces_can_be_written(architecture: Architecture) -> None:
    require_same_outputs(architecture)


@given(strange_architectures())
@settings(max_examples=scaled(25, 300))
def test_networks_of_no_family_can_be_written(architecture: Architecture) -> None:
    require_same_outputs(architecture)


def test_the_code_is_formatted_and_the_same_each_time(tmp_path: Path) -> None:
    written = hashlib.blake2b(digest_size=8)
    for name in (*SMALL, *PRESETS):
        architecture = (
            nas.load_space(name).architecture(depth=1.5, resolution=32, num_classes=10)
            if name in SMALL
            else nas.preset(name)
        )
        code = code_of(architecture)
        assert code == code_of(architecture_from_json(architecture_to_json(architecture)))
        (tmp_path / f"{name}.py").write_text(code)
        assert architecture.digest in code and f"{nas.count_cost(architecture).flops:,} FLOPs" in code
        written.update(code.encode())
    assert (CODE_VERSION, written.hexdigest()) == WRITTEN, "raise CODE_VERSION: bundles hold the earlier code"
    ruff = [sys.executable, "-m", "ruff"]
    for command in (["format", "--isolated", "--diff"], ["check", "--isolated", "--select", "E,F,I,B,UP"]):
        done = subprocess.run([*ruff, *command, tmp_path], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout


def test_the_code_needs_torch_alone(tmp_path: Path) -> None:
    architecture = nas.load_space("efficientnet_small").architecture(width=0.5, resolution=32, num_classes=7)
    model = shaken(build_model(architecture))
    images = torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.save({"images": images, "logits": model(images)}, tmp_path / "expected.pt")
    alone = tmp_path / "alone"
    alone.mkdir()
    (alone / "model.py").write_text(code_of(architecture))
    save_weights(model, alone / "weights.safetensors")
    code = (
        "import sys; sys.path.insert(0, '.'); sys.dont_write_bytecode = True; import torch; import model\n"
        "expected = torch.load('../expected.pt', weights_only=True); network = model.load_model()\n"
        "with torch.inference_mode(): logits = network(expected['images'])\n"
        "print(torch.equal(logits, expected['logits']), network.training, {'nas', 'safetensors'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-I", "-W", "error", "-c", code], cwd=alone, capture_output=True, text=True)
    assert done.stdout.strip() == "True False set()", done.stderr
    imported = {name for node in ast.walk(ast.parse(code_of(architecture))) for name in _imported(node)}
    assert imported == {"json", "math", "collections", "torch"}


def _imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.ImportFrom):
        return [str(node.module)]
    return [alias.name for alias in node.names] if isinstance(node, ast.Import) else []


def test_the_code_refuses_weights_that_are_not_whole(tmp_path: Path) -> None:
    architecture = nas.load_space("resnet_small").architecture(width=0.25, resolution=8, num_classes=3)
    save_weights(build_model(architecture), tmp_path / "weights.safetensors")
    whole = (tmp_path / "weights.safetensors").read_bytes()
    load = run(code_of(architecture))["load_model"]
    load(tmp_path / "weights.safetensors")
    longer = whole.replace(b'"shape":[3]', b'"shape":[4]')
    for content, message in (
        (whole[:-1], "lies outside of the file"),
        (whole[:40], "is not whole"),
        (longer, "has not the size of its shape"),
    ):
        (tmp_path / "broken").write_bytes(content)
        with pytest.raises(ValueError, match=message):
            load(tmp_path / "broken")


@given(st.text(max_size=80))
@settings(max_examples=scaled(30, 300))
def test_no_name_becomes_code(name: str) -> None:
    architecture = replace(
        nas.load_space("resnet_small").architecture(width=0.25, resolution=8, num_classes=3), name=name
    )
    tree, plain = ast.parse(code_of(architecture)), ast.parse(code_of(replace(architecture, name="")))
    assert ast.dump(ast.Module(tree.body[1:], [])) == ast.dump(ast.Module(plain.body[1:], []))
    assert plain_name(architecture).isascii() and plain_name(architecture).isprintable()


def test_what_differs_becomes_a_parameter_and_what_agrees_one() -> None:
    terms = [((Value("a", x), Value("b", x)), "f", Value("c", 7), Value("b", y)) for x, y in ((1, 2), (3, 4))]
    assert len({skeleton(term) for term in terms}) == 1
    general, parameters = generalised(terms, roles=("a", "b", "c"), positional=())
    assert general == (("a", "a"), "f", "7", "b")
    assert [(one.name, one.places) for one in parameters] == [("a", (0, 1)), ("b", (3,))]
