"""How long a study's trainings are likely to take, and what of it its database keeps."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from conftest import TINY, Outcome

from nas.architecture.cost import count_cost
from nas.architecture.spec import Architecture
from nas.records import TrialRecord
from nas.scaling.seconds import LeftOut, SecondsModel
from nas.search import check
from nas.search.check import check_study
from nas.search.opening import find_study, open_study
from nas.search.seconds import Forecast, checked_seconds, keep_seconds, predicted_seconds, seconds_law
from nas.search.storage.seconds import CheckedSeconds
from nas.search.study import Study
from nas.training.timing import StepTime

TRUTH = SecondsModel(constant=-12.0, flops=0.3, activations=0.7)
CHECKED = CheckedSeconds(
    "device", "float32", SecondsModel(-20.0, 0.3, 0.7), LeftOut(0.1, 0.3), networks=9, images=1000.0
)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a step take a second for each million of FLOPs."""

    def step(architecture: Architecture, *given: Any, **how: Any) -> StepTime:
        return StepTime(count_cost(architecture).flops / 1e6, 0.5)

    monkeypatch.setattr(check, "time_step", step)


def trial(number: int, flops: float, *, seconds: float | None = None, **more: Any) -> TrialRecord:
    """Return a trial that trained as long as the truth says, or so long."""
    activations = int(40 * flops**0.5)
    seconds = float(TRUTH.predict(flops, activations)) if seconds is None else seconds
    record = TrialRecord(number, "s", 1.0, 1.0, 8, f"d{number}", int(flops), 1, activations)
    return replace(record, state="trained", device="device", train_seconds=seconds, **more)


def new(flops: float) -> TrialRecord:
    return TrialRecord(99, "s", 1.0, 1.0, 8, "new", int(flops), 1, int(40 * flops**0.5), state="waiting")


def expected(trials: list[TrialRecord], flops: float, forecast: Forecast | None = None) -> float:
    return (forecast or Forecast()).seconds([*trials, new(flops)], like=99)


def test_five_trainings_spread_over_cost_tell_the_law() -> None:
    trained = [trial(number, flops) for number, flops in enumerate((1e6, 1.2e6, 1.5e6, 1.7e6, 2e6))]
    at_8m = float(TRUTH.predict(8e6, int(40 * 8e6**0.5)))
    assert expected(trained, 8e6) == pytest.approx(at_8m, rel=1e-3)
    assert expected(trained[:4], 8e6) == 0  # too few, and none of them is similar
    narrow = [replace(one, flops=int(1.9e6)) if one.number == 4 else one for one in trained]
    assert expected(narrow, 8e6) == 0
    alike = [replace(trained[4 * (number % 2)], number=number, digest=str(number)) for number in range(5)]
    assert expected(alike, 8e6) == 0  # five trainings, two costs


def test_few_trainings_tell_the_median_of_networks_of_similar_cost() -> None:
    trained = [trial(number, 1e6, seconds=seconds) for number, seconds in enumerate((10.0, 11.0, 30.0))]
    assert expected(trained, 1.4e6) == expected(trained, 0.7e6) == 11.0
    assert expected(trained, 1.6e6) == expected(trained, 0.6e6) == expected(trained[:2], 1e6) == 0


def test_before_any_training_ends_what_was_checked_tells() -> None:
    forecast = Forecast(frozenset({"device"}), (replace(CHECKED, device="other", images=9.0), CHECKED))
    alone = 1000 * float(CHECKED.image.predict(8e6, int(40 * 8e6**0.5)))
    assert expected([], 8e6, forecast) == pytest.approx(alone)
    assert expected([], 8e6, replace(forecast, devices=frozenset({"new"}))) == 0
    ratio = float(TRUTH.predict(1e6, 40_000)) / (1000 * float(CHECKED.image.predict(1e6, 40_000)))
    assert ratio > 2  # trainings take longer than was measured: beside others, say
    assert expected([trial(0, 1e6)], 8e6, forecast) == pytest.approx(ratio * alone, rel=1e-3)


def test_only_whole_trainings_on_the_same_devices_tell() -> None:
    trained = [trial(number, 1e6 * (1 + number)) for number in range(5)]
    here, there = Forecast(frozenset({"device"})), Forecast(frozenset({"new"}))
    assert expected(trained, 8e6, here) == expected(trained, 8e6) > 0 == expected(trained, 8e6, there)
    for state in ("stopped", "failed", "diverged", "interrupted"):
        assert expected([replace(trained[0], state=state), *trained[1:]], 8e6) == 0


@pytest.mark.usefixtures("quick")
def test_a_study_that_has_not_been_run_keeps_nothing_and_says_nothing(nas_command: Callable[..., Outcome]) -> None:
    Path("mine.yaml").write_text(yaml.safe_dump({**TINY, "name": "mine"}))
    out = nas_command("check", "mine.yaml").out
    assert "FLOPs and activations tell times to within" in out and "kept" not in out and "within 1" not in out
    assert not Path("mine").exists() and not Path("studies").exists()
    assert predicted_seconds(find_study("mine.yaml"), 1e6, 1e4) is None


@pytest.mark.usefixtures("quick")
def test_a_check_keeps_the_law_with_a_study_that_has_been_run(
    own_study: Study, own_finished: Path, nas_command: Callable[..., Outcome]
) -> None:
    before = own_study.trials()
    keep_seconds(own_study, replace(CHECKED, device=before[0].device or ""))
    outcome = nas_command("check", own_finished, "--hours", 1)
    assert "(worst), each network by the others; kept with the study\n" in outcome.out
    assert "\n  within 1 h: all of them\n" in outcome.out
    (kept,) = checked_seconds(own_study)  # in place of the first
    assert (kept.precision, kept.networks, kept.device) == ("float32", 9, before[0].device)
    document = json.loads(nas_command("check", own_finished, "--hours", 0.001, "--json").out)
    assert document["kept"] and document["image_seconds"] == asdict(kept.image)
    assert document["seconds_error"] == asdict(kept.error)
    assert document["trainings_in_hours"] == pytest.approx(
        3.6 * document["trainings"] / document["total_seconds"], rel=1e-9
    )
    assert (
        f"within 0.001 h: about {int(document['trainings_in_hours'])} of them"
        in nas_command("check", own_finished, "--hours", 0.001).out
    )
    assert own_study.trials() == before and open_study(own_finished).growth() == own_study.growth()


def test_what_is_kept_predicts_what_trainings_take(own_study: Study) -> None:
    check_study(own_study)
    (kept,) = checked_seconds(own_study)
    trained = [one for one in own_study.trials() if one.state == "trained"]
    predicted = kept.training.predict([one.flops for one in trained], [one.activations for one in trained])
    ratios = predicted / np.array([one.train_seconds for one in trained])
    assert 0 < kept.error.median <= kept.error.largest
    assert 0.2 < float(np.median(ratios)) < 5  # trainings of half a second, on a machine that others use


def test_a_study_predicts_seconds_by_its_trainings_or_else_by_its_check(own_study: Study, own_finished: Path) -> None:
    cost = count_cost(own_study.architecture(own_study.trials()[0]))
    law = Forecast().law(own_study.trials())
    assert law is not None
    by_trainings = predicted_seconds(own_finished, cost.flops, cost.activations)
    assert by_trainings == pytest.approx(float(law.predict(cost.flops, cost.activations)))
    assert predicted_seconds(own_study, cost.flops, cost.activations, device="new") is None
    assert keep_seconds(own_study, replace(CHECKED, device="new"))
    checked = predicted_seconds(own_study, cost.flops, cost.activations, device="new")
    assert checked == pytest.approx(1000 * float(CHECKED.image.predict(cost.flops, cost.activations)))
    keep_seconds(own_study, replace(CHECKED, device="newer", networks=8))
    assert [one.device for one in checked_seconds(own_study)] == ["newer", "new"]
    assert seconds_law(own_study) == law  # of the device that trains


@pytest.mark.usefixtures("quick")
def test_another_recipe_other_images_or_a_database_to_be_read_only_keep_nothing(
    own_study: Study, own_finished: Path, nas_command: Callable[..., Outcome]
) -> None:
    file = own_study.directory / "study.db"
    before = file.read_bytes()
    url = f"sqlite:///file:{file}?mode=ro&uri=true"
    outcome = nas_command("check", own_finished, "--storage", url)
    assert outcome.code == 0 and "each network by the others\n" in outcome.out and outcome.err == ""
    for section, change in (("recipe", {"epochs": 3}), ("data", {"limit": 390})):
        own_finished.write_text(yaml.safe_dump({**TINY, section: {**TINY[section], **change}}))
        assert not keep_seconds(find_study(own_finished).as_begun(), CHECKED)
    own_finished.write_text(yaml.safe_dump({**TINY, "search": {**TINY["search"], "trials": 9}}))
    assert file.read_bytes() == before
    assert keep_seconds(find_study(own_finished).as_begun(), CHECKED)


@pytest.mark.parametrize("hours", ["0", "-1", "nan", "inf"])
def test_hours_that_make_no_sense_are_one_line(nas_command: Callable[..., Outcome], hours: str) -> None:
    outcome = nas_command("check", "digits", f"--hours={hours}")
    assert outcome.code == 2 and f"--hours must be a number above 0, but is {float(hours):g}" in outcome.err
