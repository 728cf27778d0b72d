"""Figures of a study."""

from __future__ import annotations

import pytest

from nas import plots
from nas.analysis.pareto import front_with_noise, pareto_front
from nas.fronts.growth import Growth
from nas.plots.figures.curves import curves_info
from nas.plots.figures.front import front_info
from nas.plots.figures.progress import progress_info
from nas.search.study import Study

FRONT, PERHAPS = "Pareto front (± 1 standard error)", "may be on the front"


def test_the_front_plot_shows_every_trial_the_front_and_the_budget(finished_study: Study) -> None:
    info, trials = front_info(finished_study), finished_study.trials()
    assert info.front == front_with_noise(finished_study).points
    assert sum(map(len, info.trained.values())) == sum(trial.state == "trained" for trial in trials)
    assert [t.number for t in info.infeasible] == [t.number for t in trials if t.state == "infeasible"]
    assert info.limits == {"largest allowed": 1_000_000}
    figure = plots.front(finished_study)
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
    assert len(plots.curves(finished_study).data) == len(info.curves) > 0
    assert info.front == {trial.number for trial in pareto_front(finished_study)}


def test_the_progress_plot_rises_to_the_last_front(finished_study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    info = progress_info(finished_study)
    trained = [trial for trial in finished_study.trials() if trial.state == "trained"]
    assert [trial for trial, _ in info.moments] == trained and info.growth is None
    assert info.compute == info.moments[-1][1].compute == sum(2 * trial.flops for trial in trained)
    figure = plots.progress(finished_study)
    assert figure.data[0].y[-1] == 100 and list(figure.data[0].y) == sorted(figure.data[0].y)
    assert not figure.layout.shapes and "trial 0" in figure.data[0].text[0] and "of training" in figure.data[0].text[0]
    monkeypatch.setattr(Study, "growth", lambda study: Growth(10, 30, compute=0.4, gain=0.004))
    (shade,) = plots.progress(finished_study).layout.shapes
    assert shade.x0 == pytest.approx(0.6 * info.compute) and shade.x1 == info.compute


def test_no_figure_offers_to_send_its_data_anywhere(finished_study: Study) -> None:
    for figure in (plots.front(finished_study), plots.curves(finished_study)):
        assert figure.layout.modebar.remove == ("sendChartToCloud",)
