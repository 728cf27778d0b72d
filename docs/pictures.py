"""Draw the pictures of the README from committed results: ``make pictures``.

Each is a figure of ``nas.plots`` (the last one is drawn here) in a page that a headless Chromium takes a picture of, at
twice the size. Nothing is trained. ``BROWSER_PATH`` names the browser where it is not on the path.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pandas as pd
import plotly.graph_objects as go
from PIL import Image

from nas import plots
from nas.analysis.laws import family_laws, short_names
from nas.fronts.growth import Growth
from nas.fronts.judged import Judgement, judge
from nas.plots.axes import log_axis
from nas.plots.looks import QUIET, Look, family_look
from nas.plots.pages import laid_out
from nas.records import Epoch, Reference, Repeat, TrialRecord
from nas.search.storage.database import Database
from nas.search.study import Study
from nas.tables import Table, read_table
from nas.units import format_count

FOLDER = Path(__file__).parent
RESULTS = FOLDER.parent / "studies" / "results"
SHORT = "4,000 training images, 8 epochs. Bars: ± 1 standard error."
WIDTH, SCALE, COLORS = 900, 2, 128
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
SEARCHES = {
    "pareto": "nas (pareto)",
    "gp": "Optuna GP",
    "tpe-multivariate": "Optuna TPE, multivariate",
    "qLogNEHVI, known cost": "BoTorch qLogNEHVI, cost known (3 seeds)",
    "nsga2": "Optuna NSGA-II",
    "random": "random",
}
"""Rules of ``studies/results/search/search.csv`` that are shown, and their names."""


def main() -> None:
    """Draw all of them."""
    table = TableStudy.of(read_table(RESULTS / "scaling_table" / "table_cifar10.csv.gz"))
    order = [space.name for space in table.config.search.spaces]  # families have the same colours on all pictures
    laws = short_names(family_laws([str(RESULTS / "scaling_table" / "table_cifar10.csv.gz")]))
    laws.sort(key=lambda law: order.index(law.name))
    pictures = {
        "front_cifar10": renamed(plots.front(table), "CIFAR-10: 260 networks and their front", SHORT),
        "shares_cifar10": renamed(plots.shares(table), "CIFAR-10: what the split of compute buys"),
        "laws_cifar10": plots.law(laws, title="CIFAR-10: error against FLOPs"),
        "searches": searches(pd.read_csv(RESULTS / "search" / "search.csv")),
    }
    for name, figure in pictures.items():
        path = FOLDER / f"{name}.png"
        picture(figure, path)
        print(f"{path}  {path.stat().st_size / 1000:.0f} kB  {figure.layout.meta['alt']}")


class TableStudy(Study):
    """The trainings of a table, as if they were a study's."""

    table: Table

    @staticmethod
    def of(table: Table) -> TableStudy:
        """Return the study of a table."""
        study = TableStudy(table.study, FOLDER, Database("sqlite:///nowhere.db"))
        study.__dict__["table"] = table
        return study

    def trials(self) -> list[TrialRecord]:
        """Return one trial for each network."""
        last = self.table.frame.query("repeat == 0").groupby("digest", sort=False).tail(1)
        names = ("digest", "space", "width", "depth", "resolution", "flops", "params", "activations")
        return [
            TrialRecord(
                number=number,
                **{name: row[name] for name in names},
                state="trained",
                seed=row["seed"],
                accuracy=row["val_accuracy"],
                epochs=row["epoch"],
            )
            for number, row in enumerate(last.to_dict("records"))
        ]

    def repeats(self) -> list[Repeat]:
        """Return the trainings with other seeds."""
        numbers = {trial.digest: trial.number for trial in self.trials()}
        last = self.table.frame.query("repeat > 0").groupby(["digest", "repeat"], sort=False).tail(1)
        return [
            Repeat(numbers[row["digest"]], row["repeat"], "trained", row["seed"], None, row["val_accuracy"])
            for row in last.to_dict("records")
        ]

    def judgement(self) -> Judgement:
        """Return what is known of every network."""
        return judge(self.trials(), self.repeats(), val_images=self.table.facts["val_images"])

    def curves(self, numbers: object = None) -> dict[int, list[Epoch]]:
        """Return the learning curve of each trial's own training."""
        return {trial.number: list(self.table.curves[trial.digest][0]) for trial in self.trials()}

    def growth(self) -> Growth | None:
        """Return nothing: a table is no search."""
        return None

    def references(self) -> list[Reference]:
        """Return nothing: none was trained."""
        return []

    def scaling_names(self) -> list[str]:
        """Return nothing: there are no scaling studies beside it."""
        return []


def searches(frame: pd.DataFrame) -> go.Figure:
    """Return how much of the front searches have found after so many proposals, on the table of real trainings."""
    figure, told = go.Figure(), []
    rows = frame[frame["problem"] == "scaling table"].set_index("rule")
    marks = (50, 100, 200, 400)
    for index, (rule, name) in enumerate(SEARCHES.items()):
        look = family_look(index) if rule != "random" else Look(QUIET, "circle-open")
        known = [mark for mark in marks if pd.notna(rows.loc[rule, f"share_{mark}"])]
        median, low, high = (
            [100 * rows.loc[rule, f"{key}_{mark}"] for mark in known] for key in ("share", "low", "high")
        )
        told.append(f"{name} {median[0]:.1f} %")
        figure.add_scatter(
            x=known,
            y=median,
            error_y={
                "type": "data",
                "array": [top - middle for top, middle in zip(high, median, strict=True)],
                "arrayminus": [middle - bottom for middle, bottom in zip(median, low, strict=True)],
                "color": look.color,
                "thickness": 1.5,
            },
            mode="lines+markers",
            name=name,
            line={"color": look.color, "width": 2.5},
            zorder=-index,  # ours is not hidden where another is as good
            marker={"symbol": look.symbol, "size": 10},
        )
    axis = log_axis(marks, format_count, "Proposals")
    figure.update_layout(xaxis={**axis, "tickvals": marks, "ticktext": [str(mark) for mark in marks]})
    figure.update_yaxes(title="Hypervolume (% of all 260 networks')")
    alt = f"Share of the hypervolume after 50 proposals, medians of seeds: {', '.join(told)}."
    note = "Medians of 20 seeds, of qLogNEHVI of 3; bars: quartiles."
    return laid_out(figure, "CIFAR-10: searches compared", alt=alt, note=note)


def renamed(figure: go.Figure, title: str, note: str = "") -> go.Figure:
    """Return a figure with another title, and another note where one is given."""
    return figure.update_layout(title={"text": title, **({"subtitle": {"text": note}} if note else {})})


def picture(figure: go.Figure, path: Path) -> None:
    """Write a figure as a PNG file of few colours."""
    with tempfile.TemporaryDirectory() as folder:
        page, taken = Path(folder) / "page.html", Path(folder) / "taken.png"
        static = figure.to_html(include_plotlyjs=True, config={"staticPlot": True, "responsive": True})
        page.write_text(static.replace("<body>", '<body style="margin:0">'), encoding="utf-8")
        options = [
            *("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--disable-background-networking"),
            *("--disable-component-update", "--disable-sync", f"--force-device-scale-factor={SCALE}"),
            f"--window-size={WIDTH},{figure.layout.height}",
            "--virtual-time-budget=10000",
            f"--user-data-dir={folder}/browser",
            f"--screenshot={taken}",
        ]
        subprocess.run([browser(), *options, page.as_uri()], check=True, capture_output=True, timeout=120)
        Image.open(taken).convert("RGB").quantize(COLORS).save(path, optimize=True)


def browser() -> str:
    """Return the path of a Chromium or Chrome, or end with one line that says what is missing."""
    found = [os.environ.get("BROWSER_PATH"), *map(shutil.which, BROWSERS)]
    if not any(found):
        sys.exit("no Chromium or Chrome was found; install one or name it by BROWSER_PATH")
    return next(path for path in found if path)


if __name__ == "__main__":
    main()
