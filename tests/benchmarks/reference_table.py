"""Claim: every preset equals its reference network in parameters, FLOPs, multiply-adds and activations, to the unit.

The reference figures are those of ``tests/golden/reference_models.csv``: torchvision's networks measured by fvcore.
Run as ``python tests/benchmarks/reference_table.py [-o FILE.md]``; with ``-o`` the table is also written as Markdown.
"""

from __future__ import annotations

import argparse
import csv
import sys
from pathlib import Path

import nas

GOLDEN = Path(__file__).parent.parent / "golden" / "reference_models.csv"
FIGURES = ("params", "flops", "multiply_adds", "activations")
HEADER = ("network", "px", *(f"{name} {who}" for name in FIGURES for who in ("(reference)", "(nas)")), "difference")


def main() -> int:
    """Print the table and the number of differences, return the exit code."""
    parser = argparse.ArgumentParser(description="Compare presets with their reference networks.")
    parser.add_argument("-o", "--output", type=Path, help="Markdown file to write")
    output = parser.parse_args().output
    rows, differences = [], 0
    for reference in csv.DictReader(GOLDEN.read_text(encoding="utf-8").splitlines()):
        cost = nas.count_cost(nas.preset(reference["model"], resolution=int(reference["resolution"])))
        pairs = [(int(reference[name]), int(getattr(cost, name))) for name in FIGURES]
        difference = sum(abs(theirs - ours) for theirs, ours in pairs)
        differences += difference != 0
        cells = [f"{value:,}" for pair in pairs for value in pair]
        rows.append([reference["model"], reference["resolution"], *cells, str(difference)])
    widths = [max(map(len, column)) for column in zip(HEADER, *rows, strict=True)]
    lines = [
        "| " + " | ".join(text.rjust(width) for text, width in zip(row, widths, strict=True)) + " |"
        for row in (HEADER, ["-" * width for width in widths], *rows)
    ]
    verdict = f"{len(rows)} rows, {differences} of them different"
    print("\n".join(lines))
    print(f"{'FAIL' if differences else 'PASS'}: {verdict}")
    if output is not None:
        output.write_text("\n".join([*lines, "", verdict, ""]), encoding="utf-8")
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main())
