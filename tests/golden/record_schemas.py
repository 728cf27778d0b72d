"""Record a small study in a database of the schema version that a checkout writes, for a test that opens it later.

Writes ``schema_N.sql.gz`` beside this script, N being the version. Weights are not kept. Recorded with the commits
5f90c64 (version 1), 1ace219 (2), 70a43c7 (3), 25c459f (4), 7dcf0c1 (5), 0b84610 (6), f6399cc (7), 76e10ea (8) and
c62c9d6 (9), torch 2.13.0 (CPU), optuna 5.0.0 and Python 3.11. Whoever adds a version records it::

    PYTHONPATH=path/to/checkout python tests/golden/record_schemas.py
"""

from __future__ import annotations

import gzip
import json
import os
import socket
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any

from nas.records import Figures, Reference, Variant

HERE = Path(__file__).parent
DEFINITION: dict[str, Any] = {
    "name": "small",
    "data": {"digits": True, "limit": 150},
    "budget": {"flops": {"max": "400k"}},
    "search": {
        "spaces": ["resnet_small"],
        "width": {"min": 0.25, "max": 1.0},
        "depth": {"min": 0.25, "max": 1.0},
        "resolution": 8,
        "trials": 3,
        "sampler": "random",
    },
    "recipe": {"epochs": 2, "batch_size": 32, "learning_rate": 0.02},
}

REFERENCE = Reference(
    "resnet18", "0123456789abcdef", 150_000, 11_000, 900, 8, (0.5, 0.75), True, 2, "nas train resnet18"
)

VARIANT = Variant(
    name="small#0 pruned by 50 %",
    step="pruned",
    digest="0123456789abcdef",
    precision="float32",
    parent="small#0",
    parent_digest="fedcba9876543210",
    parent_precision="float32",
    trial=0,
    figures=Figures(75_000, 5_500, 22_000, 30_000, 0.5, 0.25),
    parent_figures=Figures(150_000, 11_000, 44_000, 52_000, 0.625, None),
    test_accuracy=0.75,
    kept=True,
    refused="it is 12.50 points worse",
    provenance={"steps": [{"prune": {"share": 0.5}}], "teachers": []},
)


def unpack(version: int, folder: Path) -> Path:
    """Lay the study that a version recorded into a folder and return its study file."""
    (folder / "small").mkdir()
    with closing(sqlite3.connect(folder / "small" / "study.db")) as database:
        database.executescript(gzip.decompress((HERE / f"schema_{version}.sql.gz").read_bytes()).decode())
    path = folder / "small.yaml"
    path.write_text(json.dumps(DEFINITION))  # which is YAML too
    return path


def main() -> None:
    """Record it."""
    import torch

    from nas import check_study, run_study

    torch.set_num_threads(1)
    socket.gethostname = lambda: "recorder"  # trials note whose process they are of
    with tempfile.TemporaryDirectory() as name:
        os.chdir(name)
        path = Path("small.yaml")
        path.write_text(json.dumps(DEFINITION))
        with run_study(path) as study:
            check_study(path)  # since version 7 it keeps what it measures
            study.add_reference(REFERENCE)  # since version 8
            study.add_variants([VARIANT], bundle="smaller")  # since version 9
        with closing(sqlite3.connect("small/study.db")) as database:
            (version,) = database.execute("SELECT version FROM nas_schema").fetchone()
            text = "\n".join(database.iterdump())
    (HERE / f"schema_{version}.sql.gz").write_bytes(gzip.compress(text.encode(), mtime=0))


if __name__ == "__main__":
    main()
