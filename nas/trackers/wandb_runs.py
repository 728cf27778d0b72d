"""Weights & Biases: a run for each training, in a group for the study."""

from __future__ import annotations

import os
import re
from typing import Any

from nas.trackers.entries import Entry, Front

os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # to those who make wandb, which nobody asked for


class Wandb:
    """Writes runs whose identity is made of study and trial, so that one that paused goes on in its run."""

    def __init__(self, project: str, study: str) -> None:
        """Load the library; where it writes to, its own environment variables say."""
        import wandb

        self._library, self._project, self._study = wandb, project, study

    def training(self, entry: Entry) -> None:
        """Write a training as a run."""
        run = self._begin(entry.name, dict(entry.settings))
        for point in entry.new(resumed=bool(run.resumed)):
            run.log({key: value for key, value in point.items() if key != "epoch"}, step=int(point["epoch"]))
        run.summary.update(dict(entry.outcome))
        run.finish(exit_code=int(entry.failed))

    def front(self, front: Front) -> None:
        """Write the front as a table of a run of its own."""
        run = self._begin("front", {})
        columns = list(front.rows[0]) if front.rows else []
        rows = [[row[column] for column in columns] for row in front.rows]
        run.log({"front": self._library.Table(columns=columns, data=rows)})
        run.summary.update({f"trials {state}": count for state, count in front.counts.items()})
        run.finish()

    def close(self) -> None:
        """Do nothing: every run was finished."""

    def _begin(self, name: str, settings: dict[str, Any]) -> Any:
        """Open a run. Of the machine and its code nothing is sent: that is the user's to ask for."""
        alone = self._library.Settings(
            console="off",
            silent=True,
            disable_git=True,
            disable_code=True,
            save_code=False,
            x_disable_stats=True,
            x_disable_machine_info=True,
            x_save_requirements=False,
        )
        return self._library.init(
            project=self._project,
            group=self._study,
            id=identity(self._study, name),
            name=f"{self._study} {name}",
            config=settings,
            resume="allow",
            settings=alone,
        )


def identity(study: str, name: str) -> str:
    """Return a run's identity, of characters that are allowed in one."""
    return re.sub(r"[^\w-]", "-", f"{study}-{name}", flags=re.ASCII)
