"""Which process works on something, and whether it is still there."""

from __future__ import annotations

import os
import socket

import psutil


def process_identity() -> str:
    """Return host, process and its start, which no later process shares."""
    return f"{socket.gethostname()}/{os.getpid()}/{psutil.Process().create_time():.0f}"


def process_is_gone(identity: str) -> bool:
    """Tell whether a process was one of this machine and is no more."""
    host, _, rest = identity.partition("/")
    if host != socket.gethostname():
        return False
    process, _, started = rest.partition("/")
    try:
        return bool(f"{psutil.Process(int(process)).create_time():.0f}" != started)
    except psutil.NoSuchProcess:
        return True
