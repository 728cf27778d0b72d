"""The report: one HTML file that needs no network."""

from __future__ import annotations

import shlex
from importlib.metadata import version
from pathlib import Path

from nas import plots
from nas.analysis.findings import findings
from nas.analysis.growing import told_growth, told_trust
from nas.analysis.latency import stored_front_latency
from nas.analysis.looks import tested_networks
from nas.analysis.pareto import front_with_noise
from nas.plots.pages import as_html, write_page
from nas.records import metric_name
from nas.search.study import Study
from nas.training.recipe import Recipe
from nas.units import format_bytes, format_count, format_share


def write_report(study: Study, path: str | Path | None = None) -> Path:
    """Write the report of a study.

    Args:
        study: A study that has been run.
        path: Path of the HTML file; default: ``report.html`` in the study's folder.

    Returns:
        The path of the file.

    Raises:
        ExportError: The file cannot be written.
    """
    target = study.directory / "report.html" if path is None else Path(path)
    write_page(target, lambda: render_report(study))
    return target


def describe_recipe(recipe: Recipe) -> str:
    """Return the main fields of a recipe and those that differ from the defaults, in one line."""
    shown = {"optimizer", "learning_rate", "schedule", "batch_size", "weight_decay", "label_smoothing"}
    fields = [
        (key, value)
        for key, value in recipe
        if value is not None and (key in shown or value != type(recipe).model_fields[key].default)
    ]
    return ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in fields)


def render_report(study: Study) -> str:
    """Return the report as HTML."""
    from jinja2 import Environment, FileSystemLoader
    from plotly.offline import get_plotlyjs

    trials, repeats, front = study.trials(), study.repeats(), front_with_noise(study)
    counts = {state: sum(trial.state == state for trial in trials) for state in ("trained", "repeated", "infeasible")}
    stopped = sum(trial.state == "stopped" for trial in trials)
    best = f"{100 * front.points[-1].shrunk_accuracy:.2f} %" if front.points else "nothing trained yet"
    metric = metric_name(study.config.recipe.metric)
    facts = {
        "trials": len(trials),
        "networks trained": counts["trained"],
        **({"stopped early": stopped} if stopped else {}),
        "repeated": counts["repeated"],
        "outside the budget": counts["infeasible"],
        **({"further trainings": sum(repeat.state == "trained" for repeat in repeats)} if repeats else {}),
        f"best expected {metric}": best,
        "budget": str(study.config.budget).replace("<=", "≤"),
    }
    latency = stored_front_latency(study)
    figures = {"front_plot": plots.front(study), "curves_plot": plots.curves(study)}
    if latency is not None:
        figures["latency_plot"] = plots.latency(study, latency)
    if front.points:
        figures["progress_plot"] = plots.progress(study)
    environment = Environment(loader=FileSystemLoader(Path(__file__).parent), autoescape=True)
    return environment.get_template("report.html.jinja").render(
        study=study,
        facts=facts,
        front=front,
        noise=str(front.noise),
        metric=metric,
        findings=findings(study, front),
        share=format_share,
        latency=latency,
        growth=study.growth(),
        growing=told_growth(study),
        trust=told_trust(study),
        image_notes=study.image_notes(),
        count=format_count,
        bytes=format_bytes,
        recipe=describe_recipe(study.config.recipe),
        looks=len(tested_networks(study)),
        file=shlex.quote(str(file) if (file := study.directory.with_suffix(".yaml")).is_file() else study.name),
        plotly_js=get_plotlyjs(),
        version=version("nas-explorer"),
        **{name: as_html(figure) for name, figure in figures.items()},
    )
