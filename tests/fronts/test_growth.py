"""What a search has gained for its compute, and the rule that ends it: pure functions over plain values."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna._hypervolume import compute_hypervolume

from nas.fronts import growth
from nas.fronts.growth import (
    IDLE_PROPOSALS,
    Ended,
    Growth,
    ended_trainings,
    front_history,
    idle,
    recent_growth,
)
from nas.records import TrialRecord

RECORD = TrialRecord(0, "s", 1.0, 1.0, 8, "d", 1, 1, 1)


@st.composite
def searches(draw: st.DrawFn, *, smallest: int = 0) -> list[Ended]:
    accuracies = st.one_of(st.none(), *[st.integers(0, 50).map(lambda right: right / 50)] * 3)
    entries = st.tuples(st.integers(1, 10**6), st.integers(1, 9), accuracies)
    drawn = draw(st.lists(entries, min_size=smallest, max_size=40))
    return [Ended(i, flops, epochs, 1.5, accuracy) for i, (flops, epochs, accuracy) in enumerate(drawn)]


def points(ended: Sequence[Ended]) -> np.ndarray:
    done = [(math.log(t.flops), 1 - t.accuracy) for t in ended if t.accuracy is not None]
    return np.array(done).reshape(-1, 2)


def front(ended: Sequence[Ended]) -> np.ndarray:
    every = points(ended)
    return np.array([p for p in every if not ((every <= p).all(axis=1) & (every < p).any(axis=1)).any()]).reshape(-1, 2)


def worth(some: Sequence[Ended], whole: Sequence[Ended]) -> float:
    """Return the hypervolume by Optuna's function, with the reference that the module describes."""
    members = front(whole)
    extent = np.ptp(members, axis=0)
    reference = members.max(axis=0) + np.where(extent > 0, 0.1 * extent, 1.0)
    inside = points(some)[(points(some) < reference).all(axis=1)]
    return float(compute_hypervolume(inside, reference)) if len(inside) else 0.0


@given(searches())
def test_the_history_is_the_share_of_optunas_hypervolume(ended: list[Ended]) -> None:
    moments = front_history(ended)
    assert [moment.number for moment in moments] == [t.number for t in ended if t.accuracy is not None]
    for moment in moments:
        so_far = ended[: moment.number + 1]
        assert moment.hypervolume == pytest.approx(worth(so_far, ended) / worth(ended, ended), abs=1e-9)
        assert moment.compute == sum(t.epochs * t.flops for t in so_far)
        assert moment.seconds == pytest.approx(1.5 * len(so_far))


@given(searches())
def test_a_front_never_loses_and_ends_at_all_it_is_worth(ended: list[Ended]) -> None:
    shares = [moment.hypervolume for moment in front_history(ended)]
    assert shares == sorted(shares)
    assert all(0 <= share <= 1 for share in shares)
    assert not shares or shares[-1] == 1


@given(searches(smallest=1), st.integers(0, 39), st.integers(1, 10**6), st.integers(0, 50))
def test_networks_that_others_beat_change_nothing(ended: list[Ended], place: int, dearer: int, worse: int) -> None:
    trained = [t for t in ended if t.accuracy is not None]
    if not trained:
        return
    first = trained[0]
    at = max(ended.index(first) + 1, min(place, len(ended)))
    beaten = Ended(99, first.flops + dearer, 1, 1.0, max(0.0, (first.accuracy or 0) - worse / 50))
    before = {moment.number: moment.hypervolume for moment in front_history(ended)}
    after = {moment.number: moment.hypervolume for moment in front_history([*ended[:at], beaten, *ended[at:]])}
    del after[99]
    assert after == pytest.approx(before)


@given(searches(smallest=12), st.integers(0, 5), st.floats(0, 0.5))
def test_what_the_last_part_added(ended: list[Ended], startup: int, noise: float) -> None:
    growth = recent_growth(ended, startup_trials=startup)
    if growth is None:
        return
    start = len(ended) - growth.networks
    assert growth.gain == pytest.approx(1 - worth(ended[:start], ended) / worth(ended, ended), abs=1e-9)
    less = recent_growth(ended, startup_trials=startup, noise=noise)
    assert less is not None and -1e-12 <= less.gain <= growth.gain + 1e-12
    assert replace(less, gain=0.0) == replace(growth, gain=0.0)


def is_long_enough(part: Sequence[Ended], ended: Sequence[Ended]) -> bool:
    third = 3 * sum(t.compute for t in part) >= sum(t.compute for t in ended)
    return third and len(part) >= 10 and sum(t.accuracy is not None for t in part) >= 5


@given(searches(smallest=12), st.integers(0, 12))
def test_the_last_part_is_as_short_as_the_rule_allows_and_leaves_the_startup_out(
    ended: list[Ended], startup: int
) -> None:
    parts = [ended[start:] for start in range(len(ended)) if is_long_enough(ended[start:], ended)]
    growth = recent_growth(ended, startup_trials=startup)
    if not parts or len(ended) - len(parts[-1]) < max(1, startup):
        assert growth is None
        return
    assert growth is not None
    assert (growth.networks, growth.of) == (len(parts[-1]), len(ended))
    assert growth.compute == pytest.approx(sum(t.compute for t in parts[-1]) / sum(t.compute for t in ended))


def plain(accuracies: Sequence[float], *, flops: Sequence[int] | None = None) -> list[Ended]:
    costs = flops or [1000 * (1 + index % 5) for index in range(len(accuracies))]
    return [Ended(i, cost, 2, 1.0, a) for i, (cost, a) in enumerate(zip(costs, accuracies, strict=True))]


def test_a_search_that_finds_nothing_better_is_stagnant_and_one_that_does_is_not() -> None:
    good = [0.5 + 0.02 * (index % 5) for index in range(10)]
    worse = plain([*good, *[0.4] * 10])
    assert recent_growth(worse[:-1], startup_trials=10) is None
    growth = recent_growth(worse, startup_trials=10)
    assert growth is not None and growth.stagnant and growth.gain == 0
    assert str(growth).endswith("(10 of 20 networks) added 0.0 % of the hypervolume, not counting noise")
    better = recent_growth(plain([*good, *[0.4] * 9, 0.9]), startup_trials=10)
    assert better is not None and not better.stagnant


def test_what_luck_may_have_done_is_no_growth() -> None:
    lucky = plain(
        [*[0.5 + 0.02 * (index % 5) for index in range(10)], *[0.51 + 0.02 * (index % 5) for index in range(10)]]
    )
    by_luck = recent_growth(lucky, startup_trials=10, noise=0.02)
    assert by_luck is not None and by_luck.gain == 0
    for_certain = recent_growth(lucky, startup_trials=10, noise=0.001)
    assert for_certain is not None and for_certain.gain > 0.05
    cheaper = plain([0.5] * 10 + [0.5] * 10, flops=[1000] * 19 + [500])  # no luck makes a network cheaper
    found = recent_growth(cheaper, startup_trials=10, noise=0.02)
    assert found is not None and found.gain > 0.05


def test_a_gain_of_no_more_than_the_noise_is_luck() -> None:
    search = plain([0.5] * 10 + [0.75] * 10)
    assert recent_growth(search, startup_trials=10, noise=0.25).gain == 0
    assert recent_growth(search, startup_trials=10, noise=0.24).gain > 0.1


def test_the_last_part_is_a_third_of_the_compute_to_the_unit() -> None:
    growth = recent_growth(plain([0.5] * 30, flops=[1000] * 30), startup_trials=20)
    assert growth is not None and growth.networks == 10
    assert recent_growth(plain([0.5] * 30, flops=[1000] * 30), startup_trials=21) is None


@pytest.mark.parametrize(("count", "startup", "told"), [(10, 0, False), (11, 0, True), (11, 1, True), (11, 2, False)])
def test_something_lies_before_the_last_part(count: int, startup: int, told: bool) -> None:
    assert (recent_growth(plain([0.5] * count), startup_trials=startup) is not None) == told


def test_a_growth_is_written_in_per_cent() -> None:
    written = "the last 90 % of the compute (7 of 8 networks) added 50.0 % of the hypervolume, not counting noise"
    assert str(Growth(7, 8, 0.9, 0.5)) == written


def test_a_growth_at_the_bound_goes_on() -> None:
    growth = recent_growth(plain([0.5] * 20), startup_trials=10)
    assert growth is not None
    assert replace(growth, gain=0.0099).stagnant and not replace(growth, gain=0.01).stagnant


def test_proposals_that_train_nothing_end_a_search() -> None:
    untrained = ["infeasible", "repeated"] * (IDLE_PROPOSALS // 2)
    assert idle(["trained", *untrained])
    assert not idle(untrained[1:])
    assert not idle([*untrained, "running"])
    assert not idle([untrained[0], "stopped", *untrained[2:]])


def test_trainings_stand_in_the_order_of_their_ends_and_each_epoch_counts_once() -> None:
    def record(number: int, state: str, digest: str = "", accuracy: float | None = None) -> TrialRecord:
        return replace(RECORD, number=number, state=state, digest=digest or f"{number}", accuracy=accuracy, flops=100)

    trials = [
        record(0, "trained", accuracy=0.9),  # paused, and went on to its end after all others
        record(1, "interrupted", "same"),
        record(2, "trained", "same", accuracy=0.8),
        record(3, "stopped", accuracy=0.3),
        record(4, "diverged"),
        record(5, "infeasible"),
        record(6, "running"),
        record(7, "repeated", "same", accuracy=0.8),
        record(8, "interrupted", "alone"),
        record(9, "trained", "twins", accuracy=0.7),  # by two workers at the same moment
        record(10, "trained", "twins", accuracy=0.7),
    ]
    spent = {
        0: (9, 9.0),
        1: (2, 2.0),
        2: (9, 9.0),
        3: (1, 1.0),
        4: (4, 4.0),
        6: (3, 3.0),
        8: (5, 5.0),
        9: (9, 9.0),
        10: (9, 9.0),
    }
    began = datetime(2026, 1, 1)
    ends = {number: began + timedelta(hours=number) for number in (1, 2, 3, 4, 5, 7, 8, 9, 10)} | {
        0: began + timedelta(9)
    }
    ended = ended_trainings(trials, spent, ends)
    assert [(t.number, t.epochs, t.accuracy) for t in ended] == [
        (2, 9, 0.8),
        (3, 1, None),
        (4, 4, None),
        (8, 5, None),
        (9, 9, 0.7),
        (10, 9, 0.7),
        (0, 9, 0.9),
    ]
    assert ended[0].compute == 900 and ended[0].seconds == 9.0


@given(
    st.lists(st.tuples(st.integers(1, 6), st.sampled_from((None, 0.1, 0.3, 0.5, 0.7, 0.9))), min_size=1, max_size=30)
)
def test_the_history_is_that_of_measuring_the_front_anew_with_each_training(points: list[tuple[int, Any]]) -> None:
    ended = [Ended(number, flops, 1, 1.0, accuracy) for number, (flops, accuracy) in enumerate(points)]
    plane = growth._Plane(ended)
    moments = {moment.number: moment.hypervolume for moment in front_history(ended)}
    whole = plane.hypervolume(len(ended))
    assert moments == {
        number: plane.hypervolume(number + 1) / whole
        for number, (_, accuracy) in enumerate(points)
        if accuracy is not None
    }


@given(st.lists(st.tuples(st.integers(1, 5), st.sampled_from((None, 0.1, 0.3, 0.5, 0.9))), min_size=2, max_size=20))
def test_the_gain_counts_who_beats_all_that_were_no_dearer(points: list[tuple[int, Any]]) -> None:
    points.append((3, 0.6))
    ended = [Ended(number, flops, 1, 1.0, accuracy) for number, (flops, accuracy) in enumerate(points)]
    start, noise = len(ended) // 2, 0.15
    plane = growth._Plane(ended)
    errors = [math.inf if accuracy is None else 1 - accuracy for _, accuracy in points]
    best = [
        min([e for (f, _), e in zip(points[:start], errors[:start], strict=True) if f <= flops], default=math.inf)
        for flops, _ in points
    ]
    counted = np.array([index < start or errors[index] + noise < best[index] for index in range(len(points))])
    early = np.arange(len(points)) < start
    expected = (plane._hypervolume(counted) - plane._hypervolume(early)) / plane.hypervolume(len(points))
    assert plane.gain(start, noise=noise) == expected
