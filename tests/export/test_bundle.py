from __future__ import annotations

import json
import re
import sqlite3
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from safetensors.torch import load_file

import nas
from nas.analysis.looks import warn_of_test_looks
from nas.analysis.pareto import pareto_front
from nas.config.study import StudyConfig
from nas.data.batches import standardisation, to_device
from nas.data.sources import load_data, load_test
from nas.errors import ExportError, StudyError
from nas.export import bundle
from nas.export.bundle import ExportedNetwork, choose_trial, export_network, number_ranges
from nas.export.formats import compared
from nas.export.names import FILES
from nas.export.verify import verify_bundle
from nas.search.run.events import Noted
from nas.search.run.start import run_study
from nas.search.study import Study


@pytest.fixture(scope="module")
def exported(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> ExportedNetwork:
    study = nas.open_study(finished)
    return export_network(study, pareto_front(study)[-1], tmp_path_factory.mktemp("export") / "network")


def test_the_folder_holds_what_it_says_and_nothing_else(exported: ExportedNetwork) -> None:
    assert sorted(path.name for path in exported.directory.iterdir()) == sorted(FILES)
    assert list(exported.directory.parent.iterdir()) == [exported.directory]
    assert exported.onnx_difference < 1e-4
    readme = (exported.directory / "README.md").read_text()
    assert f"{100 * exported.test_accuracy:.2f} %" in readme and f"{exported.trial.flops:,}" in readme


def test_no_file_tells_of_the_machine_that_wrote_it(exported: ExportedNetwork) -> None:
    installed = Path(torch.__file__).parents[1]
    places = {Path.home(), Path.cwd(), Path(nas.__file__).parent, installed, exported.directory.parent}
    for path in exported.directory.iterdir():
        content = path.read_bytes()
        assert [str(place) for place in places if str(place).encode() in content] == [], path.name


def test_weights_and_description_give_the_trained_network_back(exported: ExportedNetwork, finished: Path) -> None:
    study = nas.open_study(finished)
    model = nas.build_model(nas.load_architecture(exported.directory / "architecture.json"))
    model.load_state_dict(load_file(exported.directory / "weights.safetensors"))
    facts = json.loads((exported.directory / "preprocessing.json").read_text())
    dataset, test = load_data(study.config.data), load_test(study.config.data)
    standard = standardisation(dataset)
    assert facts["size"] == 8
    assert (tuple(facts["mean"]), tuple(facts["std"]), "stored") == standard

    def accuracy(images: np.ndarray, labels: np.ndarray) -> float:
        pixels = (images / 255 - facts["mean"]) / facts["std"]
        logits = model.eval()(torch.from_numpy(pixels.transpose(0, 3, 1, 2)).float())
        return float((logits.argmax(1).numpy() == labels).mean())

    assert accuracy(test.images, test.labels) == pytest.approx(exported.test_accuracy)
    validation = dataset.validation
    assert accuracy(validation.images, validation.labels) == pytest.approx(exported.trial.accuracy)


@pytest.mark.parametrize("batch", [1, 3, 32])
def test_onnx_takes_any_batch(exported: ExportedNetwork, batch: int) -> None:
    model = nas.build_model(nas.load_architecture(exported.directory / "architecture.json")).eval()
    model.load_state_dict(load_file(exported.directory / "weights.safetensors"))
    images = np.random.default_rng(0).normal(size=(batch, 1, 8, 8)).astype(np.float32)
    session = onnxruntime.InferenceSession(exported.directory / "model.onnx")
    (logits,) = session.run(None, {"images": images})
    with torch.inference_mode():
        np.testing.assert_allclose(logits, model(torch.from_numpy(images)).numpy(), atol=1e-4)


def test_the_readmes_onnx_example_runs_without_this_package(exported: ExportedNetwork) -> None:
    from PIL import Image
    from sklearn.datasets import load_digits

    digits = load_digits()
    source = re.findall(r"```python\n(.*?)```", (exported.directory / "README.md").read_text(), re.DOTALL)[0]
    right = 0
    for i in range(5):
        pixels = np.rint(digits.images[i] * (255 / 16)).astype(np.uint8)
        Image.fromarray(pixels).save("image.png")
        code = f"import os\nimage = os.path.abspath('image.png'); os.chdir({str(exported.directory)!r})\n"
        code += source.replace('"image.png"', "image")
        code += "\nimport sys; assert not {'nas', 'torch'} & set(sys.modules)"
        done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        right += done.stdout.strip() == str(digits.target[i])
    assert right >= 3


@pytest.mark.parametrize("color", ["hsv", "ycbcr"])
def test_the_readmes_example_converts_colours_as_training_did(tiny_config: StudyConfig, color: str) -> None:
    from PIL import Image

    document = tiny_config.model_dump()
    search = {**document["search"], "resolution": {"min": 32, "max": 32}}
    data = {"shapes": 300, "color": color}
    budget = {"flops": {"max": "20M"}}
    config = StudyConfig.model_validate({**document, "data": data, "search": search, "budget": budget})
    study = run_study(config, trials=1)
    exported = export_network(study, study.trials()[0], "net", with_preprocessing=color == "hsv")
    verify_bundle("net")
    test = load_test(config.data)
    source = re.findall(r"```python\n(.*?)```", (exported.directory / "README.md").read_text(), re.DOTALL)[0]
    loop = source.replace('"image.png"', "name").replace("print(", "answers.append(")
    body = "\n    ".join(loop.splitlines())
    code = "import os\nos.chdir('net')\nanswers = []\nfor name in sorted(os.listdir('../pictures')):\n"
    code += f"    name = os.path.join('../pictures', name)\n    {body}\nprint(*answers, sep=\"\\n\")"
    Path("pictures").mkdir()
    for index, image in enumerate(test.images):
        Image.fromarray(image).save(Path("pictures") / f"{index:03}.png")
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    classes = load_data(config.data).classes
    right = [answer == classes[label] for answer, label in zip(done.stdout.splitlines(), test.labels, strict=True)]
    assert sum(right) / len(right) == pytest.approx(exported.test_accuracy, abs=0.005)


def test_the_readme_sees_deep_images_as_the_study_did(tiny_config: StudyConfig) -> None:
    from PIL import Image

    generator = np.random.default_rng(0)
    for name, level in (("dark", 25_000), ("bright", 34_000)):
        Path("images", name).mkdir(parents=True)
        for index in range(40):
            pixels = generator.normal(level, 2_000, (26, 40)).astype(np.uint16)
            Image.fromarray(pixels).save(f"images/{name}/{index:02}.png")
    document = tiny_config.model_dump()
    search = {**document["search"], "spaces": ["resnet_small"], "resolution": {"min": 12, "max": 12}}
    data = {"folder": "images", "size": 18}
    config = StudyConfig.model_validate({**document, "data": data, "search": search, "budget": {}})
    said: list[str] = []
    study = run_study(
        config, trials=1, on_event=lambda event: said.append(event.text) if isinstance(event, Noted) else None
    )
    assert said == ["images are mirrored at random; recipe.flip: false if a mirrored image shows something else"]
    exported = export_network(study, study.trials()[0], "net")
    facts = json.loads(Path("net/preprocessing.json").read_text())
    assert (facts["size"], facts["resolution"]) == (18, 12)
    code = f"import sys; sys.dont_write_bytecode = True; sys.path.append({str(exported.directory)!r})"
    body = "from preprocess import prepare; import json, numpy as np"
    paths = sorted(map(str, Path("images").rglob("*.png")))
    rest = f"f = json.load(open('net/preprocessing.json')); x = [prepare(p, f) for p in {paths!r}]"
    run = f"{code}; {body}; {rest}; np.save('inputs.npy', np.concatenate(x)); assert 'nas' not in sys.modules"
    subprocess.run([sys.executable, "-c", run], check=True)
    test = load_test(config.data)
    standard = standardisation(load_data(config.data))
    trained = next(to_device(test, resolution=12, standard=standard, device=torch.device("cpu")).in_order(99)).images
    inputs = np.load("inputs.npy")
    nearest = [np.abs(inputs - one).max(axis=(1, 2, 3)).min() * facts["std"][0] * 255 for one in trained.numpy()]
    assert max(nearest) <= 1.01


def test_an_export_replaces_an_earlier_one_and_nothing_else(finished_study: Study, exported: ExportedNetwork) -> None:
    cheapest = pareto_front(finished_study)[0]
    directory = Path("mine")
    directory.mkdir()
    (directory / "thesis.txt").write_text("precious")
    with pytest.raises(ExportError, match=r"mine: contains other files \('thesis.txt'\)"):
        export_network(finished_study, cheapest, directory)
    (directory / "thesis.txt").rename(directory / "README.md")
    with pytest.raises(ExportError, match=r"mine: contains other files \('README.md'\)"):
        export_network(finished_study, cheapest, directory)
    for name in (*FILES, ".DS_Store", "Thumbs.db", "desktop.ini"):
        (directory / name).write_text("old")
    (directory / "__pycache__").mkdir()
    with pytest.raises(ExportError, match="mine: holds an earlier export; choose another folder, or replace it with"):
        export_network(finished_study, cheapest, directory)
    assert (directory / "model.onnx").read_text() == "old"
    export_network(finished_study, cheapest, directory, force=True)
    assert (directory / "model.onnx").stat().st_size > 1000
    assert sorted(path.name for path in directory.iterdir()) == sorted(FILES)
    for name in ("preprocess.py", "model.py", "manifest.json"):  # earlier versions wrote none
        (directory / name).unlink()
    export_network(finished_study, cheapest, directory, force=True)
    with pytest.raises(ExportError, match="is the folder you work in, which cannot be replaced; name a folder in it"):
        export_network(finished_study, cheapest, ".")
    with pytest.raises(ExportError, match="is a file, not a folder"):
        export_network(finished_study, cheapest, directory / "README.md")
    with pytest.raises(ExportError, match="cannot be written"):
        export_network(finished_study, cheapest, directory / "README.md" / "below")


def test_a_network_that_onnxruntime_computes_otherwise_is_not_exported(
    finished_study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = bundle.export_onnx

    def wrong(model: torch.nn.Module, images: torch.Tensor, path: Path, *, opset: int) -> None:
        other = nas.build_model(finished_study.architecture(pareto_front(finished_study)[0])).eval()
        torch.nn.init.ones_(other.classifier.bias)
        real(other, images, path)

    monkeypatch.setattr(bundle, "export_onnx", wrong)
    with pytest.raises(ExportError, match="model.onnx: logits differ from the module's by up to"):
        export_network(finished_study, pareto_front(finished_study)[0], "wrong")
    assert not Path("wrong").exists()


def test_other_images_than_the_searchs_are_refused(finished_study: Study) -> None:
    other = replace(finished_study, fingerprint="0" * 16)
    with pytest.raises(StudyError, match="images of 'tiny' have changed since it was run"):
        export_network(other, pareto_front(other)[0], "out")


def test_images_of_a_study_that_never_kept_a_fingerprint_are_taken_as_they_are(finished_study: Study) -> None:
    older = replace(finished_study, fingerprint="", directory=Path("elsewhere"))
    with pytest.raises(
        StudyError, match="no such file; the weights were pruned, or are on the"
    ):  # which are looked at later
        export_network(older, pareto_front(older)[0], "out")


@pytest.mark.parametrize("scale", [0.1, 100.0])
def test_logits_may_differ_by_a_thousandth_of_the_largest(scale: float) -> None:
    logits = (scale * np.random.default_rng(0).normal(size=(4, 10))).astype(np.float32)
    room = 1e-3 * max(1.0, float(np.abs(logits).max()))
    assert 0 < compared("file", logits, logits + np.float32(room / 2)).difference < room
    with pytest.raises(ExportError, match="file: logits differ from the module's by up to"):
        compared("file", logits, logits + np.float32(2 * room))
    with pytest.raises(ExportError, match="by up to nan"):
        compared("file", logits, logits * np.float32("nan"))
    with pytest.raises(ExportError, match=r"shape \(1, 10\) where the module gives \(4, 10\)"):
        compared("file", logits, logits[:1])


@pytest.mark.parametrize("opset", [18, 23])
def test_the_opset_is_the_one_asked_for(finished_study: Study, opset: int) -> None:
    import onnx

    export_network(finished_study, pareto_front(finished_study)[0], "net", opset=opset)
    assert [entry.version for entry in onnx.load("net/model.onnx").opset_import] == [opset]
    with pytest.raises(ExportError, match="opset 17 cannot be written; allowed: 18 to 23"):
        export_network(finished_study, pareto_front(finished_study)[0], "net", opset=17)


def test_every_look_at_the_test_images_is_kept(own_study: Study) -> None:
    with sqlite3.connect(own_study.directory / "study.db") as database:
        database.execute("DELETE FROM nas_test_look")  # those of other tests
    first, *_, last = pareto_front(own_study)
    for trial in (first, first):
        export_network(own_study, trial, "net", force=True)
    assert warn_of_test_looks(own_study) is None
    exported = export_network(own_study, last, "net", force=True)
    looks = own_study.test_looks()
    assert [(look.digest, look.command) for look in looks] == [
        (trial.digest, "export") for trial in (first, first, last)
    ]
    assert looks[-1].accuracy == exported.test_accuracy
    assert warn_of_test_looks(own_study) == (
        "the test images of this study have now been looked at with 2 networks"
        f" (trial {first.number}, trial {last.number}): choosing by test accuracy makes it optimistic"
    )


def test_trials_are_chosen_by_number_or_by_cost(finished_study: Study) -> None:
    trials, front = finished_study.trials(), pareto_front(finished_study)
    by_state = {trial.state: trial for trial in trials}
    assert choose_trial(finished_study, number=front[0].number) == front[0]
    assert choose_trial(finished_study, max_flops=front[0].flops) == front[0]
    assert choose_trial(finished_study, max_flops=10**12) == front[-1]
    with pytest.raises(StudyError, match="has no trial 99; trained: 0 to 6"):
        choose_trial(finished_study, number=99)
    with pytest.raises(StudyError, match="was outside the budget and never trained; the front has trials"):
        choose_trial(finished_study, number=by_state["infeasible"].number)
    with pytest.raises(StudyError, match="has at most 10 FLOPs; the cheapest, trial 2, has 117k"):
        choose_trial(finished_study, max_flops=10)
    for both in ({}, {"number": 1, "max_flops": 5}):
        with pytest.raises(StudyError, match="give either a trial or a limit on the FLOPs"):
            choose_trial(finished_study, **both)


def test_weights_on_another_machine_are_missed_in_one_line(finished_study: Study, tmp_path: Path) -> None:
    elsewhere = Study(finished_study.config, tmp_path / "elsewhere", finished_study.database)
    with pytest.raises(StudyError, match="are on the machine that ran trial"):
        export_network(elsewhere, pareto_front(elsewhere)[0], "out")


def test_a_failed_trial_is_refused_with_its_reason(finished_study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    failed = replace(finished_study.trials()[0], state="failed", error="TrainingDiverged: loss is inf", accuracy=None)
    monkeypatch.setattr(Study, "trials", lambda self: [failed])
    with pytest.raises(StudyError, match=r"trial 0 of 'tiny' failed \(TrainingDiverged: loss is inf\)"):
        choose_trial(finished_study, number=0)


@pytest.mark.parametrize(
    ("numbers", "words"),
    [
        ([], ""),
        ([3], "3"),
        ([0, 1, 2, 5, 8, 7], "0 to 2, 5, 7 to 8"),
        (range(0, 40, 2), "..., 24, 26, 28, 30, 32, 34, 36, 38"),
    ],
)
def test_numbers_are_told_in_ranges(numbers: list[int], words: str) -> None:
    assert number_ranges(numbers) == words
