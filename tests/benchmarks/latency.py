"""No claim: the latency of reference networks beside their FLOPs, and how far the two orders agree, on this machine.

Run as ``python tests/benchmarks/latency.py [-o FOLDER]``. Prints the table with Kendall's tau and the swapped pairs;
with ``-o`` writes it as ``latency.md``, the numbers as ``latency.csv`` and, where kaleido and a Chromium are installed,
a picture as ``latency.png``. Takes about ten minutes on a CPU, most of it in ``torch.compile``.
"""

from __future__ import annotations

import argparse
import csv
import sys
from dataclasses import asdict
from pathlib import Path

import plotly.graph_objects as go

import nas
from nas.analysis.latency import Timed, compare_orders
from nas.models.backends import FLOAT_BACKENDS as BACKENDS
from nas.models.latency import measure_latency
from nas.units import format_bytes, format_count

NETWORKS = (
    *("resnet18", "resnet34", "resnet50", "resnext50_32x4d", "wide_resnet50_2"),
    *("googlenet", "inception_v3", "efficientnet_b0", "efficientnet_b2", "efficientnet_b3"),
)
BATCHES = (1, 8)


def main() -> int:
    """Measure, write the files, return the exit code."""
    parser = argparse.ArgumentParser(description="Measure the latency of reference networks.")
    parser.add_argument("-o", "--output", type=Path, help="folder to write")
    parser.add_argument("--threads", type=int, default=1, help="of the CPU within one operator")
    parser.add_argument("--device", default="auto")
    given = parser.parse_args()
    timed: list[Timed] = []
    for name in NETWORKS:
        architecture = nas.preset(name)
        found = measure_latency(architecture, device=given.device, batches=BATCHES, threads=given.threads)
        for backend, batch, reason in found.failures:
            print(f"{name}: {backend} was not measured at batch {batch} and above: {reason}")
        timed += [Timed(name, nas.count_cost(architecture).flops, latency) for latency in found.latencies]
        print(
            f"{name}: {', '.join(f'{item.backend} {item.batch}: {item.median_ms:.1f} ms' for item in found.latencies)}"
        )
    text = page(timed, f"python tests/benchmarks/latency.py -o {given.output} --threads {given.threads}")
    print(text)
    if given.output is None:
        return 0
    given.output.mkdir(parents=True, exist_ok=True)
    write_csv(timed, given.output / "latency.csv")
    (given.output / "latency.md").write_text(text, encoding="utf-8")
    try:
        figure(timed).write_image(given.output / "latency.png", width=1100, height=560, scale=1)
    except (ImportError, RuntimeError, ValueError) as error:
        print(f"no picture: {error}")
    return 0


def write_csv(timed: list[Timed], path: Path) -> None:
    """Write one row for each measurement."""
    rows = [{"network": name, "flops": flops, **asdict(latency)} for name, flops, latency in timed]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys(), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def page(timed: list[Timed], command: str) -> str:
    """Return the measurements as Markdown."""
    first = timed[0].latency
    lines = [
        "# Latency beside FLOPs",
        "",
        f"{first.device}, {first.threads} thread{'s' * (first.threads > 1)}, float32; {first.versions}. Each network at"
        " its native resolution with fresh weights, each setting in a process of its own; median and p10 to p90 of all"
        " timed calls.",
        "",
        f"Made by `{command}`; the numbers are in `latency.csv`.",
    ]
    for batch in BATCHES:
        lines += ["", f"## Batch {batch}", ""]
        header = ["network", "FLOPs", *(f"{b} (ms)" for b in BACKENDS), *(f"{b} images/s" for b in BACKENDS), "memory"]
        lines += [f"| {' | '.join(header)} |", f"|{'---|' * len(header)}"]
        for name, flops in sorted({(t.name, t.flops) for t in timed}, key=lambda pair: pair[1]):
            by_backend = {t.latency.backend: t.latency for t in timed if (t.name, t.latency.batch) == (name, batch)}
            cells = [name, format_count(flops)]
            cells += [
                f"{i.median_ms:.1f} ({i.p10_ms:.1f} to {i.p90_ms:.1f})" if (i := by_backend.get(b)) else "-"
                for b in BACKENDS
            ]
            cells += [f"{i.images_per_second:.1f}" if (i := by_backend.get(b)) else "-" for b in BACKENDS]
            eager = by_backend.get("eager")
            cells.append(format_bytes(eager.peak_memory) if eager and eager.peak_memory else "-")
            lines.append(f"| {' | '.join(cells)} |")
        lines.append("")
        for backend in BACKENDS:
            orders = compare_orders(t for t in timed if (t.latency.backend, t.latency.batch) == (backend, batch))
            if orders.tau is None:
                continue
            pairs = [f"{p.fewer_flops} / {p.faster}{' (within noise)' * p.within_noise}" for p in orders.swapped]
            lines.append(
                f"- {backend}: Kendall's tau **{orders.tau:.3f}**, {len(pairs)} of {orders.pairs} pairs swapped"
                + (f" (fewer FLOPs / faster): {', '.join(pairs)}" if pairs else "")
            )
    lines += ["", "Memory: weights, input and all that torch allocates at once for a batch in eager mode.", ""]
    return "\n".join(lines)


def figure(timed: list[Timed]) -> go.Figure:
    """Return the latency of one image, networks from few FLOPs to many, a colour for each backend."""
    drawing = go.Figure()
    for backend, color in zip(BACKENDS, ("#2a6fbb", "#d9822b", "#3a9a5b"), strict=True):
        shown = sorted(
            (t for t in timed if (t.latency.backend, t.latency.batch) == (backend, 1)), key=lambda t: t.flops
        )
        drawing.add_trace(
            go.Scatter(
                x=[t.latency.median_ms for t in shown],
                y=[f"{t.name}  {format_count(t.flops)}" for t in shown],
                mode="lines+markers",
                name=backend,
                line={"color": color, "width": 1},
                marker={"color": color, "size": 10},
            )
        )
    first = timed[0].latency
    where = f"{first.device}, {first.threads} thread{'s' * (first.threads > 1)}"
    title = f"Latency of one image: a line that turns left is a network of more FLOPs that is faster ({where})"
    drawing.update_layout(template="plotly_white", title=title, margin={"t": 60, "b": 60})
    drawing.update_xaxes(type="log", title="milliseconds (median; log scale)", dtick="D2", minorloglabels="complete")
    drawing.update_yaxes(title="network and its FLOPs")
    return drawing


if __name__ == "__main__":
    sys.exit(main())
