"""How many threads of the CPU torch and NumPy compute with."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from threadpoolctl import threadpool_limits


@contextmanager
def cpu_threads(count: int) -> Iterator[None]:
    """Let torch compute with so many threads of the CPU, and with as many as before afterwards."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def blas_threads(count: int) -> Iterator[None]:
    """Let NumPy multiply matrices with so many threads; for small ones more than one only wait for each other."""
    with threadpool_limits(limits=count, user_api="blas"):
        yield
