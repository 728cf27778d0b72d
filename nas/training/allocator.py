"""Keep the memory of one training step for the next.

glibc gives the memory of large feature maps back to the system after each use, and the system fills it with zeros page
by page before the next: up to a third of a step's time on a CPU. Here it stays with the process until training ends.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of malloc.h
_LARGE = 2**30


@contextmanager
def kept_memory() -> Iterator[None]:
    """Keep freed memory within the process, and give it back at the end; without glibc nothing happens.

    The thresholds stay: glibc does not tell what they were, and adapts them no more once they are set.
    """
    try:
        libc = ctypes.CDLL("libc.so.6")
        set_option, trim = libc.mallopt, libc.malloc_trim
    except (OSError, AttributeError):  # another system, or another C library
        yield
        return
    # earlier versions of glibc refuse more than 32 MiB; the other threshold alone would make matters worse
    if set_option(_M_MMAP_THRESHOLD, _LARGE) or set_option(_M_MMAP_THRESHOLD, 2**25):
        set_option(_M_TRIM_THRESHOLD, 2 * _LARGE - 1)
    try:
        yield
    finally:
        trim(0)
