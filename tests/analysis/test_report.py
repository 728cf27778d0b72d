from __future__ import annotations

import re
from pathlib import Path

import pytest

from nas.analysis.pareto import front_with_noise, pareto_front
from nas.analysis.plots import curves_info, front_info, plot_curves, plot_front, plot_progress, progress_info
from nas.analysis.report import render_report, write_report
from nas.config.study import StudyConfig
from nas.data.sources import DataConfig
from nas.errors import ExportError
from nas.fronts.growth import Growth
from nas.records import TestLook
from nas.search.run.start import run_study
from nas.search.study import Study

FRONT, PERHAPS = "Pareto front (± 1 standard error)", "may be on the front"


def test_the_front_plot_shows_every_trial_the_front_and_the_budget(finished_study: Study) -> None:
    info, trials = front_info(finished_study), finished_study.trials()
    assert info.front == front_with_noise(finished_study).points
    assert sum(map(len, info.trained.values())) == sum(trial.state == "trained" for trial in trials)
    assert [t.number for t in info.infeasible] == [t.number for t in trials if t.state == "infeasible"]
    assert info.limits == {"largest allowed": 1_000_000}
    figure = plot_front(finished_study)
    traces = {trace.name: trace for trace in figure.data}
    assert set(traces) == {"resnet_small", "efficientnet_small", FRONT, PERHAPS, "outside the budget (not trained)"}
    assert list(traces[FRONT].x) == [trial.flops for trial in pareto_front(finished_study)]
    assert "width" in traces["resnet_small"].text[0] and "FLOPs" in traces["resnet_small"].text[0]
    assert figure.layout.shapes[0].x0 == 1_000_000
    assert "FLOPs" in figure.layout.xaxis.title.text and "(%)" in figure.layout.yaxis.title.text
    for name, points in ((FRONT, info.front), (PERHAPS, info.contenders)):
        assert list(traces[name].y) == [100 * point.shrunk_accuracy for point in points]
        assert list(traces[name].error_y.array) == [100 * point.standard_error for point in points]
    below = min(y for name in info.trained for y in traces[name].y)
    assert max(traces["outside the budget (not trained)"].y) < below


def test_the_curve_plot_has_a_line_per_trained_network(finished_study: Study) -> None:
    info = curves_info(finished_study)
    assert len(plot_curves(finished_study).data) == len(info.curves) > 0
    assert info.front == {trial.number for trial in pareto_front(finished_study)}


def test_no_figure_offers_to_send_its_data_anywhere(finished_study: Study) -> None:
    page = render_report(finished_study)
    figures = page.count('class="plotly-graph-div"')
    assert figures >= 3 and page.count('"showSendToCloud": false') == figures
    for figure in (plot_front(finished_study), plot_curves(finished_study)):  # shown without the report, too
        assert figure.layout.modebar.remove == ("sendChartToCloud",)


def test_the_progress_plot_rises_to_the_last_front(finished_study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    info = progress_info(finished_study)
    trained = [trial for trial in finished_study.trials() if trial.state == "trained"]
    assert [trial for trial, _ in info.moments] == trained and info.growth is None
    assert info.compute == info.moments[-1][1].compute == sum(2 * trial.flops for trial in trained)
    figure = plot_progress(finished_study)
    assert figure.data[0].y[-1] == 100 and list(figure.data[0].y) == sorted(figure.data[0].y)
    assert not figure.layout.shapes and "trial 0" in figure.data[0].text[0] and "of training" in figure.data[0].text[0]
    assert "The search is too short to tell" in render_report(finished_study)
    monkeypatch.setattr(Study, "growth", lambda study: Growth(10, 30, compute=0.4, gain=0.004))
    (shade,) = plot_progress(finished_study).layout.shapes
    assert shade.x0 == pytest.approx(0.6 * info.compute) and shade.x1 == info.compute
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
