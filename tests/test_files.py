"""A file is written whole, or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from nas.errors import ExportError
from nas.files import write_whole


@pytest.mark.parametrize("target", [".", "..", "", "/", "x" * 300, f"{'x' * 300}/a.html"])
def test_what_can_be_no_file_is_refused(target: str) -> None:
    with pytest.raises(ExportError, match=r"is a folder, not a file|cannot be written: File name too long"):
        write_whole(Path(target), lambda: b"")


def test_a_file_that_fails_leaves_the_earlier_one() -> None:
    write_whole(Path("folder/file"), lambda: b"one")

    def fail() -> bytes:
        raise RuntimeError

    with pytest.raises(RuntimeError):
        write_whole(Path("folder/file"), fail)
    assert Path("folder/file").read_bytes() == b"one"
