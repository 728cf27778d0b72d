"""The answer of studies that are made for it, word for word."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from conftest import TINY, Outcome
from hypothesis import given, settings
from hypothesis import strategies as st

from nas.analysis.pareto import FrontPoint, front_of
from nas.analysis.recommendation import growth_sentence, knee, network_words, recommend
from nas.config.study import StudyConfig
from nas.errors import StudyError
from nas.export.bundle import choose_trial
from nas.fronts.growth import Growth
from nas.fronts.judged import judge
from nas.records import Reference, Repeat, TrialRecord
from nas.search.study import Study

STAGNANT, GROWING = Growth(10, 30, 1 / 3, 0.0), Growth(10, 20, 0.52, 0.042)
NOT_MEASURED = "Whether longer trainings have the same order was not measured: nas scale trust made."
TOO_SHORT = "The search is too short to tell whether more trials would find better networks."
ONE_SEED = "was trained from one seed: its noise is assumed, not measured (search.replicates measures it)."
RESNET18 = Reference("resnet18", "r", 1_800_000_000, 11_000_000, 2_000_000, 224, (0.97, 0.97), True, 5)


class Made:
    """A study whose networks are known: (FLOPs, accuracy) each, cheapest first."""

    name = typed = "made"

    def __init__(
        self,
        *points: tuple[float, float],
        val_images: int = 100_000,
        seeds: int = 1,
        growth: Growth | None = None,
        references: Sequence[Reference] = (),
        spaces: Sequence[str] = ("resnet_small",),
        scaling: Sequence[str] = (),
        **changes: Any,
    ) -> None:
        search = {**TINY["search"], "spaces": list(spaces)}
        self.config = StudyConfig.model_validate({**TINY, "budget": {}, "search": search, **changes})
        trials = [
            TrialRecord(
                *(number, "resnet_small", 0.75, 1.0, 24, f"{number}", int(flops), 1, 1, "trained"), accuracy=accuracy
            )
            for number, (flops, accuracy) in enumerate(points)
        ]
        repeats = [
            Repeat(number, repeat, "trained", accuracy=accuracy)
            for number, (_, accuracy) in enumerate(points)
            for repeat in range(1, seeds)
        ]
        self.judgement = lambda: judge(trials, repeats, val_images=val_images)
        self.growth, self.references, self.scaling_names = lambda: growth, lambda: references, lambda: scaling


def made(*points: tuple[float, float], **options: Any) -> Study:
    return cast(Study, Made(*points, **options))


CLEAR = ((5e6, 0.80), (10e6, 0.86), (15e6, 0.912), (40e6, 0.95))


def test_a_clear_winner_is_taken_and_doubts_say_what_is_not_known() -> None:
    answer = recommend(made(*CLEAR))
    assert answer.sentence == str(answer) == "Take trial 3 (ResNet, 0.75 × 1.0, 24 px): 95.0 ± 0.1 %."
    assert answer.doubts == (f"Trial 3 {ONE_SEED}", TOO_SHORT, NOT_MEASURED)
    assert answer.cheapest is answer.reference is answer.growth is answer.max_flops is None


def test_under_a_bound_the_best_within_it_is_taken() -> None:
    answer = recommend(made(*CLEAR, growth=STAGNANT), max_flops=20_000_000)
    assert answer.sentence == (
        "Under 20M FLOPs take trial 2 (ResNet, 0.75 × 1.0, 24 px): 91.2 ± 0.1 %."
        " The last third of the search brought nothing beyond noise."
    )
    assert answer.doubts == (f"Trial 2 {ONE_SEED}", NOT_MEASURED)
    assert recommend(made(*CLEAR), max_flops=15_000_000).best.trial.number == 2  # the bound is allowed
    assert recommend(made(*CLEAR), max_flops=14_999_999).best.trial.number == 1


def test_the_study_s_own_budget_is_named() -> None:
    budget = {"flops": {"max": "50M"}}
    assert recommend(made(*CLEAR, budget=budget)).sentence.startswith("Under 50M FLOPs take trial 3 ")
    assert recommend(made(*CLEAR, budget=budget), max_flops=10**7).sentence.startswith("Under 10M FLOPs take trial 1 ")


def test_of_networks_within_noise_the_cheapest_is_named_too() -> None:
    near = ((5e6, 0.80), (10e6, 0.9), (12e6, 0.903), (20e6, 0.905))
    answer = recommend(made(*near, val_images=1000, growth=GROWING))
    assert answer.cheapest is not None and answer.cheapest.trial.number == 1  # the cheapest, not the nearest
    assert answer.sentence == (
        "Take trial 3 (ResNet, 0.75 × 1.0, 24 px): 90.6 ± 1.1 %. Trial 1 is within noise of it at 50 % of the FLOPs."
        " The last 52 % of the search still brought 4.2 % of the hypervolume beyond noise."
    )
    assert "The front was still growing: more trials may find better networks." in answer.doubts
    assert recommend(made(*near, val_images=10**7)).cheapest is None


def test_what_is_within_noise_of_the_best_is_what_the_front_calls_near() -> None:
    for apart in np.linspace(0, 0.08, 9):
        study = made((5e6, 0.7), (10e6, 0.8), (12e6, 0.8 + apart), val_images=1000)
        front = front_of(study.judgement())
        if len(front.points) == 3:
            answer = recommend(study)
            named = answer.cheapest is not None and answer.cheapest.trial.number == 1
            assert named == (front.points[2].within_noise_of == 1), apart


def test_the_luckiest_training_is_not_taken() -> None:
    random = np.random.default_rng(0)
    lucky = [(1e6 + 1e4 * i, float(accuracy)) for i, accuracy in enumerate(random.normal(0.7, 0.02, 60))]
    answer = recommend(made(*lucky, val_images=400))
    best = max(accuracy for _, accuracy in lucky)
    assert best > 0.735 and answer.best.shrunk_accuracy < 0.715


def test_a_single_network_is_the_answer() -> None:
    answer = recommend(made((5e6, 0.8)))
    assert answer.sentence == "Take trial 0 (ResNet, 0.75 × 1.0, 24 px): 80.0 ± 0.2 %."
    assert answer.knee is answer.cheapest is None


def test_where_all_are_equal_the_cheapest_is_the_best_or_within_noise_of_it() -> None:
    answer = recommend(made(*((1e6 * n, 0.8) for n in range(1, 9)), val_images=1000))
    assert (answer.cheapest or answer.best).trial.number == 0


def test_noise_that_was_measured_is_no_doubt() -> None:
    answer = recommend(made(*CLEAR, seeds=3, growth=STAGNANT, scaling=("shape",)))
    assert answer.doubts == (NOT_MEASURED,)
    assert answer.sentence.startswith("Take trial 3 (ResNet, 0.75 × 1.0, 24 px): 95.00 ± 0.01 %.")


def test_what_is_known_of_longer_trainings_stands_among_the_doubts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nas.analysis.trusted.told_trust", lambda study: ["Against 9 epochs: the order holds."])
    study = made(*CLEAR, growth=STAGNANT, scaling=("trust",))
    assert recommend(study).doubts == (f"Trial 3 {ONE_SEED}", "Against 9 epochs: the order holds.")


def test_a_family_that_was_hardly_tried_is_a_doubt() -> None:
    spaces = ("resnet_small", "efficientnet_small")
    doubts = recommend(made(*CLEAR, spaces=spaces)).doubts
    assert doubts[-1] == "That it is ResNet rests on few networks: 4 ResNet, 0 EfficientNet."


def test_another_metric_is_named() -> None:
    sentence = recommend(made(*CLEAR, recipe={"metric": "macro_f1"})).sentence
    assert sentence == "Take trial 3 (ResNet, 0.75 × 1.0, 24 px): macro F1 95.0 ± 0.1 %."


def test_a_reference_that_is_better_is_named_and_one_within_the_bound_before_one_beyond() -> None:
    better = "is better: 97.0 ± 0.1 % at 1.8G FLOPs"
    assert recommend(made(*CLEAR, references=[RESNET18])).sentence == (
        "Take trial 3 (ResNet, 0.75 × 1.0, 24 px): 95.0 ± 0.1 %."
        f" The reference resnet18, begun from given weights, {better}."
    )
    beyond = recommend(made(*CLEAR, references=[RESNET18]), max_flops=10**8)
    assert beyond.sentence.endswith(f" The reference resnet18, begun from given weights, {better}, beyond the bound.")
    small = replace(RESNET18, name="small", flops=9_000_000, accuracies=(0.955,), pretrained=False)
    within = recommend(made(*CLEAR, references=[small, RESNET18]), max_flops=10**8)
    assert within.reference == small
    assert within.sentence.endswith(" The reference small is better: 95.5 ± 0.1 % at 9M FLOPs.")


@pytest.mark.parametrize("accuracy", [0.94, 0.95, 0.9505, 0.9515])
def test_a_reference_within_noise_is_not_better(accuracy: float) -> None:
    reference = replace(RESNET18, accuracies=(accuracy,))
    assert recommend(made(*CLEAR, references=[reference])).reference is None


def test_nothing_trained_and_an_impossible_bound_are_one_line() -> None:
    with pytest.raises(StudyError, match="^study 'made' has no trained network yet$"):
        recommend(made())
    least = "^no trained network of 'made' has at most 1M FLOPs; the cheapest, trial 0, has 5M$"
    with pytest.raises(StudyError, match=least):
        recommend(made(*CLEAR), max_flops=1_000_000)
    with pytest.raises(StudyError, match=least):
        recommend(made(*CLEAR, budget={"flops": {"max": "1M"}}))


def test_the_knee_is_where_the_front_bends_beyond_noise() -> None:
    bent = ((1e6, 0.5), (2e6, 0.7), (4e6, 0.85), (8e6, 0.87), (16e6, 0.88))
    study = made(*bent)
    answer = recommend(study)
    assert answer.knee is not None and answer.knee.trial.number == 2
    assert choose_trial(study, knee=True).number == 2
    within = recommend(study, max_flops=4_000_000)
    assert within.knee is None or within.knee.trial.number == 1
    slightly = ((1e6, 0.80), (2e6, 0.823), (4e6, 0.84))
    assert recommend(made(*slightly, val_images=10**6)).knee is not None
    assert recommend(made(*slightly, val_images=200)).knee is None  # a bend within its noise is none
    straight = made(*((1e6 * 2**n, 0.5 + 0.1 * n) for n in range(5)))
    assert recommend(straight).knee is None
    with pytest.raises(StudyError, match="has no knee: none of its networks lies above the straight line"):
        choose_trial(straight, knee=True)
    with pytest.raises(StudyError, match="has no knee: it has 2 networks, and a knee needs three"):
        choose_trial(made(*bent[:2]), knee=True)


@settings(max_examples=30)  # each fits a model
@given(st.lists(st.tuples(st.integers(1, 9), st.floats(0.1, 0.9)), min_size=3, max_size=12), st.integers(1, 9))
def test_the_answer_is_never_beaten_by_what_was_found(points: list[tuple[int, float]], bound: int) -> None:
    study = made(*(points := sorted(points)), val_images=400)
    front = front_of(study.judgement())
    if front.points[0].trial.flops > bound:
        return
    answer = recommend(study, max_flops=bound)
    allowed = [p for p in (*front.points, *front.others) if p.trial.flops <= bound]
    assert answer.best.shrunk_accuracy == max(point.shrunk_accuracy for point in allowed)
    assert choose_trial(study, max_flops=bound) == answer.best.trial
    if answer.cheapest is not None:
        assert answer.cheapest.trial.flops < answer.best.trial.flops and answer.cheapest in front.points


def test_the_knee_of_another_cost_goes_by_that_cost() -> None:
    points = recommendable(0.5, 0.7, 0.72, 0.9)
    assert knee(points, [1, 2, 100, 200]) == points[1]
    assert knee(points, [1, 100, 110, 120]) is None or knee(points, [1, 100, 110, 120]) != points[1]


def recommendable(*accuracies: float) -> list[FrontPoint]:
    return list(front_of(made(*((1e6 * 2**n, a) for n, a in enumerate(accuracies))).judgement()).points)


@pytest.mark.parametrize(
    ("growth", "words"),
    [
        (None, ""),
        (STAGNANT, "The last third of the search brought nothing beyond noise."),
        (
            replace(STAGNANT, gain=0.004),
            "The last third of the search brought only 0.4 % of the hypervolume beyond noise.",
        ),
        (GROWING, "The last 52 % of the search still brought 4.2 % of the hypervolume beyond noise."),
    ],
)
def test_what_the_last_part_brought_is_said(growth: Growth | None, words: str) -> None:
    assert growth_sentence(growth) == words


def test_networks_are_named_as_people_name_them() -> None:
    trial = TrialRecord(0, "efficientnet_v2_small", 1.25, 0.333333, 32, "d", 1, 1, 1)
    assert network_words(trial) == "EfficientNetV2, 1.25 × 0.333, 32 px"
    choices = {"kernel": 5, "squeeze_excitation": False}
    assert network_words(replace(trial, space="mine", width=2.0, choices=choices)) == (
        "mine, 2.0 × 0.333, 32 px, kernel 5, squeeze excitation no"
    )


def test_all_places_say_the_same(nas_command: Callable[..., Outcome], own_finished: Path) -> None:
    """``nas front``, its JSON, the end of ``nas search`` and ``nas export`` go by one recommendation."""
    from nas.search.opening import open_study

    with open_study(own_finished) as study:
        study.add_reference(replace(RESNET18, accuracies=(1.0, 1.0)))
        answer, least = recommend(study), study.judgement().front[0]
    shown = nas_command("front", own_finished).out
    assert shown.startswith(answer.sentence) and "The reference resnet18, begun from given weights, is better" in shown
    assert (
        "Reference resnet18: 100.0 ± 0.0 % (2 seeds) at 1.8G FLOPs, 224 px, 5 epochs, begun from" in shown
        and answer.doubts[0] in shown
    )
    assert "* recommended" in shown and f" {answer.best.trial.number}  *" in shown
    document = json.loads(nas_command("front", own_finished, "--json").out)
    assert document["recommendation"]["sentence"] == answer.sentence
    assert document["recommendation"]["best"] == answer.best.trial.number
    assert document["references"][0]["accuracies"] == [1.0, 1.0]
    searched = nas_command("search", own_finished, "--trials", 0).out
    assert answer.sentence in searched and f"--trial {answer.best.trial.number} " in " ".join(searched.split())
    bound = ("--max-flops", least.flops)
    assert f"take trial {least.number} " in nas_command("front", own_finished, *bound).out
    exported = nas_command("export", own_finished, *bound, "-o", "out", "--json")
    assert json.loads(exported.out)["trial"] == least.number
    for command in ("front", "export"):
        output = ("-o", "none") if command == "export" else ()
        refused = nas_command(command, own_finished, "--max-flops", "10", *output)
        assert refused.code == 2 and refused.err.startswith("nas: no trained network of 'tiny' has at most 10 FLOPs;")
        assert refused.err.count("\n") == 1 and f"the cheapest, trial {least.number}, has" in refused.err
        assert nas_command(command, own_finished, "--max-flops", "some", *output).err.startswith("nas: --max-flops:")


def test_where_nothing_is_trained_the_front_is_empty_and_what_asks_more_says_so(
    nas_command: Callable[..., Outcome], tmp_path: Path
) -> None:
    path = tmp_path / "tiny.yaml"
    path.write_text(json.dumps(TINY))
    searched = nas_command("search", path, "--trials", 0)
    assert searched.code == 0 and "Nothing is trained yet." in searched.out and "nas export" not in searched.out
    document = json.loads(nas_command("front", path, "--json").out)
    assert document["recommendation"] is None and document["front"] == [] and document["knee"] is None
    for asked in (("--knee",), ("--max-flops", "1M"), ("--against", "latency"), ("--knee", "--json")):
        refused = nas_command("front", path, *asked)
        assert (refused.code, refused.err) == (2, "nas: study 'tiny' has no trained network yet\n"), asked
