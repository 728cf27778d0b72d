"""The process in which a tracker's library runs: ``python -m nas.trackers.sender KIND PROJECT STUDY``.

It reads one entry a line from standard input. It says one line, why it failed, and then only reads on.
"""

from __future__ import annotations

import json
import os
import signal
import sys

from nas.processes.isolated import first_line
from nas.trackers.entries import Entry, entry_from_json
from nas.trackers.kinds import Wanted, make_tracker


def main() -> None:
    """Write what comes until there is no more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the search tells when it is over
    kind, project, study = sys.argv[1:]
    answers = os.fdopen(os.dup(1), "w")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for descriptor in (1, 2):  # the libraries print, on a terminal that shows the search
        os.dup2(nowhere, descriptor)
    try:
        _write_all(Wanted(kind, project), study)
    except Exception as error:
        answers.write(" ".join(first_line(error).split()) + "\n")
        answers.flush()
        for _ in sys.stdin.buffer:
            pass


def _write_all(chosen: Wanted, study: str) -> None:
    tracker = make_tracker(chosen, study=study)
    for line in sys.stdin.buffer:
        entry = entry_from_json(json.loads(line))
        if isinstance(entry, Entry):
            tracker.training(entry)
        else:
            tracker.front(entry)
    tracker.close()


if __name__ == "__main__":
    main()
