"""Claim: the report of 10,000 trials takes 8 s of a core, 500 MB and 6 MB of disk, opens in 3 s and stays responsive.

The study is made up as in ``large_study.py``. Opened is the page when its tables can be used and its front is drawn, in
Chromium with nothing else open; responsive is how long the page takes to filter its table by a text. A report of 50
trials is at most 2.5 MB.

    python tests/benchmarks/report.py [TRIALS] [--keep FOLDER]
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from large_study import make_study, measured
from playwright.sync_api import sync_playwright

ALONE = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update")


class Opening(NamedTuple):
    """Seconds until a page's tables can be used, its front is drawn, all plots are, and until its table is filtered."""

    tables: float
    front: float
    plots: float
    filtered: float


def main() -> int:
    """Make the studies, measure, print the figures, return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("trials", type=int, nargs="?", default=10_000)
    parser.add_argument("--keep", type=Path, help="folder in which the studies stay, and are used again")
    arguments = parser.parse_args()
    failed = False
    with tempfile.TemporaryDirectory() as temporary:
        for trials, most in ((50, 2.5), (arguments.trials, 6.0)):
            folder = (arguments.keep or Path(temporary)) / str(trials)
            if not folder.exists():
                folder.mkdir(parents=True)
                make_study(folder / "large.yaml", trials)
            used = measured([sys.executable, "-m", "nas", "report", "large.yaml", "-o", "report.html"], folder)
            size = (folder / "report.html").stat().st_size / 1e6
            opened = opening(folder / "report.html")
            print(
                f"{trials:,} trials: {used.seconds:.2f} s of a core, {used.memory / 1e6:.0f} MB; {size:.2f} MB of disk"
            )
            print(
                f"  in the browser: tables after {opened.tables:.2f} s, the front after {opened.front:.2f} s, all plots"
                f" after {opened.plots:.2f} s; filtered in {opened.filtered:.2f} s"
            )
            missed = used.seconds > 8 or used.memory > 500e6 or size > most or opened.front > 3 or opened.filtered > 0.5
            failed |= missed
            print("FAIL" if missed else "PASS")
    return int(failed)


def opening(path: Path) -> Opening:
    """Open a page in Chromium and return how long it takes."""
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=list(ALONE))
        page = browser.new_page(viewport={"width": 1200, "height": 800})
        began = time.monotonic()

        def since(selector: str) -> float:
            page.wait_for_selector(selector, state="attached", timeout=120_000)
            return time.monotonic() - began

        page.goto(path.resolve().as_uri(), wait_until="commit")
        tables = since("html[data-tables=ready]")
        front = since(".plot .main-svg .points")
        plots = since("html[data-plots=ready]")
        began = time.monotonic()
        page.locator("input[type=search]").fill("efficientnet")
        page.wait_for_selector("caption:has-text(' of ')")
        filtered = time.monotonic() - began
        browser.close()
    return Opening(tables, front, plots, filtered)


if __name__ == "__main__":
    sys.exit(main())
