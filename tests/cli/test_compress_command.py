"""``nas compress``, as its users would type it."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import Outcome
from torch import nn

from nas.architecture.cost import count_cost
from nas.architecture.serialization import load_architecture
from nas.compress import chain, quantize, workshop
from nas.compress.speed import Speed
from nas.export import bundle
from nas.export.manifest import read_manifest
from nas.export.verify import verify_bundle
from nas.models.onnx import export_onnx
from nas.search.opening import open_study
from nas.training import repeat

Command = Callable[..., Outcome]
Pretend = Callable[..., None]

EXPORTED: dict[tuple[str, int], bytes] = {}
SMALL = ("--prune", 0.3, "--multiple", 4, "--epochs", 1, "--max-drop", 100)


@pytest.fixture(autouse=True)
def _exported_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Write the ONNX file of the same weights once: it takes seconds, and the chain and the bundle both do it."""

    def export(model: nn.Module, images: torch.Tensor, path: Path, *, opset: int = 20, **options: Any) -> None:
        weights = hashlib.sha256()
        for name, tensor in sorted(model.state_dict().items()):
            weights.update(name.encode() + tensor.numpy().tobytes())
        found = weights.hexdigest(), opset
        if found not in EXPORTED:
            export_onnx(model, images, path, opset=opset, **options)
            EXPORTED[found] = path.read_bytes()
        path.write_bytes(EXPORTED[found])

    monkeypatch.setattr(workshop, "export_onnx", export)
    monkeypatch.setattr(bundle, "export_onnx", export)


@pytest.fixture
def pretended(monkeypatch: pytest.MonkeyPatch) -> Pretend:
    """Return a function that sets how long files take, in milliseconds, by what is in their names; int8 is a copy."""

    def pretend(**milliseconds: float) -> None:
        def compare(files: Mapping[str, Path], *, rounds: int) -> Speed:
            found = {name: [ms for word, ms in milliseconds.items() if word in name] for name in files}
            return Speed({name: np.full(3, (ms or [1.0])[-1]) for name, ms in found.items()}, "pretended")

        monkeypatch.setattr(chain, "compare_speed", compare)
        monkeypatch.setattr(quantize, "quantize_onnx", lambda source, images, target: shutil.copyfile(source, target))

    return pretend


@pytest.fixture
def trial(own_finished: Path) -> str:
    """Return a trial of a study of one's own."""
    study = open_study(own_finished)
    largest = max((one for one in study.trials() if one.state == "trained"), key=lambda one: one.flops)
    return f"{own_finished}#{largest.number}"


def test_a_network_is_pruned_taught_quantised_and_is_a_bundle(
    nas_command: Command, pretended: Pretend, trial: str
) -> None:
    pretended(pruned=0.5, int8=0.25)
    outcome = nas_command("compress", trial, *SMALL, "--teacher", trial, "--int8", "-o", "out")
    assert outcome.code == 0, outcome.err
    said = " ".join(outcome.out.split())
    assert "Expect of pruning: " in said and "% removed), from " in said and f"taught by {trial}" in said
    assert sorted(path.name for path in Path().glob(".*unfinished")) == []
    assert [one.file for one in verify_bundle("out").formats] == ["model.onnx", "model-int8.onnx"]
    study = open_study(trial.partition("#")[0])
    pruned, int8 = study.variants()
    number = int(trial.partition("#")[2])
    record = next(one for one in study.trials() if one.number == number)
    assert (pruned.step, pruned.precision, pruned.kept, pruned.trial) == ("pruned", "float32", False, number)
    assert (int8.step, int8.precision, int8.kept, int8.parent) == ("int8", "int8", True, pruned.name)
    assert pruned.parent_digest == record.digest and pruned.parent_figures.flops == record.flops
    assert pruned.parent_figures.val_accuracy == pytest.approx(record.accuracy)
    assert pruned.digest == int8.digest == load_architecture("out/architecture.json").digest
    assert 0.5 < pruned.figures.flops / record.flops <= 0.7
    assert pruned.figures.flops == count_cost(load_architecture("out/architecture.json")).flops
    assert (pruned.speed, int8.speed) == (2, 2)
    # the kept one alone was tried on the test images, once
    assert pruned.test_accuracy is None
    assert [(look.digest, look.command, look.accuracy) for look in study.test_looks()] == [
        (int8.digest, "compress", int8.test_accuracy)
    ]
    steps = int8.provenance["steps"]
    assert [sorted(step) for step in steps] == [["prune", "train"], ["int8"]]
    assert steps[0]["prune"] == {"share": 0.3, "criterion": "l2", "scope": "uniform", "multiple": 4}
    assert list(steps[0]["train"]["val_accuracy_by_seed"].values()) == [pytest.approx(pruned.figures.val_accuracy)]
    assert len(int8.provenance["teachers"]) == 1
    manifest = read_manifest(Path("out/manifest.json").read_bytes(), source="out")
    assert [one["name"] for one in manifest.variants] == [pruned.name, int8.name]
    here = str(Path.cwd())
    assert [path.name for path in Path("out").iterdir() if here.encode() in path.read_bytes()] == []
    assert f"| {pruned.name} | " in Path("out/README.md").read_text()


def test_a_bundle_is_compressed_on_the_images_that_it_names(
    nas_command: Command, pretended: Pretend, own_finished: Path, trial: str
) -> None:
    pretended(int8=0.25)
    assert nas_command("export", trial, "-o", "net").code == 0
    answer = json.loads(nas_command("compress", "net", "--int8", "--max-drop", 100, "-o", "small", "--json").out)
    (variant,) = answer["variants"]
    number = int(trial.partition("#")[2])
    assert (variant["parent"], variant["trial"]) == (f"tiny#{number}", number)
    assert answer["study"] == "tiny" and len(open_study(own_finished).variants()) == 1
    # without the study its images are found, and kept to; nothing is stored then but in the bundle
    shutil.rmtree(own_finished.parent)
    answer = json.loads(nas_command("compress", "small", "--int8", "--max-drop", 100, "-o", "again", "--json").out)
    assert answer["study"] is None and answer["variants"][0]["trial"] is None
    manifest = read_manifest(Path("again/manifest.json").read_bytes(), source="again")
    assert manifest.variants == answer["variants"]
    other = nas_command("compress", "small", "--int8", "--data", "digits", "-o", "other")
    assert other.code == 2 and "small was trained on images of the fingerprint" in other.err


def test_weights_alone_need_no_images(nas_command: Command, own_finished: Path, trial: str) -> None:
    assert nas_command("export", trial, "-o", "net").code == 0
    document = json.loads(Path("net/manifest.json").read_text())
    assert document["images"]["study"].endswith("finished/tiny.yaml")
    Path("net/manifest.json").unlink()  # as in bundles of before
    refused = nas_command("compress", "net", "--int8", "-o", "small")
    assert refused.code == 2
    assert "net does not say which images it was trained on; give --study or --data: without images" in refused.err
    outcome = nas_command("compress", "net", "--weight-bits", 8, "-o", "small")
    assert outcome.code == 0, outcome.err
    assert "accuracy was not measured" in outcome.out
    assert "accuracy not measured" in Path("small/README.md").read_text()
    (variant,) = read_manifest(Path("small/manifest.json").read_bytes(), source="small").variants
    assert variant["figures"]["val_accuracy"] is None
    assert variant["figures"]["weight_bytes"] < 0.4 * variant["parent_figures"]["weight_bytes"]
    assert "model-weights-int8.onnx" in {one.file for one in verify_bundle("small").formats}
    assert open_study(own_finished).test_looks()[1:] == []  # the one of the export


def test_what_loses_accuracy_or_wins_no_time_is_refused(nas_command: Command, pretended: Pretend, trial: str) -> None:
    def refusal(*words: object) -> str:
        outcome = nas_command("compress", trial, *words, "-o", "out")
        assert outcome.code == 2
        assert not Path("out").exists() and not list(Path().glob(".*unfinished"))
        study = open_study(trial.partition("#")[0])
        assert study.variants() == study.test_looks() == []
        return outcome.err

    pretended(int8=1.5)
    name = f"tiny#{trial.partition('#')[2]}"
    slow = refusal("--int8", "--max-drop", 100)
    assert f"nas: {name}, int8: it is not faster than {name} here: 1.5 ms against 1 ms, 1.50 times as long" in slow
    pretended(int8=0.98)
    assert "0.98 times as long (more than 0.97 is noise)" in refusal("--int8", "--max-drop", 100)
    pretended(pruned=0.5)
    worse = refusal(*SMALL[:-2], "--criterion", "random", "--max-drop", 0, "--prune", 0.6, "--multiple", 1)
    assert "points below the" in worse and "(--max-drop 0); --keep writes it all the same" in worse
    pretended(int8=1.5)
    outcome = nas_command("compress", trial, "--int8", "--max-drop", 100, "--keep", "-o", "out")
    assert outcome.code == 0 and "Kept though refused: " in outcome.out
    (kept,) = open_study(trial.partition("#")[0]).variants()
    assert "it is not faster than" in kept.refused
    assert "kept though refused: it is not faster than" in Path("out/README.md").read_text()


def test_an_interrupted_chain_writes_nothing_and_goes_on(
    nas_command: Command, pretended: Pretend, trial: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretended(pruned=0.5, int8=0.25)
    words = ("compress", trial, *SMALL, "--seeds", 2, "--int8", "-o", "out")
    original, trained = repeat.train, list[str]()

    def train(*arguments: Any, **options: Any) -> Any:
        if len(trained) == 1:
            os.kill(os.getpid(), signal.SIGINT)
        result = original(*arguments, **options)
        trained.append("one")
        return result

    with monkeypatch.context() as patched:
        patched.setattr(repeat, "train", train)
        assert threading.current_thread() is threading.main_thread()
        outcome = nas_command(*words)
    assert outcome.code == 130 and "Continue with the same command" in outcome.err
    assert not Path("out").exists()
    assert [path.name for path in Path(".out.unfinished").glob("unfinished-*")] == ["unfinished-0.safetensors"]
    outcome = nas_command(*words)
    assert outcome.code == 0, outcome.err
    assert verify_bundle("out").files and not Path(".out.unfinished").exists()


def test_mistakes_of_compress(nas_command: Command, finished: Path) -> None:
    def refusal(*words: object) -> str:
        outcome = nas_command("compress", *words)
        assert outcome.code == 2 and len(outcome.err.splitlines()) == 1, outcome.err
        assert not list(Path().glob(".*unfinished"))
        return outcome.err

    Path("full").mkdir()
    Path("full/notes.txt").write_text("mine")
    assert "nothing to do: give --prune, --teacher, --int8 or --weight-bits" in refusal("x", "-o", "o")
    assert "--prune must be a share of the FLOPs above 0 and below 1, but is 1" in refusal("x", "--prune", 1, "-o", "o")
    assert "--weight-bits must be 8 or 4, but is 5" in refusal("x", "--weight-bits", 5, "-o", "o")
    assert "--int8 and --weight-bits" in refusal("x", "--int8", "--weight-bits", 8, "-o", "o")
    assert "--max-drop must be" in refusal("x", "--int8", "--max-drop", -1, "-o", "o")
    both = refusal("x", "--int8", "--study", "digits", "--data", "digits", "-o", "o")
    assert "--study and --data cannot be used together" in both
    assert "full: contains other files ('notes.txt')" in refusal("x", "--int8", "-o", "full")
    missing = refusal("x", "--int8", "-o", "o")
    assert "x: is no trained network: architecture.json is missing; give a bundle (nas export) or STUDY#N" in missing
    assert "has no trial 99" in refusal(f"{finished}#99", "--int8", "-o", "o")
    trial = next(one for one in open_study(finished).trials() if one.state == "trained")
    digits = refusal(f"{finished}#{trial.number}", "--int8", "--data", "digits", "-o", "o")
    assert "was trained on images of the fingerprint" in digits and "but that of digits is" in digits
