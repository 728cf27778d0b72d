"""A folder is replaced whole or not at all."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nas.errors import ExportError
from nas.export import place
from nas.export.place import replaced_folder, require_replaceable

NAMES = ("a", "b")


def write(folder: Path, text: str) -> None:
    with replaced_folder(folder) as new:
        for name in NAMES:
            (new / name).write_text(text)


def content(folder: Path) -> list[str]:
    return [(folder / name).read_text() for name in NAMES]


@pytest.mark.parametrize("fails", range(4))
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_whatever_fails_leaves_the_old_or_the_new(
    monkeypatch: pytest.MonkeyPatch, fails: int, error: BaseException
) -> None:
    target = Path("net")
    write(target, "old")
    steps = iter(range(10))

    def failing(real: Callable[..., Any]) -> Callable[..., Any]:
        def step(*arguments: Any, **options: Any) -> Any:
            if next(steps) == fails:
                raise error
            return real(*arguments, **options)

        return step

    with monkeypatch.context() as patch:
        patch.setattr(Path, "mkdir", failing(Path.mkdir))
        patch.setattr(os, "rename", failing(os.rename))
        with pytest.raises(KeyboardInterrupt if isinstance(error, KeyboardInterrupt) else ExportError):
            write(target, "new")
    assert content(target) == ["old", "old"]
    assert [path.name for path in Path().iterdir()] == ["net"]
    write(target, "newer")
    assert content(target) == ["newer", "newer"]


@pytest.mark.parametrize("last", range(1, 6))
def test_a_killed_process_leaves_the_old_or_the_new(last: int) -> None:
    target = Path("net")
    write(target, "old")
    code = f"""
import os, shutil, sys
from pathlib import Path
from nas.export.place import replaced_folder
count = 0
def dying(event, arguments):
    global count
    if event in ("os.rename", "shutil.rmtree") or (event == "os.mkdir" and ".net" in str(arguments[0])):
        count += 1
        if count == {last}:
            os._exit(9)
sys.addaudithook(dying)
with replaced_folder(Path("net")) as new:
    for name in {NAMES}:
        (new / name).write_text("new")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode in (0, 9), done.stderr
    require_replaceable(target, names=NAMES, earlier=NAMES, force=True)
    assert content(target) in (["old", "old"], ["new", "new"])
    write(target, "newer")
    assert content(target) == ["newer", "newer"]
    assert not any(path.name.endswith("replaced-by-nas") for path in Path().iterdir())


def test_a_folder_that_cannot_be_put_back_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    write(Path("net"), "old")
    os.rename("net", place._aside(Path("net").resolve()))  # where a killed process left it

    def refuse(*arguments: Any) -> None:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch, pytest.raises(ExportError, match="net: cannot be written: Permission denied"):
        patch.setattr(os, "rename", refuse)
        require_replaceable(Path("net"), names=NAMES, earlier=NAMES, force=True)
    require_replaceable(Path("net"), names=NAMES, earlier=NAMES, force=True)
    assert content(Path("net")) == ["old", "old"]


def test_a_mount_point_is_not_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("disk").mkdir()
    monkeypatch.setattr(place.os.path, "ismount", lambda path: True)
    with pytest.raises(ExportError, match="disk: is a mount point, which cannot be replaced; name a folder in it"):
        require_replaceable(Path("disk"), names=NAMES, earlier=NAMES, force=True)


def test_a_link_stays_a_link() -> None:
    write(Path("real"), "old")
    os.symlink("real", "link")
    write(Path("link"), "new")
    assert Path("link").is_symlink() and content(Path("real")) == ["new", "new"]
