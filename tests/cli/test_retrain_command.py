"""``nas export --retrain``: trained to the end, then exported; it goes on after an interruption."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import Outcome

from nas.cli import retrain
from nas.errors import ExportError
from nas.export import bundle
from nas.search.opening import open_study
from nas.training import repeat

Command = Callable[..., Outcome]


@pytest.fixture
def retraining(nas_command: Command, own_finished: Path) -> Callable[..., Outcome]:
    """Return a function that trains the front's most accurate network for an epoch and exports it."""
    number = json.loads(nas_command("front", own_finished, "--json").out)["front"][-1]["number"]
    return lambda *words: nas_command("export", f"{own_finished}#{number}", "--retrain", "--epochs", 1, *words)


def test_the_best_of_all_seeds_is_exported_and_the_card_tells_all(retraining: Command, own_finished: Path) -> None:
    looks = len(open_study(own_finished).test_looks())
    outcome = retraining("--seeds", 3, "-o", "net", "--json")
    assert outcome.code == 0, outcome.err
    document = json.loads(outcome.out)
    validated, tested = (document["retrained"][f"{part}_accuracy"] for part in ("val", "test"))
    assert (document["retrained"]["epochs"], document["retrained"]["seeds"]) == (1, 3)
    best = max(range(3), key=lambda seed: validated["values"][seed])
    assert document["test_accuracy"] == tested["values"][best] and tested["std"] > 0
    assert document["compared_on"].endswith("validation images")
    assert f"trained anew (seed {best + 1} of 3, the best on validation images)" in document["origin"]
    assert f"training trial {document['trial']} anew: 1 epochs (as --epochs says), seeds: 3" in outcome.err
    card = Path("net/README.md").read_text()
    for part, figures in (("test", tested), ("validation", validated)):
        text = f"{100 * figures['mean']:.2f} ± {100 * figures['std']:.2f} % (mean and standard deviation of 3 trainings"
        assert f"| {part} accuracy over seeds | {text}" in card
    assert f"| test accuracy | {100 * document['test_accuracy']:.2f} % of " in card
    metrics = yaml.safe_load(card.split("---")[1])["model-index"][0]["results"][0]["metrics"]
    assert metrics[-1]["name"] == f"test accuracy, mean of 3 trainings (standard deviation {tested['std']:.4f})"
    assert metrics[-1]["value"] == pytest.approx(tested["mean"], abs=1e-4)
    assert "--retrain --epochs 1 --seeds 3` with" in card
    assert len(open_study(own_finished).test_looks()) == looks + 3
    assert not Path("net.training").exists()


def test_it_goes_on_where_it_was_interrupted(
    retraining: Command, nas_command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = json.loads(retraining("--seeds", 2, "-o", "whole", "--json").out)
    real, begun = repeat.train, list[int]()

    def interrupted_in_the_second(*arguments: Any, **options: Any) -> Any:
        begun.append(options["seed"])
        if len(begun) == 2:
            raise KeyboardInterrupt
        return real(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(repeat, "train", interrupted_in_the_second)
        outcome = retraining("--seeds", 2, "-o", "net")
    assert outcome.code == 130 and "net.training. Continue with the same command" in outcome.err
    assert not Path("net").exists()
    (kept,) = Path("net.training").iterdir()
    assert kept.name == "unfinished-0.safetensors"
    written = kept.stat().st_mtime_ns

    def fails(*arguments: Any, **options: Any) -> Any:
        assert kept.stat().st_mtime_ns == written  # the first seed was not trained again
        raise ExportError("the disk is full")

    with monkeypatch.context() as patch:  # a bundle that fails keeps what was trained for it
        patch.setattr(bundle, "_write", fails)
        assert "the disk is full" in retraining("--seeds", 2, "-o", "net").err
    assert not Path("net").exists() and len(list(Path("net.training").iterdir())) == 2
    again = json.loads(retraining("--seeds", 2, "-o", "net", "--json").out)
    assert again["retrained"] == whole["retrained"]
    weights = [Path(name, "weights.safetensors").read_bytes() for name in ("whole", "net")]
    assert weights[0] == weights[1] and not Path("net.training").exists()
    assert nas_command("verify", "net").code == 0


def test_files_of_others_beside_the_output_stay(tmp_path: Path) -> None:
    (tmp_path / "unfinished-0.safetensors").touch()
    (tmp_path / "mine.txt").touch()
    retrain._remove(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
    retrain._remove(tmp_path / "none")


def test_mistakes_with_retraining(
    retraining: Command, nas_command: Command, own_finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repeat, "train", lambda *arguments, **options: pytest.fail("it was trained"))
    Path("net").mkdir()
    Path("net/thesis.tex").touch()
    full = retraining("-o", "net")
    assert full.code == 2 and "net: contains other files ('thesis.tex')" in full.err
    idle = nas_command("export", own_finished, "--trial", 0, "--epochs", 3, "-o", "x")
    assert idle.code == 2 and "--epochs does not apply: without --retrain nothing is trained" in idle.err
    Path("trained").mkdir()
    Path("trained/result.json").write_text("{}")
    wrong = nas_command("export", "trained", "--retrain", "-o", "x")
    assert wrong.code == 2 and "--retrain does not apply: trained is what nas train wrote" in wrong.err
