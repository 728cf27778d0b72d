"""One legend of colours and shapes for all figures, which people who confuse colours can read, on light and on dark.

A family (search space) has a colour and a shape; what became of a trial shows in the shape alone. Colours of families
are the first four of Okabe and Ito that stand out from white paper (2008, "Color Universal Design",
https://jfly.uni-koeln.de/color/) and the olive of Tol's muted scheme (2021, "Colour schemes", SRON/EPS/TN/09-002):
each has a contrast of 3 to 1 or more on the paper of both, as WCAG 2.2 asks of graphics (1.4.11). The rest is ink of
the page; ``DARK`` says what its colours are on a dark page.
"""

from __future__ import annotations

from typing import NamedTuple

FAMILIES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#999933")
SYMBOLS = ("circle", "square", "triangle-up", "pentagon", "triangle-down", "hexagon2", "triangle-left")
INK, QUIET, FAINT, PALE, GRID, PAPER = "#1f2430", "#59616f", "#868d99", "#c3c8d0", "#e4e7eb", "#ffffff"
"""Text and lines that count; marks that count less; rings and lines; what is in the background; the grid; the paper."""
DARK = {INK: "#e9ebef", QUIET: "#a8b0bc", FAINT: "#7c8491", PALE: "#474e5a", GRID: "#2f353f", PAPER: "#15181e"}
"""What stands for each colour on a dark page. A figure is data: replace these strings in its JSON and draw it anew."""


class Look(NamedTuple):
    """How something is drawn."""

    color: str
    symbol: str


STATE_LOOKS = {
    "stopped": Look(QUIET, "triangle-right-open"),
    "infeasible": Look(QUIET, "x-thin-open"),
    "failed": Look(QUIET, "asterisk-open"),
    "recommended": Look(INK, "star"),
    "reference": Look(INK, "diamond"),
    "contender": Look(FAINT, "circle-open"),
}
"""Of trials without a final accuracy, which have no place on the axis of accuracies, and of marks on others."""


VARIANT_LOOKS = {
    "": Look(INK, "circle-cross-open"),
    "pruned": Look(INK, "hourglass"),
    "trained": Look(INK, "cross"),
    "int8": Look(INK, "x"),
    "weights-int8": Look(INK, "bowtie"),
    "weights-int4": Look(INK, "diamond-tall"),
}
"""Of what nas compress made, by the step; what is kept though it was refused is open."""


def family_look(index: int) -> Look:
    """Return colour and shape of the family at a place of ``search.spaces``, of a study or of a rule in a figure."""
    return Look(FAMILIES[index % len(FAMILIES)], SYMBOLS[index % len(SYMBOLS)])


def faint(color: str, opacity: float = 0.14) -> str:
    """Return a colour to fill with, such as ``rgba(0,114,178,0.14)``."""
    red, green, blue = (int(color[place : place + 2], 16) for place in (1, 3, 5))
    return f"rgba({red},{green},{blue},{opacity:g})"
