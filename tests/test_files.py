"""A file is written whole, or not at all; a stranger's is read within bounds."""

from __future__ import annotations

from pathlib import Path

import pytest

from nas import documents
from nas.errors import ConfigError, ExportError
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


def test_a_document_that_has_no_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "MOST_CHARACTERS", 10)
    Path("fits").write_text("0123456789")
    assert documents.read_text("fits") == "0123456789"
    for name in ("/dev/zero", "longer"):
        Path("longer").write_text("0123456789!")
        with pytest.raises(ConfigError, match="has more than 10 characters"):
            documents.read_text(name)
