from __future__ import annotations

import json
import shutil
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from bundles import forge

import nas
from nas.analysis.pareto import pareto_front
from nas.compress.quantize import quantize_onnx
from nas.data.sources import load_data
from nas.data.types import ImageSet
from nas.errors import ExportError
from nas.export import manifest
from nas.export.bundle import export_network
from nas.export.formats import require_akin, times_of
from nas.export.names import FILES, INT8_ONNX
from nas.export.trained import some_images
from nas.export.verify import verify_bundle
from nas.search.study import Study


def test_an_int8_network_is_calibrated_on_training_images_and_compared_by_what_it_says(finished_study: Study) -> None:
    trial, seen = pareto_front(finished_study)[-1], list[npt.NDArray[np.float32]]()

    def kept(source: Path, images: npt.NDArray[np.float32], target: Path) -> None:
        seen.append(images)
        quantize_onnx(source, images, target)

    exported = export_network(finished_study, trial, "net", quantize=kept)
    assert sorted(path.name for path in Path("net").iterdir()) == sorted((*FILES, INT8_ONNX))
    facts = json.loads(Path("net/preprocessing.json").read_text())
    levels = np.rint(255 * (seen[0] * facts["std"][0] + facts["mean"][0])).astype(np.uint8)
    train = {image.tobytes() for image in load_data(finished_study.config.data).train.chunks(10_000).__next__()}
    assert len(levels) == 256 and {one.tobytes() for one in levels} <= train
    exact, rounded = (next(one for one in exported.formats if one.file == name) for name in ("model.py", INT8_ONNX))
    assert exact.difference == 0 < rounded.difference and rounded.agreement > 0.9
    assert exact.accuracy is not None and rounded.accuracy == pytest.approx(exact.accuracy, abs=0.05)
    sizes = {name: (Path("net") / name).stat().st_size for name in ("model.py", "weights.safetensors", INT8_ONNX)}
    assert (exact.bytes, rounded.bytes) == (sizes["model.py"] + sizes["weights.safetensors"], sizes[INT8_ONNX])


def test_every_format_is_timed(finished_study: Study) -> None:
    exported = export_network(finished_study, pareto_front(finished_study)[0], "net", with_preprocessing=True)
    assert {one.timed for one in exported.formats} <= set(range(5, 51))
    assert all(one.latency_ms is not None and 0 < one.latency_ms < 1000 for one in exported.formats)
    written = json.loads(Path("net/manifest.json").read_text())
    assert {name: facts["latency_ms"] for name, facts in written["formats"].items()} == {
        one.file: one.latency_ms for one in exported.formats
    }
    assert written["timed_on"]


@pytest.fixture(scope="module")
def rounded(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a bundle with an int8 network."""
    directory = tmp_path_factory.mktemp("rounded") / "network"
    with nas.open_study(finished) as study:
        export_network(study, pareto_front(study)[-1], directory, quantize=quantize_onnx)
    return directory


@pytest.fixture
def bundle(rounded: Path) -> Path:
    return Path(shutil.copytree(rounded, "net"))


def test_an_int8_network_is_verified_like_the_others(bundle: Path) -> None:
    assert [one.file for one in verify_bundle(bundle).formats] == ["model.onnx", INT8_ONNX]
    content = bytearray((bundle / INT8_ONNX).read_bytes())
    content[len(content) // 2] ^= 1
    (bundle / INT8_ONNX).write_bytes(content)
    with pytest.raises(ExportError, match=f"net/{INT8_ONNX}: is not what was written"):
        verify_bundle(bundle)


def test_logits_of_integers_may_differ_but_not_be_those_of_another_network() -> None:
    generator = np.random.default_rng(0)
    logits = generator.normal(size=(4, 10)).astype(np.float32)
    noise = generator.normal(size=(4, 10)).astype(np.float32)
    require_akin("file", logits, logits + 0.3 * noise + np.float32(5))  # what is added to all classes changes nothing
    for other in (noise, np.zeros_like(logits), -logits, logits * np.float32("nan")):
        with pytest.raises(ExportError, match=r"file: logits are not the module's, rounded: they differ by"):
            require_akin("file", logits, other)


def test_integers_of_another_network_are_found(bundle: Path) -> None:
    model = onnx.load(bundle / INT8_ONNX)
    for tensor in model.graph.initializer:
        if tensor.data_type == onnx.TensorProto.INT8 and len(tensor.dims) > 1:
            tensor.raw_data = b"\x01" * len(tensor.raw_data)
    forge(bundle, INT8_ONNX, model.SerializeToString())
    with pytest.raises(ExportError, match=f"net/{INT8_ONNX}: logits are not the module's, rounded"):
        verify_bundle(bundle)


def test_images_of_a_sorted_source_are_of_every_class_and_fewer_where_they_are_large() -> None:
    images = ImageSet(np.zeros((400, 4, 4, 1), np.uint8), np.repeat(np.arange(4), 100))
    assert np.bincount(some_images(images, 32, most=8).labels).tolist() == [2, 2, 2, 2]
    assert len(some_images(images, 32, most=1000)) == 400 and len(some_images(images, 1024, most=1000)) == 4


def test_calls_are_timed_in_turns() -> None:
    called: list[str] = []
    found = times_of({name: partial(called.append, name) for name in "abc"})
    assert called == ["a", "b", "c"] * (len(called) // 3) and len(called) == 3 * 51  # the first round is not timed
    assert {one.calls for one in found.values()} == {50}
    slow = times_of({"slow": lambda: sum(range(8_000_000))})["slow"]
    assert 5 <= slow.calls < 50 and 5 < slow.latency_ms < 5_000


def test_a_manifest_of_before_is_read_as_it_was_written() -> None:
    before = manifest.FormatFacts(difference=0.0, agreement=1.0, images=64)
    facts = {"writer": "nas", "code_version": 1, "digest": "0", "versions": "", "command": "", "compared_on": ""}
    text = manifest.manifest_text(manifest.Manifest(**facts, formats={"model.onnx": before}, files={}))
    assert set(json.loads(text)["formats"]["model.onnx"]) == {"difference", "agreement", "images"}
    assert "timed_on" not in json.loads(text)
    assert manifest.read_manifest(text.encode(), source="manifest").formats == {"model.onnx": before}
