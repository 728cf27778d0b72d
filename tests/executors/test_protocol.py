"""What is told to a hand and what it tells back survives the way through JSON."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from nas.executors.task import (
    ENDS,
    Died,
    Ended,
    EpochDone,
    Failed,
    Measured,
    Stopped,
    Task,
    Told,
    asks,
    task_from_json,
    task_to_json,
    told_from_json,
    told_to_json,
)
from nas.models.backends import Latency
from nas.records import Epoch
from nas.training.recipe import Recipe

FIGURES = st.floats(allow_nan=False)  # which equals nothing
EPOCHS = st.builds(Epoch, st.integers(1), *[FIGURES] * 5)
KINDS = {
    Measured: st.builds(Measured, st.text(), st.builds(Latency, median_ms=FIGURES, p10_ms=FIGURES, p90_ms=FIGURES)),
    EpochDone: st.builds(EpochDone, st.text(), EPOCHS, st.booleans()),
    Ended: st.builds(
        Ended,
        key=st.text(),
        paused=st.booleans(),
        curve=st.lists(EPOCHS).map(tuple),
        train_seconds=FIGURES,
        data_share=FIGURES,
        answers=arrays(np.int64, st.integers(0, 9), elements=st.integers(0, 65535)),
    ),
    Stopped: st.builds(Stopped, st.text()),
    Failed: st.builds(Failed),
    Died: st.builds(Died),
}


def sent(document: dict[str, Any]) -> Any:
    """Return what arrives: one line."""
    line = json.dumps(document)
    assert "\n" not in line
    return json.loads(line)


@given(st.builds(Task, recipe=st.sampled_from([Recipe(epochs=3).model_dump(mode="json"), {}])))
def test_a_task_arrives_as_it_was_sent(task: Task) -> None:
    assert task_from_json(sent(task_to_json(task))) == task


@given(st.one_of(*KINDS.values()))
def test_all_that_is_told_arrives(told: Told) -> None:
    arrived = told_from_json(sent(told_to_json(told)))
    assert arrived == told and type(arrived) is type(told)
    if isinstance(told, Ended):
        assert isinstance(arrived, Ended) and arrived.answers.dtype == np.int64
        assert np.array_equal(arrived.answers, told.answers)


def test_every_kind_is_drawn_and_only_two_ask() -> None:
    assert set(KINDS) == set(Told.__args__)  # type: ignore[attr-defined]
    assert set(ENDS) == set(KINDS) - {Measured, EpochDone}
    epoch = EpochDone("k", Epoch(1, 1.0, 1.0, 1.0, 1.0, 1.0))
    assert [asks(epoch), asks(replace(epoch, asks=True)), asks(Stopped("k"))] == [False, True, False]


@pytest.mark.parametrize("kind", [Task, *KINDS])
def test_every_told_value_has_the_key_of_its_task(kind: type) -> None:
    assert {field.name: field.type for field in fields(kind)}["key"] == "str"
