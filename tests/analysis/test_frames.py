"""Tables of pandas, whose columns are documented."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from test_recommendation import made

import nas
from nas.analysis.frames import records_frame
from nas.analysis.pareto import front_with_noise
from nas.records import Repeat, TrialRecord
from nas.search.study import Study

PAGE = Path(__file__).parents[2] / "docs" / "fronts.md"


def test_trials_are_rows_in_their_order(finished_study: Study) -> None:
    frame = nas.trials_frame(finished_study)
    trials = finished_study.trials()
    assert frame.number.tolist() == [trial.number for trial in trials]
    assert frame.flops.tolist() == [trial.flops for trial in trials]
    trained = frame[frame.state == "trained"]
    assert trained.accuracy.between(0, 1).all() and frame[frame.state == "infeasible"].accuracy.isna().all()


def test_choices_have_columns_of_their_own_and_whole_numbers_stay_whole() -> None:
    trial = TrialRecord(0, "s", 1.0, 1.0, 8, "d", 1, 1, 1, seed=2**62, choices={"kernel": 5, "activation": "silu"})
    frame = records_frame([trial, TrialRecord(1, "t", 1.0, 1.0, 8, "e", 1, 1, 1, repeat_of=0)])
    assert frame.kernel.tolist()[0] == 5 and frame.kernel.isna().tolist() == [False, True]
    assert frame.activation.tolist()[0] == "silu" and frame.seed[0] == 2**62 and frame.repeat_of[1] == 0
    assert "expansion" not in frame


def test_curves_are_rows_by_epoch_those_of_further_seeds_too(
    finished_study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    curves = finished_study.curves()
    number, curve = next(iter(curves.items()))
    monkeypatch.setattr(Study, "repeats", lambda self: [Repeat(number, 1, "trained", curve=tuple(curve[:1]))])
    frame = nas.curves_frame(finished_study)
    assert len(frame) == sum(map(len, curves.values())) + 1 and frame.number.is_monotonic_increasing
    own = frame[(frame.number == number) & (frame.repeat == 0)]
    assert own.epoch.tolist() == [1, 2] and own.val_accuracy.tolist() == [one.val_accuracy for one in curve]
    again = frame[frame.repeat == 1]
    assert again.number.tolist() == [number] and again.seconds.tolist() == [curve[0].seconds]


def test_the_front_is_a_table_with_what_is_known_of_each_network(finished_study: Study) -> None:
    front = front_with_noise(finished_study)
    frame = nas.front_frame(finished_study)
    assert frame.number.tolist() == [point.trial.number for point in front.points] and frame.on_front.all()
    assert frame.shrunk_accuracy.tolist() == [point.shrunk_accuracy for point in front.points]
    whole = nas.front_frame(finished_study, others=True)
    assert len(whole) == len(front.points) + len(front.others) and whole.on_front.sum() == len(front.points)
    empty = nas.front_frame(made())
    assert len(empty) == 0 and empty.columns.tolist() == frame.columns.tolist()


def test_every_column_is_documented(finished_study: Study) -> None:
    page = PAGE.read_text()
    for function in (nas.trials_frame, nas.curves_frame, nas.front_frame):
        columns = function(finished_study).columns
        known = set(re.findall(r"`+([a-z_]+)`+", f"{function.__doc__}{nas.trials_frame.__doc__}"))
        assert set(columns) <= known, function.__name__
        assert all(f"| `{column}` |" in page for column in columns), function.__name__


def test_the_old_name_says_what_takes_its_place(finished_study: Study) -> None:
    with pytest.warns(DeprecationWarning, match=r"nas.to_frame\(trials\) will go: use nas.trials_frame\(study\)"):
        frame = nas.to_frame(finished_study.trials())
    assert frame.equals(nas.trials_frame(finished_study))
