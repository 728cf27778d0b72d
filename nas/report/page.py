"""The report: one HTML file that needs no network."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from nas import plots
from nas.analysis.comparable import require_comparable, require_different
from nas.errors import StudyError
from nas.files import refuse_folder
from nas.plots.looks import DARK
from nas.plots.pages import write_page
from nas.report.chapter import chapter
from nas.report.embedded import embedded, packed, plotly_script, policy, script
from nas.report.figures import drawing
from nas.report.trials import choices
from nas.search.study import Study
from nas.units import format_bytes, format_count, format_percent, format_share

_HERE = Path(__file__).parent
_SCRIPTS = ("base", "figures", "table", "network", "card", "start")
"""The page's own script, in the order of its parts."""


def write_report(study: Study | Sequence[Study], path: str | Path | None = None) -> Path:
    """Write the report of a study, or of several.

    Args:
        study: A study that has been run, or several of the same images and metric.
        path: Path of the HTML file; default: ``report.html`` in the study's folder. Several studies need one.

    Returns:
        The path of the file.

    Raises:
        StudyError: The studies cannot be compared, or several are given and no path.
        ExportError: The file cannot be written.
    """
    studies = _listed(study)
    if not studies:
        raise StudyError("a report needs a study")
    require_different(studies)
    require_comparable(studies)
    if path is None and len(studies) > 1:
        raise StudyError("a report of several studies needs the path of a file (-o FILE.html)")
    target = studies[0].directory / "report.html" if path is None else Path(path)
    refuse_folder(target)
    write_page(target, lambda: render_report(studies))
    return target


def render_report(study: Study | Sequence[Study]) -> str:
    """Return the report of a study, or of several, as HTML."""
    studies = _listed(study)
    command = " ".join(("nas report", *(study.typed for study in studies)))
    chapters = [chapter(study, f"study-{index}", command=command) for index, study in enumerate(studies)]
    together = {"together": drawing(lambda: plots.fronts(studies))} if len(studies) > 1 else {}
    own, library = script(_source()), plotly_script()
    webgl = any(one.webgl for told in chapters for one in told["figures"].values())
    text: str = (
        _environment()
        .get_template("page.html.jinja")
        .render(
            chapters=chapters,
            together=together,
            together_data=embedded("together-figures", {key: one.figure for key, one in together.items()}),
            title=", ".join(study.name for study in studies),
            style=(_HERE / "style.css").read_text(encoding="utf-8"),
            script=own.text,
            policy=policy([own, library], webgl=webgl),
            library=packed("plotly", library.text.encode()),
            version=version("nas-explorer"),
        )
    )
    return text


def _listed(study: Study | Sequence[Study]) -> list[Study]:
    return [study] if isinstance(study, Study) else list(study)


@cache
def _environment() -> Any:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    loader = FileSystemLoader(_HERE)
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.globals.update(
        count=format_count, bytes=format_bytes, share=format_share, percent=format_percent, choices=choices
    )
    return environment


@cache
def _source() -> str:
    parts = ((_HERE / "script" / f"{name}.js").read_text(encoding="utf-8") for name in _SCRIPTS)
    colors = f"const DARK = {json.dumps(DARK)};"
    return "\n".join(["(() => {", "'use strict';", colors, *parts, "})();", ""])
