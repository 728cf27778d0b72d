"""Imports only go down, and what must start fast imports nothing heavy."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "nas"
ROOMS = (
    *("errors", "units", "schema", "records", "processes"),
    *("architecture", "data", "models", "training", "config", "fronts", "sampling"),
    *("search", "replay", "analysis", "export", "tables", "console", "cli"),
)
"""From the ground up: a room imports only from rooms that stand before it."""
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


def imported(path: Path) -> set[str]:
    tree = ast.parse(path.read_text())
    names = [n.module for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) and n.module]
    names += [alias.name for n in ast.walk(tree) if isinstance(n, ast.Import) for alias in n.names]
    return {name.split(".")[1] for name in names if name.startswith("nas.")}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_only_go_down(path: Path) -> None:
    own = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    for other in imported(path):
        assert ROOMS.index(other) <= ROOMS.index(own), f"{own} imports {other}"


@pytest.mark.parametrize(
    ("statement", "forbidden"),
    [
        ("import nas", ("torch", "optuna", "plotly", "pydantic", "pandas")),
        ("import nas.cli", ("torch", "optuna", "plotly", "pydantic", "pandas", "rich.console")),
        ("import nas; nas.count_cost(nas.preset('efficientnet_b0'))", ("torch", "optuna", "plotly", "pandas")),
    ],
)
def test_heavy_packages_load_late(statement: str, forbidden: tuple[str, ...]) -> None:
    code = f"import sys; {statement}; print([name for name in {forbidden!r} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"
