"""``nas train --teacher``, as its users would type it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

from conftest import Outcome

Command = Callable[..., Outcome]

SMALL = ("resnet_small", "--width", 0.25, "--depth", 0.25, "--resolution", 8)
ONCE = ("--data", "digits", "--epochs", 1, "--seeds", 1)


def test_a_network_learns_from_another_and_its_twin_alone(nas_command: Command, finished: Path) -> None:
    teacher = nas_command("train", "resnet_small", "--width", 0.5, "--depth", 0.25, "--resolution", 8, *ONCE, "-o", "t")
    assert teacher.code == 0, teacher.err
    trial = json.loads(nas_command("front", finished, "--json").out)["front"][-1]["number"]
    named = ("--teacher", "t", "--teacher", f"{finished}#{trial}", "--temperature", 2)
    outcome = nas_command("train", *SMALL, *ONCE, *named, "--twin", "-o", "taught")
    assert outcome.code == 0, outcome.err
    said = " ".join(outcome.out.split())
    assert "taught by t and " in said
    assert "asked in every step; temperature 2, weight 0.9" in said
    for twin in ("alone, for as many epochs", "alone, for as much compute"):
        assert len(re.findall(rf"its twin {twin}: ([0-9]+) epochs", said)) == 1 and said.count(twin) == 3
    document = json.loads(Path("taught/result.json").read_text())
    section = document["recipe"]["distillation"]
    assert section["teacher"] == ["taught/teacher-0", "taught/teacher-1"]
    assert len(set(section["digests"])) == 2
    (alone,) = document["alone"]["val_accuracy"]["values"]
    equal = document["alone_equal_compute"]
    assert equal["epochs"] > document["epochs"] == document["alone"]["epochs"] == 1
    assert document["alone"]["training_flops"] < document["training_flops"] <= equal["training_flops"]
    assert f"alone, for as much compute: {equal['epochs']:.0f} epochs" in said
    plain = nas_command("train", *SMALL, *ONCE, "-o", "plain", "--json")
    assert json.loads(plain.out)["val_accuracy"]["values"] == [alone]
    assert document["curves"][0][0]["train_loss"] != json.loads(plain.out)["curves"][0][0]["train_loss"]
    assert {path.name for path in Path("taught").iterdir()} == {
        *("architecture.json", "result.json", "weights-0.safetensors", "teacher-0", "teacher-1")
    }
    again = nas_command("train", *SMALL, *ONCE, "--teacher", "taught/teacher-0", "--set", "crop=0", "-o", "again")
    assert "taught by taught/teacher-0, asked once for each image" in " ".join(again.out.split())


def test_mistakes_with_teachers(nas_command: Command) -> None:
    def refusal(*words: object) -> str:
        outcome = nas_command("train", *SMALL, *ONCE, "-o", "x", *words)
        assert outcome.code == 2
        return outcome.err

    assert "--twin needs a --teacher: without one the network is trained alone anyway" in refusal("--twin")
    assert "--temperature needs a --teacher" in refusal("--temperature", 3)
    assert "none: is no trained network: architecture.json is missing; give a bundle" in refusal("--teacher", "none")
