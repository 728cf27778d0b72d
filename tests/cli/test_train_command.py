"""``nas train``, as its users would type it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Outcome
from pretended import pretend

from nas.architecture.presets import preset
from nas.architecture.serialization import architecture_to_json
from nas.errors import TrainingDiverged
from nas.search.opening import open_study
from nas.training import repeat

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
    idle = nas_command("train", *SMALL, "--data", "digits", "--set", "patience=3", "--seeds", 1, "-o", "idle")
    assert "recipe.patience has no effect: it needs schedule to be plateau, but schedule is one_cycle" in idle.out
    start = ("--weights", "out/weights-0.safetensors", "--set", "optimizer=adamw", "--set", "learning_rate=0.001")
    warm = nas_command(
        "train", "out/architecture.json", "--data", "digits", *start, "--epochs", 1, "--seeds", 1, "-o", "w", "--json"
    )
    assert warm.code == 0 and "no effect" not in warm.err
    assert json.loads(warm.out)["recipe"]["optimizer"] == "adamw"
    assert json.loads(warm.out)["val_accuracy"]["mean"] > document["val_accuracy"]["values"][0]
    front = json.loads(nas_command("front", finished, "--json").out)["front"]
    trial = nas_command("train", f"{finished}#{front[-1]['number']}", "--seeds", 1, "-o", "t", "--json")
    assert json.loads(trial.out)["digest"] == front[-1]["digest"]
    reference = f"{finished}#{front[-1]['number']}"
    tuned = nas_command("train", reference, "--weights", reference, "--seeds", 1, "-o", "f", "--json")
    assert json.loads(tuned.out)["curves"][0][0]["train_loss"] < json.loads(trial.out)["curves"][0][0]["train_loss"]


def test_the_selecting_training_is_shown_apart_and_every_look_is_kept(nas_command: Command, own_finished: Path) -> None:
    front = json.loads(nas_command("front", own_finished, "--json").out)["front"]
    earlier = open_study(own_finished).test_looks()  # of other tests, with the study that this one is a copy of
    before = len(earlier)
    for point in (front[0], front[-1]):
        name = f"{own_finished}#{point['number']}"
        outcome = nas_command("train", name, "--epochs", 1, "--seeds", 2, "-o", f"t{point['number']}")
        assert outcome.code == 0, outcome.err
        accuracy = point["accuracy"]
        assert f"The search's own training: validation {100 * accuracy:.2f} %, not counted" in outcome.out
    networks = {look.digest for look in earlier} | {front[0]["digest"], front[-1]["digest"]}
    assert f"looked at with {len(networks)} networks" in " ".join(outcome.out.split())
    looks = open_study(own_finished).test_looks()[before:]
    assert [(look.digest, look.command) for look in looks] == [
        (point["digest"], "train") for point in (front[0], front[0], front[-1], front[-1])
    ]
    document = json.loads(Path(f"t{front[0]['number']}/result.json").read_text())
    assert document["search_val_accuracy"] == front[0]["accuracy"]
    assert [look.accuracy for look in looks[:2]] == document["test_accuracy"]["values"]
    own = nas_command("train", *SMALL, "--data", own_finished, "--epochs", 1, "--seeds", 1, "-o", "own")
    assert own.code == 0 and len(open_study(own_finished).test_looks()) == before + 5


def test_what_is_trained_on_a_study_s_images_is_kept_as_its_reference(nas_command: Command, own_finished: Path) -> None:
    own = ("--data", own_finished, "--epochs", 1, "-o")
    first = nas_command("train", *SMALL, *own, "a", "--seeds", 2)
    assert first.code == 0 and f"Kept as a reference of {own_finished}: nas front" in " ".join(first.out.split())
    document = json.loads(Path("a/result.json").read_text())
    with open_study(own_finished) as study:
        (kept,) = study.references()
    assert kept.accuracies == tuple(document["val_accuracy"]["values"]) and not kept.pretrained
    assert (kept.digest, kept.flops, kept.epochs, kept.resolution) == (document["digest"], document["flops"], 1, 8)
    assert kept.params > 0 and kept.activations > 0 and kept.name == document["network"]
    assert kept.command == (
        f"nas train resnet_small --data {own_finished} --epochs 1 --seeds 2 --width 0.25 --depth 0.25 --resolution 8"
    )
    tuned = nas_command("train", *SMALL, *own, "b", "--seeds", 1, "--weights", "a/weights-0.safetensors", "--json")
    assert json.loads(tuned.out)["reference"].startswith("Kept as a reference")
    nas_command("train", *SMALL, *own, "c", "--seeds", 1)  # takes the place of the first
    with open_study(own_finished) as study:
        assert [(one.pretrained, len(one.accuracies)) for one in study.references()] == [(True, 1), (False, 1)]
    shown = " ".join(nas_command("front", own_finished).out.split())
    assert f"Reference {kept.name}: " in shown and "(one seed) at" in shown and "begun from given weights." in shown


def test_what_cannot_be_compared_is_no_reference(nas_command: Command, own_finished: Path) -> None:
    own = ("--data", own_finished, "--epochs", 1, "--seeds", 1, "-o")
    other = nas_command("train", *SMALL, *own, "m", "--set", "metric=macro_f1")
    assert "Not kept as a reference" in other.out and "compares networks by accuracy" in " ".join(other.out.split())
    plain = nas_command("train", *SMALL, "--data", "digits", "--epochs", 1, "--seeds", 1, "-o", "d", "--json")
    assert json.loads(plain.out)["reference"] is None
    own_finished.write_text(own_finished.read_text().replace("limit: 400", "limit: 300"))
    changed = nas_command("train", *SMALL, *own, "i")
    assert "Not kept as a reference" in changed.out and "have changed since it was run" in " ".join(changed.out.split())
    with open_study(own_finished) as study:
        assert study.references() == []


def test_digits_is_the_study_of_that_name_once_that_was_run(
    nas_command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    only = ("--data", "digits", "--epochs", 1, "--seeds", 1, "-o")
    assert "reference" not in nas_command("train", *SMALL, *only, "before").out
    with monkeypatch.context() as patch:
        pretend(patch)
        assert nas_command("search", "digits", "--trials", 1, "--executor", "inline").code == 0
    kept = nas_command("train", *SMALL, *only, "after")
    assert "Kept as a reference of digits" in kept.out and "the images alone: --data digits=true" in kept.out
    assert "Reference resnet_small" in nas_command("front", "digits").out
    alone = nas_command("train", *SMALL, "--data", "digits=true", *only[2:], "alone")
    assert alone.code == 0 and "reference" not in alone.out


def test_seeds_that_diverge_are_told_and_not_counted(nas_command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    real, count = repeat.train, iter(range(9))

    def sometimes(*arguments: Any, **options: Any) -> Any:
        if next(count) in (1, 3, 4):
            raise TrainingDiverged("the training loss of epoch 1 is nan")
        return real(*arguments, **options)

    monkeypatch.setattr(repeat, "train", sometimes)
    some = nas_command("train", *SMALL, "--data", "digits", "--epochs", 1, "--seeds", 3, "-o", "out")
    assert some.code == 0 and "seed 2/3  diverged: the training loss of epoch 1 is nan" in some.out
    assert "2 of 3 seeds; 1 diverged, not counted" in some.out
    document = json.loads(Path("out/result.json").read_text())
    assert (document["seeds"], document["repeats"], list(document["diverged"])) == (2, [0, 2], ["1"])
    assert {path.name for path in Path("out").glob("*.safetensors")} == {
        "weights-0.safetensors",
        "weights-2.safetensors",
    }
    exported = nas_command("export", "out", "-o", "net")
    assert exported.code == 0, exported.err
    none = nas_command("train", *SMALL, "--data", "digits", "--epochs", 1, "--seeds", 2, "-o", "none")
    assert none.code == 1 and none.err.startswith("nas: every training diverged, 2 of 2")
    assert not Path("none/result.json").exists()


def test_what_was_trained_can_be_exported(nas_command: Command) -> None:
    trained = nas_command("train", *SMALL, "--data", "digits", "--epochs", 1, "--seeds", 2, "-o", "out", "--json")
    assert trained.code == 0
    outcome = nas_command("export", "out", "-o", "net", "--json")
    assert outcome.code == 0, outcome.err
    exported, document = json.loads(outcome.out), json.loads(trained.out)
    best = max(range(2), key=lambda seed: document["val_accuracy"]["values"][seed])
    assert exported["test_accuracy"] == document["test_accuracy"]["values"][best] and exported["trial"] is None
    assert Path("net/weights.safetensors").read_bytes() == Path(f"out/weights-{best}.safetensors").read_bytes()
    assert json.loads(Path("net/preprocessing.json").read_text()) == document["preprocessing"]
    mean, std = (100 * document["test_accuracy"][key] for key in ("mean", "std"))
    assert f"| test accuracy over seeds | {mean:.2f} ± {std:.2f} % (mean and" in Path("net/README.md").read_text()
    wrong = nas_command("export", "out", "--trial", 3, "-o", "net")
    assert wrong.code == 2 and "--trial does not apply: out is what nas train wrote" in wrong.err
    away = {**document, "repeats": ["/../../secret"] * 2}
    huge = {**document, "preprocessing": {**document["preprocessing"], "size": 10**9}}
    older = {key: value for key, value in document.items() if key != "preprocessing"}
    for text, message in (
        (json.dumps(older), "an earlier version wrote it, which did not keep how images are prepared; train again"),
        ("{}", "is not what nas train writes"),
        (json.dumps(away), "is not what nas train writes"),
        (json.dumps(huge), "size cannot be 1000000000"),
        ("[" * 100_000, "is not what nas train writes"),
    ):
        Path("out/result.json").write_text(text)
        wrong = nas_command("export", "out", "-o", "other")
        assert wrong.code == 2 and wrong.err.count("\n") == 1 and message in wrong.err


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
