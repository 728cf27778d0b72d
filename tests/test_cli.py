"""The command line as its users meet it: what it prints, and one line for every mistake."""

from __future__ import annotations

import csv
import io
import json
import os
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

from nas.architecture.presets import preset
from nas.architecture.serialization import architecture_to_json
from nas.cli import main
from nas.files import shipped

Command = Callable[..., Outcome]


def test_cost_of_presets_spaces_and_files(nas_command: Command) -> None:
    document = json.loads(nas_command("cost", "efficientnet_b0", "--json").out)
    assert (document["flops"], document["multiply_adds"], document["params"]) == (401659392, 385814752, 5288548)
    assert sum(document["flops_by_operator"].values()) == document["flops"]
    small = ("--width", 0.5, "--depth", 2, "--resolution", 16, "--classes", 5, "--channels", 1)
    outcome = nas_command("cost", "resnet_small", *small, "--verify")
    assert outcome.code == 0 and "fvcore and the traced module measure the same" in outcome.out
    assert "401,659,392" in nas_command("cost", "efficientnet_b0").out
    Path("net.json").write_text(architecture_to_json(preset("resnet18")))
    assert json.loads(nas_command("cost", "net.json", "--json").out)["flops"] == 1819065856


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
    assert "Pareto front of tiny" in nas_command("front", finished).out
    assert "report.html" in nas_command("report", finished, "-o", "report.html").out
    assert Path("report.html").stat().st_size > 10**6
    assert json.loads(nas_command("report", finished, "-o", "r.html", "--json").out) == {"report": "r.html"}


def test_exporting_from_a_study(nas_command: Command, finished: Path) -> None:
    outcome = nas_command("export", finished, "--max-flops", "1M", "-o", "net")
    assert outcome.code == 0 and "largest difference of a logit" in outcome.out and "test accuracy" in outcome.out
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
    assert "at least" in nas_command("check", "mine.yaml").out
    assert json.loads(nas_command("check", "mine.yaml", "--json").out)["proposals"] == 2000


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
    assert err == "nas: interrupted; finished trials are kept, and nas search long.yaml continues\n"


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
        (("serch", "digits"), "serch"),
        (("search", "digit"), "unknown study 'digit'; did you mean 'digits'"),
        (("search", "absent.yaml"), "absent.yaml: no such file"),
        (("search", "empty.yaml"), "empty.yaml: the file is empty"),
        (("search", "list.yaml"), "list.yaml: must be a mapping of keys to values, but is a list"),
        (("search", "typo.yaml"), "typo.yaml: recipe: unknown key 'epoch'; did you mean 'epochs'?"),
        (("search", "tight.yaml"), "is below the cheapest network of the search"),
        (("search", "nofolder.yaml"), "images: no such folder"),
        (("search", "good.yaml", "--device", "cuda:7"), "device 'cuda:7' is not on this machine; known: auto, cpu"),
        (
            ("search", "good.yaml", "--trials", "-1"),
            "'--trials': Input should be greater than or equal to 0, but '-1' was given",
        ),
        (("search", "good.yaml", "--storage", "here.db"), "storage is not a database URL"),
        (("search", "blocked.yaml"), "cannot be written"),
        (("check", "tight.yaml"), "is below the cheapest network of the search"),
        (("front", "good.yaml"), "study 'good' was never run in sqlite:///good/study.db: run it with nas search"),
        (("status", "good.yaml"), "was never run"),
        (("report", "good.yaml"), "was never run"),
        (("export", "good.yaml", "--trial", "0", "-o", "out"), "was never run"),
        (("export", "good.yaml", "--trial", "0"), "--output"),
        (("export", "good.yaml", "--max-flops", "lots", "-o", "out"), "--max-flops: 'lots' is not a count"),
        (("front", "FINISHED", "--json", "--csv"), "--json and --csv exclude each other"),
        (("export", "FINISHED", "--trial", "99", "-o", "out"), "has no trial 99; known: 0 to 7"),
        (("export", "FINISHED", "-o", "out"), "give either a trial or a largest number of FLOPs"),
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
    commands = ("cost", "check", "search", "status", "front", "report", "export")
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
