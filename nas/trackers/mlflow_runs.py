"""MLflow: a run for the study, and one within it for each training."""

from __future__ import annotations

import csv
import io
import os
import time
from typing import Any

from nas.trackers.entries import Entry, Front

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # to those who make MLflow, which nobody asked for

STUDY, TRAINING, PARENT = "nas.study", "nas.training", "mlflow.parentRunId"
"""Tags by which runs are found again: the name of the study and, of a training's run, the training's."""


class Mlflow:
    """Writes runs that are found again by their tags, so that a study and a training that paused go on in theirs."""

    def __init__(self, project: str, study: str) -> None:
        """Open the experiment; where it lies, ``MLFLOW_TRACKING_URI`` says."""
        from mlflow import MlflowClient

        self._client, self._study = MlflowClient(), study
        found = self._client.get_experiment_by_name(project)
        self._experiment = self._client.create_experiment(project) if found is None else found.experiment_id
        run = self._find(TRAINING, "study")
        self._parent = self._create("study", study, {}) if run is None else run.info.run_id
        self._client.update_run(self._parent, status="RUNNING")

    def training(self, entry: Entry) -> None:
        """Write a training as a run within the study's."""
        from mlflow.entities import Metric, Param, RunTag

        found = self._find(TRAINING, entry.name)
        run = self._create(entry.name, entry.name, {PARENT: self._parent}) if found is None else found.info.run_id
        now = int(1000 * time.time())
        metrics = [
            Metric(key, float(value), now, int(point["epoch"]))
            for point in entry.new(resumed=found is not None)
            for key, value in point.items()
            if key != "epoch"
        ]
        numbers = {key: value for key, value in entry.outcome.items() if isinstance(value, int | float)}
        last = int(entry.curve[-1]["epoch"]) if entry.curve else 0
        metrics += [Metric(key, float(value), now, last) for key, value in numbers.items()]
        params = [Param(key, str(value)) for key, value in entry.settings.items()] if found is None else []
        tags = [RunTag(f"nas.{key}", str(value)) for key, value in entry.outcome.items() if key not in numbers]
        for first in range(0, max(1, len(metrics)), _AT_ONCE):
            self._client.log_batch(run, metrics=metrics[first : first + _AT_ONCE], params=params, tags=tags)
            params, tags = [], []
        self._client.set_terminated(run, "FAILED" if entry.failed else "FINISHED")

    def front(self, front: Front) -> None:
        """Write the front as a file of the study's run, and the number of trials by state as metrics."""
        text = io.StringIO()
        writer = csv.DictWriter(text, list(front.rows[0]) if front.rows else [])
        writer.writeheader()
        writer.writerows(front.rows)
        self._client.log_text(self._parent, text.getvalue(), "front.csv")
        for state, count in front.counts.items():
            self._client.log_metric(self._parent, f"trials_{state}", count)

    def close(self) -> None:
        """End the study's run, which goes on when the study does."""
        self._client.set_terminated(self._parent, "FINISHED")

    def _find(self, tag: str, value: str) -> Any:
        """Return a run of the study; None where there is none."""
        quoted = [f"tags.`{key}` = '{_quoted(text)}'" for key, text in ((STUDY, self._study), (tag, value))]
        found = self._client.search_runs([self._experiment], " and ".join(quoted), max_results=1)
        return found[0] if found else None

    def _create(self, training: str, name: str, tags: dict[str, str]) -> str:
        tags = {STUDY: self._study, TRAINING: training, **tags}
        run: str = self._client.create_run(self._experiment, run_name=name, tags=tags).info.run_id
        return run


_AT_ONCE = 900
"""Metrics in one request; MLflow takes a thousand of everything."""


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace("'", "\\'")
