"""Which process works on something, and whether it is still there."""

from __future__ import annotations

import os
import socket

import psutil


def this_host() -> str:
    """Return the name of this machine."""
    return socket.gethostname()


def process_identity() -> str:
    """Return host, process and its start, which no later process shares."""
    return f"{this_host()}/{os.getpid()}/{psutil.Process().create_time():.0f}"


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
        found = psutil.Process(int(process))
        return bool(found.status() == psutil.STATUS_ZOMBIE or f"{found.create_time():.0f}" != started)
    except psutil.NoSuchProcess:
        return True
