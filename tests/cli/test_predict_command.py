from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from bundles import COLORS, color_model, write_bundle, write_image
from PIL import Image

import nas
from nas.data.sources import load_data
from nas.search.study import Study


@pytest.fixture(autouse=True)
def bundle() -> Path:
    return write_bundle(Path("bundle"))


@pytest.fixture
def pictures() -> Path:
    """Return a folder of nine images of which one lies with a wrong colour."""
    for color in COLORS:
        for index in range(3):
            write_image(Path("pictures", color, f"{index}.png"), color)
    write_image(Path("pictures/red/1.png"), "blue")
    return Path("pictures")


def test_an_image_is_named(nas_command: Callable) -> None:
    write_image(Path("a.png"), "green")
    done = nas_command("predict", "bundle", "a.png")
    assert (done.code, done.err) == (0, "")
    assert done.out == "a.png: green 99.9 %, red 0.0 %, blue 0.0 %\n"
    assert nas_command("predict", "bundle", "a.png", "--top", 1).out == "a.png: green 99.9 %\n"


def test_json_is_a_list(nas_command: Callable) -> None:
    write_image(Path("a.png"), "green")
    (said,) = json.loads(nas_command("predict", "bundle", "a.png", "--json", "--top", 2).out)
    assert list(said) == ["file", "class", "probability", "top"]
    assert (said["file"], said["class"]) == ("a.png", "green")
    assert [one["class"] for one in said["top"]] == ["green", "red"]
    assert said["top"][0]["probability"] == said["probability"] > 0.99


def test_csv_has_a_row_for_each_image_and_columns_for_no_more_classes_than_there_are(nas_command: Callable) -> None:
    write_image(Path("a, b.png"), "green")
    write_image(Path("c.png"), "red")
    rows = list(csv.DictReader(io.StringIO(nas_command("predict", "bundle", "a, b.png", "c.png", "--csv").out)))
    assert [(row["file"], row["class"]) for row in rows] == [("a, b.png", "green"), ("c.png", "red")]
    assert list(rows[0]) == ["file", "class", "probability", "class_2", "probability_2", "class_3", "probability_3"]


class Piped(io.TextIOWrapper):
    """Standard input that holds bytes."""

    def __init__(self, content: bytes) -> None:
        super().__init__(io.BytesIO(content))


def test_standard_input_is_one_image(nas_command: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", Piped(write_image(Path("a.png"), "blue").read_bytes()))
    assert nas_command("predict", "bundle", "-").out.startswith("-: blue 99.9 %")
    for content, said in ((b"", "-: standard input is empty"), (b"a.png\n", "-: not an image that can be read")):
        monkeypatch.setattr("sys.stdin", Piped(content))
        done = nas_command("predict", "bundle", "-")
        assert (done.code, done.out) == (2, "") and done.err.startswith(f"nas: {said}")
    monkeypatch.setattr("nas.cli.predict._MOST_INPUT", 10)
    monkeypatch.setattr("sys.stdin", Piped(b"x" * 11))
    assert "more than 10 bytes" in nas_command("predict", "bundle", "-").err


def test_a_folder_of_classes_is_also_judged(nas_command: Callable, pictures: Path) -> None:
    done = nas_command("predict", "bundle", pictures)
    assert (done.code, done.err) == (0, "")
    assert "pictures/red/1.png: blue 99.9 % (is red), red 0.0 %" in done.out
    assert "pictures/red/0.png: red 99.9 % (right), green" in done.out
    assert "accuracy 88.9 % of 9 images, mean probability 99.9 %" in done.out
    assert "expected calibration error 11.0 % over 15 bins" in done.out
    rows = [line.split() for line in done.out.splitlines()[-5:]]
    assert ["red", "1", "·", "2"] in rows and ["green", "·", "3", "·"] in rows

    document = json.loads(nas_command("predict", "bundle", pictures, "--json").out)
    assert len(document["predictions"]) == 9 and document["predictions"][0]["actual"] == "blue"
    evaluation = document["evaluation"]
    assert evaluation["accuracy"] == pytest.approx(8 / 9)
    assert evaluation["classes"] == ["blue", "green", "red"]
    assert evaluation["confusion"] == [[3, 0, 0], [0, 3, 0], [1, 0, 2]]


def test_of_many_classes_the_mistakes_are_listed(nas_command: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nas.cli.tables.predictions._MATRIX", 1)
    write_image(Path("pictures/red/1.png"), "blue")
    done = nas_command("predict", "bundle", "pictures")
    assert "mistakes: the most frequent 1 of 1 kinds; --json has all" in done.out
    assert ["red", "blue", "1"] in [line.split() for line in done.out.splitlines()]


def test_what_is_left_out_is_said(nas_command: Callable, pictures: Path) -> None:
    (pictures / "notes.txt").write_text("x")
    (pictures / ".hidden.png").write_text("x")
    (pictures / "gone.png").symlink_to("nowhere")
    (pictures / "red" / "broken.png").write_text("x")
    write_image(pictures / "other" / "a.png", "red")
    done = nas_command("predict", "bundle", pictures)
    assert done.code == 0 and "of 9 images, mean" in done.out
    assert done.err.splitlines() == [
        "pictures: left out 1: not images by their endings",
        "pictures: left out 1: hidden",
        "pictures: left out 1: links that lead nowhere",
        "pictures: 1 in no folder named like a class, such as pictures/other/a.png: not in accuracy",
        "pictures/red/broken.png: not an image that can be read (cannot identify image file 'pictures/red/broken.png')",
        "1 of 11 images cannot be read",
    ]


def test_folders_that_are_no_classes_are_told(nas_command: Callable) -> None:
    write_image(Path("pictures/summer/a.png"), "red")
    done = nas_command("predict", "bundle", "pictures", "--json")
    assert done.err == "pictures: no sub-folder is named like a class, so there is no accuracy\n"
    assert isinstance(json.loads(done.out), list)
    write_image(Path("red/a.png"), "red")  # what is named like a class here is no sub-folder
    done = nas_command("predict", "bundle", "red")
    assert done.err == "" and "accuracy" not in done.out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("nothing", "a.png"), "nothing: no such folder; name a bundle, or STUDY#N"),
        (("a.png", "a.png"), "a.png: is a file, not a bundle"),
        (("bundle", "none.png"), "none.png: no such file or folder"),
        (("bundle", "empty"), "empty: holds no images; other files: 1"),
        (("bundle", "empty/a.txt"), "empty/a.txt: not an image that can be read"),
        (("bundle", "broken"), "none of 2 images can be read"),
        (("bundle", "a.png", "a.png"), "a.png: is named twice"),
        (("bundle", "a.png", "--json", "--csv"), "--json and --csv cannot be used together"),
        (("bundle", "-", "--explain"), "--explain does not apply"),
        (("bundle", "a.png", "--force"), "--force does not apply"),
        (("bundle", "a.png", "--top", "0"), "Invalid value for '--top'"),
        (("digits#x", "a.png"), "digits#x: write STUDY#N"),
    ],
)
def test_mistakes_are_one_line(nas_command: Callable, words: tuple[str, ...], said: str) -> None:
    write_image(Path("a.png"), "red")
    for path in ("empty/a.txt", "broken/a.png", "broken/b.png"):
        Path(path).parent.mkdir(exist_ok=True)
        Path(path).write_text("text")
    done = nas_command("predict", *words)
    assert (done.code, done.out) == (2, "")
    assert done.err.splitlines()[-1].startswith(f"nas: {said}")


def test_maps_lie_beside_the_images_and_no_file_is_lost(nas_command: Callable, pictures: Path) -> None:
    taken = pictures / "red" / "1.png.cam.png"
    taken.write_text("mine")
    done = nas_command("predict", "bundle", pictures, "--explain")
    assert (done.code, done.out) == (2, "") and "--force writes over it" in done.err.splitlines()[-1]
    assert taken.read_text() == "mine" and len(list(pictures.rglob("*.cam.png"))) == 1
    done = nas_command("predict", "bundle", pictures, "--explain", "--force")
    assert (
        done.code == 0 and "class-activation map of the first class: pictures/blue/0.png.cam.png and 8 more" in done.out
    )
    with Image.open(taken) as drawn:
        assert drawn.size == (256, 256)
    assert len(list(pictures.rglob("*.cam.png"))) == 9
    done = nas_command("predict", "bundle", pictures)
    assert "left out 9: class-activation maps (.cam.png)" in done.err and "of 9 images" in done.out


def test_without_such_a_head_there_is_one_line_and_no_map(nas_command: Callable) -> None:
    write_image(Path("a.png"), "red")
    model = color_model()
    model.graph.node[1].op_type = "GlobalMaxPool"
    write_bundle(Path("other"), model=model)
    done = nas_command("predict", "other", "a.png", "--explain")
    assert done.code == 2 and done.err.startswith("nas: other/model.onnx: does not end in global average pooling")
    assert not Path("a.png.cam.png").exists()


def test_a_trial_predicts_as_its_export_does_and_its_test_images_stay_unseen(
    nas_command: Callable, own_study: Study, own_finished: Path
) -> None:
    trial = nas.pareto_front(own_study)[-1]
    for index, pixels in enumerate(load_data(own_study.config.data).validation.images[:20]):
        Path("digits").mkdir(exist_ok=True)
        Image.fromarray(pixels[..., 0]).save(f"digits/{index:02}.png")
    looks = own_study.test_looks()  # tests before this one may have exported from the study that it is a copy of
    done = nas_command("predict", f"{own_finished}#{trial.number}", "digits", "--json")
    assert done.code == 0, done.err
    assert own_study.test_looks() == looks
    nas.export_network(own_study, trial, "net")
    assert json.loads(done.out) == json.loads(nas_command("predict", "net", "digits", "--json").out)
    own_study.weights(trial).unlink()
    done = nas_command("predict", f"{own_finished}#{trial.number}", "digits")
    assert done.code == 2 and "the weights of tiny#" in done.err
