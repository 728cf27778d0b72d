"""The boundary around whatever decodes a file of the user's."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from nas.errors import DataError


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
