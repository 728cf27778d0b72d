"""The notebooks run from the first cell to the last in any folder, run again, and are kept without what they print."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from nas.records import TrialRecord
from nas.search.storage.database import Database
from nas.search.storage.store import Store

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))
LEAVES = {
    "01_first_search": (
        "studies/first-search/study.db",
        "studies/first-search/network/model.onnx",
        "studies/first-search/network/weights.safetensors",
    ),
    "02_what_networks_cost": (),
    "03_how_should_it_grow": (),
    "04_reading_a_front": ("studies/reading-a-front/study.db",),
    "05_ship_it": ("studies/ship-it/study.db", "studies/ship-it/network/model-int8.onnx"),
}
"""Files that each notebook leaves behind; a notebook that is not named here fails its test."""
AGAIN_UNTIL = {"01_first_search": "search", "04_reading_a_front": "search", "05_ship_it": "search"}
"""The cell of each notebook with a study that runs it: run again, it must train nothing."""
FIGURES = {
    "01_first_search": 2,
    "02_what_networks_cost": 2,
    "03_how_should_it_grow": 2,
    "04_reading_a_front": 3,
    "05_ship_it": 1,
}
"""Number of figures that each notebook draws."""

PLOTLY = "application/vnd.plotly.v1+json"
"""Media type of a figure that a notebook can draw."""

every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


@pytest.fixture(autouse=True)
def _plain_kernel(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Give every kernel an IPython without a profile, and one thread."""
    # what stands in the profile of the person who runs the tests could import or print anything
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path_factory.mktemp("ipython")))
    # such small networks gain nothing from a second thread, and on a busy machine threads wait minutes for each other
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


@pytest.mark.slow
@every_notebook
def test_runs_in_any_folder_and_again(path: Path, tmp_path: Path) -> None:
    outputs = execute(path, tmp_path)
    assert [output.text for output in outputs if output.get("name") == "stderr"] == []
    assert sum(PLOTLY in output.get("data", {}) for output in outputs) == FIGURES[path.stem]
    assert all((tmp_path / name).stat().st_size > 0 for name in LEAVES[path.stem])
    trials = trials_in(tmp_path)
    assert any(trial.state == "trained" for trial in trials) == bool(LEAVES[path.stem]) == (path.stem in AGAIN_UNTIL)
    if trials:
        execute(path, tmp_path, until=AGAIN_UNTIL[path.stem])
        assert trials_in(tmp_path) == trials


@every_notebook
def test_is_kept_without_outputs(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.id for cell in code if cell.outputs or cell.execution_count is not None] == []
    assert notebook.metadata.kernelspec.name == "python3"


def test_there_are_notebooks() -> None:
    assert [path.stem for path in NOTEBOOKS] == sorted(LEAVES)


def execute(path: Path, folder: Path, *, until: str | None = None) -> list[nbformat.NotebookNode]:
    """Run a notebook in a new kernel that works in ``folder``, to its end or to the cell of that id.

    Returns:
        What it printed and drew.
    """
    notebook = nbformat.read(path, as_version=4)
    if until is not None:
        notebook.cells = notebook.cells[: [cell.id for cell in notebook.cells].index(until) + 1]
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(folder)}}).execute()
    return [output for cell in notebook.cells for output in cell.get("outputs", ())]


def trials_in(folder: Path) -> list[TrialRecord]:
    """Return the trials of all studies that were run in a folder."""
    studies = sorted(path.parent for path in folder.glob("studies/*/study.db"))
    return [trial for study in studies for trial in Store(Database.in_folder(study), study.name).trials()]
