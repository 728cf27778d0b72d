"""``nas table``, as its users would type it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from conftest import TINY, Outcome

from nas.tables import read_table


def test_a_table_is_built_and_replayed(nas_command: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 1)  # test_simulate.py replays in several processes
    Path("mine.yaml").write_text(yaml.safe_dump({**TINY, "name": "mine"}))
    table = Path("out/table.csv.gz")
    outcome = nas_command("table", "build", "mine.yaml", "-o", table, "--device", "cpu")
    assert outcome.code == 0
    assert "out/table.csv.gz: " in outcome.out and "nas table replay out/table.csv.gz" in outcome.out
    networks = len(read_table(table).curves)
    built = nas_command("table", "build", "mine.yaml", "--json")  # nothing is left to train
    assert json.loads(built.out) == {"table": "mine/table.csv.gz", "networks": networks, "trainings": networks}
    rules = ("--samplers", "random,pareto", "--halving", "off", "--seeds", 2, "--trials", 4)
    replayed = nas_command("table", "replay", table, *rules, "-o", "replays.html")
    assert replayed.code == 0
    assert f"4 proposals on {networks} networks, medians over 2 seeds" in replayed.out
    assert "random" in replayed.out and "pareto" in replayed.out
    assert "hypervolume against compute" in Path("replays.html").read_text()
    text = nas_command("table", "replay", "mine.yaml", *rules, "--json").out
    assert "Infinity" not in text
    document = json.loads(text)
    assert [rule["rule"] for rule in document["rules"]] == ["random", "pareto"]
    assert all(0 < rule["share"] <= 1 for rule in document["rules"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--samplers", "best"), "--samplers: unknown sampler 'best'; known: pareto, pareto-thrift, random"),
        (("--halving", "1"), "--halving: '1' is neither off nor a whole number above one"),
        (("--halving", "3"), "--halving: trainings of 2 epochs are too short; at least 6 are needed"),
        (("--halving", "off,off"), "--halving: a value is given twice"),
    ],
)
def test_wrong_arguments_are_one_line(
    arguments: tuple[str, ...], message: str, finished: Path, nas_command: Callable[..., Outcome]
) -> None:
    assert nas_command("table", "build", finished, "-o", "table.csv").code == 0
    outcome = nas_command("table", "replay", "table.csv", *arguments)
    assert outcome.code == 2
    assert message in outcome.err and outcome.err.count("\n") == 1


def test_what_is_no_table_and_no_study_is_one_line(nas_command: Callable[..., Outcome]) -> None:
    missing = nas_command("table", "replay", "nowhere.csv")
    assert (missing.code, missing.err.count("\n")) == (2, 1) and "nowhere.csv: cannot be read" in missing.err
    never = nas_command("table", "replay", "digits")
    assert (never.code, never.err.count("\n")) == (2, 1) and "has not been run yet" in never.err
