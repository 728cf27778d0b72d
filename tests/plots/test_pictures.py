"""The pictures of the README can be drawn from the committed results."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pandas as pd
import pytest

from nas import plots
from nas.tables import read_table

SCRIPT = Path(__file__).parents[2] / "docs" / "pictures.py"


def test_figures_come_from_committed_results(monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.spec_from_file_location("pictures", SCRIPT)
    assert found is not None and found.loader is not None
    pictures = importlib.util.module_from_spec(found)
    found.loader.exec_module(pictures)
    study = pictures.TableStudy.of(read_table(pictures.RESULTS / "scaling_table" / "table_cifar10.csv.gz"))
    assert "of 260 trained networks form the front" in plots.front(study).layout.meta["alt"]
    searches = pictures.searches(pd.read_csv(pictures.RESULTS / "search" / "search.csv"))
    assert [trace.name for trace in searches.data] == list(pictures.SEARCHES.values())
    monkeypatch.setattr(pictures.shutil, "which", lambda name: None)
    monkeypatch.delenv("BROWSER_PATH", raising=False)
    with pytest.raises(SystemExit, match="no Chromium or Chrome was found"):
        pictures.browser()


def test_committed_pictures_are_small() -> None:
    for name in ("front_cifar10", "shares_cifar10", "laws_cifar10", "searches"):
        assert 0 < (SCRIPT.parent / f"{name}.png").stat().st_size < 120_000, name
