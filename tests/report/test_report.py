from __future__ import annotations

import base64
import hashlib
import html
import re
from pathlib import Path

import pytest
from pages import held, shown, words

import nas
from nas.analysis.pareto import pareto_front
from nas.config.study import StudyConfig
from nas.data.sources import DataConfig
from nas.errors import ExportError
from nas.fronts.growth import Growth
from nas.records import TestLook
from nas.report.embedded import plotly_script
from nas.report.page import render_report, write_report
from nas.search.run.start import run_study
from nas.search.study import Study


def test_no_figure_offers_to_send_its_data_anywhere(finished_study: Study) -> None:
    figures = held(render_report(finished_study), "study-0-figures")
    assert len(figures) >= 3
    for figure in figures.values():
        assert figure["config"]["showSendToCloud"] is False and not figure["config"]["displaylogo"]
        assert "sendChartToCloud" in figure["layout"]["modebar"]["remove"]


def test_the_report_tells_what_the_compute_bought(finished_study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "The search is too short to tell" in words(render_report(finished_study))
    monkeypatch.setattr(Study, "growth", lambda study: Growth(10, 30, compute=0.4, gain=0.004))
    text = words(render_report(finished_study))
    assert "The search is stagnant: the last 40 % of the compute (10 of 30 networks) added 0.4 %" in text


def test_the_report_is_one_file_that_needs_no_network(finished_study: Study) -> None:
    path = write_report(finished_study, "deep/report.html")
    text = path.read_text()
    assert path.stat().st_size < 2_500_000
    assert "tiny: accuracy against FLOPs" in held(text, "study-0-figures")["front"]["layout"]["title"]["text"]
    assert set(re.findall(r'(?:src|href)\s*=\s*"(.)', shown(text))) == {"#"}
    for trial in pareto_front(finished_study):
        assert f'data-row="{trial.number}"' in text and f"{100 * (trial.accuracy or 0):.2f} %" in text
    assert list(Path("deep").iterdir()) == [path]
    assert write_report(finished_study) == finished_study.directory / "report.html"


def test_only_the_scripts_of_the_page_may_run(finished_study: Study) -> None:
    text = render_report(finished_study)
    (policy,) = re.findall(r'<meta http-equiv="Content-Security-Policy" content="(.*?)">', text)
    own = [script for script in re.findall(r"<script>(.*?)</script>", text, re.DOTALL)]
    allowed = [digest(script) for script in (*own, plotly_script().text)]
    assert len(own) == 1
    rules = html.unescape(policy).split("; ")  # WebGL, which a figure needs, makes functions from text of its own
    assert rules[:2] == ["default-src 'none'", f"script-src {' '.join(allowed)} 'unsafe-eval'"]


def digest(script: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"


def test_the_answer_comes_first(finished_study: Study) -> None:
    text, found = words(render_report(finished_study)), nas.recommend(finished_study)
    assert text.index("tiny") < text.index(found.sentence) < text.index("What accuracy costs")
    assert all(doubt in text for doubt in found.doubts)
    for term in ("What was tried", "What it cost", "What more search would give"):
        assert text.index(found.sentence) < text.index(term) < text.index("What accuracy costs")


def test_descriptions_cannot_smuggle_markup(tiny_config: StudyConfig) -> None:
    study = run_study(tiny_config.model_copy(update={"description": "<script>alert(1)</script>"}), trials=0)
    text = write_report(study).read_text()
    assert "<script>alert(1)</script>" not in text and "&lt;script&gt;alert(1)" in text
    assert "Study 'tiny' has no trained network yet" in words(text) and "What the compute bought" not in text


def test_an_unwritable_report_is_an_error(finished_study: Study) -> None:
    Path("file").write_text("")
    with pytest.raises(ExportError, match="file/report.html: cannot be written"):
        write_report(finished_study, "file/report.html")


def test_the_report_tells_how_often_the_test_images_were_looked_at(
    finished_study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    digests = [trial.digest for trial in finished_study.trials() if trial.state == "trained"]
    looks: list[TestLook] = []
    monkeypatch.setattr(Study, "test_looks", lambda self: looks)

    def told() -> str:
        page = words(render_report(finished_study))
        return page[page.index("The test images have") :].partition(" seeds")[0]

    assert told() == "The test images have not been looked at."
    looks += [TestLook(digests[0], 0.9, "export", "")] * 2
    assert told() == "The test images have been looked at with 1 network."
    looks.append(TestLook(digests[1], 0.9, "train", ""))
    expected = "looked at with 2 networks: choosing by test accuracy makes it optimistic."
    assert told() == f"The test images have been {expected}"


def test_the_report_says_where_validation_images_come_from(finished_study: Study) -> None:
    def told(study: Study) -> str:
        page = words(render_report(study))
        return page[page.index("on validation images, which") :].partition(" The mean")[0]

    carved = "20 % of the training images, set aside before."
    assert told(finished_study) == f"on validation images, which no training saw: {carved}"
    data = DataConfig(npz=Path("some.npz"))
    other = finished_study.settled(finished_study.config.model_copy(update={"data": data}), "")
    assert told(other).endswith(f"saw: the data's own where there are some, otherwise {carved}")
