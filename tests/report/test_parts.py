"""What the page is made of: what it holds for scripts, networks as drawings, trials as columns, studies at rest."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pages import held, words
from pretended import STUDY, pretend

import nas
from nas.analysis.pareto import front_with_noise
from nas.architecture.cost import count_cost
from nas.architecture.spec import Architecture
from nas.config.study import StudyConfig
from nas.errors import StudyError
from nas.records import Epoch, ImageDigests
from nas.report.drawing import Drawings
from nas.report.embedded import embedded, plain_data, policy, script
from nas.report.page import write_report
from nas.report.snapshot import held_still
from nas.report.trials import MOST_EPOCHS, choices, shown_networks, thinned, trial_data
from nas.search.run.start import run_study
from nas.search.study import Study


@pytest.mark.parametrize("length", [10, 400_000])
def test_a_document_is_held_as_text_that_ends_no_script(length: int) -> None:
    document = {"name": "</script><!--\u2028&\"'" + "x" * length, "numbers": [1, 2.5, None]}
    text = str(embedded("it", document))
    assert held(text, "it") == document
    assert text.count("</script>") == 1 and "<!--" not in text and "\u2028" not in text
    assert ('type="application/json"' in text) == (length == 10) and len(text) < 2_000


def test_numbers_of_figures_have_six_digits_and_are_finite() -> None:
    values = plain_data({"x": np.array([1 / 3, np.nan, 2.0]), "y": (1e20, -np.inf), "z": [True, "a", 12345678]})
    assert values == {"x": [0.333333, None, 2], "y": [1e20, None], "z": [True, "a", 12345678]}
    json.dumps(values, allow_nan=False)


def test_text_is_made_a_function_only_where_webgl_needs_it() -> None:
    assert "unsafe-eval" not in policy([script("1")], webgl=False)
    assert "'unsafe-eval'" in policy([script("1")], webgl=True)
    for one in (True, False):
        assert policy([script("1")], webgl=one).startswith("default-src 'none'; script-src 'sha256-")


LABELS = {
    "resnet50": "1×1 → 3×3, stride 2 → 1×1",
    "efficientnet_b0": "1×1 → depthwise 5×5, stride 2 → squeeze-excite → 1×1",
    "inception_v3": "4 branches: 1×1; 1×1 → 5×5; ",
    "resnext50_32x4d": "1×1 → 32 groups 3×3 → 1×1",
}


@pytest.mark.parametrize("name", LABELS)
def test_a_drawing_has_all_blocks_and_costs_of_the_network(name: str) -> None:
    network: Architecture = nas.preset(name)
    drawings, cost = Drawings(), count_cost(network)
    drawings.add("it", network)
    sections = drawings.networks["it"]
    assert [section[0] for section in sections][:2] == ["stem", "stage 1"] and sections[-1][0] == "classifier"
    assert sum(section[3] for section in sections) == cost.flops
    assert sum(section[4] for section in sections) == cost.params
    stages = [section for section in sections if section[0].startswith("stage")]
    assert [sum(times for _, times in s[7]) for s in stages] == [len(s.blocks) for s in network.stages]
    for section in stages:
        last, _ = section[7][-1]
        assert sum(drawings.parts[last].branches) == section[1]  # no block of these adds its branches
    assert any(LABELS[name] in part.label for part in drawings.parts)
    assert any(part.shortcut for part in drawings.parts) == (name != "inception_v3")


def test_long_curves_are_thinned_and_keep_their_ends() -> None:
    curve = [Epoch(n, 0.0, 0.0, 0.0, n / 1000, 1.0) for n in range(1, 201)]
    epochs, values = thinned(curve)
    assert len(epochs) <= MOST_EPOCHS and epochs[0] == 1 and epochs[-1] == 200 and values[-1] == 20
    assert thinned(curve[:MOST_EPOCHS])[0] == list(range(1, MOST_EPOCHS + 1)) and thinned([]) == [[], []]
    assert thinned([replace(curve[0], val_accuracy=float("nan"))]) == [[1], [None]]


def test_of_many_networks_the_front_is_drawn_first(finished_study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    front, trials = front_with_noise(finished_study), finished_study.trials()
    first = [point.trial.digest for point in front.points]
    assert shown_networks(trials, front, len(first)) == first
    assert set(shown_networks(trials, front, 500)) == {trial.digest for trial in trials}
    monkeypatch.setattr("nas.report.trials.MOST_DRAWN", len(first))
    data = trial_data(finished_study, front)
    assert list(data["networks"]) == first and data["left_out"] == len({t.digest for t in trials}) - len(first) > 0
    assert choices(replace(trials[0], choices={"kernel": 3, "squeeze_excitation": False})) == (
        "kernel 3, squeeze excitation no"
    )


def test_seeds_keep_all_their_digits(finished_study: Study) -> None:
    columns = trial_data(finished_study, front_with_noise(finished_study))["columns"]
    seeds = [trial.seed for trial in finished_study.trials()]
    assert (
        columns["seed"] == [None if seed is None else str(seed) for seed in seeds] and max(filter(None, seeds)) > 2**53
    )


def test_a_page_is_of_one_moment_while_a_search_writes(finished_study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    all_trials, asked = finished_study.trials(), list[int]()

    def growing(study: Study) -> list[Any]:
        asked.append(1)
        return all_trials[: -3 + len(asked)] if len(asked) < 3 else all_trials

    monkeypatch.setattr(Study, "trials", growing)
    still = held_still(finished_study)
    assert len(still.trials()) == len(still.trials()) == len(all_trials) - 2 and len(asked) == 1
    numbers = [trial.number for trial in still.trials()]
    assert still.curves(numbers[:2]).keys() == {n for n in numbers[:2] if n in finished_study.curves()}
    write_report(finished_study, "page.html")


@pytest.fixture
def pair(monkeypatch: pytest.MonkeyPatch) -> list[Study]:
    """Return two studies of the same images."""
    pretend(monkeypatch)
    search = {**STUDY["search"], "trials": 4}
    return [run_study(StudyConfig.model_validate({**STUDY, "name": name, "search": search})) for name in ("a", "b")]


def test_several_studies_share_a_page(pair: list[Study]) -> None:
    text = write_report(pair, "both.html").read_text()
    assert text.index("The studies on one front") < text.index('id="study-0"') < text.index('id="study-1"')
    assert len(held(text, "together-figures")["together"]["data"]) >= 2
    assert [held(text, f"study-{place}-trials")["name"] for place in (0, 1)] == ["a", "b"]
    assert all(nas.recommend(study).sentence in words(text) for study in pair)
    assert len(set(ids := [part.split('"')[0] for part in text.split(' id="')[1:]])) == len(ids)


def test_what_cannot_be_compared_is_refused_by_name(pair: list[Study], monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = pair
    metric = other.config.recipe.model_copy(update={"metric": "macro_f1"})
    refused = {
        "study 'a' was given twice": [one, one],
        "'a' and 'b' cannot be compared: they were run on other images": [one, other.settled(other.config, "another")],
        "'a' and 'b' cannot be compared: one goes by accuracy, the other by macro F1": [
            one,
            other.settled(other.config.model_copy(update={"recipe": metric}), other.fingerprint),
        ],
        "a report needs a study": [],
    }
    for message, studies in refused.items():
        with pytest.raises(StudyError, match=message):
            write_report(studies, "page.html")
    with monkeypatch.context() as patch, pytest.raises(StudyError, match="'a' and 'b' .* run on other images"):
        patch.setattr(Study, "image_digests", lambda study: ImageDigests(study.fingerprint, content=study.name))
        write_report(pair, "page.html")  # of one fingerprint, but not the same inside
    with pytest.raises(StudyError, match="needs the path of a file"):
        write_report(pair)


def test_the_command_takes_several_studies_and_says_its_mistakes_in_a_line(finished: Path, nas_command: Any) -> None:
    other = finished.with_name("other.yaml")
    other.write_text(finished.read_text().replace("name: tiny", "name: other"))
    for arguments, said in (
        ((finished, finished, "-o", "x.html"), "study 'tiny' was given twice"),
        ((finished, other, "-o", "x.html"), "study 'other' has not been run yet"),
        ((), "Missing argument 'STUDY...'"),
    ):
        code, out, err = nas_command("report", *arguments)
        assert (code, out) == (2, "") and said in err and not Path("x.html").exists()
    other.unlink()
