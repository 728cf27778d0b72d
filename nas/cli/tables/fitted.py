"""Tables that fit a terminal: columns are left out where there is no room, and no number is cut."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from rich.box import SIMPLE_HEAD
from rich.console import JustifyMethod
from rich.table import Table
from rich.text import Text

from nas.cli.output import harmless


class Column(NamedTuple):
    """A column of a table; on a console that is too narrow, all of the smallest ``drop`` above 0 are left out."""

    header: str
    drop: int = 0
    justify: JustifyMethod = "right"
    folds: bool = False
    style: str = ""


def fitted_table(columns: Sequence[Column], rows: Iterable[Sequence[str]], *, width: int, title: str = "") -> Table:
    """Return a table of the columns that a console of ``width`` characters has room for; no number is cut."""
    cells = [[harmless(text) for text in row] for row in rows]
    shown = list(range(len(columns)))

    def needed(index: int) -> int:
        texts = [columns[index].header, *(row[index] for row in cells)]
        words = [word for text in texts for word in (text.split() if columns[index].folds else [text])]
        return max(map(len, words), default=0)

    while 2 + sum(needed(index) + 2 for index in shown) > width:
        least = min((columns[index].drop for index in shown if columns[index].drop), default=None)
        if least is None:
            break
        shown = [index for index in shown if columns[index].drop != least]
    table = Table(title=Text(harmless(title)), title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for column in (columns[index] for index in shown):
        table.add_column(
            column.header,
            justify=column.justify,
            style=column.style,
            no_wrap=not column.folds,
            overflow="fold",
        )
    for row in cells:
        table.add_row(*(Text(row[index]) for index in shown))  # as Text, lest brackets be taken for markup
    return table
