"""``nas check``, ``nas search`` and ``nas prune``, as their users would type them."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
import yaml
from conftest import TINY, Outcome, wait_until

from nas.fronts.growth import Growth
from nas.search import check

Command = Callable[..., Outcome]


def test_searching_and_continuing(nas_command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("mine.yaml").write_text(yaml.safe_dump({**TINY, "name": "mine"}))
    first = nas_command("search", "mine.yaml", "--trials", 2)
    assert first.code == 0 and "#0 " in first.out and "#1 " in first.out and "nas report mine.yaml" in first.out
    second = nas_command("search", "mine.yaml", "--json")
    assert second.code == 0 and json.loads(second.out)["study"] == "mine" and "#7 " in second.err
    monkeypatch.setattr(check, "check_study", cache(check.check_study))  # what is timed once is shown in two ways
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
    assert status["best_accuracy"] == document["front"][-1]["shrunk_accuracy"]
    rows = list(csv.DictReader(io.StringIO(nas_command("front", "mine.yaml", "--csv").out)))
    assert [row["seeds"] for row in rows] == [str(point["seeds"]) for point in document["front"]]
    assert float(rows[0]["std_accuracy"]) == document["front"][0]["std_accuracy"]
    shown = nas_command("front", "mine.yaml").out
    assert "seeds" in shown and " ± " in shown and searched.out.count(shown.splitlines()[-1].strip()) == 1
    nas_command("report", "mine.yaml", "-o", "r.html")
    assert "Further trainings, from other seeds: 2." in Path("r.html").read_text()


def test_a_search_says_why_it_ends_early(nas_command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("mine.yaml").write_text(yaml.safe_dump({**TINY, "name": "mine"}))
    hours = nas_command("search", "mine.yaml", "--max-hours", "1e-9")
    assert hours.code == 0 and "up after 1e-09 h: nothing new is started\n" in hours.out and "#0" not in hours.out
    reasons = iter([None, None, "stagnant: the last part added too little"])
    monkeypatch.setattr("nas.search.run.proposing.stagnation", lambda *arguments, **keywords: next(reasons))
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


@pytest.mark.slow
def test_lines_name_the_metric_that_the_figures_are_of(nas_command: Command) -> None:
    recipe = {**TINY["recipe"], "metric": "macro_f1"}
    search = {**TINY["search"], "trials": 2, "replicates": {"of": "spread", "networks": 1, "seeds": 2}}
    Path("mine.yaml").write_text(yaml.safe_dump({**TINY, "name": "mine", "recipe": recipe, "search": search}))
    lines = [line for line in nas_command("search", "mine.yaml").out.splitlines() if line.startswith("#")]
    assert len(lines) == 3 and all("macro F1" in line and "accuracy" not in line for line in lines)


def test_ctrl_c_ends_with_130_and_says_how_to_go_on() -> None:
    document = {**TINY, "recipe": {**TINY["recipe"], "epochs": 40}, "name": "long"}
    Path("long.yaml").write_text(yaml.safe_dump(document))
    command = [sys.executable, "-c", "from nas.cli import main; main()", "search", "long.yaml"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_until(lambda: _epochs(Path("long/study.db")) or process.poll() is not None)
    os.kill(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=120)
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
