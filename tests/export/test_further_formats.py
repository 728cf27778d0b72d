from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from nas.analysis.pareto import pareto_front
from nas.data.sources import load_data
from nas.errors import ExportError
from nas.export.bundle import export_network
from nas.export.names import FILES, INT8_ONNX
from nas.export.verify import verify_bundle
from nas.search.study import Study


class Images(CalibrationDataReader):
    def __init__(self, images: npt.NDArray[np.float32]) -> None:
        self.left = iter(images)

    def get_next(self) -> dict[str, npt.NDArray[np.float32]] | None:
        image = next(self.left, None)
        return None if image is None else {"images": image[None]}


def quantize(source: Path, images: npt.NDArray[np.float32], target: Path) -> None:
    """Write the int8 network of an ONNX file, as nas compress does."""
    types = {"activation_type": QuantType.QUInt8, "weight_type": QuantType.QInt8}
    quantize_static(source, target, Images(images), quant_format=QuantFormat.QDQ, per_channel=True, **types)


def test_an_int8_network_is_calibrated_on_training_images_and_compared_by_what_it_says(finished_study: Study) -> None:
    trial, seen = pareto_front(finished_study)[-1], list[npt.NDArray[np.float32]]()

    def kept(source: Path, images: npt.NDArray[np.float32], target: Path) -> None:
        seen.append(images)
        quantize(source, images, target)

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


def test_an_int8_network_is_verified_like_the_others(finished_study: Study) -> None:
    export_network(finished_study, pareto_front(finished_study)[-1], "net", quantize=quantize)
    found = verify_bundle("net")
    assert [one.file for one in found.formats] == ["model.onnx", INT8_ONNX]
    content = bytearray(Path("net", INT8_ONNX).read_bytes())
    content[len(content) // 2] ^= 1
    Path("net", INT8_ONNX).write_bytes(content)
    with pytest.raises(ExportError, match=f"net/{INT8_ONNX}: is not what was written"):
        verify_bundle("net")
