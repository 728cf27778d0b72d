"""nas dashboard: a study in optuna-dashboard."""

from __future__ import annotations

from typing import Annotated

import typer

from nas.cli.options import Storage, StudyArgument
from nas.cli.output import say

_SECONDS = 5.0
"""Between two looks at the database."""


def dashboard(
    study: StudyArgument,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port on this machine's loopback address; 0 for a free one.")
    ] = 8080,
    storage: Storage = None,
) -> None:
    """Show a study in optuna-dashboard.

    It shows a copy that follows the study while it is searched. The study itself is only read.
    """
    from contextlib import suppress

    from nas.dashboard.serve import dashboard as served
    from nas.dashboard.serve import require_dashboard
    from nas.search.opening import open_study

    require_dashboard()
    with (
        open_study(study, storage=storage) as opened,
        served(opened, port=port) as serving,
        suppress(KeyboardInterrupt),
    ):
        say(f"{opened.name}: {serving.url}  (a copy, which follows the study; Ctrl-C ends it)")
        serving.follow(seconds=_SECONDS, note=lambda line: say(line, err=True))
