"""Imports only go down, and what must start fast imports nothing heavy."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "nas"
ROOMS = (
    *("errors", "files", "units", "schema", "documents", "records", "processes"),
    *("architecture", "data", "models", "training", "config", "tables", "fronts", "scaling", "sampling"),
    *("executors", "search", "replay", "analysis", "plots", "report", "export", "compress", "predict"),
    *("trackers", "dashboard"),
    *("cli", "__main__"),
)
"""From the ground up: a room imports only from rooms that stand before it."""
ONLY = {
    "fronts": {"errors", "units", "records", "config", "processes"},
    "scaling": {"errors", "units", "records", "schema", "documents", "processes", "architecture", "fronts"},
    "sampling": {"errors", "units", "records", "config", "fronts", "processes"},
    "search/storage": {
        *("errors", "units", "records", "config", "fronts", "scaling", "processes", "architecture", "models"),
    },
}
"""Rooms that stand alone: all that they may import of the package."""
KNOW = {
    "sqlalchemy": ("search/storage",),
    "optuna": ("sampling", "search", "replay", "dashboard"),
    "optuna_dashboard": ("dashboard",),
    "trackio": ("trackers",),
    "wandb": ("trackers",),
    "mlflow": ("trackers",),
    "rich": ("cli",),
    "typer": ("cli",),
    "plotly": ("plots",),
    "ray": ("executors",),
    "fsspec": ("executors",),
}
"""Libraries that only some rooms know."""
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


def name_of(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def imports(path: Path) -> set[str]:
    """Return the full names of all modules that a file imports, inside functions too."""
    tree = ast.parse(path.read_text())
    names = {n.module for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) and n.module}
    return names | {alias.name for n in ast.walk(tree) if isinstance(n, ast.Import) for alias in n.names}


def rooms_imported(path: Path) -> set[str]:
    return {name.split(".")[1] for name in imports(path) if name.startswith("nas.")}


every_module = pytest.mark.parametrize("path", MODULES, ids=name_of)


@every_module
def test_imports_only_go_down(path: Path) -> None:
    own = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    for other in rooms_imported(path):
        assert ROOMS.index(other) <= ROOMS.index(own), f"{own} imports {other}"


@pytest.mark.parametrize("room", ONLY)
def test_some_rooms_stand_alone(room: str) -> None:
    own = room.split("/")[0]
    for path in (PACKAGE / room).rglob("*.py"):
        assert rooms_imported(path) - {own} <= ONLY[room], name_of(path)
        inside = {name for name in imports(path) if name.startswith(f"nas.{own}.")}
        assert all(name.startswith(f"nas.{room.replace('/', '.')}.") for name in inside), name_of(path)


@every_module
def test_libraries_are_known_where_they_belong(path: Path) -> None:
    for library in {name.split(".")[0] for name in imports(path)} & KNOW.keys():
        assert name_of(path).startswith(tuple(f"{room}/" for room in KNOW[library])), library


@every_module
def test_only_the_storage_touches_what_optuna_hides(path: Path) -> None:
    hidden = {n.attr for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Attribute)} & {"_storage"}
    assert not hidden or name_of(path).startswith("search/storage/")


@every_module
def test_what_a_study_is_does_not_know_how_it_is_run(path: Path) -> None:
    if name_of(path).startswith("search/") and not name_of(path).startswith("search/run/"):
        assert not any(name.startswith("nas.search.run") for name in imports(path))


@pytest.mark.parametrize(
    ("statement", "forbidden"),
    [
        ("import nas", ("torch", "optuna", "plotly", "pydantic", "pandas")),
        ("import nas.cli", ("torch", "optuna", "plotly", "pydantic", "pandas", "rich.console")),
        ("import nas; nas.count_cost(nas.preset('efficientnet_b0'))", ("torch", "optuna", "plotly", "pandas")),
        (
            "import nas; nas.scale_family('efficientnet_b0', 'compound', range(8))",
            ("torch", "optuna", "plotly", "pandas", "scipy", "sqlalchemy"),
        ),
        ("import nas; nas.plots", ("torch", "optuna", "plotly", "pandas")),
        ("from nas.plots.studies.front import front_info", ("plotly", "sklearn")),  # figures are told without drawing
        ("import nas.cli.front, nas.analysis.recommendation, nas.analysis.costs", ("torch", "plotly", "pandas")),
        (
            "import nas.cli.predict, nas.predict.explain, nas.predict.images, nas.predict.evaluation",
            ("torch", "optuna", "plotly", "pandas", "sqlalchemy", "scipy", "sklearn", "pydantic"),
        ),
        (
            "import nas; nas.Predictor",
            ("torch", "optuna", "plotly", "pandas", "sqlalchemy", "scipy", "sklearn", "rich"),
        ),
        ("import nas.search.run.start", ("onnx_ir", "sympy", "plotly", "pandas", "sklearn")),  # memory of each worker
    ],
)
def test_heavy_packages_load_late(statement: str, forbidden: tuple[str, ...]) -> None:
    code = f"import sys; {statement}; print([name for name in {forbidden!r} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"
