from __future__ import annotations

import hashlib
import inspect
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import yaml
from bundles import forge
from conftest import Outcome
from huggingface_hub import ModelCard
from onnx import TensorProto, helper
from safetensors.torch import load_file, save_file

import nas
from nas.analysis.pareto import pareto_front
from nas.architecture.serialization import architecture_to_json
from nas.data import preprocess
from nas.data.preprocess import network_input
from nas.errors import BundleError, ExportError, UserError
from nas.export import manifest
from nas.export.bundle import export_network
from nas.export.card import model_card
from nas.export.formats import Parity
from nas.export.names import FILES, PIXELS_ONNX
from nas.export.trained import trained_by_study
from nas.export.verify import verify_bundle
from nas.models.backends import Latency
from nas.search.study import Study

Command = Callable[..., Outcome]
PREPROCESSING = "2f2db12961f4c1ef323e23bf6b072d89cfed6d23d56d76a48af06eefa66436f0"
ALL = tuple(sorted((*FILES, PIXELS_ONNX)))


@pytest.fixture(scope="module")
def exported(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    with nas.open_study(finished) as study:
        directory = tmp_path_factory.mktemp("export") / "network"
        found = export_network(study, pareto_front(study)[-1], directory, with_preprocessing=True)
    assert {one.file: one.agreement for one in found.formats} == {
        "model.py": 1.0,
        "model.onnx": 1.0,
        PIXELS_ONNX: 1.0,
    }
    assert found.formats[0].difference == 0
    return directory


@pytest.fixture
def bundle(exported: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(exported, tmp_path / "elsewhere" / "copy"))


def forge_manifest(bundle: Path, **update: Any) -> None:
    path = bundle / manifest.NAME
    known = manifest.read_manifest(path.read_bytes(), source="manifest")
    path.write_text(manifest.manifest_text(known.model_copy(update=update)))


def forge_onnx(bundle: Path, change: Callable[[onnx.ModelProto], None], name: str = "model.onnx") -> None:
    model = onnx.load(bundle / name)
    change(model)
    forge(bundle, name, model.SerializeToString())


def test_a_copy_is_verified(bundle: Path, nas_command: Command) -> None:
    outcome = nas_command("verify", bundle, "--json")
    assert outcome.code == 0, outcome.err
    document = json.loads(outcome.out)
    assert sorted([*document["files"], manifest.NAME]) == list(ALL)
    assert [one["file"] for one in document["formats"]] == ["model.onnx", PIXELS_ONNX]
    assert max(one["difference"] for one in document["formats"]) < 1e-4
    shown = nas_command("verify", bundle).out
    assert "model.py: written anew, the same bytes; preprocess.py: as nas writes it" in shown
    assert "checksums show damage, not where a bundle comes from" in shown


@pytest.mark.parametrize("name", ALL)
def test_one_flipped_byte_is_found_and_its_file_named(bundle: Path, name: str, nas_command: Command) -> None:
    content = bytearray((bundle / name).read_bytes())
    content[len(content) // 2] ^= 1
    (bundle / name).write_bytes(content)
    outcome = nas_command("verify", bundle)
    assert outcome.code == 2 and outcome.err.count("\n") == 1 and f"copy/{name}" in outcome.err
    assert outcome.out == ""


@pytest.mark.parametrize("name", ALL)
def test_a_missing_file_is_named(bundle: Path, name: str) -> None:
    (bundle / name).unlink()
    with pytest.raises(ExportError, match=f"copy/{name}: is missing"):
        verify_bundle(bundle)


@pytest.mark.parametrize("name", ["weights.safetensors", "model.onnx", "README.md", manifest.NAME])
def test_no_link_is_followed(bundle: Path, name: str, tmp_path: Path) -> None:
    (bundle / name).rename(tmp_path / "outside")
    (bundle / name).symlink_to(tmp_path / "outside")
    with pytest.raises(ExportError, match=f"copy/{name}: is a link, which could lead out of the bundle"):
        verify_bundle(bundle)


def test_what_is_no_file_is_not_waited_for(bundle: Path) -> None:
    (bundle / "README.md").unlink()
    os.mkfifo(bundle / "README.md")
    with pytest.raises(ExportError, match=r"README.md: is not a file"):
        verify_bundle(bundle)


def test_code_is_compared_and_never_run(bundle: Path) -> None:
    code = (bundle / "model.py").read_bytes() + b"\nopen('it_was_run', 'w')\n"
    forge(bundle, "model.py", code)
    with pytest.raises(ExportError, match=r"model.py: is not what nas writes for the network of architecture.json"):
        verify_bundle(bundle)
    forge_manifest(bundle, code_version=2)
    with pytest.raises(ExportError, match=r"model.py: is code of version 2; this version of nas writes version 1"):
        verify_bundle(bundle)
    assert not Path("it_was_run").exists()


def test_code_for_images_is_what_nas_writes_or_wrote(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert verify_bundle(bundle).notes == ()
    forge(bundle, "preprocess.py", b"raise SystemExit\n")
    with pytest.raises(ExportError, match=r"preprocess.py: is not what nas writes; read it before you run it"):
        verify_bundle(bundle)
    before = hashlib.sha256(b"raise SystemExit\n").hexdigest()
    monkeypatch.setattr("nas.export.verify.EARLIER_PREPROCESSING", frozenset({before}))
    assert verify_bundle(bundle).notes == ("preprocess.py is that of an earlier version of nas",)


def test_whoever_changes_the_code_for_images_keeps_the_digest_of_the_one_before() -> None:
    written = hashlib.sha256(inspect.getsource(preprocess).encode()).hexdigest()
    assert written == PREPROCESSING, "add the digest of before to EARLIER_PREPROCESSING: bundles hold that code"


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("../../outside",), "names '../../outside', which is no file of a bundle"),
        (("/etc/passwd",), "names '/etc/passwd', which is no file of a bundle"),
    ],
)
def test_no_path_leads_out(bundle: Path, names: tuple[str, ...], message: str) -> None:
    known = manifest.read_manifest((bundle / manifest.NAME).read_bytes(), source="manifest")
    forge_manifest(bundle, files={**known.files, **{name: manifest.facts_of(b"") for name in names}})
    with pytest.raises(ExportError, match=message):
        verify_bundle(bundle)


def test_files_that_nobody_named_are_refused(bundle: Path) -> None:
    (bundle / "model.pt2").write_bytes(b"")
    with pytest.raises(ExportError, match=r"model.pt2: is not named in manifest.json"):
        verify_bundle(bundle)
    (bundle / manifest.NAME).unlink()
    with pytest.raises(ExportError, match="bundles of earlier versions have none: export the network again"):
        verify_bundle(bundle)
    with pytest.raises(ExportError, match="nothing: is not a folder"):
        verify_bundle("nothing")


def test_a_manifest_of_another_version_is_refused(bundle: Path) -> None:
    path = bundle / manifest.NAME
    path.write_text(path.read_text().replace('"format_version": 1', '"format_version": 2'))
    with pytest.raises(UserError, match="manifest.json: format_version is 2; this version of nas reads 1"):
        verify_bundle(bundle)
    path.write_text("[" * 100_000)
    with pytest.raises(UserError, match=r"manifest.json.*nested too deeply"):
        verify_bundle(bundle)


def test_other_weights_are_found_by_what_they_compute(bundle: Path) -> None:
    weights = load_file(bundle / "weights.safetensors")
    weights["classifier.bias"] += 1
    save_file(weights, "other.safetensors")
    forge(bundle, "weights.safetensors", Path("other.safetensors").read_bytes())
    with pytest.raises(ExportError, match=r"model.onnx: logits differ from the module's by up to"):
        verify_bundle(bundle)
    del weights["classifier.bias"]
    save_file(weights, "other.safetensors")
    forge(bundle, "weights.safetensors", Path("other.safetensors").read_bytes())
    with pytest.raises(ExportError, match=r"weights.safetensors: the tensor 'classifier.bias' is not that of the net"):
        verify_bundle(bundle)


def test_headers_and_sizes_are_bounded(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = (bundle / "weights.safetensors").read_bytes()
    for content, message in (
        ((1 << 62).to_bytes(8, "little") + weights[8:], "its header says that it has 4,611,686,018,427,387,904 bytes"),
        (b"1234", "its header says"),
        (weights[:8] + b"[" + weights[9:], "is no safetensors file"),
        (weights[:-4], "is no safetensors file"),
        (weights.replace(b'"data_offsets":[0,', b'"data_offsets":[8,', 1), "is no safetensors file"),
    ):
        forge(bundle, "weights.safetensors", content)
        with pytest.raises(ExportError, match=f"weights.safetensors: {message}"):
            verify_bundle(bundle)
    with (bundle / "weights.safetensors").open("ab") as file:
        file.truncate(1 << 40)
    with pytest.raises(ExportError, match=r"weights.safetensors: has 1,099,511,627,776 bytes; at most"):
        verify_bundle(bundle)
    with (bundle / "architecture.json").open("ab") as file:
        file.truncate(1 << 30)
    with pytest.raises(ExportError, match=r"architecture.json: has 1,073,741,824 bytes; at most 1,048,576"):
        verify_bundle(bundle)


@pytest.mark.parametrize(("size", "message"), [(900_000, "which is too large to be run here"), (4_096, "GiB to run")])
def test_a_network_that_takes_all_memory_is_not_run(
    bundle: Path, size: int, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from nas.models import reading
    from nas.models.device import Memory

    monkeypatch.setattr(reading, "device_memory", lambda device: Memory(1 << 26, 1 << 26))
    large = replace(nas.load_architecture(bundle / "architecture.json"), resolution=size)
    forge(bundle, "architecture.json", architecture_to_json(large).encode())
    with pytest.raises(ExportError, match=r"architecture.json: is another network than manifest.json says"):
        verify_bundle(bundle)
    forge_manifest(bundle, digest=large.digest)
    with pytest.raises(ExportError, match=message):
        verify_bundle(bundle)


def test_a_description_of_endless_depth_is_refused(bundle: Path) -> None:
    document = json.loads((bundle / "architecture.json").read_text())
    block = document["stages"][0]["blocks"][0]
    for depth in (30, 100, 150, 200, 250, 3_000):
        deep: Any = {"kind": "conv", "channels": 8, "kernel": 1}
        text = json.dumps(document).replace(json.dumps(block), "DEEP", 1)
        nested = '{"branches": [[' * depth + json.dumps(deep) + "]]}" * depth
        forge(bundle, "architecture.json", text.replace("DEEP", nested).encode())
        with pytest.raises(UserError, match=r"architecture.json"):
            verify_bundle(bundle)


def test_images_that_were_stored_large_are_no_reason_to_take_memory(bundle: Path, monkeypatch: Any) -> None:
    facts = json.loads((bundle / "preprocessing.json").read_text())
    forge(bundle, "preprocessing.json", json.dumps({**facts, "size": 900_000}).encode())
    monkeypatch.setattr("nas.export.rerun._LARGEST_SIDE", 100)
    assert verify_bundle(bundle).formats[1].agreement == 1


def test_preprocessing_must_fit_the_network(bundle: Path) -> None:
    facts = json.loads((bundle / "preprocessing.json").read_text())
    for change in ({"classes": ["a"]}, {"size": 10**9}, {"std": [0.0]}, {"mean": ["1"]}, {"color": "cmyk"}):
        forge(bundle, "preprocessing.json", json.dumps({**facts, **change}).encode())
        with pytest.raises(BundleError, match=f"preprocessing.json: {next(iter(change))} cannot be "):
            verify_bundle(bundle)
    for change in ({"classes": ["a", "b"]}, {"resolution": 9}):
        forge(bundle, "preprocessing.json", json.dumps({**facts, **change}).encode())
        with pytest.raises(ExportError, match=r"preprocessing.json: is not how images are prepared for the network"):
            verify_bundle(bundle)


def _external(model: onnx.ModelProto) -> None:
    tensor = model.graph.initializer[0]
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../secret")


def _external_in_a_node(model: onnx.ModelProto) -> None:
    tensor = TensorProto(name="far", data_type=TensorProto.FLOAT, dims=[1])
    tensor.external_data.add(key="location", value="/etc/passwd")
    model.graph.node.append(helper.make_node("Constant", [], ["far"], value=tensor))


def _from_nothing(model: onnx.ModelProto) -> None:
    model.graph.initializer.append(helper.make_tensor("huge", TensorProto.INT64, [1], [1 << 40]))
    model.graph.node.append(helper.make_node("ConstantOfShape", ["huge"], ["zeros"]))


def _expanded(model: onnx.ModelProto) -> None:
    model.graph.initializer.append(helper.make_tensor("huge", TensorProto.INT64, [2], [1 << 20, 1 << 20]))
    model.graph.initializer.append(helper.make_tensor("one", TensorProto.FLOAT, [1, 1], [1]))
    model.graph.node.append(helper.make_node("Expand", ["one", "huge"], ["ones"]))


def _loop(model: onnx.ModelProto) -> None:
    node = helper.make_node("Identity", ["images"], ["again"])
    node.attribute.append(helper.make_attribute("body", helper.make_graph([node], "body", [], [])))
    model.graph.node.append(node)


def _other_domain(model: onnx.ModelProto) -> None:
    model.graph.node.append(helper.make_node("Identity", ["images"], ["again"], domain="strange"))


def _other_input(model: onnx.ModelProto) -> None:
    model.graph.input[0].name = "pictures"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_external, "keeps weights in another file"),
        (_external_in_a_node, "keeps weights in another file"),
        (_from_nothing, "has operators that nas does not write"),
        (_loop, "has the operator Identity, which no network of a bundle has"),
        (_other_domain, "has the operator strange.Identity, which no network"),
        (_expanded, "makes a tensor of 1,099,511,627,776 elements; the network needs at most"),
        (_other_input, "must have the input 'images' and the output 'logits'"),
    ],
)
def test_an_onnx_file_of_a_stranger_is_not_run(
    bundle: Path, change: Callable[[onnx.ModelProto], None], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnxruntime, "InferenceSession", lambda *given, **options: pytest.fail("it was run"))
    forge_onnx(bundle, change)
    with pytest.raises(ExportError, match=f"model.onnx: {message}"):
        verify_bundle(bundle)
    forge(bundle, "model.onnx", b"no protobuf")
    with pytest.raises(ExportError, match=r"model.onnx: is no ONNX file"):
        verify_bundle(bundle)


def test_pixels_that_are_resized_otherwise_are_found(bundle: Path) -> None:
    def darker(model: onnx.ModelProto) -> None:
        clip = next(node for node in model.graph.node if node.op_type == "Clip")
        lightest = next(tensor for tensor in model.graph.initializer if tensor.name == clip.input[2])
        lightest.CopyFrom(helper.make_tensor(lightest.name, TensorProto.FLOAT, [], [100.0]))

    forge_onnx(bundle, darker, PIXELS_ONNX)
    with pytest.raises(ExportError, match=f"{PIXELS_ONNX}: logits differ"):
        verify_bundle(bundle)


def test_the_card_is_one_and_says_how_sure_it_is(exported: Path) -> None:
    card = ModelCard.load(exported / "README.md")
    (test, validation) = card.data.eval_results
    assert card.data.library_name == "pytorch" and card.data.pipeline_tag == "image-classification"
    assert (test.metric_type, test.dataset_name) == ("accuracy", "digits")
    assert f"| test accuracy | {100 * test.metric_value:.2f} % of " in card.text
    assert f"| validation accuracy | {100 * validation.metric_value:.2f} % |" in card.text
    assert "one training: how much another would differ was not measured" in card.text
    assert (
        "| latency | not measured in training; that of each format is below |" in card.text
        and "`nas export tiny#" in card.text
    )
    recipe = yaml.safe_load(card.text.split("```yaml\n")[1].split("```")[0])
    assert (recipe["epochs"], recipe["batch_size"]) == (2, 64)


def test_the_card_tells_seeds_and_latency_where_they_are_known(finished_study: Study) -> None:
    one = trained_by_study(finished_study, pareto_front(finished_study)[-1])
    latency = Latency("onnxruntime", "CPU X", 1, 32, 1.234, 1.2, 1.3, 9, None, "torch 2", noisy=True)
    several = replace(one, seeds=(0.8, 0.9), latency=latency, data="my: images")
    card = ModelCard(model_card(several, (Parity("model.onnx", 2e-6, 0.5, 64, 0.75, 9000, 0.125, 20),), opset=20))
    assert "over seeds | 85.00 ± 7.07 % (mean and standard deviation of 2 trainings, this one among them)" in card.text
    told = "| latency | 1.23 ms for a batch of 32 (onnxruntime, 1 thread, CPU X, while other programs were running) |"
    assert told in card.text and "| `model.onnx` | 9,000 | 2e-06 | 50 % of 64 | 75 % | 0.125 ms |" in card.text
    assert card.data.eval_results[0].dataset_name == "my: images"


@pytest.mark.parametrize("size", [8, 11, 30])
def test_pixels_of_any_size_are_taken(exported: Path, size: int) -> None:
    facts = json.loads((exported / "preprocessing.json").read_text())
    pixels = np.random.default_rng(0).integers(0, 256, (3, size, size, 1), np.uint8)
    prepared = np.concatenate([network_input(one, facts) for one in pixels])
    network = onnxruntime.InferenceSession(exported / "model.onnx")
    whole = onnx.load(exported / PIXELS_ONNX)
    resized = next(node.output[0] for node in whole.graph.node if node.op_type == "Clip")
    whole.graph.output.append(helper.make_tensor_value_info(resized, TensorProto.FLOAT, None))
    logits, levels = onnxruntime.InferenceSession(whole.SerializeToString()).run(None, {"pixels": pixels})
    expected = prepared * np.float32(facts["std"][0]) * 255 + np.float32(facts["mean"][0]) * 255
    assert np.abs(levels - expected).max() < 1.01  # of 255 levels
    if size == 8:
        (same,) = network.run(None, {"images": prepared})
        np.testing.assert_allclose(logits, same, atol=1e-4)
