"""``nas scale law``, as its users would type it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import Outcome

from nas.analysis.laws import family_laws
from nas.plots.growth.law import law, law_info

Command = Callable[..., Outcome]
TABLE = Path(__file__).parents[2] / "studies" / "results" / "scaling_table" / "table_cifar10.csv.gz"
REGNETX = Path(__file__).parents[1] / "scaling" / "regnetx.csv"


def write(name: str, head: str, *rows: str) -> str:
    Path(name).write_text("\n".join((head, *rows)) + "\n")
    return name


def curve(name: str, *, end: float, exponent: float = 0.5) -> list[str]:
    costs = np.geomspace(1e6, 1e8, 8)
    return [f"{name},{cost},{end + 0.2 * (cost / 1e6) ** -exponent:.4f}" for cost in costs]


def test_points_of_ones_own_are_told_in_a_sentence_and_tables(nas_command: Command) -> None:
    shutil.copy(REGNETX, "regnetx.csv")
    outcome = nas_command("scale", "law", "regnetx.csv", "-o", "law.html", "--at", "64G")
    assert outcome.code == 0
    first = outcome.out.splitlines()[0]
    assert first.startswith("regnetx: the error falls as 1 / cost^0.50 [0.4") and "towards 18.8 % [18.6, 18.9]" in first
    assert "at 318G FLOPs, ten times the dearest, it would be 19.1 % [19.0, 19.2]." in first
    assert "64G" in outcome.out and "power law without an offset" in outcome.out and "2.04 points" in outcome.out
    page = Path("law.html").read_text()
    assert "regnetx.csv: error against cost" in page and "plotly" in page
    document = json.loads(nas_command("scale", "law", "regnetx.csv", "--json").out)
    (law,) = document["laws"]
    assert law["determined"] and law["networks"] == len(law["points"]) == 12
    assert [prediction["cost"] for prediction in law["predictions"]] == [31.81e9 * times for times in (1, 2, 4, 10)]
    assert law["intervals"]["E"][0] < law["parameters"]["E"] < law["intervals"]["E"][1]
    assert document["crossings"] == []


def test_the_cost_may_be_another(nas_command: Command) -> None:
    shutil.copy(REGNETX, "regnetx.csv")
    told = nas_command("scale", "law", "regnetx.csv", "--cost", "params").out
    assert "1.08G parameters, ten times the dearest" in told


def test_where_families_overtake_each_other_is_told(nas_command: Command) -> None:
    rows = [*curve("steep", end=0.1, exponent=0.9), *curve("low", end=0.05, exponent=0.25)]
    source = write("mine.csv", "family,flops,error", *rows)
    assert "low overtakes steep at " in nas_command("scale", "law", source).out
    crossing = json.loads(nas_command("scale", "law", source, "--json").out)["crossings"][0]
    assert (crossing["answer"], crossing["ahead"]) == ("crosses", "low")
    assert crossing["cost"][1] <= crossing["cost"][0] <= crossing["cost"][2]
    above = [*curve("one", end=0.1), *curve("other", end=0.3)]
    told = nas_command("scale", "law", write("apart.csv", "family,flops,error", *above)).out
    assert "one has less error than other from 1M FLOPs to 1G FLOPs." in told


def test_a_table_is_told_family_by_family(nas_command: Command) -> None:
    outcome = nas_command("scale", "law", TABLE)
    assert outcome.code == 0
    assert outcome.out.startswith("efficientnet_small: the error falls as 1 / cost^")
    assert "resnet_small: the error falls as 1 / cost^" in outcome.out
    assert "efficientnet_small has less error than resnet_small from 725k FLOPs to 12M FLOPs." in outcome.out
    assert "best of 12 bands, 155" in " ".join(outcome.out.split())


def test_what_cannot_be_told_is_an_answer(finished: Path, nas_command: Command) -> None:
    outcome = nas_command("scale", "law", finished, "-o", "law.html")
    assert (outcome.code, outcome.err) == (0, "")
    assert "cannot tell, needs " in outcome.out
    documents = json.loads(nas_command("scale", "law", finished, "--json").out)["laws"]
    assert all(not law["determined"] and law["parameters"] == {} and law["predictions"] == [] for law in documents)


def test_percent_and_accuracies_are_understood() -> None:
    rows = [
        f"{cost},{accuracy:.4f}" for cost, accuracy in zip(np.geomspace(1, 100, 8), np.linspace(60, 75, 8), strict=True)
    ]
    (percent,) = family_laws([write("percent.csv", "GMACs,Accuracy", *rows)])
    assert percent.cost[0] == 1e9
    np.testing.assert_allclose(percent.law.points.errors, np.linspace(0.40, 0.25, 8), rtol=1e-5)


def test_different_numbers_of_images_make_a_joint_law(nas_command: Command) -> None:
    pairs = [(cost, images) for cost in (1e6, 1e7, 1e8) for images in (1000, 4000, 16_000)]
    rows = [f"{c},{n},{0.1 + 0.1 * (c / 1e6) ** -0.3 + 0.15 * (n / 1000) ** -0.4:.5f},2" for c, n in pairs]
    source = write("both.csv", "flops,images,error,weight", *rows)
    told = nas_command("scale", "law", source, "-o", "law.html").out
    assert (
        told.startswith("both: ten times the images would bring 3.0 [") and "points, ten times the FLOPs 1.3 [" in told
    )
    assert "16,000 images" in Path("law.html").read_text()


def test_the_figure_shows_points_law_band_and_what_was_held_out() -> None:
    laws = family_laws([str(REGNETX)])
    (info,) = law_info(laws)
    assert info.held_out.tolist() == [False] * 6 + [True] * 6
    assert info.marks[0] == info.cost[0] and info.marks[-1] == pytest.approx(10 * info.cost[-1])
    figure = law(laws)
    band, inside, beyond, points, rings = figure.data
    assert (inside.line.dash, beyond.line.dash, band.fill) == ("solid", "dash", "toself")
    assert inside.x[-1] == beyond.x[0] <= info.dearest * 1.0001
    assert (len(points.x), len(rings.x)) == (12, 6)


@pytest.mark.parametrize(
    ("head", "rows", "options", "message"),
    [
        ("flops,error", ("1,0.1",), ("--cost", "speed"), "--cost: unknown cost 'speed'; known: flops, params"),
        ("flops,error", ("1,0.1",), ("--cost", "flops,params"), "--cost: 'flops,params' names several costs"),
        ("flops,error", ("1,0.1",), ("--chance", 1.5), "--chance: 1.5 is not the error of guessing"),
        ("flops,error", ("1,0.1",), ("--at", "much"), "--at: 'much' is not a count"),
        ("size,error", ("1,0.1",), (), "mine.csv: has no column of costs (cost, flops, macs"),
        ("flops,loss", ("1,0.1",), (), "mine.csv: has no column of errors or accuracies (error, top1_error"),
        ("flops,error", (), (), "mine.csv: has no rows below its head"),
        ("flops,error", ("1,0.1", "2"), (), "mine.csv: line 3 has 1 cells and the head 2"),
        ("flops,error", ("1,0.1", "x,0.1"), (), "mine.csv: line 3: 'x' is not a number from zero"),
        ("flops,error", ("1,nan",), (), "mine.csv: line 2: 'nan' is not a number from zero"),
        ("flops,error", ("0,0.1",), (), "mine.csv: cost: 0 (point 1) is not a number above zero"),
        ("flops,accuracy", ("1,101",), (), "mine.csv: line 2: 101 is more than 100 percent"),
    ],
)
def test_wrong_input_is_one_line(
    head: str, rows: tuple[str, ...], options: tuple[object, ...], message: str, nas_command: Command
) -> None:
    outcome = nas_command("scale", "law", write("mine.csv", head, *rows), *options)
    assert (outcome.code, outcome.out, outcome.err.count("\n")) == (2, "", 1)
    assert message in outcome.err


def test_what_is_not_there_is_one_line(nas_command: Command) -> None:
    outcome = nas_command("scale", "law", "nowhere.csv")
    assert (outcome.code, outcome.err) == (2, "nas: nowhere.csv: cannot be read: No such file or directory\n")
    shutil.copy(REGNETX, "regnetx.csv")
    twice = nas_command("scale", "law", "regnetx.csv", "regnetx.csv")
    assert (twice.code, twice.err) == (2, "nas: regnetx.csv: is given twice\n")


def test_files_of_one_name_in_two_folders_are_told_apart(nas_command: Command) -> None:
    for folder in ("mine", "theirs"):
        Path(folder).mkdir()
        shutil.copy(REGNETX, f"{folder}/points.csv")
    document = json.loads(nas_command("scale", "law", "mine/points.csv", "theirs/points.csv", "--json").out)
    assert [law["name"] for law in document["laws"]] == ["mine/points.csv", "theirs/points.csv"]
