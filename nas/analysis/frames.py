"""Trials, learning curves and fronts as tables of pandas, for those who want to go on from there.

Shares and accuracies are numbers of 0 to 1, times are seconds, sizes are counts; a figure that there is not is NaN (or
``<NA>`` in a column of whole numbers). ``docs/fronts.md`` lists all columns.
"""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Iterable
from operator import attrgetter
from typing import TYPE_CHECKING

from nas.analysis.pareto import FrontPoint, front_with_noise
from nas.architecture.space import DIMENSIONS
from nas.records import Epoch, TrialRecord
from nas.search.study import Study

if TYPE_CHECKING:
    import pandas as pd  # loads in a third of a second, when a table is made

_COLUMNS = tuple(field.name for field in dataclasses.fields(TrialRecord) if field.name != "choices")
_FACTS = tuple(field.name for field in dataclasses.fields(FrontPoint) if field.name != "trial")
_EPOCHS = tuple(field.name for field in dataclasses.fields(Epoch))
_WHOLE = ("seed", "repeat_of", "micro_batch", "epochs", "within_noise_of", "kernel", "expansion", "cardinality")
"""Columns of whole numbers, some of which may be missing."""


def trials_frame(study: Study) -> pd.DataFrame:
    """Return all trials of a study as a table, one row each, in the order of their numbers.

    Columns: ``number``, ``space``, ``width``, ``depth``, ``resolution`` (pixels), ``digest``, ``flops`` (of one image;
    one multiply-add is one), ``params``, ``activations`` (elements), ``state``, ``seed``, ``device``, ``accuracy`` (on
    the validation images after the last epoch, 0 to 1), ``train_seconds``, ``repeat_of``, ``error``, ``micro_batch``
    (images), ``data_share`` (0 to 1), ``epochs``; then one for each further dimension that the study searches, such as
    ``kernel``. ``TrialRecord`` says what each means.

    Args:
        study: A study that has been run.
    """
    return records_frame(study.trials())


def curves_frame(study: Study) -> pd.DataFrame:
    """Return all learning curves of a study as a table, one row for each epoch of each training.

    Columns: ``number`` of the trial, ``repeat`` (0 for the trial's own training, from 1 for further seeds), ``epoch``
    (from 1), ``train_loss`` and ``val_loss`` (cross-entropy, in nats), ``train_accuracy`` and ``val_accuracy`` (0 to
    1), ``seconds`` of the epoch, validation included.

    Args:
        study: A study that has been run.
    """
    import pandas as pd

    values = attrgetter(*_EPOCHS)
    rows = [(number, 0, *values(epoch)) for number, curve in study.curves().items() for epoch in curve]
    rows += [(one.number, one.repeat, *values(epoch)) for one in study.repeats() for epoch in one.curve]
    rows.sort(key=lambda row: row[:3])
    return pd.DataFrame(rows, columns=["number", "repeat", *_EPOCHS])


def front_frame(study: Study, *, others: bool = False) -> pd.DataFrame:
    """Return the Pareto front of a study as a table, one row for each network, cheapest first.

    Columns: those of ``trials_frame``, then ``shrunk_accuracy`` (to expect on new images, 0 to 1), ``mean_accuracy``
    (measured, over the seeds), ``std_accuracy`` (over the seeds; NaN for one), ``seeds``, ``standard_error`` (of
    ``shrunk_accuracy``), ``front_probability`` (0 to 1), ``within_noise_of`` (number of a trial) and ``on_front``.
    ``FrontPoint`` says what each means.

    Args:
        study: A study that has been run.
        others: Also the trained networks off the front, after it.
    """
    front = front_with_noise(study)
    frame = points_frame([*front.points, *(front.others if others else ())])
    return frame.assign(on_front=[index < len(front.points) for index in range(len(frame))])


def records_frame(trials: Iterable[TrialRecord]) -> pd.DataFrame:
    """Return trials as a table, with the columns of ``trials_frame``."""
    import pandas as pd

    listed, values = list(trials), attrgetter(*_COLUMNS)
    frame = pd.DataFrame([values(trial) for trial in listed], columns=list(_COLUMNS))
    chosen = [name for name in DIMENSIONS if any(name in trial.choices for trial in listed)]
    for name in chosen:
        frame[name] = [trial.choices.get(name) for trial in listed]
    return _whole(frame)


def points_frame(points: Iterable[FrontPoint]) -> pd.DataFrame:
    """Return points as a table, with the columns of ``front_frame`` but for ``on_front``."""
    import pandas as pd

    listed, values = list(points), attrgetter(*_FACTS)
    facts = pd.DataFrame([values(point) for point in listed], columns=list(_FACTS))
    return pd.concat([records_frame(point.trial for point in listed), _whole(facts)], axis=1)


def to_frame(trials: Iterable[TrialRecord]) -> pd.DataFrame:
    """Return trials as a table; ``nas.trials_frame(study)`` takes its place, and this goes in a later version."""
    warnings.warn("nas.to_frame(trials) will go: use nas.trials_frame(study)", DeprecationWarning, stacklevel=2)
    return records_frame(trials)


def _whole(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.astype({name: "Int64" for name in _WHOLE if name in frame})
