"""The boundary around whatever decodes a file of the user's."""

from __future__ import annotations

import logging
import re
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from nas.errors import DataError

_LIBRARIES = ("PIL", "datasets", "huggingface_hub", "fsspec", "filelock")
"""Decoders that say something by ``logging``; Pillow's words, which no handler takes, would go to the terminal."""

_current = threading.local()


@contextmanager
def decoding(source: object, what: str) -> Iterator[None]:
    """Turn whatever a decoder raises into one line that names the file.

    Decoders raise what their parts raise: of broken files, Pillow alone lets through ``struct.error``, ``TypeError``,
    ``AttributeError`` and ``SyntaxError``. A want of memory is no fault of the file and passes.

    Args:
        source: File or image that is read.
        what: Says that it cannot be, for example ``cannot be read as npz``.

    Raises:
        DataError: The decoder raised something.
    """
    outer = getattr(_current, "source", None)
    _current.source = str(source)
    try:
        yield
    except (DataError, MemoryError):
        raise
    except FileNotFoundError:
        raise DataError(f"{source}: no such file") from None
    except Exception as error:
        text = re.sub(r" ?<[^>]* object at 0x[^>]*>", "", str(error))  # the address of what was read
        reason = " ".join(text.split())[:300] or type(error).__name__
        raise DataError(f"{source}: {what} ({reason})") from None
    finally:
        _current.source = outer


class Told:
    """What decoders said of images, each thing once with the number of images that it was said of."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._said: dict[str, set[str]] = {}

    def add(self, text: str) -> None:
        """Keep what is said of the image that this thread decodes; figures and paths in it do not make it another."""
        source = getattr(_current, "source", None) or ""
        kind = re.sub(r"(?<!\w)[\w.~-]*[/\\][^\s'\"]+", "…", " ".join(text.split()))
        kind = re.sub(r"\d+(\.\d+)?", "N", kind).strip()[:150]
        self._said.setdefault(kind, set()).add(source)

    def lines(self) -> list[str]:
        """Return one line for each thing said."""
        lines = []
        for kind, sources in sorted(self._said.items()):
            named = sorted(sources - {""})
            of = f" of {len(named):,} file{'' if len(named) == 1 else 's'}, such as {named[0]}" if named else ""
            lines.append(f"the decoder warns{of}: {kind}")
        return lines


class _Handler(logging.Handler):
    def __init__(self, told: Told) -> None:
        super().__init__(logging.WARNING)
        self._told = told

    def emit(self, record: logging.LogRecord) -> None:
        self._told.add(record.getMessage())


@contextmanager
def warnings_told() -> Iterator[Told]:
    """Keep what decoders warn of, in any thread, instead of letting it reach the terminal with a path of its own.

    What is about the program and not about an image (a deprecation) is dropped: the user can do nothing about it.
    """
    told = Told()
    handler = _Handler(told)
    loggers = [logging.getLogger(name) for name in _LIBRARIES]
    before = [(logger.handlers[:], logger.propagate) for logger in loggers]

    def show(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
        if not issubclass(category, (DeprecationWarning, PendingDeprecationWarning, FutureWarning, ResourceWarning)):
            told.add(str(message))

    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = show
        for logger in loggers:
            logger.handlers, logger.propagate = [handler], False
        try:
            yield told
        finally:
            for logger, (handlers, propagate) in zip(loggers, before, strict=True):
                logger.handlers, logger.propagate = handlers, propagate
