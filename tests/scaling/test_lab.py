"""The lab's commands from end to end, on trainings whose truth is known and that take no time."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from pretended import STUDY, pretend

import nas
from nas.executors import inline
from nas.executors.task import Task
from nas.plots.growth.comparison import comparison, comparison_info
from nas.search.lab import shape
from nas.search.lab.studies import baseline_of, planned_study
from nas.search.opening import open_study
from nas.search.run.start import run_study

TABLE = Path(__file__).parents[2] / "studies/results/scaling_table/table_cifar10.csv.gz"
COMPARED = TABLE.parents[1] / "scaling/compare_cifar10.csv.gz"
SEARCHED = 20


@pytest.fixture(scope="module", autouse=True)
def _all_instant() -> Iterator[list[Task]]:
    """Let trainings take no time, and return those that were made."""
    with pytest.MonkeyPatch.context() as patch:
        yield pretend(patch)


@pytest.fixture
def instant(_all_instant: list[Task]) -> list[Task]:
    """Return the trainings that a test makes."""
    _all_instant.clear()
    return _all_instant


@pytest.fixture
def study(tmp_path: Path) -> Path:
    path = tmp_path / "lab.yaml"
    path.write_text(yaml.safe_dump(STUDY))
    return path


@pytest.fixture(scope="module")
def _searched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("searched") / "lab.yaml"
    path.write_text(yaml.safe_dump(STUDY))
    run_study(path, trials=SEARCHED).close()
    return path


@pytest.fixture
def searched(_searched: Path, tmp_path: Path) -> Path:
    """Return the file of a copy of a study that has been searched."""
    shutil.copytree(_searched.parent, tmp_path / "searched")
    return tmp_path / "searched" / "lab.yaml"


GROWS = ("--width", "0.75", "--depth", "1", "--resolution", "16")


def test_shape_finds_what_is_best_and_trains_nothing_twice(
    study: Path, nas_command: Callable[..., Any], instant: list[Task]
) -> None:
    answer = json.loads(nas_command("scale", "shape", study, *GROWS, "--seeds", "2", "--json").out)
    assert answer["determined"] == {"width": True, "depth": True, "resolution": True}
    factors = answer["factors"]
    product = factors["width"]["value"] ** 2 * factors["depth"]["value"] * factors["resolution"]["value"] ** 2
    assert product == pytest.approx(2, rel=0.15)  # the rule doubles the cost
    growth = np.log2([factors[name]["value"] for name in ("width", "depth", "resolution")])
    assert growth[0] / growth[2] == pytest.approx(0.5, abs=0.25)
    assert 25 <= answer["networks"] <= 45
    assert answer["trainings"] == len(instant) == 2 * answer["networks"]
    again = json.loads(nas_command("scale", "shape", study, *GROWS, "--seeds", "2", "--json").out)
    assert again == answer
    assert len(instant) == answer["trainings"]
    assert f"trials: {answer['networks']} trained" in nas_command("status", f"{study}:shape").out
    assert f"scaling study {study}:shape: {answer['networks']} trained" in nas_command("status", study).out


def test_weights_of_an_adopted_training_are_said_to_lie_with_the_study_that_made_it(
    searched: Path, nas_command: Callable[..., Any], instant: list[Task]
) -> None:
    with open_study(searched) as opened:
        run_study(planned_study(opened, "shape", [baseline_of(opened)])).close()
    refused = nas_command("export", f"{searched}:shape", "--trial", "0", "-o", "out")
    assert (refused.code, instant) == (2, [])
    assert "or lie with a study that trained this network too: lab" in refused.err


def test_an_interrupted_sweep_is_continued_to_the_same_answer(
    study: Path, nas_command: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, instant: list[Task]
) -> None:
    asked = (*GROWS, "--levels", "1,2", "--json")
    whole = nas_command("scale", "shape", study, *asked).out
    other = tmp_path / "other"
    other.mkdir()
    (other / "lab.yaml").write_text(study.read_text())
    work, begun = inline.work, len(instant)

    def interrupted(task: Task, *rest: Any, **more: Any) -> bool:
        if len(instant) == begun + 10:
            raise KeyboardInterrupt
        return work(task, *rest, **more)

    monkeypatch.setattr(inline, "work", interrupted)
    stopped = nas_command("scale", "shape", other / "lab.yaml", *asked)
    assert stopped.code == 130
    assert f"Continue with: nas scale shape {other / 'lab.yaml'} {' '.join(GROWS)}" in stopped.err
    monkeypatch.setattr(inline, "work", work)
    assert nas_command("scale", "shape", other / "lab.yaml", *asked).out == whole


def test_the_found_rule_is_a_file_that_other_commands_take(
    study: Path, nas_command: Callable[..., Any], tmp_path: Path
) -> None:
    rule = tmp_path / "rule.json"
    shown = nas_command("scale", "shape", study, *GROWS, "--write-rule", rule, "-o", tmp_path / "shape.html")
    assert shown.code == 0
    assert "Per doubling of FLOPs: width ×" in shown.out
    assert "EfficientNet’s rule would cost" in shown.out
    assert "plotly" in (tmp_path / "shape.html").read_text()
    family = nas_command("scale", "family", "resnet_small", "--rule", rule, "--phi", "0:2", "--exact", "--json")
    members = json.loads(family.out)["members"]
    assert [round(member["growth"]) for member in members] == [1, 2, 4]
    compared = nas_command(
        *(
            "scale",
            "compare",
            study,
            *GROWS,
            "--rules",
            f"{rule};depth;compound",
            "--phi",
            "1,2",
            "--seeds",
            "2",
            "--json",
        )
    )
    networks = json.loads(compared.out)["networks"]
    best = {one["phi"]: one["rule"] for one in networks if one["best"]}
    assert best[2] == "found"
    near = {one["rule"] for one in networks if one["phi"] == 2 and one["within_noise"]}
    assert "depth" not in near
    assert all(len(one["accuracies"]) == 2 for one in networks)


def test_rules_are_compared_by_a_table_without_training(nas_command: Callable[..., Any], instant: list[Task]) -> None:
    asked = ("scale", "compare", COMPARED, "--width", "0.5", "--depth", "1", "--resolution", "16", "--json")
    networks = json.loads(nas_command(*asked).out)["networks"]
    assert [one["rule"] for one in networks if one["best"] and one["phi"]] == ["resolution"] * 3
    told = nas_command("scale", "compare", COMPARED, "--width", "0.5", "--depth", "1", "--resolution", "17").out
    assert told.startswith("The network that grows is resnet_small width 0.5 depth 1 resolution 16, of the table the")
    assert not instant
    refused = nas_command(*asked, "--seeds", "2")
    assert (refused.code, refused.err.count("\n")) == (2, 1)


def test_the_triangle_of_shares_is_searched(study: Path, nas_command: Callable[..., Any]) -> None:
    grows = ("--width", "1", "--depth", "1.5", "--resolution", "24")
    answer = json.loads(nas_command("scale", "search", study, *grows, "--networks", "16", "--json").out)
    assert sum(share["value"] for share in answer["shares"].values()) == pytest.approx(1)
    assert answer["rules"].keys() == {"EfficientNet's rule", "fast scaling"}
    trials = open_study(f"{study}:search").trials()
    flops = [trial.flops for trial in trials if trial.state == "trained"]
    assert len(flops) >= 10
    assert max(flops) / min(flops) < 1.25


def test_a_small_space_has_networks_of_twice_the_cost_too() -> None:
    baseline = nas.Point(nas.load_space("resnet_small"), 0.5, 1, 16, num_classes=10)
    networks = shape.doubled_networks(baseline, count=30)
    assert len(networks) >= 12
    twice = 2 * nas.count_cost(baseline.architecture()).flops
    assert all(0.7 < nas.count_cost(network.architecture()).flops / twice < 1.3 for network in networks)


def test_trust_compares_with_longer_trainings(
    study: Path, searched: Path, nas_command: Callable[..., Any], instant: list[Task]
) -> None:
    refused = nas_command("scale", "trust", study)
    assert (refused.code, len(refused.err.splitlines())) == (2, 1)
    assert "has no trained network yet" in refused.err
    assert not instant
    (answer,) = json.loads(nas_command("scale", "trust", searched, "--times", "2", "--networks", "10", "--json").out)
    assert {task.recipe["epochs"] for task in instant} == {4}
    assert answer["together"][2][0] > 0.8  # tau
    assert "the order of 2 epochs holds" in answer["sentence"]


def test_images_or_a_larger_network(searched: Path, nas_command: Callable[..., Any], instant: list[Task]) -> None:
    answer = json.loads(nas_command("scale", "data", searched, "--seeds", "2", "--networks", "3", "--json").out)
    assert {one["images"] for one in answer["networks"]} == {40, 80, 160, 320}
    assert {len(one["accuracies"]) for one in answer["networks"]} == {2}
    by_images = {one["images"]: np.mean(one["accuracies"]) for one in answer["networks"]}
    assert by_images[320] > by_images[40]
    assert answer["determined"] or answer["reason"].startswith("needs")


def test_the_network_for_a_budget_never_tried(searched: Path, nas_command: Callable[..., Any], tmp_path: Path) -> None:
    dearest = max(trial.flops for trial in open_study(searched).trials())
    found = json.loads(nas_command("scale", "grow", searched, "--to", "2x", "--json", "-o", tmp_path / "n.json").out)
    assert found["flops"] == pytest.approx(2 * dearest, rel=0.05)
    assert json.loads((tmp_path / "n.json").read_text())["resolution"] == found["resolution"]
    by_time = nas_command("scale", "grow", searched, "--to", f"{2e-8 * dearest}s")
    assert by_time.code == 0, by_time.err
    assert "of training" in by_time.out


@pytest.mark.parametrize("space", ["resnet_small", "efficientnet_small"])
def test_a_table_tells_without_training(space: str, nas_command: Callable[..., Any], instant: list[Task]) -> None:
    told = nas_command("scale", "shape", TABLE, "--space", space)
    assert told.code == 0
    assert "depth cannot tell (error still falls towards smaller depth; try below 0." in told.out
    grown = json.loads(nas_command("scale", "grow", TABLE, "--space", space, "--to", "20M", "--json").out)
    assert grown["flops"] == pytest.approx(20e6, rel=0.1)
    assert grown["depth"] <= 0.75  # as the table has it
    assert not instant


@pytest.mark.parametrize(
    ("command", "complaint"),
    [
        (("shape", "STUDY"), "has no trained network to grow yet: run it with nas search, or name a baseline"),
        (("shape", "STUDY", "--levels", "2"), "--levels: '2' must be 2 or more multiples of the cost"),
        (("shape", "STUDY", *GROWS, "--cost", "latency"), "unknown cost 'latency'"),
        (
            ("shape", "STUDY", *GROWS, "--baseline", "3"),
            "--baseline 3 and --width, --depth, --resolution name two",
        ),
        (("shape", "STUDY", "--width", "99"), "width 99 is out of range: resnet_small allows 0.25 to 4"),
        (("shape", "STUDY", "--space", "vgg"), "--space: unknown space 'vgg'; the study has resnet_small"),
        (("shape", "TABLE", "--seeds", "3"), "--seeds does not apply: table_cifar10.csv.gz is a table"),
        (("shape", "TABLE", "--space", "vgg"), "has no trained network of 'vgg'; it has efficientnet_small"),
        (("compare", "STUDY", *GROWS, "--rules", "fast;fast"), "--rules: two rules have one name"),
        (("compare", "STUDY", *GROWS, "--rules", "growth"), "unknown rule 'growth'"),
        (("compare", "STUDY", *GROWS, "--phi", "30"), "no rule makes a larger network that the space allows"),
        (("trust", "STUDY", "--times", "1"), "--times: a multiple of the epochs must be at least 2"),
        (("data", "STUDY", "--parts", "1"), "--parts: '1' must be 3 or more shares of the images"),
        (("grow", "STUDY", "--to", "soon"), "--to: 'soon' is no budget; write for example 4x"),
        (("grow", "STUDY", "--to", "4x"), "has no trained network yet"),
        (("grow", "TABLE", "--to", "8h"), "is a table, to which no training can be added; name a study"),
        (("grow", "TABLE", "--to", "900G"), "has no network of about"),
    ],
)
def test_bad_input_is_one_line(
    command: tuple[str, ...], complaint: str, study: Path, nas_command: Callable[..., Any], instant: list[Task]
) -> None:
    words = [{"STUDY": str(study), "TABLE": str(TABLE)}.get(word, word) for word in command]
    refused = nas_command("scale", *words)
    assert refused.code == 2
    (line,) = refused.err.strip().splitlines()
    assert complaint in line
    assert not instant


def test_the_lab_as_functions(study: Path, instant: list[Task], nas_command: Callable[..., Any]) -> None:
    ran = nas.run_study(study)
    point = nas.load_space("resnet_small")
    grows = nas.Point(point, width=0.75, depth=1.0, resolution=16, num_classes=10, in_channels=1)
    shaped = nas.scale_shape(ran, grows, seeds=2)
    assert all(shaped.best.determined.values())
    compared = nas.scale_compare(study, ["depth", "compound"], grows, phis=[1], seeds=2)
    assert {one.rule for one in compared.grown} == {"depth", "compound"}
    lines = comparison_info(compared)
    assert [line.rule for line in lines] == ["depth", "compound"]
    assert all([one.member.phi for one in line.networks] == [0, 1] for line in lines)
    figure = comparison(compared)
    assert [trace.name for trace in figure.data] == ["depth", "compound"]
    assert list(figure.data[0].y) == [100 * one.mean for one in lines[0].networks]
    assert min(figure.data[0].error_y.array) > 0
    (trusted,) = nas.scale_trust(ran, times=[2], networks=8)
    assert len(trusted.bands) == 1
    grown = nas.scale_grow(study, "2x")
    made = len(instant)
    assert all(nas.scale_shape(ran, grows, train=False).best.determined.values())
    assert len(instant) == made
    timed = nas_command("scale", "family", f"{study}#0", "--cost", "train_seconds", "--phi", "0:1", "--exact", "--json")
    first, second = json.loads(timed.out)["members"]
    assert second["train_seconds"] == pytest.approx(2 * first["train_seconds"], rel=0.3)
    assert grown.network.cost.flops > 0
    with pytest.raises(ValueError, match="is no budget"):
        nas.scale_grow(TABLE, "much")


def test_parts_of_a_study_that_has_a_part_of_the_images_itself(tmp_path: Path, nas_command: Callable[..., Any]) -> None:
    path = tmp_path / "part.yaml"
    path.write_text(yaml.safe_dump({**STUDY, "data": {"digits": True, "train_images": 300}}))
    assert nas_command("search", path).code == 0
    answer = nas_command("scale", "data", path, "--networks", "3", "--parts", "0.25,0.5,1", "--json")
    assert {one["images"] for one in json.loads(answer.out)["networks"]} == {75, 150, 300}
    whole = open_study(f"{path}:data-300")
    assert whole.config.data.train_images == 300
    refused = nas_command("scale", "data", path, "--space", "vgg")
    assert refused.code == 2 and "has no trained network of 'vgg'; it has resnet_small" in refused.err
