"""Text gets out: in any encoding, to readers who leave, and as text only."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from conftest import TINY

from nas.cli.output import Output, harmless, say
from nas.cli.progress import make_console
from nas.cli.tables.fitted import Column, fitted_table
from nas.errors import NasError

CLI = Path(__file__).parents[2] / "nas" / "cli"
NASTY = "[/old] [red]x[/red] :smile: \x1b[31m \x07 \x9b \u202e \udcff"
SHOWN = "[/old] [red]x[/red] :smile: \\x1b[31m \\x07 \\x9b \\u202e \\udcff"


def test_only_one_place_prints() -> None:
    for path in CLI.rglob("*.py"):
        text = path.read_text()
        assert not re.search(r"typer\.echo|[^.\w]print\(", text), path
        assert not re.search(r"[^.\w]Console\((?!\)?:)", text.replace("class PlainConsole(Console)", "")), path


@pytest.mark.parametrize("terminal", [False, True])
def test_text_is_text_and_no_command(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, terminal: bool
) -> None:
    if terminal:
        monkeypatch.setenv("FORCE_COLOR", "1")
    assert harmless(NASTY) == SHOWN
    say(NASTY)
    console = make_console()
    console.print(NASTY, soft_wrap=True)
    console.print(fitted_table([Column(NASTY)], [[NASTY]], width=200, title=NASTY), soft_wrap=True)
    with console.status(NASTY) as status:
        status.update(NASTY)
    out = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", capsys.readouterr().out)  # what the console itself says
    assert out.count(SHOWN) >= 5 and "\x1b" not in out and "\x07" not in out


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
def test_any_encoding_will_do(monkeypatch: pytest.MonkeyPatch, encoding: str) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    monkeypatch.setattr(sys, "stdout", stream)
    say("± ✓ \udcff")
    make_console().print("± ✓ \udcff")
    stream.flush()
    shown = {"ascii": "\\xb1 \\u2713 \\udcff", "cp1252": "± \\u2713 \\udcff", "utf-8": "± ✓ \\udcff"}[encoding]
    assert stream.buffer.getvalue().decode(encoding).split("\n") == [shown, shown, ""]  # type: ignore[attr-defined]


def test_a_reader_who_leaves_is_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    read, write = os.pipe()
    os.close(read)
    with open(write, "w") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        say("nobody reads this")
        make_console().print("nor this")
        Output().flush()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.TextIOWrapper(open("/dev/full", "wb", buffering=0), write_through=True)
    with stream, monkeypatch.context() as patched:
        patched.setattr(sys, "stdout", stream)
        with pytest.raises(NasError, match="cannot be written: No space left on device"):
            say("no room")


def test_a_search_goes_on_where_nobody_reads(tmp_path: Path) -> None:
    document = {**TINY, "name": "unread", "data": {"shapes": 60}, "recipe": {"epochs": 1}}
    document["search"] = {**TINY["search"], "trials": 2}
    (tmp_path / "[red] x.yaml").write_text(yaml.safe_dump(document))
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "nas"]
    ran = subprocess.run([*command, "search", "[red] x.yaml"], stdout=write, stderr=subprocess.PIPE, text=True)
    os.close(write)
    assert (ran.returncode, ran.stderr) == (0, "")
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    shown = subprocess.run([*command, "front", "[red] x.yaml"], env=environment, capture_output=True, text=True)
    assert shown.returncode == 0 and "Noise of one training: \\xb1" in shown.stdout
