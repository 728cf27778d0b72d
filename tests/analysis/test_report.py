from __future__ import annotations

import re
from pathlib import Path

import pytest

from nas.analysis.pareto import pareto_front
from nas.analysis.report import render_report, write_report
from nas.config.study import StudyConfig
from nas.data.sources import DataConfig
from nas.errors import ExportError
from nas.fronts.growth import Growth
from nas.records import TestLook
from nas.search.run.start import run_study
from nas.search.study import Study


def test_no_figure_offers_to_send_its_data_anywhere(finished_study: Study) -> None:
    page = render_report(finished_study)
    figures = page.count('class="plotly-graph-div"')
    assert figures >= 3 and page.count('"showSendToCloud": false') == figures


def test_the_report_tells_what_the_compute_bought(finished_study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "The search is too short to tell" in render_report(finished_study)
    monkeypatch.setattr(Study, "growth", lambda study: Growth(10, 30, compute=0.4, gain=0.004))
    text = " ".join(render_report(finished_study).split())
    assert "added 0.4 % of the hypervolume, not counting noise. The search is stagnant." in text


def test_the_report_is_one_file_that_needs_no_network(finished_study: Study) -> None:
    path = write_report(finished_study, "deep/report.html")
    text = path.read_text()
    assert "tiny: expected accuracy against FLOPs" in text
    outside = re.sub(r"<script>.*?</script>", "", text, flags=re.DOTALL)
    assert not re.findall(r"(?:src|href)\s*=", outside)
    for trial in pareto_front(finished_study):
        assert f"<td>{trial.number}</td>" in text and f"{100 * (trial.accuracy or 0):.2f} %" in text
    assert list(Path("deep").iterdir()) == [path]
    assert write_report(finished_study) == finished_study.directory / "report.html"


def test_descriptions_cannot_smuggle_markup(tiny_config: StudyConfig) -> None:
    study = run_study(tiny_config.model_copy(update={"description": "<script>alert(1)</script>"}), trials=0)
    text = write_report(study).read_text()
    assert "<script>alert(1)</script>" not in text and "&lt;script&gt;alert(1)" in text
    assert "No network has been trained yet" in text and "What the compute bought" not in text


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
        page = " ".join(render_report(finished_study).split())
        return page[page.index("The test images have") :].partition(" FLOPs are")[0]

    assert told() == "The test images have not been looked at."
    looks += [TestLook(digests[0], 0.9, "export", "")] * 2
    assert told() == "The test images have been looked at with 1 network."
    looks.append(TestLook(digests[1], 0.9, "train", ""))
    expected = "looked at with 2 networks: choosing by test accuracy makes it optimistic."
    assert told() == f"The test images have been {expected}"


def test_the_report_says_where_validation_images_come_from(finished_study: Study) -> None:
    def told(study: Study) -> str:
        page = " ".join(render_report(study).split())
        return page[page.index("on validation images, which") :].partition(" Small")[0]

    carved = "20 % of the training images, set aside before."
    assert told(finished_study) == f"on validation images, which no training saw: {carved}"
    data = DataConfig(npz=Path("some.npz"))
    other = finished_study.settled(finished_study.config.model_copy(update={"data": data}), "")
    assert told(other).endswith(f"saw: the data's own where there are some, otherwise {carved}")
