"""A trial as the command line names it: STUDY#N, or a study and an option."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from nas.cli.options import parsed
from nas.errors import ConfigError

if TYPE_CHECKING:
    from nas.records import TrialRecord
    from nas.search.study import Study


@contextmanager
def named_trial(text: str, storage: str | None) -> Iterator[tuple[Study, TrialRecord]]:
    """Open the study that ``STUDY#N`` names, and give it and the trial."""
    study, _, number = text.rpartition("#")
    if not number.isdecimal():
        raise ConfigError(f"{text}: write STUDY#N with the number of a trial, for example digits#3")
    with chosen_trial(study, storage, number=int(number)) as opened:
        yield opened


@contextmanager
def chosen_trial(
    study: str,
    storage: str | None,
    *,
    number: int | None = None,
    max_flops: str | None = None,
    knee: bool = False,
) -> Iterator[tuple[Study, TrialRecord]]:
    """Open a study and give it and the trial of a number, the best within a limit on the FLOPs, or the knee."""
    from nas.export.bundle import choose_trial
    from nas.search.opening import open_study
    from nas.units import parse_count

    limit = None if max_flops is None else parsed("--max-flops", max_flops, parse_count)
    with open_study(study, storage=storage) as opened:
        yield opened, choose_trial(opened, number=number, max_flops=limit, knee=knee)
