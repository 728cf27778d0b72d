"""Commands and code that pages of documentation show."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from pathlib import Path

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
COMMENT = re.compile(r"(^|\s)#.*")


def command_lines(page: Path) -> Iterator[str]:
    """Yield the lines of a page's shell blocks that begin with nas."""
    for text in itertools.chain(blocks(page, "sh"), blocks(page, "bash")):
        for line in text.replace("\\\n", " ").splitlines():
            for part in COMMENT.sub("", line).split("&&"):
                command = re.sub(r"^(\w+=\S*\s+)*", "", part.strip())
                if command.startswith("nas "):
                    yield command


def blocks(page: Path, language: str) -> list[str]:
    """Return the fenced blocks of a language."""
    return [text for found, text in FENCE.findall(page.read_text(encoding="utf-8")) if found == language]
