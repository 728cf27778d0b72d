"""``nas train``, as its users would type it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Outcome

from nas.architecture.presets import preset
from nas.architecture.serialization import architecture_to_json

Command = Callable[..., Outcome]


SMALL = ("resnet_small", "--width", 0.25, "--depth", 0.25, "--resolution", 8)


def test_training_a_network_over_seeds(nas_command: Command, finished: Path) -> None:
    outcome = nas_command("train", *SMALL, "--data", "digits", "--epochs", 1, "--seeds", 2, "-o", "out")
    assert outcome.code == 0 and "mean ± std" in outcome.out and "out" in outcome.out
    document = json.loads(Path("out/result.json").read_text())
    assert document["seeds"] == 2 and len(document["test_accuracy"]["values"]) == 2
    assert document["test_accuracy"]["mean"] == pytest.approx(sum(document["test_accuracy"]["values"]) / 2)
    assert sorted(path.name for path in Path("out").iterdir()) == [
        "architecture.json",
        "result.json",
        "weights-0.safetensors",
        "weights-1.safetensors",
    ]
    again = nas_command("train", *SMALL, "--data", "digits", "-o", "out")
    assert again.code == 2 and "out: already holds a finished training" in again.err
    start = ("--weights", "out/weights-0.safetensors", "--set", "optimizer=adamw", "--set", "learning_rate=0.001")
    warm = nas_command(
        "train", "out/architecture.json", "--data", "digits", *start, "--epochs", 1, "--seeds", 1, "-o", "w", "--json"
    )
    assert warm.code == 0
    assert json.loads(warm.out)["recipe"]["optimizer"] == "adamw"
    assert json.loads(warm.out)["val_accuracy"]["mean"] > document["val_accuracy"]["values"][0]
    front = json.loads(nas_command("front", finished, "--json").out)["front"]
    trial = nas_command("train", f"{finished}#{front[-1]['number']}", "--seeds", 1, "-o", "t", "--json")
    assert json.loads(trial.out)["digest"] == front[-1]["digest"]
    reference = f"{finished}#{front[-1]['number']}"
    tuned = nas_command("train", reference, "--weights", reference, "--seeds", 1, "-o", "f", "--json")
    assert json.loads(tuned.out)["curves"][0][0]["train_loss"] < json.loads(trial.out)["curves"][0][0]["train_loss"]


def test_what_holds_a_training_up_is_told(nas_command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nas.training.loop.fitting_batch", lambda architecture, batch, device: 16)
    slow = ("--set", "rand_augment=9", "--set", "batch_size=64")
    outcome = nas_command("train", *SMALL, "--data", "digits", *slow, "--epochs", 1, "--seeds", 1, "-o", "out")
    assert outcome.code == 0
    assert re.search(r"took \d+ % of the step time: augmentation or reading slows training down", outcome.out)
    assert "steps took at most 16 images at once" in outcome.out
    document = json.loads(Path("out/result.json").read_text())
    assert document["micro_batch"] == [16] and document["data_share"]["mean"] > 0.1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (SMALL, "--data is missing: give digits, folder=PATH"),
        ((*SMALL, "--data", "folders=x"), "--data: unknown source 'folders'; did you mean 'folder'"),
        ((*SMALL, "--data", "folder=nowhere"), "nowhere: no such folder"),
        ((*SMALL, "--data", "digit"), "unknown study 'digit'; did you mean 'digits'"),
        ((*SMALL, "--data", "digits", "--set", "epochs"), "--set: 'epochs' must be KEY=VALUE"),
        ((*SMALL, "--data", "digits", "--set", "lr=1"), "--set: unknown key 'lr'"),
        ((*SMALL, "--data", "digits", "--set", "optimizer=lion"), "--set: optimizer: "),
        ((*SMALL, "--data", "digits", "--set", "steps=3", "--epochs", "2"), "given more than once: epochs and steps"),
        ((*SMALL, "--data", "digits", "--weights", "none.pth"), "none.pth: no such file"),
        ((*SMALL, "--data", "digits", "--device", "cuda:9"), "this machine has no device 'cuda:9'"),
        (("resnet19", "--data", "digits"), "unknown preset or space 'resnet19'; did you mean"),
        (("resnet18", "--data", "digits", "--width", "2"), "--width does not apply: resnet18 is a preset"),
        (("FINISHED#x",), "write STUDY#N with the number of a trial"),
        (("FINISHED#99",), "has no trial 99; trained: 0 to 6"),
        (("FINISHED#0", "--width", "1"), "--width does not apply"),
        (("net.json", "--data", "digits"), "net.json has 1000 classes and 3 channels, but digits has 10 and 1"),
    ],
    ids=lambda value: " ".join(map(str, value)) if isinstance(value, tuple) else "",
)
def test_mistakes_of_training_are_one_line(
    nas_command: Command, finished: Path, arguments: tuple[Any, ...], message: str
) -> None:
    Path("net.json").write_text(architecture_to_json(preset("resnet18", resolution=32)))
    outcome = nas_command("train", *(str(argument).replace("FINISHED", str(finished)) for argument in arguments))
    assert outcome.code == 2, outcome
    assert outcome.err.startswith("nas: ") and outcome.err.count("\n") == 1 and outcome.out == ""
    assert message in outcome.err
    assert not Path("trained").exists()
