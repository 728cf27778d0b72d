"""Figures of a study: what each shows, without plotly, and that it is drawn."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

sys.path.append(str(Path(__file__).parent))

from made import DEEPER, DEGENERATE, EPOCHS, made_study, measured_study, only, study_of

from nas import plots
from nas.analysis.latency import stored_front_latency
from nas.analysis.pareto import front_with_noise, pareto_front
from nas.errors import StudyError
from nas.fronts.growth import Growth
from nas.plots.studies import curves, errors, front, fronts, importance, latency, parallel, progress, shares, times
from nas.records import Reference
from nas.search.study import Study

FRONT, PERHAPS = "Pareto front (± 1 standard error)", "may be on the front"
FIGURES: dict[str, Callable[[Study], Any]] = {
    "front": plots.front,
    "front against parameters": lambda study: plots.front(study, against="params"),
    "front against time": lambda study: plots.front(study, against="train_seconds"),
    "fronts": lambda study: plots.fronts([study, study]),
    "progress": plots.progress,
    "curves": plots.curves,
    "shares": plots.shares,
    "parallel": plots.parallel,
    "importance": plots.importance,
    "errors": plots.errors,
    "times": plots.times,
    "latency": plots.latency,
    "variants": plots.variants,
}


@pytest.fixture(scope="module")
def made() -> Study:
    return made_study()


def traces(figure: Any) -> dict[str, Any]:
    return {trace.name: trace for trace in figure.data}


def texts(figure: Any) -> str:
    return " ".join(note.text for note in figure.layout.annotations).replace("<br>", " ")


def test_a_study_that_was_trained_is_drawn(finished_study: Study) -> None:
    for name, draw in FIGURES.items():
        figure = draw(finished_study)
        assert figure.layout.meta["alt"], name
    assert {trace.name for trace in plots.front(finished_study).data} >= {"ResNet", FRONT}


@pytest.mark.parametrize("kind", DEGENERATE)
@pytest.mark.parametrize("name", FIGURES)
def test_whatever_a_study_holds_there_is_a_figure_that_says_what_it_shows(name: str, kind: str) -> None:
    study = DEGENERATE[kind]()
    figure = FIGURES[name](study)
    assert len(figure.layout.meta["alt"].split()) > 4 and "nan" not in figure.layout.meta["alt"]
    assert figure.layout.title.text and "sendChartToCloud" in figure.layout.modebar.remove
    if not figure.data:
        assert texts(figure), "an empty figure says why"
    if kind == "never run":
        assert not figure.data


def test_the_front_shows_every_trial_the_front_and_the_budget(made: Study) -> None:
    info, trials = front.front_info(made), made.trials()
    assert info.front == front_with_noise(made).points
    assert info.trained == sum(trial.state == "trained" for trial in trials)
    shown = {state: {trial.number for trial in ones} for state, ones in info.others.items()}
    assert shown["failed"] == {trial.number for trial in trials if trial.state in ("failed", "diverged")}
    assert info.limits == {"budget: at most 20M": 20_000_000}
    figure = plots.front(made)
    drawn = traces(figure)
    assert list(drawn[FRONT].x) == [trial.flops for trial in pareto_front(made)]
    assert figure.layout.shapes[0].x0 == 20_000_000 and "20M" in texts(figure)
    for name, points in ((FRONT, info.front), (PERHAPS, info.contenders)):
        assert list(drawn[name].y) == pytest.approx([100 * point.shrunk_accuracy for point in points], abs=1e-3)
        assert list(drawn[name].error_y.array) == pytest.approx([100 * p.standard_error for p in points], abs=1e-3)
    below = min(y for name in info.families for y in drawn[name].y)
    rows = [trace.y for name, trace in drawn.items() if name.startswith(("stopped", "outside", "failed"))]
    assert len(rows) == 3 and max(y for row in rows for y in row) < below
    number, network, error, measured, chance = drawn["ResNet"].customdata[0]
    first = info.families["ResNet"][0]
    assert (number, error) == (first.trial.number, round(100 * first.standard_error, 2))
    assert "px, kernel" in network and "seed" in measured and "%" in chance
    assert f"{len(info.front)} of {info.trained} trained networks form the front" in figure.layout.meta["alt"]


def test_the_front_marks_what_is_recommended_and_what_it_is_compared_with(made: Study) -> None:
    beside = Reference("resnet<18>", "x", 9_000_000, 11_000_000, 100, 32, (0.97, 0.98), True, 5)
    info = front.front_info(made, max_flops=3_000_000, references=[beside])
    best = info.recommendation
    assert best is not None and best.best.trial.flops <= 3_000_000
    figure = plots.front(made, max_flops=3_000_000, references=[beside])
    star = next(trace for trace in figure.data if trace.name.startswith("recommended"))
    assert (star.marker.symbol, star.x[0]) == ("star", best.best.trial.flops)
    (diamond,) = (trace for trace in figure.data if trace.name == "reference")
    assert (diamond.x[0], diamond.y[0], diamond.marker.symbol) == (9_000_000, 97.5, "diamond")
    assert (diamond.text[0], diamond.customdata[0][0]) == ("resnet&lt;18&gt;", "resnet&lt;18&gt; (given weights)")
    long = plots.front(made, references=[dataclasses.replace(beside, name="efficientnet_small width 1.25 depth 0.5")])
    (diamond,) = (trace for trace in long.data if trace.name == "reference")
    assert diamond.text[0] == "efficientnet_sm…" and "width 1.25 depth 0.5" in diamond.customdata[0][0]
    assert "asked: at most 3M" in texts(figure) and best.sentence in figure.layout.meta["alt"]
    by_time = front.front_info(made, against="train_seconds", references=[beside])
    assert by_time.references == () and "1 reference without a known training time left out." in by_time.notes


def test_a_bound_below_all_networks_is_told(made: Study) -> None:
    figure = plots.front(made, max_flops=1_000)
    why = "No trained network of 'made' has at most 1k FLOPs; the cheapest, trial"
    assert why in figure.layout.meta["alt"] and why in figure.layout.title.subtitle.text.replace("<br>", " ")
    assert not any(trace.name.startswith("recommended") for trace in figure.data)


def test_a_front_over_a_cost_that_was_not_measured_says_how_to_measure_it(made: Study) -> None:
    with pytest.raises(StudyError, match="nas latency made"):
        plots.front(made, against="latency_ms")
    by_size = front.alt(front.front_info(made, against="weight_bytes"))
    assert "kB of weights to" in by_size and "bytes of the" not in by_size
    figure = plots.front(measured_study(), against="latency_ms")
    assert figure.layout.xaxis.title.text == "Latency (ms)" and "eager, batch 1" in figure.layout.title.subtitle.text


def test_fronts_of_several_studies_stand_on_one_figure(made: Study) -> None:
    info = fronts.fronts_info([made, made_study(30, seed=1, name="other"), made])
    assert list(info.fronts) == ["made (1)", "other", "made (2)"]
    assert {trace.name for trace in plots.fronts([made]).data} == {"made"}
    assert "other reaches" in fronts.alt(info)
    with pytest.raises(StudyError, match="no study is given"):
        plots.fronts([])
    elsewhere = made.settled(made.config, "other images")
    with pytest.raises(StudyError, match="other images"):
        plots.fronts([made.settled(made.config, "these images"), elsewhere])


def test_progress_rises_to_the_last_front(made: Study) -> None:
    info = progress.progress_info(made)
    assert len(info.moments) == sum(trial.state == "trained" for trial in made.trials())
    assert info.compute == sum(trial.flops * (trial.epochs or 0) for trial in made.trials())
    (line,) = plots.progress(made).data
    assert line.y[-1] == 100 and list(line.y) == sorted(line.y) and len(line.y) == len(info.rises) < len(info.moments)
    grown = info._replace(growth=Growth(10, 30, compute=0.4, gain=0.004))
    assert "added 0.4 % of the hypervolume" in progress.alt(grown)
    (shade,) = plots.progress(made).layout.shapes
    assert info.growth is not None and shade.x0 == pytest.approx((1 - info.growth.compute) * info.compute)


def test_curves_show_where_halving_stopped_a_training(made: Study) -> None:
    info = curves.curves_info(made)
    states = [trial.state for trial in made.trials()]
    assert [trial for trial, _ in info.front] == pareto_front(made)
    assert len(info.stopped) == states.count("stopped") and info.rungs == (2, 4)
    figure = plots.curves(made)
    (stops,) = (trace for trace in figure.data if trace.name.startswith("stopped"))
    assert sorted(stops.x) == sorted(trial.epochs for trial in made.trials() if trial.state == "stopped")
    assert [shape.x0 for shape in figure.layout.shapes] == [2, 4]
    (others,) = (trace for trace in figure.data if trace.name == "not on the front")
    assert list(others.x).count(None) == len(info.others)
    assert f"halving stopped {len(info.stopped)} of" in figure.layout.meta["alt"]


def test_of_many_curves_some_are_drawn_and_the_figure_says_how_many() -> None:
    many = made_study(900)
    info = curves.curves_info(many)
    assert any(note.startswith(f"{curves.OTHERS} of {len(info.others):,}") for note in info.notes)
    figure = plots.curves(many)
    (others,) = (trace for trace in figure.data if trace.name.startswith("not on the front"))
    assert list(others.x).count(None) == curves.OTHERS
    assert f"{curves.OTHERS} of {len(info.others):,}" in figure.layout.title.subtitle.text.replace("<br>", " ")
    assert len([trace for trace in figure.data if trace.name.startswith("front: ")]) <= curves.MEMBERS


def test_shares_find_what_pays_at_equal_flops() -> None:
    info = shares.shares_info(made_study(600))
    rises = {name: parts[-1].above - parts[0].above for name, parts in info.parts.items()}
    assert rises["depth"] > 1.5 > 0 > -1.5 > rises["width"], "a doubling of depth brings a point, of width takes one"
    depth = info.parts["depth"]
    slope = (depth[-1].above - depth[0].above) / (depth[-1].times / depth[0].times)
    assert sum(part.networks for part in depth) == info.networks and slope > 0 and DEEPER > 0
    assert "depth: networks with" in shares.alt(info) and "points better" in shares.alt(info)
    assert all(0 < part.error < 1 for part in depth)
    few = made_study(12)
    assert "Needs 12 trained networks" in texts(plots.shares(few)) == shares.alt(shares.shares_info(few))


def test_dimensions_that_do_not_vary_have_no_axis_and_no_line(made: Study) -> None:
    square = study_of([replace(trial, width=1.0, space="resnet_small", choices={}) for trial in made.trials()])
    assert [axis.label for axis in parallel.parallel_info(square).axes] == ["depth", "px", "FLOPs", "accuracy (%)"]
    info = parallel.parallel_info(made)
    assert [axis.label for axis in info.axes][:5] == ["family", "width", "depth", "px", "kernel"]
    assert info.axes[0].texts == ["EfficientNet", "ResNet"] and info.axes[4].texts == ["3", "5"]
    drawn = plots.parallel(made).data[0]
    assert len(drawn.line.color) == info.networks == len(drawn.customdata)
    accuracies = info.axes[-1].values
    assert sum(drawn.line.color) == info.networks // 5 and drawn.line.color[accuracies.index(max(accuracies))] == 1
    assert list(drawn.dimensions[-2].ticktext)[-1].endswith("M"), "a cost reads as people write it"


def test_importance_finds_what_decides_and_says_how_much_it_explains() -> None:
    info = importance.importance_info(made_study(500))
    at_equal = info.found[importance.AT_EQUAL]
    ranked = [at_equal.dimensions[place] for place in at_equal.mean.argsort()]
    assert ranked[0] == "kernel" and set(ranked[-2:]) == {"width", "depth"}, "the kernel does nothing in these studies"
    assert at_equal.explained > 0.5 and (at_equal.std > 0).any()
    assert "of unseen networks" in importance.alt(info)
    assert importance.alt(info).startswith("Accuracy depends most on ")
    noisy = at_equal._replace(std=at_equal.mean + 0.1)
    told = importance.alt(info._replace(found={importance.OF_ALL: noisy}))
    assert "depends most" not in told and "seems to matter most, which its spread leaves open (" in told
    few = importance.importance_info(made_study(20))
    assert not few.found and "Needs 20 trained networks" in importance.alt(few)


def test_errors_are_told_under_a_budget_and_weighted_by_cost(made: Study) -> None:
    info = errors.errors_info(made, max_flops=2_000_000)
    trained = [one.network.trial for one in made.judgement().networks if one.network.trial.flops <= 2_000_000]
    assert sum(found.networks for found in info.families.values()) + info.left_out == len(trained)
    for found in info.families.values():
        assert found.shares[-1] == pytest.approx(1) and (found.errors[1:] >= found.errors[:-1]).all()
        assert 0 < found.band < 1
    assert info.weighted and "Under 2M FLOPs" in plots.errors(made, max_flops=2_000_000).layout.title.subtitle.text
    assert "No network with at most 10 FLOPs" in texts(plots.errors(made, max_flops=10))


def test_a_weighted_distribution_is_the_plain_one_where_costs_are_alike() -> None:
    even = errors._weights([20, 20, 21, 21], {20, 21})
    assert list(even) == [0.5] * 4
    assert list(errors._weights([20, 20, 21, 25], {20, 21})) == [0.5, 0.5, 1.0, 0.0]
    found = errors._distribution([3.0, 1.0, 2.0], errors.np.ones(3))
    assert list(found.errors) == [1, 2, 3] and found.median == 2


def test_times_name_the_trainings_that_took_long(made: Study) -> None:
    slow = [trial for trial in made.trials() if trial.state == "trained"][3]
    trials = [replace(t, train_seconds=40 * (t.train_seconds or 0)) if t == slow else t for t in made.trials()]
    info = times.times_info(study_of(trials))
    assert [trial.number for trial in info.long] == [slow.number]
    assert info.left_out == sum(trial.state in ("stopped", "diverged") for trial in trials)
    assert f"took trial {slow.number}." in times.alt(info)
    even = times.times_info(study_of([replace(trial, train_seconds=30.0) for trial in trials]))
    assert not even.long and list(even.usual.values()) == pytest.approx([30.0] * len(even.usual))
    rings = plots.times(study_of(trials)).data[-1]
    assert (rings.marker.symbol, list(rings.x)) == ("circle-open", [slow.flops])


def test_latency_shows_the_front_by_latency_with_both_errors() -> None:
    study = measured_study()
    info = latency.latency_info(study)
    shown = [entry for entries in info.families.values() for entry in entries]
    assert len(shown) == len(pareto_front(study)) and 0 < len(info.kept) <= len(shown)
    found = stored_front_latency(study)
    assert found is not None and [entry.trial for entry in info.kept][0] == found.ranked[0].trial
    level = found._replace(ranked=(found.ranked[0]._replace(level_with=3), *found.ranked[1:]))
    assert len(latency.latency_info(study, level).kept) == len(info.kept) - 1, "one level with another is not kept"
    figure = plots.latency(study)
    assert all(trace.error_x.array and trace.error_y.array for trace in figure.data[:2])
    assert f"{len(info.kept)} of {len(shown)} members" in figure.layout.meta["alt"]


def test_figures_of_large_studies_are_small_and_drawn_by_webgl() -> None:
    large = made_study(4000)
    for name, draw in FIGURES.items():
        figure = draw(large)
        assert len(figure.to_json()) < 900_000, name
    assert {trace.type for trace in plots.front(large).data[:2]} == {"scattergl"}
    assert {trace.type for trace in plots.front(made_study()).data} == {"scatter"}


def test_what_looks_like_markup_is_text(made: Study) -> None:
    broken = replace(made.trials()[0], state="failed", error='<a href="x">\n%{y}</a>', choices={"kernel": "<b>3</b>"})
    figure = plots.front(study_of([broken, *made.trials()[1:]]))
    (failed,) = (trace for trace in figure.data if trace.name.startswith("failed"))
    told = next(row for row in failed.customdata if row[0] == broken.number)
    assert "<" not in told[1] + told[2] and "\n" not in told[2] and "&lt;a href" in told[2]


def test_one_epoch_and_one_stopped_trial_are_drawn() -> None:
    figure = plots.curves(only("stopped", 1))
    assert "none of them of a network on the front" in figure.layout.meta["alt"] and EPOCHS > 1
