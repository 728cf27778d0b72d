from __future__ import annotations

from dataclasses import asdict, replace
from typing import cast

import numpy as np
import pytest
from conftest import scaled
from hypothesis import given, settings
from hypothesis import strategies as st

from nas.analysis.frames import points_frame, records_frame
from nas.analysis.pareto import FrontPoint, front_with_noise, pareto_front
from nas.export.bundle import choose_trial
from nas.fronts.judged import judge
from nas.fronts.noise import WORTH_REPEATING, over_seeds
from nas.records import Repeat, TrialRecord
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


@settings(max_examples=scaled(30, 300))  # each fits a model
@given(trial_lists())
def test_the_front_is_what_nothing_beats(trials: list[TrialRecord]) -> None:
    points = {one.network.trial: one.network for one in known(trials, []).judgement().networks}
    assert set(points) == {trial for trial in trials if trial.state == "trained"}
    front = pareto_front(known(trials, []))
    for trial, network in points.items():
        rivals = [other for other in points.values() if other.trial.flops <= trial.flops and other is not network]
        best = max((other.shrunk for other in rivals), default=-1.0)
        assert network.shrunk >= best if trial in front else network.shrunk <= best
    assert [t.flops for t in front] == sorted({t.flops for t in front})


def test_of_equal_trials_the_first_stands_for_all() -> None:
    trials = [replace(BASE, number=i, digest=f"{i}", accuracy=0.5, state="trained") for i in (2, 1, 3)]
    assert [trial.number for trial in pareto_front(known(trials, []))] == [1]


def test_a_study_has_a_front_and_a_table(finished_study: Study) -> None:
    front = pareto_front(finished_study)
    assert front and all(trial.state == "trained" for trial in front)
    frame = records_frame(finished_study.trials())
    assert frame.shape == (8, len(TrialRecord.__dataclass_fields__) - 1)  # this study opens no further dimension
    assert frame.loc[frame.state == "infeasible", "accuracy"].isna().all()
    assert records_frame([]).columns.tolist() == frame.columns.tolist()


class KnownStudy:
    """A study whose trainings are known."""

    name = "known"

    def __init__(self, trials: list[TrialRecord], repeats: list[Repeat], *, val_images: int = 400) -> None:
        self.judgement = lambda: judge(trials, repeats, val_images=val_images)
        self.trials, self.repeats = lambda: trials, lambda: repeats


def known(trials: list[TrialRecord], repeats: list[Repeat], **options: int) -> Study:
    return cast(Study, KnownStudy(trials, repeats, **options))


def trained(*points: tuple[int, float]) -> list[TrialRecord]:
    return [
        replace(BASE, number=i, digest=f"{i}", flops=flops, accuracy=accuracy, state="trained")
        for i, (flops, accuracy) in enumerate(points)
    ]


def further(number: int, *accuracies: float) -> list[Repeat]:
    return [Repeat(number, i, "trained", accuracy=accuracy) for i, accuracy in enumerate(accuracies, start=1)]


def test_a_lucky_network_falls_off_the_front_and_an_unlucky_one_comes_back() -> None:
    trials = trained((10, 0.60), (20, 0.75), (30, 0.71), (40, 0.80))
    assert [trial.number for trial in pareto_front(known(trials, [], val_images=10**6))] == [0, 1, 3]
    repeats = [*further(0, 0.61, 0.62), *further(1, 0.58, 0.59), *further(2, 0.75, 0.76), *further(3, 0.81, 0.79)]
    study = known(trials, repeats)
    front = front_with_noise(study)
    assert [point.trial.number for point in front.points] == [0, 1, 2, 3]
    assert [point.mean_accuracy for point in front.points] == pytest.approx([0.61, 0.64, 0.74, 0.80])
    assert [point.seeds for point in front.points] == [3] * 4
    assert [point.std_accuracy for point in front.points] == pytest.approx([0.01, 0.0953939, 0.0264575, 0.01], abs=1e-6)
    assert front.noise.further == 8 and str(front.noise).endswith("(pooled from 8 further trainings).")
    assert 0.02 < front.noise.std < 0.05
    fallen = known(trials, [*further(1, 0.50, 0.52), *further(0, 0.62, 0.63)], val_images=10**6)
    front = front_with_noise(fallen)
    assert [point.trial.number for point in front.points] == [0, 2, 3]
    assert [point.trial.number for point in front.others] == [1]
    assert front.others[0].mean_accuracy == pytest.approx(0.59)
    assert choose_trial(fallen, max_flops=29).number == 0  # not the lucky one
    assert choose_trial(known(trials, []), max_flops=29).number == 1


def test_the_luckiest_of_many_equal_networks_is_expected_to_be_like_the_others() -> None:
    random = np.random.default_rng(0)
    trials = trained(*((10 + i, float(accuracy)) for i, accuracy in enumerate(random.normal(0.7, 0.02, 60))))
    front = front_with_noise(known(trials, []))
    best = max((*front.points, *front.others), key=lambda point: point.mean_accuracy)
    assert best.mean_accuracy > 0.735 and best.shrunk_accuracy == pytest.approx(0.7, abs=0.012)
    assert front.points[-1].front_probability < 0.5
    assert front.noise.assumed and "assumed" in str(front.noise)


def test_what_two_means_differ_by_beyond_noise_is_no_neighbour() -> None:
    trials = trained((10, 0.60), (20, 0.90), (30, 0.89), (30, 0.885), (40, 0.20), (50, 0.95))
    front = front_with_noise(known(trials, []))
    assert [point.trial.number for point in front.points] == [0, 1, 5]
    assert [point.trial.number for point in front.others] == [2, 3, 4]
    assert [point.trial.number for point in front.contenders] == [2, 3]
    assert [point.within_noise_of for point in front.others] == [1, 1, None]
    assert front.points[1].within_noise_of is None
    assert {point.std_accuracy for point in (*front.points, *front.others)} == {None}


@st.composite
def studies(draw: st.DrawFn) -> Study:
    trials = draw(trial_lists())
    numbers = [trial.number for trial in trials if trial.state == "trained"]
    further = draw(st.sets(st.tuples(st.sampled_from(numbers), st.integers(1, 3)), max_size=10)) if numbers else set()
    accuracies = st.one_of(st.none(), st.integers(1, 9).map(lambda right: right / 10))
    return known(trials, [Repeat(*key, "trained", accuracy=draw(accuracies)) for key in sorted(further)])


@settings(max_examples=scaled(30, 300))
@given(studies())
def test_raw_means_stand_beside_the_accuracies_that_the_front_goes_by(study: Study) -> None:
    front = front_with_noise(study)
    assert [point.trial for point in front.points] == pareto_front(study)
    means = {trial: float(np.mean(values)) for trial, values in over_seeds(study.trials(), study.repeats()).items()}
    everyone = (*front.points, *front.others)
    assert {point.trial: point.mean_accuracy for point in everyone} == means
    accuracies = [point.shrunk_accuracy for point in front.points]
    assert accuracies == sorted(set(accuracies))  # rising
    for point in front.others:
        rivals = [p for p in front.points if p.trial.flops <= point.trial.flops]
        assert max(p.shrunk_accuracy for p in rivals) >= point.shrunk_accuracy
    for before, point in zip((None, *front.points), front.points, strict=False):
        assert point.within_noise_of in (None, before and before.trial.number)
    assert all(point.front_probability >= WORTH_REPEATING for point in front.contenders)


def test_points_as_a_table_have_plain_columns() -> None:
    trials = trained((10, 0.60), (20, 0.61))
    front = front_with_noise(known(trials, further(1, 0.62)))
    frame = points_frame(front.points)
    facts = [name for name in FrontPoint.__dataclass_fields__ if name != "trial"]
    assert frame.columns.tolist() == [*records_frame(trials).columns, *facts]
    assert frame.seeds.tolist() == [1, 2] and frame.accuracy.tolist() == [0.60, 0.61]
    assert frame.mean_accuracy.tolist() == pytest.approx([0.60, 0.615])
    assert frame.within_noise_of.dtype == "Int64" and frame.within_noise_of[1] == 0
    assert points_frame([]).columns.tolist() == frame.columns.tolist()
    assert asdict(front.points[1])["std_accuracy"] == pytest.approx(0.01 / 2**0.5)
