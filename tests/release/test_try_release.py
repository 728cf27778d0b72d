"""What ``make release`` tries and tells; that it installs is seen by running it."""

from __future__ import annotations

from pathlib import Path

import pytest
import try_release
from documents import command_lines
from try_release import ROOT, Environment, Seen, above_the_bounds, bound, dependencies, is_release, row, shown_commands


def test_it_runs_every_command_of_the_readme_but_the_long_ones() -> None:
    shown, readme = list(shown_commands()), list(command_lines(ROOT / "README.md"))
    wanted = [command for command in readme if not command.startswith("nas scale ")]
    assert len(shown) == 1 + len(wanted) and len(wanted) < len(readme)
    assert {"nas search digits --trials 6", "nas train digits#5 --seeds 3", "nas verify my-net"} <= set(shown)
    assert all(any(part in command for command in readme) for part in try_release.SHORTER)


@pytest.mark.parametrize(
    ("version", "lowest", "same"),
    [
        ("2.6.0", "2.6", True),
        ("2.6", "2.6", True),
        ("2.7.0", "2.6", False),
        ("2.6.1", "2.6", False),
        ("2.60", "2.6", False),
        ("0.1.5.post20221221", "0.1.5.post20221221", True),
    ],
)
def test_what_is_the_lowest_version(version: str, lowest: str, same: bool) -> None:
    assert is_release(version, lowest) == same


def test_a_version_above_its_bound_is_told() -> None:
    installed = {one.name.lower(): bound(one.name) for one in dependencies()}
    assert above_the_bounds(installed) == []
    one = Environment("python", "lowest", Path("x.tar.gz"))
    seen = Seen("2.6.0", above_the_bounds({**installed, "pillow": "99"}), 12, "", 61.0)
    assert (
        row("3.13", one, seen) == "| 3.13 | lowest (pillow 99) | 2.6.0 | source distribution | 12 commands ran | 61 s |"
    )
    assert "| wheel | it broke |" in row("3.13", one._replace(artifact=Path("x.whl")), seen._replace(failed="it broke"))


def test_a_python_that_is_not_there_is_told_and_is_no_failure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(try_release, "build", lambda target: (Path("x.whl"), Path("x.tar.gz")))
    monkeypatch.setattr("sys.argv", ["try_release.py", "--python", "3.99", "--versions", "newest"])
    assert try_release.main() == 0
    assert "| 3.99 | newest | – | – | not tried: Python 3.99 is not installed | – |" in capsys.readouterr().out
    monkeypatch.setattr(try_release, "interpreter_of", lambda version: "python")
    monkeypatch.setattr(try_release, "tried", lambda one, folder: Seen("2.6.0", [], 3, "`nas verify`: no", 5.0))
    assert try_release.main() == 1
