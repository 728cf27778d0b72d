"""How text leaves the program: in any encoding, to a reader who may be gone, and as text only.

All commands print through here. File names, class names and messages are the user's: none of them moves the cursor,
changes colours or ends a search.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO, cast

from nas.errors import NasError

# C0 but for tab and line feed, DEL, C1, line and paragraph separators, marks of direction, undecodable bytes
_HARMFUL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def harmless(text: str) -> str:
    """Return a text with the characters that a terminal obeys, or cannot show, written as Python writes them."""
    return _HARMFUL.sub(lambda found: found[0].encode("unicode_escape", "surrogatepass").decode(), text)


class Output:
    """Standard output or standard error, for what may be printed there.

    Characters that its encoding lacks are written as Python writes them. Once nobody reads it any more, as in
    ``nas search digits | head -1``, the text goes nowhere and the program goes on.
    """

    def __init__(self, *, stderr: bool = False) -> None:
        """Choose the stream as it is now."""
        self._stream: TextIO = sys.stderr if stderr else sys.stdout

    def __getattr__(self, name: str) -> Any:
        """Leave all else to the stream."""
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write a text."""
        encoding = self._stream.encoding or "utf-8"
        with self._heard():
            self._stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
        return len(text)

    def flush(self) -> None:
        """Write what is still in the buffer."""
        with self._heard():
            self._stream.flush()

    @contextmanager
    def _heard(self) -> Iterator[None]:
        try:
            yield
        except BrokenPipeError:
            with open(os.devnull, "wb") as nowhere:
                os.dup2(nowhere.fileno(), self._stream.fileno())
        except OSError as error:
            raise NasError(f"{self._stream.name}: cannot be written: {error.strerror}") from None


def as_stream(output: Output) -> TextIO:
    """Return an output for what wants a stream."""
    return cast(TextIO, output)


def say(text: str, *, err: bool = False, end: str = "\n") -> None:
    """Print text on standard output, or on standard error."""
    output = Output(stderr=err)
    output.write(harmless(text) + end)
    output.flush()
