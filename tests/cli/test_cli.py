"""The command line as its users meet it: what it prints, and one line for every mistake."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import TINY, Outcome
from rich.console import Console

from nas.architecture.presets import preset
from nas.architecture.serialization import architecture_to_json
from nas.cli import main
from nas.cli.progress import SearchProgress
from nas.fronts.growth import Growth
from nas.records import TrialRecord
from nas.schema import shipped
from nas.search.run.events import TrialFinished

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


def test_the_front_of_a_study_is_ranked_by_latency(nas_command: Command, finished: Path) -> None:
    outcome = nas_command("latency", finished, "--device", "cpu", "--threads", 1)
    assert outcome.code == 0 and "Front of tiny by latency" in outcome.out and "pairs are swapped" in outcome.out
    document = json.loads(nas_command("latency", finished, "--device", "cpu", "--batch", 4, "--json").out)
    front = json.loads(nas_command("front", finished, "--json").out)["front"]
    assert sorted(entry["trial"] for entry in document["front"]) == sorted(trial["number"] for trial in front)
    assert [entry["latency_rank"] for entry in document["front"]] == list(range(1, len(front) + 1))
    assert -1 <= document["kendall_tau"] <= 1
    nas_command("report", finished, "-o", "r.html")
    assert "How long inference takes" in Path("r.html").read_text()


def test_a_cost_that_fvcore_does_not_measure_is_our_failure(
    nas_command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    from nas.architecture.cost import count_cost

    monkeypatch.setattr("nas.models.measure.measure_cost", lambda m, a: count_cost(preset("resnet18")))
    outcome = nas_command("cost", "resnet_small", "--verify")
    assert outcome.code == 1 and "fvcore measures" in outcome.err


def test_looking_at_a_study(nas_command: Command, finished: Path) -> None:
    status = json.loads(nas_command("status", finished, "--json").out)
    assert sum(status["trials"].values()) == 8 and status["best_accuracy"] > 0.1
    assert "trained" in nas_command("status", finished).out
    front = json.loads(nas_command("front", finished, "--json").out)["front"]
    rows = list(csv.DictReader(io.StringIO(nas_command("front", finished, "--csv").out)))
    assert [row["digest"] for row in rows] == [trial["digest"] for trial in front]
    assert [trial["flops"] for trial in front] == sorted(trial["flops"] for trial in front)
    shown = nas_command("front", finished).out
    assert "Pareto front of tiny" in shown and "P(front)" in shown and "seeds" not in shown
    assert "(binomial estimate for 80 validation images; search.replicates measures it)" in shown
    assert all(trial["seeds"] == 1 and trial["std_accuracy"] is None for trial in front)
    assert "report.html" in nas_command("report", finished, "-o", "report.html").out
    assert Path("report.html").stat().st_size > 10**6
    assert json.loads(nas_command("report", finished, "-o", "r.html", "--json").out) == {"report": "r.html"}


def test_further_trainings_are_counted_and_shown(nas_command: Command) -> None:
    search = {**TINY["search"], "sampler": "pareto", "trials": 3, "replicates": {"of": "spread", "networks": 1}}
    budget = {"flops": {"max": "200k"}}
    Path("mine.yaml").write_text(yaml.safe_dump({**TINY, "name": "mine", "search": search, "budget": budget}))
    searched = nas_command("search", "mine.yaml")
    assert searched.code == 0 and searched.out.count("seed 2") == searched.out.count("seed 3") == 1
    assert "(pooled from 2 further trainings)" in searched.out
    status = json.loads(nas_command("status", "mine.yaml", "--json").out)
    assert status["further_trainings"] == {"trained": 2}
    assert "further trainings: 2 trained" in nas_command("status", "mine.yaml").out
    document = json.loads(nas_command("front", "mine.yaml", "--json").out)
    assert document["noise"]["further"] == 2 and document["noise"]["val_images"] == 80
    assert document["front"][0]["seeds"] == 3 and document["front"][0]["front_probability"] == 1.0
    assert status["best_accuracy"] == document["front"][-1]["mean_accuracy"]
    rows = list(csv.DictReader(io.StringIO(nas_command("front", "mine.yaml", "--csv").out)))
    assert [row["seeds"] for row in rows] == [str(point["seeds"]) for point in document["front"]]
    assert float(rows[0]["std_accuracy"]) == document["front"][0]["std_accuracy"]
    shown = nas_command("front", "mine.yaml").out
    assert "seeds" in shown and " ± " in shown and searched.out.count(shown.splitlines()[-1].strip()) == 1
    nas_command("report", "mine.yaml", "-o", "r.html")
    assert "further trainings</dt><dd>2" in Path("r.html").read_text()


def test_disk_use_is_shown_and_weights_off_the_front_are_removed(nas_command: Command) -> None:
    Path("mine.yaml").write_text(yaml.safe_dump({**TINY, "name": "mine"}))
    nas_command("search", "mine.yaml", "--trials", 6)
    status = json.loads(nas_command("status", "mine.yaml", "--json").out)
    assert status["disk"]["weights"]["count"] == status["trials"]["trained"]
    assert f"weights: {status['trials']['trained']} files" in nas_command("status", "mine.yaml").out
    assert "preparing batches took" in nas_command("status", "mine.yaml").out
    assert "Removed checkpoints: 0 files" in nas_command("prune", "mine.yaml").out
    front = {trial["digest"] for trial in json.loads(nas_command("front", "mine.yaml", "--json").out)["front"]}
    removed = json.loads(nas_command("prune", "mine.yaml", "--weights", "--json").out)
    assert removed["weights"]["count"] == status["trials"]["trained"] - len(front) > 0
    assert {path.stem for path in Path("mine/weights").glob("*/*.safetensors")} == front


def test_exporting_from_a_study(nas_command: Command, finished: Path) -> None:
    outcome = nas_command("export", finished, "--max-flops", "1M", "-o", "net")
    assert outcome.code == 0 and "logits differ by at most" in outcome.out and "test accuracy" in outcome.out
    document = json.loads(nas_command("export", finished, "--trial", 0, "-o", "net", "--json").out)
    assert document["trial"] == 0 and 0 < document["test_accuracy"] <= 1


def test_searching_and_continuing(nas_command: Command) -> None:
    Path("mine.yaml").write_text(yaml.safe_dump({**TINY, "name": "mine"}))
    first = nas_command("search", "mine.yaml", "--trials", 2)
    assert first.code == 0 and "#0 " in first.out and "#1 " in first.out and "nas report mine.yaml" in first.out
    second = nas_command("search", "mine.yaml", "--json")
    assert second.code == 0 and json.loads(second.out)["study"] == "mine" and "#7 " in second.err
    third = nas_command("search", "mine.yaml")
    assert third.code == 0 and "mine has all its trials" in third.out
    checked = nas_command("check", "mine.yaml").out
    assert "28 of 32 coefficient points meet it (87.5 %)" in checked and "they give 14 distinct networks\n" in checked
    assert "the whole study: about 7 trainings and" in checked and "preparing batches takes" in checked
    assert (
        "images/s  float32, channels last (the recipe)" in checked and "images/s  bfloat16, channels first" in checked
    )
    document = json.loads(nas_command("check", "mine.yaml", "--json").out)
    assert document["exact"] and (document["points"], document["feasible_points"]) == (32, 28)


def test_a_search_says_why_it_ends_early(nas_command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("mine.yaml").write_text(yaml.safe_dump({**TINY, "name": "mine"}))
    hours = nas_command("search", "mine.yaml", "--max-hours", "1e-9")
    assert hours.code == 0 and "up after 1e-09 h: nothing new is started\n" in hours.out and "#0" not in hours.out
    reasons = iter([None, None, "stagnant: the last part added too little"])
    monkeypatch.setattr("nas.search.run.loop.stagnation", lambda *arguments, **keywords: next(reasons))
    stagnant = nas_command("search", "mine.yaml", "--until", "stagnant")
    assert stagnant.code == 0 and "\nstagnant: the last part added too little\n" in stagnant.out
    assert "#1 " in stagnant.out and "#2 " not in stagnant.out and "has all its trials" not in stagnant.out
    assert json.loads(nas_command("status", "mine.yaml", "--json").out)["growth"] is None
    assert "hypervolume" not in nas_command("status", "mine.yaml").out
    growth = Growth(10, 30, compute=0.34, gain=0.004)
    monkeypatch.setattr("nas.search.study.Study.growth", lambda study: growth)
    line = "(10 of 30 networks) added 0.4 % of the hypervolume, not counting noise: stagnant\n"
    assert line in nas_command("status", "mine.yaml").out
    assert json.loads(nas_command("status", "mine.yaml", "--json").out)["growth"]["stagnant"] is True


def test_a_bar_without_an_end_counts_trials() -> None:
    for total, shown in ((None, ("1/? trials",)), (4, ("1/4 trials", "left:"))):
        console = Console(file=io.StringIO(), force_terminal=True, width=120, legacy_windows=False)
        with SearchProgress(console, total=total, epochs=2) as progress:
            progress(TrialFinished(TrialRecord(0, "s", 1.0, 1.0, 8, "d", 1, 1, 1, state="infeasible")))
            progress._progress.refresh()
        text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", console.file.getvalue())
        assert all(part in text for part in shown) and ("left:" in text) == (total is not None)


@pytest.mark.slow
def test_ctrl_c_ends_with_130_and_says_how_to_go_on() -> None:
    document = {**TINY, "recipe": {**TINY["recipe"], "epochs": 40}, "name": "long"}
    Path("long.yaml").write_text(yaml.safe_dump(document))
    command = [sys.executable, "-c", "from nas.cli import main; main()", "search", "long.yaml"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline and not _epochs(Path("long/study.db")):
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err == "nas: interrupted; finished trials are kept. Continue with: nas search long.yaml\n"


def _epochs(database: Path) -> int:
    if not database.exists():
        return 0
    connection = sqlite3.connect(database, timeout=10)
    try:
        return int(connection.execute("select count(*) from nas_epoch").fetchone()[0])
    except sqlite3.OperationalError:
        return 0
    finally:
        connection.close()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("cost", "efficientnet_b9"), "unknown preset or space 'efficientnet_b9'; did you mean 'efficientnet_b"),
        (("cost", "nothing.yaml"), "nothing.yaml: no such file"),
        (("cost", "nothing.json"), "nothing.json: cannot be read"),
        (("cost", "broken.json"), "broken.json, line 1: not valid JSON"),
        (("cost", "efficientnet", "--width", "9"), "width 9 is out of range: efficientnet allows 0.25 to 2.5"),
        (
            ("cost", "efficientnet_b0", "--resolution", "8"),
            "resolution 8 is out of range: efficientnet allows 32 to 672",
        ),
        (
            ("cost", "coarse.yaml", "--resolution", "8"),
            "1x1 feature map is too small for stride 2: raise the resolution",
        ),
        (("cost", "efficientnet_b0", "--width", "1"), "--width does not apply: efficientnet_b0 is a preset; allowed: "),
        (("cost", "efficientnet_b0", "--classes", "0"), "num_classes must be at least 1, but is 0"),
        (("cost", "efficientnet_b0", "--depth", "deep"), "but 'deep' was given"),
        (("cost",), "NAME|FILE"),
        (("cost", "resnet18", "resnet19"), "unknown preset or space 'resnet19'; did you mean 'resnet1"),
        (("cost", "resnet18", "--kernel", "5"), "--kernel does not apply: resnet18 is a preset; allowed: "),
        (("cost", "resnet", "--kernel", "4"), "resnet: kernel: a kernel must be odd, but 4 was given"),
        (("cost", "inception", "--kernel", "5"), "kernel does not apply to inception; known: activation, squ"),
        (("cost", "resnet18", "--latency", "--batch", "1,x"), "--batch: 'x' is not a whole number above zero"),
        (("cost", "resnet18", "--latency", "--batch", "1,,2"), "--batch: '1,,2' must be values separated by commas"),
        (("cost", "resnet18", "--latency", "--backend", "tvm"), "unknown backend 'tvm'; known: eager, compile, onnx"),
        (("cost", "resnet18", "--latency", "--device", "cuda:9"), "this machine has no device 'cuda:9'"),
        (("cost", "resnet18", "--latency", "--threads", "0"), "'--threads'"),
        (("cost", "resnet18", "--latency", "--batch", "1,1"), "--batch: a value is given twice: 1,1"),
        (("cost", "resnet18", "--device", "cpu"), "--device applies to --latency and --training-memory only"),
        (("cost", "resnet18", "--threads", "2"), "--threads applies to --latency only"),
        (("latency", "good.yaml"), "has not been run yet"),
        (("latency", "FINISHED", "--backend", "tvm"), "--backend: unknown backend 'tvm'; known: eager, compile, onnx"),
        (("latency", "FINISHED", "--device", "cuda:9"), "this machine has no device 'cuda:9'"),
        (("serch", "digits"), "serch"),
        (("search", "digit"), "unknown study 'digit'; did you mean 'digits'"),
        (("search", "absent.yaml"), "absent.yaml: no such file"),
        (("search", "empty.yaml"), "empty.yaml: the file is empty"),
        (("search", "list.yaml"), "list.yaml: must be a mapping of keys to values, but is a list"),
        (("search", "typo.yaml"), "typo.yaml: recipe: unknown key 'epoch'; did you mean 'epochs'?"),
        (("search", "tight.yaml"), "is below the cheapest network of the search"),
        (("search", "nofolder.yaml"), "images: no such folder"),
        (("search", "good.yaml", "--device", "cuda:7"), "this machine has no device 'cuda:7'; known: auto, cpu"),
        (
            ("search", "good.yaml", "--trials", "-1"),
            "'--trials': Input should be greater than or equal to 0, but '-1' was given",
        ),
        (("search", "good.yaml", "--until", "bored"), "until: unknown condition 'bored'; known: stagnant"),
        (("search", "good.yaml", "--max-hours", "0"), "max hours must be a number above 0, but is 0"),
        (("search", "good.yaml", "--max-hours", "x"), "unable to parse string as a number, but 'x' was given"),
        (("search", "good.yaml", "--storage", "here.db"), "storage is not a database URL"),
        (("search", "blocked.yaml"), "cannot be written"),
        (("check", "tight.yaml"), "is below the cheapest network of the search"),
        (("front", "good.yaml"), "'good' has not been run yet in sqlite:///good/study.db: run it with nas search"),
        (("status", "good.yaml"), "has not been run yet"),
        (("report", "good.yaml"), "has not been run yet"),
        (("export", "good.yaml", "--trial", "0", "-o", "out"), "has not been run yet"),
        (("export", "good.yaml", "--trial", "0"), "--output"),
        (("export", "good.yaml", "--max-flops", "lots", "-o", "out"), "--max-flops: 'lots' is not a count"),
        (("front", "FINISHED", "--json", "--csv"), "--json and --csv cannot be used together"),
        (("export", "FINISHED", "--trial", "99", "-o", "out"), "has no trial 99; known: 0 to 7"),
        (("export", "FINISHED", "-o", "out"), "give either a trial or a limit on the FLOPs"),
        (("report", "FINISHED", "-o", "file/report.html"), "file/report.html: cannot be written"),
        (("export", "FINISHED", "--max-flops", "1M", "-o", "file"), "file: is a file, not a folder"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_mistakes_are_one_line_and_exit_code_2(
    nas_command: Command, finished: Path, arguments: tuple[str, ...], message: str
) -> None:
    write_mistakes()
    before = sorted(Path().rglob("*"))
    outcome = nas_command(*(finished if argument == "FINISHED" else argument for argument in arguments))
    assert outcome.code == 2, outcome
    assert outcome.err.startswith("nas: ") and outcome.err.count("\n") == 1
    assert message in outcome.err
    assert outcome.out == ""
    assert sorted(Path().rglob("*")) == before


def write_mistakes() -> None:
    """Write study files with one mistake each."""

    def write(name: str, **changes: Any) -> None:
        Path(f"{name}.yaml").write_text(yaml.safe_dump({**TINY, "name": name, **changes}))

    write("good")
    write("typo", recipe={"epoch": 3})
    write("tight", budget={"flops": {"max": "1k"}})
    write("nofolder", data={"folder": "images"})
    write("blocked")
    Path("blocked").write_text("a file where the study's folder should be")
    Path("file").write_text("")
    Path("empty.yaml").write_text("")
    Path("list.yaml").write_text("- 1\n")
    Path("broken.json").write_text("{")
    coarse = yaml.safe_load((shipped("search_spaces") / "resnet.yaml").read_text())
    Path("coarse.yaml").write_text(yaml.safe_dump({**coarse, "name": "coarse", "resolution": {"min": 1, "max": 64}}))


def test_help_and_version(nas_command: Command) -> None:
    commands = ("cost", "check", "search", "status", "front", "latency", "report", "export")
    overview = nas_command("--help")
    assert overview.code == 0 and all(command in overview.out for command in commands)
    for command in commands:
        assert nas_command(command, "--help").code == 0
    assert nas_command("--version").out.startswith("nas 0.")


def test_an_unexpected_failure_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(architecture: object) -> None:
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr("nas.architecture.cost.count_cost", fail)
    monkeypatch.setattr(sys, "argv", ["nas", "cost", "resnet18"])
    with pytest.raises(RuntimeError, match="a fault of ours"):
        main()


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


def test_ctrl_c_is_told_whatever_runs(nas_command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*arguments: object, **keywords: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("nas.architecture.cost.count_cost", interrupt)
    outcome = nas_command("cost", "resnet18")
    assert (outcome.code, outcome.out, outcome.err) == (130, "", "nas: interrupted\n")


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
        (("FINISHED#99",), "has no trial 99; known: 0 to 7"),
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
