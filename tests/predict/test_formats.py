"""Every format of a bundle names images as the float ONNX file does."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bundles import COLORS, FACTS, write_bundle, write_image
from tflite_files import color_tflite

from nas.compress.quantize import quantize_onnx
from nas.errors import BundleError, ConfigError
from nas.export.pixels import write_pixels_onnx
from nas.export.tflite.running import has_litert
from nas.predict.bundle import FORMATS
from nas.predict.run import Predictor

needs_litert = pytest.mark.skipif(not has_litert(), reason="needs the extra litert")


@pytest.fixture
def pictures() -> list[Path]:
    return [write_image(Path(f"{color}.png"), color) for color in COLORS]


@pytest.fixture
def bundle() -> Path:
    return write_bundle(Path("bundle"))


def write_int8(bundle: Path) -> None:
    images = np.random.default_rng(0).random((32, 3, 8, 8)).astype(np.float32)
    quantize_onnx(bundle / "model.onnx", images, bundle / "model-int8.onnx")


def write_uint8(bundle: Path) -> None:
    write_pixels_onnx(bundle / "model.onnx", FACTS, bundle / "model-uint8.onnx")


def write_tflite(bundle: Path) -> None:
    (bundle / "model.tflite").write_bytes(color_tflite())


@pytest.mark.parametrize(
    ("format", "write", "tolerance"),
    [
        ("onnx-int8", write_int8, 0.02),
        ("onnx-uint8", write_uint8, 1e-5),
        pytest.param("tflite", write_tflite, 1e-5, marks=needs_litert),
    ],
)
def test_a_format_names_images_as_the_float_network_does(
    format: str, write: Callable[[Path], None], tolerance: float, bundle: Path, pictures: list[Path]
) -> None:
    write(bundle)
    expected, given = (Predictor(bundle, format=one).predict(pictures, top=3) for one in ("onnx", format))
    assert [one.name for one in given] == [one.name for one in expected] == list(COLORS)
    for one, other in zip(expected, given, strict=True):
        assert {**dict(one.top)} == pytest.approx({**dict(other.top)}, abs=tolerance)


def test_a_format_that_is_not_there_or_not_known_is_told(bundle: Path, nas_command: Callable[..., Any]) -> None:
    write_image(Path("a.png"), "red")
    write_int8(bundle)
    done = nas_command("predict", "bundle", "a.png", "--format", "tflite")
    assert (done.code, done.out) == (2, "")
    assert done.err == "nas: bundle/model.tflite: is missing; this bundle holds the formats onnx, onnx-int8\n"
    with pytest.raises(ConfigError, match=f"format 'coreml' is not known; allowed: {', '.join(FORMATS)}"):
        Predictor(bundle, format="coreml")
    done = nas_command("predict", "bundle", "a.png", "--format", "onnx-int8", "--explain")
    assert done.err == "nas: --explain does not apply: maps are made of the format onnx only, not of onnx-int8\n"
    done = nas_command("predict", "tiny#1", "a.png", "--format", "onnx-int8")
    assert "--format does not apply: tiny#1 is a trial, of which onnx is made; export it first" in done.err
    assert nas_command("predict", "bundle", "a.png", "--format", "onnx-int8", "--top", 1).out.startswith("a.png: red ")


def test_without_the_extra_the_command_is_told(
    bundle: Path, nas_command: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    (bundle / "model.tflite").write_bytes(b"")
    monkeypatch.setattr("nas.data.extras.find_spec", lambda name: None)
    said = nas_command("predict", "bundle", write_image(Path("a.png"), "red"), "--format", "tflite").err
    expected = "needs ai_edge_litert, which is not installed: pip install 'nas-explorer[litert]'"
    assert said == f"nas: bundle/model.tflite {expected}\n"


@needs_litert
def test_a_tflite_file_of_a_stranger_is_one_line(bundle: Path, nas_command: Callable[..., Any]) -> None:
    write_image(Path("a.png"), "red")

    def endless(model: Any, schema: Any) -> None:
        model.buffers[2].data = np.frombuffer(np.full(9, np.nan, np.float32).tobytes(), np.uint8)

    for content, said in (
        (b"", "is no TensorFlow Lite file"),
        (color_tflite(classes=2), "must give float32 of shape (1, 3) and nothing else"),
        (color_tflite(endless), "gives logits that are not 1 rows of finite numbers"),
    ):
        (bundle / "model.tflite").write_bytes(content)
        done = nas_command("predict", "bundle", "a.png", "--format", "tflite")
        assert (done.code, done.out, done.err) == (2, "", f"nas: bundle/model.tflite: {said}\n")
    (bundle / "model.tflite").unlink()
    (bundle / "model.tflite").symlink_to("/etc/passwd")
    with pytest.raises(BundleError, match=r"model.tflite: is a link"):
        Predictor(bundle, format="tflite")


@needs_litert
def test_tflite_needs_no_torch_and_leaves_no_process(bundle: Path, pictures: list[Path]) -> None:
    write_tflite(bundle)
    code = (
        "import sys, psutil; from nas.predict.run import Predictor;"
        " predictor = Predictor('bundle', format='tflite'); print(predictor.predict('red.png')[0].name);"
        " one, = psutil.Process().children(); del predictor; print(one.is_running(), 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.stdout.split(), done.stderr) == (["red", "False", "False"], "")
