from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from nas.analysis.pareto import front_of, pareto_front, to_frame
from nas.search.store import TrialRecord
from nas.search.study import Study

BASE = TrialRecord(0, "s", 1.0, 1.0, 8, "d", 1, 1, 1)


@st.composite
def trial_lists(draw: st.DrawFn) -> list[TrialRecord]:
    states = st.sampled_from(("trained", "trained", "trained", "infeasible", "repeated", "failed"))
    points = draw(st.lists(st.tuples(st.integers(1, 8), st.integers(1, 8), states), max_size=25))
    return [
        replace(
            BASE,
            number=i,
            digest=f"{i}",
            flops=flops,
            accuracy=right / 10 if state != "infeasible" else None,
            state=state,
        )
        for i, (flops, right, state) in enumerate(points)
    ]


def beats(a: TrialRecord, b: TrialRecord) -> bool:
    better = a.flops <= b.flops and (a.accuracy or 0) >= (b.accuracy or 0)
    return better and (a.flops, a.accuracy) != (b.flops, b.accuracy)


@given(trial_lists())
def test_the_front_is_what_nothing_beats(trials: list[TrialRecord]) -> None:
    trained = [trial for trial in trials if trial.state == "trained"]
    expected = {(t.flops, t.accuracy) for t in trained if not any(beats(other, t) for other in trained)}
    front = front_of(trials)
    assert {(t.flops, t.accuracy) for t in front} == expected
    assert len(front) == len(expected)
    assert [t.flops for t in front] == sorted(t.flops for t in front)


def test_of_equal_trials_the_first_stands_for_all() -> None:
    trials = [replace(BASE, number=i, digest=f"{i}", accuracy=0.5, state="trained") for i in (2, 1, 3)]
    assert [trial.number for trial in front_of(trials)] == [1]


def test_a_study_has_a_front_and_a_table(finished_study: Study) -> None:
    front = pareto_front(finished_study)
    assert front and all(trial.state == "trained" for trial in front)
    frame = to_frame(finished_study.trials())
    assert frame.shape == (8, len(TrialRecord.__dataclass_fields__) - 1)  # this study opens no further dimension
    assert frame.loc[frame.state == "infeasible", "accuracy"].isna().all()
    assert to_frame([]).columns.tolist() == frame.columns.tolist()
