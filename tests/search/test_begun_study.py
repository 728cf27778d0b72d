"""A study that earlier code began is what it was, and goes on as the earlier code would have gone on."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from nas.search.opening import find_study, open_study
from nas.search.run.start import run_study

sys.path.insert(0, str(Path(__file__).parents[1] / "golden"))
from record_study import DEFINITION, FURTHER, RECORD, told, unpack  # noqa: E402

LEARNED = {"accuracy", "curve"}
"""What a CPU with other kernels may round otherwise."""


@pytest.fixture(scope="module")
def recorded() -> dict[str, Any]:
    """Return what earlier code told of the study before and after it went on."""
    record: dict[str, Any] = json.loads(RECORD.read_text())
    assert record["definition"] == DEFINITION
    return record


def test_a_study_that_earlier_code_began_tells_what_it_told(recorded: dict[str, Any], tmp_path: Path) -> None:
    path = unpack(tmp_path)
    assert told(open_study(path)) == recorded["begun"]
    assert find_study(path).missing_trials() == 12 - 6  # the interrupted one counts for nothing
    states = {trial["state"] for trial in recorded["begun"]["trials"]}
    assert states == {"trained", "stopped", "interrupted"} and recorded["begun"]["repeats"]


def test_a_study_that_earlier_code_began_goes_on_the_same(recorded: dict[str, Any], tmp_path: Path) -> None:
    path, before, after = unpack(tmp_path), recorded["begun"], recorded["continued"]
    found = told(run_study(path, trials=FURTHER))
    assert len(after["trials"]) == len(before["trials"]) + FURTHER
    for section in ("trials", "repeats"):
        assert [without(LEARNED, one) for one in found[section]] == [without(LEARNED, one) for one in after[section]]
        for ours, theirs in zip(found[section], after[section], strict=True):
            assert ours["accuracy"] == pytest.approx(theirs["accuracy"], abs=0.02)
            assert [loss for loss, _ in ours["curve"]] == pytest.approx([loss for loss, _ in theirs["curve"]], rel=0.02)
    assert found["front"] == after["front"]
    # a training that had paused went on, though its checkpoint was lost
    states = [{trial["number"]: trial["state"] for trial in told["trials"]} for told in (before, after)]
    assert any(states[1][number] == "trained" for number, state in states[0].items() if state == "stopped")


def without(keys: set[str], of: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in of.items() if key not in keys}
