"""Which process works on something, and whether it is still there."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

import psutil


def this_host() -> str:
    """Return the name of this machine."""
    return socket.gethostname()


def process_identity() -> str:
    """Return host, process and its start, which no later process shares."""
    return f"{this_host()}/{os.getpid()}/{_start_of(os.getpid())}"


def host_of(identity: str) -> str:
    """Return the machine of a process."""
    return identity.partition("/")[0]


def name_of(identity: str) -> str:
    """Return a process as people read it."""
    host, _, rest = identity.partition("/")
    return f"process {rest.partition('/')[0]} on {host}"


def process_is_gone(identity: str) -> bool:
    """Tell whether a process was one of this machine and is no more."""
    if host_of(identity) != this_host():
        return False
    process, _, started = identity.partition("/")[2].partition("/")
    try:
        return psutil.Process(int(process)).status() == psutil.STATUS_ZOMBIE or _start_of(int(process)) != started
    except (psutil.NoSuchProcess, FileNotFoundError, ProcessLookupError):
        return True


def _start_of(process: int) -> str:
    """Return when a process began; where the system tells, in ticks that no step of its clock changes."""
    if sys.platform == "linux":
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[19]
    return f"{psutil.Process(process).create_time():.0f}"
