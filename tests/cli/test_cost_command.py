"""``nas cost``, as its users would type it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Outcome

from nas.architecture.presets import preset
from nas.architecture.serialization import architecture_to_json

Command = Callable[..., Outcome]


def test_cost_of_presets_spaces_and_files(nas_command: Command) -> None:
    document = json.loads(nas_command("cost", "efficientnet_b0", "--json").out)
    assert (document["flops"], document["multiply_adds"], document["params"]) == (401659392, 385814752, 5288548)
    assert sum(document["flops_by_operator"].values()) == document["flops"]
    small = ("--width", 0.5, "--depth", 2, "--resolution", 16, "--classes", 5, "--channels", 1)
    outcome = nas_command("cost", "resnet_small", *small, "--verify")
    assert outcome.code == 0 and "fvcore and the traced network give the same figures" in outcome.out
    assert "401,659,392" in nas_command("cost", "efficientnet_b0").out
    Path("net.json").write_text(architecture_to_json(preset("resnet18")))
    assert json.loads(nas_command("cost", "net.json", "--json").out)["flops"] == 1819065856


def test_the_cost_of_one_network_is_shown_by_section(nas_command: Command) -> None:
    out = nas_command("cost", "efficientnet_b3").out
    for text in ("stages[6]", "3x3 depthwise, SE, 1x1", "1,883,903,568 FLOPs", "48.9 MB fp32", "\u2588", "16.2 MB"):
        assert text in out
    document = json.loads(nas_command("cost", "efficientnet_b3", "--json").out)
    assert [section["name"] for section in document["sections"]][-2:] == ["head", "classifier"]
    assert sum(section["flops"] for section in document["sections"]) == document["flops"]
    assert document["weight_bytes"]["fp32"] == 4 * document["params"]
    assert document["peak_memory"] == max(section["peak_memory"] for section in document["sections"])


def test_several_networks_are_shown_side_by_side(nas_command: Command) -> None:
    outcome = nas_command("cost", "resnet18", "googlenet", "efficientnet_b0")
    assert outcome.code == 0
    assert all(text in outcome.out for text in ("resnet18", "1.82G", "googlenet", "6.62M", "efficientnet_b0", "402M"))
    documents = json.loads(nas_command("cost", "resnet18", "googlenet", "--classes", 10, "--json").out)
    assert [document["name"] for document in documents] == ["resnet18", "googlenet"]


def test_choices_of_a_space_on_the_command_line(nas_command: Command) -> None:
    chosen = ("--cardinality", 4, "--activation", "gelu", "--kernel", 5, "--expansion", 1, "--squeeze-excitation")
    outcome = nas_command("cost", "resnext_small", *chosen, "--verify")
    assert outcome.code == 0 and "5x5 4 groups, 1x1, SE" in outcome.out
    without = json.loads(nas_command("cost", "efficientnet_small", "--no-squeeze-excitation", "--json").out)
    assert without["params"] < json.loads(nas_command("cost", "efficientnet_small", "--json").out)["params"]


@pytest.mark.usefixtures("measured_here")
def test_latency_and_training_memory_are_measured(nas_command: Command) -> None:
    small = ("--width", 0.25, "--depth", 0.25, "--resolution", 8, "--device", "cpu", "--threads", 1)
    spaces = ("resnet_small", "resnext_small")
    outcome = nas_command("cost", *spaces, *small, "--latency", "--backend", "eager", "--batch", "1,2")
    assert outcome.code == 0
    assert outcome.out.count("eager") >= 6 and "images/s" in outcome.out
    assert "eager, batch 2: Kendall's tau of FLOPs and latency" in outcome.out
    options = ("--latency", "--training-memory", "--backend", "onnxruntime", "--batch", 2, "--json")
    document = json.loads(nas_command("cost", "resnet_small", *small, *options).out)
    (latency,) = document["latency"]
    assert (latency["backend"], latency["batch"], latency["threads"]) == ("onnxruntime", 2, 1)
    assert latency["p10_ms"] <= latency["median_ms"] <= latency["p90_ms"] and document["not_measured"] == []
    assert document["training_memory"]["2"] > 3 * document["weight_bytes"]["fp32"]


def test_nothing_measured_is_a_failure(nas_command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    from nas.models.latency import Failure, Measured

    monkeypatch.setattr(
        "nas.models.latency.measure_latency", lambda *a, **k: Measured([], [Failure("eager", 8, "no memory")])
    )
    outcome = nas_command("cost", "resnet18", "--latency", "--backend", "eager", "--batch", 8)
    assert outcome.code == 1 and "nothing could be measured" in outcome.err
    assert "resnet18: eager could not be measured at batch 8 and above: no memory" in outcome.out


def test_a_cost_that_fvcore_does_not_measure_is_our_failure(
    nas_command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    from nas.architecture.cost import count_cost

    monkeypatch.setattr("nas.models.measure.measure_cost", lambda m, a: count_cost(preset("resnet18")))
    outcome = nas_command("cost", "resnet_small", "--verify")
    assert outcome.code == 1 and "fvcore measures" in outcome.err
