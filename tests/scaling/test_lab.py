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

from nas.architecture.cost import count_cost
from nas.architecture.serialization import architecture_from_json
from nas.architecture.spec import Architecture
from nas.executors import inline
from nas.executors.task import Ended, EpochDone, Task, Tell
from nas.records import Epoch
from nas.search.run.start import run_study
from nas.search.study import open_study

STUDY: dict[str, Any] = {
    "data": {"digits": True, "limit": 400},
    "search": {
        "spaces": ["resnet_small"],
        "width": {"min": 0.5, "max": 2.0, "step": 0.25},
        "depth": {"min": 0.5, "max": 2.0, "step": 0.5},
        "resolution": {"min": 12, "max": 32, "step": 4},
        "trials": 12,
        "sampler": "random",
    },
    "recipe": {"epochs": 2, "batch_size": 64},
}
TABLE = Path(__file__).parents[2] / "studies/results/scaling_table/table_cifar10.csv.gz"
NOISE = 0.002
SEARCHED = 20


def truth(architecture: Architecture) -> float:
    """Return the error of a network: least where width grows with the square root of the resolution, at 3 blocks."""
    blocks = sum(len(stage.blocks) for stage in architecture.stages)
    width = architecture.stages[-1].blocks[0].branches[0][0].channels / 64  # type: ignore[attr-defined]
    place = np.log2([width, blocks / 6, architecture.resolution / 24])
    size = 2 * place[0] + place[1] + 2 * place[2]
    shape = (place[0] - 0.5 * place[2]) ** 2 + (place[1] - 0.25 * place[2]) ** 2
    return float(0.3 * 2 ** (-0.15 * size) * (1 + 0.5 * shape))


@pytest.fixture(scope="module", autouse=True)
def _all_instant() -> Iterator[list[Task]]:
    """Let trainings take no time, and return those that were made."""
    made = list[Task]()

    def work(task: Task, dataset: Any, *, device: Any, tell: Tell, stop: Any) -> bool:
        made.append(task)
        epochs, images = task.recipe["epochs"], len(dataset.train)
        error = truth(architecture_from_json(task.architecture)) * (epochs / 2) ** -0.1 * (images / 320) ** -0.2
        accuracy = 1 - error + NOISE * float(np.random.default_rng(task.seed).normal())
        seconds = 1e-8 * count_cost(architecture_from_json(task.architecture)).flops
        curve = tuple(Epoch(n + 1, 1.0, 0.5, 1.0, accuracy, seconds / epochs) for n in range(epochs))
        for epoch in curve:
            tell(EpochDone(task.key, epoch))
        tell(Ended(False, curve, "nothing", seconds, None, 0.0, np.zeros(80, np.int64), task.key))
        return True

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(inline, "work", work)
        yield made


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
    status = nas_command("status", f"{study}:shape").out
    assert f"trials: {answer['networks']} trained" in status


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
    assert "Continue with: nas scale shape" in stopped.err
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


def test_the_triangle_of_shares_is_searched(study: Path, nas_command: Callable[..., Any]) -> None:
    grows = ("--width", "1", "--depth", "1.5", "--resolution", "24")
    answer = json.loads(nas_command("scale", "search", study, *grows, "--networks", "16", "--json").out)
    assert sum(share["value"] for share in answer["shares"].values()) == pytest.approx(1)
    assert answer["rules"].keys() == {"EfficientNet's rule", "fast scaling"}
    trials = open_study(f"{study}:search").trials()
    flops = [trial.flops for trial in trials if trial.state == "trained"]
    assert len(flops) >= 10
    assert max(flops) / min(flops) < 1.25


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
        (("shape", "STUDY", "--levels", "2"), "--levels: '2' must be two or more multiples of the cost"),
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
        (("data", "STUDY", "--parts", "1"), "--parts: '1' must be three or more shares of the images"),
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
