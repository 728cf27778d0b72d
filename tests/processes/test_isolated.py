"""What runs in a process of its own: its answer comes back, its failure in one line, and it never stays behind."""

# nothing large is imported here: each process imports this file anew

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from nas.errors import MeasurementError
from nas.processes.isolated import in_own_process


def fail() -> None:
    raise ValueError("line one\nline two")


def fail_without_a_word() -> None:
    raise MemoryError


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_result_comes_back_from_another_process() -> None:
    assert in_own_process(os.getpid) != os.getpid()
    assert in_own_process(divmod, 7, 3) == (2, 1)


def test_a_process_that_fails_or_dies_is_an_error_in_one_line() -> None:
    with pytest.raises(MeasurementError, match=r"^ValueError: line one$"):
        in_own_process(fail)
    with pytest.raises(MeasurementError, match="^MemoryError$"):
        in_own_process(fail_without_a_word)
    with pytest.raises(MeasurementError, match="the measuring process ended with exit code -9"):
        in_own_process(die)


UNGUARDED = """
import os
from nas.errors import ConfigError
from nas.processes.isolated import in_own_process

try:
    in_own_process(os.getpid)
except ConfigError as error:
    print(error)
"""


def test_a_script_that_measures_without_a_guard_is_told_so() -> None:
    Path("unguarded.py").write_text(UNGUARDED)
    done = subprocess.run([sys.executable, "unguarded.py"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith('a script must measure under if __name__ == "__main__":')
    assert done.stderr == ""


PARENT = """
import os, time
from pathlib import Path
from nas.processes.isolated import in_own_process

def work():
    Path("partial").write_text(str(os.getpid()))
    os.replace("partial", "working")
    time.sleep(600)

if __name__ == "__main__":
    in_own_process(work)
"""


def test_a_measuring_process_ends_with_its_parent() -> None:
    Path("parent.py").write_text(PARENT)
    parent = subprocess.Popen([sys.executable, "parent.py"])
    wait_until(lambda: Path("working").exists() or parent.poll() is not None)
    child = psutil.Process(int(Path("working").read_text()))
    assert not ended(child)
    parent.kill()
    parent.wait()
    wait_until(lambda: ended(child))


def ended(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):
        return process.status() == psutil.STATUS_ZOMBIE  # until whoever adopted it has noticed
    return True


def wait_until(happened: Callable[[], bool]) -> None:
    """Wait for an event as ``conftest.wait_until`` does, which each process would load torch for."""
    deadline = time.monotonic() + 120
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.02)
