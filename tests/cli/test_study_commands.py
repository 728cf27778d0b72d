"""What looks at a finished study or takes a network from it: status, front, latency, report, export."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Outcome

Command = Callable[..., Outcome]


def test_looking_at_a_study(nas_command: Command, finished: Path) -> None:
    status = json.loads(nas_command("status", finished, "--json").out)
    assert sum(status["trials"].values()) == 8 and status["best_accuracy"] > 0.1
    assert "trained" in nas_command("status", finished).out
    front = json.loads(nas_command("front", finished, "--json").out)["front"]
    rows = list(csv.DictReader(io.StringIO(nas_command("front", finished, "--csv").out)))
    assert [row["digest"] for row in rows] == [trial["digest"] for trial in front]
    assert [trial["flops"] for trial in front] == sorted(trial["flops"] for trial in front)
    shown = nas_command("front", finished).out
    assert "Pareto front of tiny" in shown and "P(front)" in shown and "  seeds  " not in shown
    assert "(assumed: that of drawing 80 validation images; search.replicates measures it)" in shown
    assert all(trial["seeds"] == 1 and trial["std_accuracy"] is None for trial in front)
    assert "report.html" in nas_command("report", finished, "-o", "report.html").out
    assert Path("report.html").stat().st_size > 10**6
    assert json.loads(nas_command("report", finished, "-o", "r.html", "--json").out) == {"report": "r.html"}


@pytest.mark.usefixtures("measured_here")
def test_the_front_of_a_study_is_ranked_by_latency(nas_command: Command, own_finished: Path) -> None:
    outcome = nas_command("latency", own_finished, "--device", "cpu", "--threads", 1)
    assert outcome.code == 0 and "Front of tiny by latency" in outcome.out and "pairs are swapped" in outcome.out
    document = json.loads(nas_command("latency", own_finished, "--device", "cpu", "--batch", 4, "--json").out)
    front = json.loads(nas_command("front", own_finished, "--json").out)["front"]
    assert sorted(entry["trial"] for entry in document["front"]) == sorted(trial["number"] for trial in front)
    assert [entry["latency_rank"] for entry in document["front"]] == list(range(1, len(front) + 1))
    assert -1 <= document["kendall_tau"] <= 1
    nas_command("report", own_finished, "-o", "r.html")
    assert "How long inference takes" in Path("r.html").read_text()


@pytest.mark.usefixtures("measured_here")
@pytest.mark.parametrize("spread", [0.0, 1e9], ids=["busy", "calm"])
def test_a_busy_machine_is_told(
    spread: float, nas_command: Command, own_finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from nas.models import latency

    monkeypatch.setattr(latency, "CALM_SPREAD", spread or 1e-9)
    monkeypatch.setattr(latency, "CALM_SHARE", 0.0)
    small = ("resnet_small", "--width", 0.25, "--depth", 0.25, "--resolution", 8)
    for command in (("latency", own_finished), ("cost", *small, "--latency", "--backend", "eager")):
        outcome = nas_command(*command, "--device", "cpu")
        assert outcome.code == 0
        assert ("figures were disturbed by other programs" in outcome.err) == (spread == 0)
        assert ("busy machine" in " ".join(outcome.out.split())) == (spread == 0)


def test_exporting_from_a_study(nas_command: Command, finished: Path) -> None:
    outcome = nas_command("export", finished, "--max-flops", "1M", "-o", "net")
    assert outcome.code == 0 and "logits differ by at most" in outcome.out and "test accuracy" in outcome.out
    refused = nas_command("export", finished, "--trial", 0, "-o", "net")
    assert refused.code == 2 and "net: holds an earlier export; choose another folder, or replace it" in refused.err
    document = json.loads(nas_command("export", finished, "--trial", 0, "-o", "net", "--force", "--json").out)
    assert [one["file"] for one in document["formats"]] == ["model.py", "model.onnx"]
    assert document["formats"][0]["difference"] == 0 and document["compared_on"].endswith("validation images")
    assert document["trial"] == 0 and 0 < document["test_accuracy"] <= 1
