"""trackio: a run for each training, in a group for the study; where it writes to, its own variables say."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from nas.trackers.entries import Entry, Front
from nas.trackers.wandb_runs import identity


class Trackio:
    """Writes runs whose name is made of study and trial, so that one that paused goes on in its run."""

    def __init__(self, project: str, study: str) -> None:
        """Find out which runs there are."""
        import trackio

        self._library, self._project, self._study = trackio, project, study
        self._known = set[str]()
        with suppress(ValueError):  # there is no such project yet, or it is not on this machine
            self._known = {run.name for run in trackio.Api().runs(project)}

    def training(self, entry: Entry) -> None:
        """Write a training as a run; its outcome stands beside the last epoch, for there is no summary."""
        name = identity(self._study, entry.name)
        resumed = name in self._known
        run = self._begin(name, {**entry.settings, **entry.outcome})
        points = entry.new(resumed=resumed)
        for point in points:
            run.log({key: value for key, value in point.items() if key != "epoch"}, step=int(point["epoch"]))
        if not points and not resumed:
            run.log(dict(entry.outcome), step=0)
        run.finish()

    def front(self, front: Front) -> None:
        """Write the front as a table of a run of its own, and the number of trials by state."""
        import pandas

        run = self._begin(identity(self._study, "front"), {})
        counts = {f"trials {state}": count for state, count in front.counts.items()}
        run.log({"front": self._library.Table(dataframe=pandas.DataFrame(list(front.rows))), **counts})
        run.finish()

    def close(self) -> None:
        """Do nothing: every run was finished."""

    def _begin(self, name: str, settings: dict[str, Any]) -> Any:
        """Open a run, without figures of the machine, which are the user's to ask for."""
        self._known.add(name)
        return self._library.init(
            self._project,
            name=name,
            group=self._study,
            config=settings,
            resume="allow",
            embed=False,
            auto_log_gpu=False,
            auto_log_cpu=False,
        )
