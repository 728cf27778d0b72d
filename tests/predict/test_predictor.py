from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from bundles import COLORS, SHARPNESS, color_model, write_bundle, write_image
from PIL import Image

import nas
from nas.errors import BundleError, ConfigError, DataError
from nas.predict.evaluation import Judged, calibration_error, evaluate
from nas.predict.explain import Explainer, find_head, overlay
from nas.predict.run import Given, Predictor, Unread


def test_an_image_is_of_its_colour_with_the_probability_of_its_logits() -> None:
    folder = write_bundle(Path("bundle"))
    files = [write_image(Path(f"{color}.png"), color) for color in COLORS]
    said = nas.Predictor(folder).predict(files)
    assert [one.name for one in said] == list(COLORS)
    sure, unsure = np.exp(SHARPNESS) / (np.exp(SHARPNESS) + 2), 1 / (np.exp(SHARPNESS) + 2)
    np.testing.assert_allclose([p for _, p in said[0].top], [sure, unsure, unsure], rtol=1e-6)
    assert said[1].document()["top"][0] == {"class": "green", "probability": said[1].probability}


@pytest.mark.parametrize("batch", ["batch", 1])
def test_all_images_of_any_number_are_named_in_their_order(batch: str | int) -> None:
    predictor = Predictor(write_bundle(Path("bundle"), model=color_model(batch=batch)))
    files = [write_image(Path(f"{index:02}.png"), COLORS[index * index % 3]) for index in range(70)]
    assert [one.name for one in predictor.predict(files, top=1)] == [COLORS[i * i % 3] for i in range(70)]


def test_paths_text_and_bytes_are_images() -> None:
    predictor, file = Predictor(write_bundle(Path("bundle"))), write_image(Path("a.png"), "blue")
    said = [predictor.predict(one)[0] for one in (file, str(file), file.read_bytes())]
    assert [one.name for one in said] == ["blue"] * 3 and said[2].file == "<bytes>"


def test_broken_images_are_named_and_the_others_go_on() -> None:
    predictor = Predictor(write_bundle(Path("bundle")))
    Path("broken.png").write_bytes(write_image(Path("a.png"), "red").read_bytes()[:60])
    given = [Given(name, Path(name)) for name in ("broken.png", "a.png", "none.png")]
    first, second, third = predictor.each(given)
    assert isinstance(first, Unread) and first.reason.startswith("broken.png: not an image that can be read (")
    assert not isinstance(second, Unread) and second.name == "red"
    assert third == Unread("none.png", "none.png: no such file")
    with pytest.raises(DataError, match="broken.png"):
        predictor.predict(["a.png", "broken.png"])
    with pytest.raises(ConfigError, match="top must be at least 1"):
        predictor.predict("a.png", top=0)


def test_an_image_bomb_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    predictor = Predictor(write_bundle(Path("bundle")))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    (found,) = predictor.each([Given("a.png", write_image(Path("a.png"), "red"))])
    assert isinstance(found, Unread) and "320 pixels" in found.reason and "\n" not in found.reason
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 300)  # above this Pillow warns, above twice this it refuses
    assert predictor.predict("a.png")[0].name == "red"
    assert len(predictor.told) == 1 and "a.png" in predictor.told[0]


def test_nothing_heavy_is_loaded() -> None:
    write_bundle(Path("bundle"))
    write_image(Path("pictures/red/a.png"), "red")
    heavy = ("torch", "optuna", "pandas", "plotly", "sqlalchemy", "sklearn", "scipy")
    code = (
        "import sys; from nas.cli import main; sys.argv = ['nas', 'predict', 'bundle', 'pictures', '--explain']\n"
        "try: main()\n"
        f"finally: print([name for name in {heavy!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "[]" and "accuracy 100.0 % of 1 images" in done.stdout, done.stderr


def test_calibration_is_the_gap_of_accuracy_and_probability_in_each_bin() -> None:
    right, wrong = Judged("a", "a", 0.9), Judged("a", "b", 0.9)
    assert calibration_error([right] * 9 + [wrong]) == pytest.approx(0)
    assert calibration_error([right] * 10) == pytest.approx(0.1)
    # two bins whose gaps have opposite signs do not cancel: (3 * 0.1 + 1 * 0.5) / 4
    assert calibration_error([right] * 3 + [Judged("a", "b", 0.5)]) == pytest.approx(0.2)
    # 2/15 is the upper end of the bin in which 1.5/15 lies too
    ends = [Judged("a", "a", 2 / 15), Judged("a", "b", 1.5 / 15)]
    assert calibration_error(ends) == pytest.approx((13 - 1.5) / 15 / 2)
    assert calibration_error([Judged("a", "a", 1.0), Judged("a", "b", 0.0)]) == 0


def test_confusion_counts_rows_of_true_classes() -> None:
    judged = [Judged("b", "a", 0.5), Judged("b", "a", 0.5), Judged("a", "a", 0.5), Judged("a", "c", 1.0)]
    evaluation = evaluate(judged)
    assert evaluation is not None and evaluation.accuracy == 0.25
    assert evaluation.confused() == [("b", "a", 2), ("a", "c", 1)]
    document = evaluation.document()
    assert document["classes"] == ["a", "b", "c"] and document["confusion"] == [[1, 0, 1], [2, 0, 0], [0, 0, 0]]
    assert evaluate([]) is None


def test_a_map_shows_where_its_class_is_and_its_mean_is_the_logit() -> None:
    predictor = Predictor(write_bundle(Path("bundle")))
    pixels = np.zeros((8, 8, 3), np.uint8)
    pixels[:, :3, 0], pixels[:, 3:, 2] = 255, 255  # red at the left, blue at the right
    Image.fromarray(pixels).resize((12, 12), Image.Resampling.NEAREST).save("a.png")
    given, explainer = Given("a.png", Path("a.png")), Explainer(predictor)
    red, blue = explainer.map(given, "red"), explainer.map(given, "blue")
    assert red.shape == (8, 8) and red[:, 0].min() == SHARPNESS and red[:, -1].max() == 0
    assert blue[:, 0].max() == 0 and blue[:, -1].min() == SHARPNESS
    (said,) = predictor.predict("a.png")
    odds = {name: probability for name, probability in said.top}
    assert blue.mean() - red.mean() == pytest.approx(np.log(odds["blue"] / odds["red"]), abs=1e-5)
    explainer.write(given, "blue", Path("a.png.cam.png"))
    with Image.open("a.png.cam.png") as image:
        drawn = np.asarray(image.convert("L")).astype(int)
    assert drawn.shape == (256, 256) and drawn[:, -60:].min() > drawn[:, :60].max()


def test_a_map_without_evidence_is_dark() -> None:
    dark = np.asarray(overlay(np.zeros((4, 4, 3), np.uint8), np.full((2, 2), -1, np.float32)))
    assert len(np.unique(dark.reshape(-1, 3), axis=0)) == 1


def test_what_speaks_against_a_class_looks_like_what_says_nothing() -> None:
    pixels = np.zeros((8, 8, 3), np.uint8)
    against, nothing = (overlay(pixels, np.array([[least, 2]], np.float32)) for least in (-5, 0))
    assert np.array_equal(np.asarray(against), np.asarray(nothing))


@pytest.mark.parametrize("linear", ["Gemm", "Gemm of the other side", "MatMul"])
@pytest.mark.parametrize("pool", ["GlobalAveragePool", "ReduceMean", "ReduceMean of before"])
def test_heads_are_found_however_they_are_written(linear: str, pool: str) -> None:
    weights, model = np.arange(9, dtype=np.float32).reshape(3, 3), color_model()
    make = onnx.helper.make_node
    bias = np.array([0, 5, -5], np.float32)
    constants = {"weights": weights if linear == "Gemm" else weights.T, "bias": bias}
    pooled = {
        "GlobalAveragePool": make("GlobalAveragePool", ["features"], ["pooled"]),
        "ReduceMean": make("ReduceMean", ["features", "axes"], ["pooled"]),
        "ReduceMean of before": make("ReduceMean", ["features"], ["pooled"], axes=[-2, -1]),
    }
    product = {
        "Gemm": [make("Gemm", ["flat", "weights", "bias"], ["logits"], transB=1)],
        "Gemm of the other side": [make("Gemm", ["flat", "weights", "bias"], ["logits"])],
        "MatMul": [make("MatMul", ["flat", "weights"], ["product"]), make("Add", ["product", "bias"], ["logits"])],
    }
    del model.graph.node[1:], model.graph.initializer[:]
    model.opset_import[0].version = 17 if pool == "ReduceMean of before" else 20
    model.graph.node.extend([pooled[pool], make("Flatten", ["pooled"], ["flat"]), *product[linear]])
    for name, values in {**constants, "axes": np.array([2, 3])}.items():
        model.graph.initializer.append(onnx.numpy_helper.from_array(values, name))
    predictor = Predictor(write_bundle(Path("bundle"), model=model))
    head = find_head(predictor.bundle)
    assert head.feature_map == "features"
    assert np.array_equal(head.weights, weights) and np.array_equal(head.bias, bias)
    given = Given("a.png", write_image(Path("a.png"), "red"))
    assert np.allclose(Explainer(predictor).map(given, "blue"), weights[2, 0])


def test_a_head_that_only_looks_like_one_is_refused_when_it_is_run() -> None:
    model = color_model()
    model.graph.node[3].attribute.append(onnx.helper.make_attribute("alpha", 2.0))
    explainer = Explainer(Predictor(write_bundle(Path("bundle"), model=model)))
    with pytest.raises(BundleError, match="does not end in global average pooling"):
        explainer.map(Given("a.png", write_image(Path("a.png"), "red")), "red")
