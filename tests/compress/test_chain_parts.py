"""What a chain judges by: times of files, their bytes and accuracy; and whose images a bundle may name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from bundles import color_model
from onnx import TensorProto, helper

from nas.compress.parent import Parent, found_images
from nas.compress.scoring import onnx_score, weight_bytes
from nas.compress.speed import Speed, compare_speed
from nas.compress.workshop import Plan, require_steps
from nas.data.batches import Standardisation, to_device
from nas.data.types import ImageSet
from nas.errors import ConfigError
from nas.export.manifest import NamedImages
from nas.export.origin import told_recipe


def written(model: onnx.ModelProto, name: str) -> Path:
    path = Path(name)
    path.write_bytes(model.SerializeToString())
    return path


def test_ratios_are_medians_over_rounds() -> None:
    speed = Speed({"a": np.array([1.0, 2.0, 3.0]), "b": np.array([2.0, 4.0, 30.0])}, "")
    assert speed.median_ms("b") == 4 and speed.ratio("b", "a") == 2


def test_files_are_timed_by_turns() -> None:
    speed = compare_speed({"a": written(color_model(), "a.onnx"), "b": Path("a.onnx")}, rounds=5)
    assert [times.shape for times in speed.times.values()] == [(5,), (5,)]
    assert all((times > 0).all() for times in speed.times.values())
    assert "processor time, batch 1, one thread, median of 5 rounds" in speed.setting


def test_bytes_are_those_of_the_tensors() -> None:
    model = color_model()
    assert weight_bytes(written(model, "float.onnx")) == 4 * 9
    model.graph.initializer[0].CopyFrom(helper.make_tensor("weights", TensorProto.INT4, [3, 3], bytes(5), raw=True))
    assert weight_bytes(written(model, "int4.onnx")) == 5


def test_accuracy_is_of_all_images() -> None:
    pixels = np.zeros((100, 8, 8, 3), np.uint8)
    pixels[np.arange(100), :, :, np.arange(100) % 3] = 255
    labels = np.arange(100) % 3
    labels[:5] = (labels[:5] + 1) % 3
    images, standard = ImageSet(pixels, labels.astype(np.int64)), Standardisation((0.0,) * 3, (1.0,) * 3)
    brought = to_device(images, resolution=8, standard=standard, device=torch.device("cpu"))
    assert onnx_score(written(color_model(), "a.onnx"), brought, classes=3) == pytest.approx(0.95)


def test_a_bundle_leads_to_no_study_within_it_and_downloads_nothing() -> None:
    from nas.architecture.presets import preset

    folder = Path("net")
    (folder / "study").mkdir(parents=True)
    (folder / "study.yaml").write_text("a trap")

    def found(study: str | None, data: dict[str, object]) -> object:
        named = NamedImages(name="theirs", study=study, data=data, fingerprint="0", content="0")
        return found_images(Parent("net", preset("resnet18"), {}, {}, folder=folder, named=named), storage=None)

    said = str(found("study.yaml", {"folder": "nowhere"}))
    assert said.startswith("the images of net are not found (") and "trap" not in said and "study.yaml" not in said
    assert found(None, {"hf": "some/set"}) == (
        "the data set some/set of net is downloaded only where --data hf=some/set asks for it"
    )
    assert found(None, {"digits": "perhaps"}) == "net: its manifest does not say where its images are"


def test_a_recipe_is_told_without_where_its_teachers_lie() -> None:
    taught = {"teacher": ["/home/somebody/net"], "folders": ["/home/somebody/net"], "digests": ["0"]}
    told = told_recipe({"epochs": 3, "distillation": taught})
    assert told == {"epochs": 3, "distillation": {"teacher": ["net"], "digests": ["0"]}}
    assert told_recipe({"distillation": None}) == {"distillation": None}


def test_a_plan_has_a_step() -> None:
    require_steps(Plan(int8=True))
    with pytest.raises(ConfigError, match="nothing to do"):
        require_steps(Plan())
