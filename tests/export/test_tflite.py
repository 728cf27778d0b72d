from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tflite_files import color_tflite

from nas.analysis.pareto import pareto_front
from nas.errors import BundleError, ExportError, UserError
from nas.export.bundle import export_network
from nas.export.names import FILES, INT8_TFLITE, TFLITE
from nas.export.tflite import running, writing
from nas.export.tflite.checks import require_harmless
from nas.export.tflite.running import Shapes, TFLiteProcess, has_litert, tflite_runner
from nas.export.verify import verify_bundle
from nas.search.study import Study

needs_litert = pytest.mark.skipif(not has_litert(), reason="needs the extra litert")
needs_converter = pytest.mark.skipif(
    not (has_litert() and os.environ.get(writing.VARIABLE)), reason="needs the extra litert and NAS_LITERT_PYTHON"
)
SHAPES = Shapes((1, 3, 8, 8), (1, 3))
BOUND = 10_000


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the extra be taken for installed."""
    monkeypatch.setattr(writing, "require_litert", lambda what: None)


def refusal(study: Study, **options: Any) -> str:
    with pytest.raises(UserError) as refused:
        export_network(study, pareto_front(study)[0], "net", **options)
    assert not Path("net").exists() and "\n" not in str(refused.value)
    return str(refused.value)


def test_without_the_extra_the_command_is_told(finished_study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nas.data.extras.find_spec", lambda name: None)
    said = refusal(finished_study, tflite=True)
    assert said == (
        "a TensorFlow Lite file needs ai_edge_litert, which is not installed: pip install 'nas-explorer[litert]'"
    )


@pytest.mark.usefixtures("installed")
def test_the_variable_must_name_a_python_that_converts(
    finished_study: Study, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv(writing.VARIABLE, raising=False)
    assert "set NAS_LITERT_PYTHON to its Python" in refusal(finished_study, tflite=True)
    monkeypatch.setenv(writing.VARIABLE, "/nowhere/python")
    assert "NAS_LITERT_PYTHON: /nowhere/python: cannot be run: No such file" in refusal(finished_study, tflite=True)
    monkeypatch.setenv(writing.VARIABLE, sys.executable)
    assert f"{sys.executable} is no Python that has litert-torch" in refusal(finished_study, tflite=True)


def converter(tmp_path: Path, script: str) -> str:
    """Return a Python that is taken for one with litert-torch."""
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\n[ "$2" = -c ] && exit 0\n{script}\n')
    python.chmod(0o755)
    return str(python)


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("echo more >&2; echo 'RuntimeError: no such operator' >&2; exit 1", "RuntimeError: no such operator"),
        ("kill -9 $$", "exit code -9"),
        ("exit 0", "exit code 0"),
    ],
)
def test_a_conversion_that_fails_is_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, script: str, said: str
) -> None:
    monkeypatch.setenv(writing.VARIABLE, converter(tmp_path, script))
    with pytest.raises(ExportError) as failed:
        writing.write_tflite(Path("net"), {"channels": 1, "resolution": 8}, Path("net/model.tflite"))
    assert str(failed.value) == f"model.tflite: cannot be written: {said}"


@pytest.mark.usefixtures("installed")
def test_a_conversion_that_fails_leaves_no_folder(
    finished_study: Study, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(writing.VARIABLE, converter(tmp_path, "exit 3"))
    assert refusal(finished_study, tflite=True) == "model.tflite: cannot be written: exit code 3"


def _custom(model: Any, schema: Any) -> None:
    model.operatorCodes[0].builtinCode = schema.BuiltinOperator.CUSTOM
    model.operatorCodes[0].customCode = b"Steal"


def _loop(model: Any, schema: Any) -> None:
    model.operatorCodes[0].builtinCode = schema.BuiltinOperator.WHILE


def _from_nothing(model: Any, schema: Any) -> None:
    model.operatorCodes[0].builtinCode = schema.BuiltinOperator.FILL


def _two_graphs(model: Any, schema: Any) -> None:
    model.subgraphs.append(model.subgraphs[0])


def _external(model: Any, schema: Any) -> None:
    group, buffer = schema.ExternalBufferGroupT(), schema.ExternalBufferT()
    group.name, buffer.id = b"/etc/passwd", 1
    model.externalBufferGroups, model.externalBuffers = [group], [buffer]


def _large(model: Any, schema: Any) -> None:
    model.subgraphs[0].tensors[1].shape = [1, 3, 1 << 20, 1 << 20]


def _negative(model: Any, schema: Any) -> None:
    model.subgraphs[0].tensors[1].shape = [1, 3, -8, 8]


def _other_image(model: Any, schema: Any) -> None:
    model.subgraphs[0].tensors[0].shape = [1, 3, 9, 9]


def _other_type(model: Any, schema: Any) -> None:
    model.subgraphs[0].tensors[5].type = schema.TensorType.INT8


def _nowhere(model: Any, schema: Any) -> None:
    model.subgraphs[0].inputs = [99]


@needs_litert
@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_custom, "has the operator Steal, which no network of a bundle has"),
        (_loop, "has the operator WHILE, which no network"),
        (_from_nothing, "has the operator FILL, which no network"),
        (_two_graphs, "must hold one network, but holds 2"),
        (_external, "keeps weights in another file (external data), which a bundle must not"),
        (_large, "has a tensor of more elements than the network needs, 10,000 at most"),
        (_negative, "has a tensor of more elements than"),
        (_other_image, "must take float32 of shape (1, 3, 8, 8) and nothing else"),
        (_other_type, "must give float32 of shape (1, 3) and nothing else"),
        (_nowhere, "is no TensorFlow Lite file (IndexError)"),
    ],
)
def test_a_file_of_a_stranger_is_not_run(change: Callable[[Any, Any], None], said: str) -> None:
    require_harmless(color_tflite(), SHAPES, most=BOUND, source="net")
    with pytest.raises(BundleError) as refused:
        require_harmless(color_tflite(change), SHAPES, most=BOUND, source="net/model.tflite")
    assert str(refused.value).startswith(f"net/model.tflite: {said}")


@needs_litert
def test_what_is_no_such_file_is_told() -> None:
    generator = np.random.default_rng(0)
    whole = color_tflite()
    cut = [whole[: len(whole) // 2], b"\x00" * 4 + b"TFL3", b"\xff" * 4 + b"TFL3" + b"\xff" * 99, b"", b"TFL3"]
    for content in (*cut, *(whole[:8] + generator.bytes(len(whole) - 8) for _ in range(50))):
        with pytest.raises(BundleError, match="net: "):
            require_harmless(content, SHAPES, most=BOUND, source="net")


@needs_litert
def test_a_process_of_its_own_gives_what_the_interpreter_gives(tmp_path: Path) -> None:
    images = np.random.default_rng(0).normal(size=(5, 3, 8, 8)).astype(np.float32)
    Path("net.tflite").write_bytes(color_tflite())
    expected = 8 * images.clip(min=0).mean(axis=(2, 3))
    np.testing.assert_allclose(tflite_runner(Path("net.tflite"))(images), expected, atol=1e-5)
    network = TFLiteProcess(color_tflite(), SHAPES, source="net")
    np.testing.assert_allclose(network.run(images), expected, atol=1e-5)
    np.testing.assert_allclose(network.run(images[:1]), expected[:1], atol=1e-5)


@needs_litert
def test_a_file_that_the_interpreter_does_not_prepare_is_one_line() -> None:
    def shifted(model: Any, schema: Any) -> None:
        model.subgraphs[0].tensors[3].shape = [1, 2]
        model.subgraphs[0].tensors[4].shape = [3, 2]

    Path("net.tflite").write_bytes(color_tflite(shifted))
    with pytest.raises(ExportError, match=r"^net.tflite: LiteRT cannot run it \(.{9,200}\)$"):
        tflite_runner(Path("net.tflite"))


@needs_litert
@pytest.mark.parametrize("memory", [8 * 2**30, 2**24])
def test_native_code_that_fails_ends_its_own_process(memory: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "_MOST_MEMORY", memory)
    content = b"\x00" * 4 + b"TFL3" + b"\x00" * 99 if memory > 2**30 else color_tflite()
    with pytest.raises(BundleError, match=r"net: LiteRT cannot run it \(its process ended with exit code"):
        TFLiteProcess(content, SHAPES, source="net").run(np.zeros((1, 3, 8, 8), np.float32))


@pytest.fixture(scope="module")
def exported(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    import nas

    directory = tmp_path_factory.mktemp("lite") / "network"
    with nas.open_study(finished) as study:
        found = export_network(study, pareto_front(study)[-1], directory, tflite=True, tflite_int8=True)
    figures = {one.file: one for one in found.formats}
    assert figures[TFLITE].difference < 1e-4 and figures[TFLITE].agreement == 1
    assert figures[INT8_TFLITE].difference > 1e-3 and figures[INT8_TFLITE].agreement > 0.9
    assert figures[INT8_TFLITE].accuracy == pytest.approx(figures["model.py"].accuracy, abs=0.05)
    assert all(one.latency_ms for one in found.formats)
    yield directory


@needs_converter
def test_the_files_of_a_bundle_are_verified_and_a_flipped_byte_is_named(exported: Path, tmp_path: Path) -> None:
    import shutil

    assert sorted(path.name for path in exported.iterdir()) == sorted((*FILES, TFLITE, INT8_TFLITE))
    assert [one.file for one in verify_bundle(exported).formats] == ["model.onnx", TFLITE, INT8_TFLITE]
    for name in (TFLITE, INT8_TFLITE):
        copy = Path(shutil.copytree(exported, tmp_path / name))
        content = bytearray((copy / name).read_bytes())
        content[len(content) // 2] ^= 1
        (copy / name).write_bytes(content)
        with pytest.raises(ExportError, match=f"{name}/{name}: is not what was written"):
            verify_bundle(copy)


@needs_converter
def test_without_the_interpreter_a_file_is_not_checked_and_that_is_said(
    exported: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nas.export.rerun.has_litert", lambda: False)
    found = verify_bundle(exported)
    assert [one.file for one in found.formats] == ["model.onnx"]
    assert [note.split(",")[0] for note in found.notes] == [f"not checked: {name}" for name in (TFLITE, INT8_TFLITE)]


@needs_converter
def test_the_readmes_example_runs_without_this_package(exported: Path) -> None:
    from PIL import Image
    from sklearn.datasets import load_digits

    digits = load_digits()
    Image.fromarray(np.rint(digits.images[0] * (255 / 16)).astype(np.uint8)).save("image.png")
    source = (exported / "README.md").read_text().split("## With LiteRT")[1].split("```python\n")[1].split("```")[0]
    code = f"import os\nimage = os.path.abspath('image.png'); os.chdir({str(exported)!r})\n"
    code += source.replace('"image.png"', "image") + "\nimport sys; assert not {'nas', 'torch'} & set(sys.modules)"
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(digits.target[0])


@needs_converter
def test_only_the_int8_file_is_kept_where_only_that_was_asked_for(finished_study: Study) -> None:
    export_network(finished_study, pareto_front(finished_study)[0], "net", tflite_int8=True)
    assert sorted(path.name for path in Path("net").iterdir()) == sorted((*FILES, INT8_TFLITE))
    assert set(json.loads(Path("net/manifest.json").read_text())["formats"]) == {"model.py", "model.onnx", INT8_TFLITE}
