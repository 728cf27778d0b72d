"""Claim: ``import nas`` takes less than 0.3 s, and ``nas --help`` less than 0.5 s from start to end.

Each run is a process of its own. The time of ``import nas`` is that of ``python -c "import nas"`` less that of
``python -c pass``; the time of ``nas --help`` is the whole process. ``nas`` is the script beside this Python.
"""

from __future__ import annotations

import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

RUNS = 11
IMPORT_CLAIM = 0.3
HELP_CLAIM = 0.5


def main() -> int:
    """Time the three commands, print the figures, return the exit code."""
    script = shutil.which("nas", path=Path(sys.executable).parent)
    if script is None:
        print(f"FAIL: there is no nas beside {sys.executable}; install the project first")
        return 1
    bare, imported, helped = median_seconds(
        [[sys.executable, "-c", "pass"], [sys.executable, "-c", "import nas"], [script, "--help"]]
    )
    print(f"Medians of {RUNS} runs")
    print(f"  python -c pass          {bare:6.3f} s")
    print(f"  python -c 'import nas'  {imported:6.3f} s")
    print(f"  nas --help              {helped:6.3f} s")
    claims = [("import nas", imported - bare, IMPORT_CLAIM), ("nas --help", helped, HELP_CLAIM)]
    for name, seconds, limit in claims:
        print(f"{'PASS' if seconds < limit else 'FAIL'}: {name} takes {seconds:.3f} s, less than {limit} s claimed")
    return 0 if all(seconds < limit for _, seconds, limit in claims) else 1


def median_seconds(commands: list[list[str]]) -> list[float]:
    """Return the median wall time of each command; they take turns, so that a busy moment meets all of them."""
    seconds: list[list[float]] = [[] for _ in commands]
    # an empty folder, lest ``import nas`` find the sources in the working directory and not what is installed
    with tempfile.TemporaryDirectory() as folder:
        for run in range(RUNS + 1):
            for command, times in zip(commands, seconds, strict=True):
                start = time.perf_counter()
                subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
                # the first turn fills the disk's cache and writes byte code
                if run > 0:
                    times.append(time.perf_counter() - start)
    return [statistics.median(times) for times in seconds]


if __name__ == "__main__":
    sys.exit(main())
