"""Write RESULTS.md and the figure of the scaling table: ``python studies/results/scaling_table/summarise.py``.

The figure needs kaleido.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from scipy.stats import spearmanr

from nas.fronts.geometry import front_members
from nas.plots.looks import FAMILIES
from nas.plots.pages import laid_out
from nas.tables import Table, read_table
from nas.units import format_count

FOLDER = Path(__file__).parent


def main() -> None:
    """Write both."""
    table = read_table(FOLDER / "table_cifar10.csv.gz")
    last = table.frame.loc[table.frame.groupby(["digest", "repeat"])["epoch"].idxmax()]
    once = last[last["repeat"] == 0].sort_values("flops").reset_index(drop=True)
    front = once.iloc[front_members(once["flops"].to_numpy(float), 1 - once["val_accuracy"].to_numpy())]
    draw(once, front).write_image(FOLDER / "front.png", width=1000, height=600)
    (FOLDER / "RESULTS.md").write_text(page(table, last, once, front), encoding="utf-8")


def page(table: Table, last: pd.DataFrame, once: pd.DataFrame, front: pd.DataFrame) -> str:
    """Return the page."""
    facts, recipe = table.facts, table.study.recipe
    several = last.groupby("digest").filter(lambda rows: len(rows) > 1)
    spread = several.groupby("digest")["val_accuracy"]
    noise = float(np.sqrt(spread.var(ddof=1).mean())) if len(several) else float("nan")
    families = once["space"].value_counts()
    hours = table.frame["seconds"].sum() / 3600
    lines = [
        "# The scaling table",
        "",
        "`table_cifar10.csv.gz`: every network of two small families on a grid of width, depth and resolution,"
        " each trained"
        " the same way, with its whole learning curve. Made by",
        "",
        "```bash",
        "nas table build studies/table_cifar10.yaml --workers 2 -o studies/results/scaling_table/table_cifar10.csv.gz",
        "python studies/results/scaling_table/summarise.py   # writes this page",
        "```",
        "",
        f"- **Networks**: {len(once)} distinct ones,"
        f" {', '.join(f'{count} of {name}' for name, count in families.items())},"
        f" {format_count(once['flops'].min())} to {format_count(once['flops'].max())} FLOPs,"
        f" {once['resolution'].min()} to {once['resolution'].max()} px: all within `budget.flops` of"
        f" {table.study.name}.yaml.",
        f"- **Images**: CIFAR-10 (Krizhevsky 2009), pixels passed once through JPEG at quality 75, so that"
        f" accuracies run a"
        f" little below those on the original; a fixed, stratified subset of {facts['train_images']:,} for training and"
        f" {facts['val_images']:,} for validation, both of the training images.",
        f"- **Training**: {recipe.epochs} epochs, {recipe.optimizer}, batch {recipe.batch_size}, peak learning rate"
        f" {recipe.learning_rate:g}, weight decay {recipe.weight_decay:g}, {recipe.schedule}, label smoothing"
        f" {recipe.label_smoothing:g}, random shifts and mirroring; float32, one thread.",
        f"- **Seeds**: one for all; {spread.ngroups} networks, spread evenly over the logarithm of the FLOPs, from"
        f" {' to '.join(map(str, sorted({spread.size().min(), spread.size().max()}))) if len(several) else 1} seeds."
        f" Noise of one training, pooled over those: ± {100 * noise:.2f} % accuracy.",
        f"- **Time**: {last.shape[0]} trainings, {hours:.1f} hours of one core beside other work ({facts['device']};"
        f" {facts['versions']}), so `seconds` tells more of the order than of the size.",
        "",
        "A row is an epoch: digest, family and coefficients of the network; FLOPs as fvcore counts them, parameters,"
        " activations; repeat and seed; epoch, losses, accuracies, seconds. The comment in the first line holds"
        " the study.",
        "",
        "![front](front.png)",
        "",
        "## What an accuracy on the way tells of the last one",
        "",
        "Spearman's rank correlation of the validation accuracy after an epoch with that after the last, over"
        " all networks.",
        "",
        f"| epoch | {' | '.join(str(epoch) for epoch in range(1, (recipe.epochs or 0) + 1))} |",
        f"|---|{'---|' * (recipe.epochs or 0)}",
    ]
    for name in ("all", *families.index):
        digests = once["digest"] if name == "all" else once["digest"][once["space"] == name]
        curves = np.array([[epoch.val_accuracy for epoch in table.curves[digest][0]] for digest in digests])
        cells = [f"{spearmanr(curves[:, epoch], curves[:, -1]).statistic:.2f}" for epoch in range(curves.shape[1])]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    lines += ["", f"## Its front: {len(front)} networks", "", "| FLOPs | accuracy | family | width | depth | px |"]
    lines.append("|---|---|---|---|---|---|")
    for row in front.to_dict("records"):
        cells = [format_count(row["flops"]), f"{100 * row['val_accuracy']:.2f} %", row["space"]]
        lines.append(f"| {' | '.join(cells)} | {row['width']:g} | {row['depth']:g} | {row['resolution']} |")
    lines += [
        "",
        "Of one training each, so the front holds the luck of its seeds: the noise above is to be set beside it.",
    ]
    return "\n".join(lines) + "\n"


def draw(once: pd.DataFrame, front: pd.DataFrame) -> go.Figure:
    """Return accuracy against FLOPs, and the front."""
    figure = go.Figure()
    for color, (name, rows) in zip(FAMILIES, once.groupby("space"), strict=False):
        marker = {"color": color, "size": 7, "opacity": 0.85}
        figure.add_scatter(x=rows["flops"], y=100 * rows["val_accuracy"], mode="markers", name=str(name), marker=marker)
    line = {"color": "#1f2430", "width": 2, "shape": "hv"}
    figure.add_scatter(x=front["flops"], y=100 * front["val_accuracy"], mode="lines", name="Pareto front", line=line)
    figure.update_xaxes(title="FLOPs of one image (log scale)", type="log", dtick="D2")
    figure.update_xaxes(exponentformat="SI", minorloglabels="complete")
    figure.update_yaxes(title="Validation accuracy after eight epochs (%)")
    return laid_out(figure, "The scaling table: accuracy against FLOPs")


if __name__ == "__main__":
    main()
