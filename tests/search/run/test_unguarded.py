"""The README's lines run as they stand, without a guard: in a script, on standard input and in a notebook."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

import nas

LINES = """
import pathlib
import nas

with open("imported", "a") as file:
    file.write("once ")
config = nas.StudyConfig.model_validate({
    "name": "lines",
    "data": {"digits": True, "limit": 100},
    "search": {"spaces": ["resnet_small"], "width": {"min": 0.25, "max": 0.5, "step": 0.25},
               "depth": {"min": 0.25, "max": 0.25}, "resolution": 8, "trials": 2, "seed": 1},
    "recipe": {"epochs": 1, "batch_size": 32, "learning_rate": 0.1},
})
study = nas.run_study(config, workers=2)
pathlib.Path("states").write_text(" ".join(trial.state for trial in study.trials()))
"""


def in_a_script() -> None:
    Path("lines.py").write_text(LINES)
    subprocess.run([sys.executable, "lines.py"], check=True)


def on_standard_input() -> None:
    subprocess.run([sys.executable, "-"], input=LINES, text=True, check=True)


def in_a_notebook() -> None:
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(LINES)])
    NotebookClient(notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": "."}}).execute()


@pytest.mark.parametrize("run", [in_a_script, on_standard_input, in_a_notebook])
def test_the_lines_run_without_a_guard(
    run: Callable[[], None], monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    monkeypatch.setenv("NAS_EXECUTOR", "processes")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path_factory.mktemp("ipython")))  # nobody's own profile
    monkeypatch.setenv("PYTHONPATH", str(Path(nas.__file__).parents[1]))
    run()
    assert Path("imported").read_text() == "once "
    assert Path("states").read_text() == "trained trained"
