"""What many tests share: random networks, a small study that has been run, the command line."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

# before NumPy is loaded, here and in what tests start: more threads than free cores wait for each other, so that small
# matrices take three times the CPU time and on a busy machine six times as long
os.environ.setdefault("OMP_NUM_THREADS", "1")
# a process for each training takes seconds to load; the tests that are about them ask for them
os.environ.setdefault("NAS_EXECUTOR", "inline")

import pytest
import torch
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from servers import Server, postgresql_programs, running_server

from nas.architecture.layers import AvgPool, Block, Conv, Layer, MaxPool, Shape, SqueezeExcite
from nas.architecture.shapes import layer_shape
from nas.architecture.space import load_space
from nas.architecture.spec import Architecture, Stage
from nas.config.study import StudyConfig
from nas.schema import shipped
from nas.search.run.start import run_study
from nas.search.study import Study

# the fixture that gives each test a folder of its own does no harm to repeated examples
settings.register_profile(
    "default",
    max_examples=200 if os.environ.get("NAS_ENDURANCE") else 60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
settings.load_profile("default")
# a mutant is killed by the first example that fails, however large
settings.register_profile(
    "mutants", settings.get_profile("default"), max_examples=100, phases=[Phase.explicit, Phase.generate]
)


def scaled(small: int, large: int) -> int:
    """Return how often a test tries: ``small`` in ``make test``, ``large`` in ``make endurance``."""
    return large if os.environ.get("NAS_ENDURANCE") else small


def wait_until(happened: Callable[[], object], *, seconds: float = 120.0) -> None:
    """Wait for an event, for as long as a busy machine may take; what it waits for must not take a tenth of that."""
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline, "what was waited for has not happened"
        time.sleep(0.01)


SPACES = tuple(sorted(path.stem for path in shipped("search_spaces").glob("*.yaml")))
TINY: dict[str, Any] = {
    "name": "tiny",
    "data": {"digits": True, "limit": 400},
    "budget": {"flops": {"max": "1M"}},
    "search": {
        "spaces": ["resnet_small", "efficientnet_small"],
        "width": {"min": 0.25, "max": 1.0, "step": 0.25},
        "depth": {"min": 0.25, "max": 1.0, "step": 0.25},
        "resolution": 8,
        "trials": 8,
        "sampler": "tpe",
        "startup_trials": 4,
    },
    "recipe": {"epochs": 2, "batch_size": 64, "learning_rate": 0.2},
}


ACTIVATIONS = ("identity", "relu", "prelu", "leaky_relu", "elu", "silu", "gelu", "hardswish")


@st.composite
def architectures(draw: st.DrawFn, *, spaces: tuple[str, ...] = SPACES, largest: int = 96) -> Architecture:
    """Draw networks of the shipped spaces, all their dimensions open, mostly small so that fvcore takes little time."""
    space = load_space(draw(st.sampled_from(spaces)))
    values = {
        "kernel": st.sampled_from((1, 3, 5, 7)),
        "expansion": st.integers(1, 6),
        "cardinality": st.sampled_from((1, 2, 8, 16, 32)),
        "activation": st.sampled_from(ACTIVATIONS),
        "squeeze_excitation": st.booleans(),
    }
    opened = draw(st.sets(st.sampled_from(space.dimensions)))
    space = space.choose(**{key: draw(values[key]) for key in sorted(opened)})
    factor = 1.5 if space.base_resolution <= 64 else 0.8  # the large ones take seconds to initialise
    smallest = max(space.resolution.min, space.smallest_resolution())
    return space.architecture(
        width=draw(st.floats(space.width.min, factor)),
        depth=draw(st.floats(space.depth.min, factor)),
        resolution=draw(st.integers(smallest, max(smallest + 4, min(space.resolution.max, largest)))),
        num_classes=draw(st.integers(2, 1000)),
        in_channels=draw(st.sampled_from((1, 3))),
    )


@st.composite
def strange_architectures(draw: st.DrawFn) -> Architecture:
    """Draw networks of blocks that no family has: any layers, joins, shortcuts and blocks within blocks."""
    stem = (Conv(draw(st.sampled_from((4, 8, 12))), 3, draw(st.sampled_from((1, 2)))),)
    resolution = draw(st.sampled_from((1, 2, 5, 17)))
    stem = stem if resolution > 1 else (Conv(8, 3),)
    shape, parts = layer_shape(stem[0], Shape(3, resolution)), []
    for _ in range(draw(st.integers(1, 3))):
        parts.append(draw(strange_blocks(shape)))
        shape = layer_shape(parts[-1], shape)
    last = draw(strange_blocks(shape))
    repeats = draw(st.integers(1, 3)) if layer_shape(last, shape) == shape else 1
    return Architecture(stem, (Stage(tuple(parts)), Stage((last,) * repeats)), (Conv(8, 1),), resolution, 5)


@st.composite
def strange_blocks(draw: st.DrawFn, before: Shape, nested: bool = True) -> Block:
    """Draw a block for a feature map of ``before`` whose channels are a multiple of four."""
    join = draw(st.sampled_from(("concat", "add")))
    channels = before.channels if draw(st.booleans()) else draw(st.sampled_from((4, 8, 16)))
    branches = []
    for index in range(draw(st.integers(1, 3))):
        layers, shape = [], before
        for _ in range(draw(st.integers(1 if index == 0 else 0, 3))):
            layers.append(draw(strange_layers(shape, nested)))
            shape = layer_shape(layers[-1], shape)
        branches.append((*layers, Conv(channels, 1)) if join == "add" else tuple(layers))
    after = layer_shape(Block(tuple(branches), join=join), before)
    shortcuts = [None, (Conv(after.channels, 1),), *([()] if after == before else [])]
    return Block(tuple(branches), draw(st.sampled_from(shortcuts)), join, draw(st.sampled_from(ACTIVATIONS)))


@st.composite
def strange_layers(draw: st.DrawFn, before: Shape, nested: bool) -> Layer | Block:
    kind = draw(st.sampled_from(("conv", "conv", "max", "avg", "gate", *(("block",) if nested else ()))))
    if kind == "block":
        return draw(strange_blocks(before, nested=False))
    if kind in ("max", "avg"):
        return (MaxPool if kind == "max" else AvgPool)(3, 1)
    if kind == "gate":
        return SqueezeExcite(draw(st.integers(1, 5)), draw(st.sampled_from(ACTIVATIONS)))
    return Conv(
        draw(st.sampled_from((4, 8, 16))),
        draw(st.sampled_from((1, 3, 5, (1, 7), (3, 1)))),
        groups=draw(st.sampled_from((1, 2, 4))),
        norm=draw(st.booleans()),
        activation=draw(st.sampled_from(ACTIVATIONS)),
    )


class Outcome(NamedTuple):
    """What a command did."""

    code: int
    out: str
    err: str


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test works in a folder of its own, without the user's settings."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NAS_STORAGE", raising=False)
    monkeypatch.setenv("NAS_CACHE", str(tmp_path / ".cache"))


@pytest.fixture
def nas_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """Return a function that runs the command line in this process."""
    from nas.cli import main

    def run(*arguments: object) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["nas", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            main()
        captured = capsys.readouterr()
        return Outcome(int(left.value.code or 0), captured.out, captured.err)

    return run


FORKING = multiprocessing.get_context("forkserver")
FORKING.set_forkserver_preload(
    [
        *("nas.cli.search", "nas.cli.tables.studies", "nas.analysis.pareto"),
        *("nas.search.run.start", "nas.search.run.coordinator", "nas.search.samplers", "nas.executors.work"),
        *("alembic.migration", "sklearn.datasets", "sqlalchemy.dialects.sqlite", "torch._dynamo"),  # loaded when needed
    ]
)
"""Starts processes in a moment: they are forked from one that has loaded everything."""


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Server]:
    """Return a server of PostgreSQL that tests may stop and start; it must run when a test ends."""
    pytest.importorskip("psycopg", reason="needs the extra postgresql")
    if (programs := postgresql_programs()) is None:
        pytest.skip("PostgreSQL is not installed here (Debian: apt-get install postgresql)")
    with running_server(programs) as server:
        yield server


@pytest.fixture
def tiny_config() -> StudyConfig:
    """Return a study of eight trials of about half a second."""
    return StudyConfig.model_validate(TINY)


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a study file whose study has been run."""
    import yaml

    folder = tmp_path_factory.mktemp("finished")
    path = folder / "tiny.yaml"
    path.write_text(yaml.safe_dump(TINY))
    run_study(path)
    return path


@pytest.fixture
def finished_study(finished: Path) -> Study:
    """Return the study that has been run."""
    from nas.search.opening import open_study

    return open_study(finished)


@pytest.fixture
def measured_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measure latency in this process and for a moment only: enough for what is made of the figures."""
    from nas.models import latency

    def in_this_process(task: Callable[..., Any], *arguments: Any) -> Any:
        with torch.random.fork_rng():
            return task(*arguments)

    original = latency._timed
    monkeypatch.setattr(latency, "in_own_process", in_this_process)
    monkeypatch.setattr(latency, "_timed", lambda run, least_seconds: original(run, least_seconds / 100))


@pytest.fixture
def own_finished(finished: Path, tmp_path: Path) -> Path:
    """Return the file of a copy of the study that has been run, for a test that changes it."""
    copy = tmp_path / "finished"
    shutil.copytree(finished.parent, copy)
    return copy / finished.name


@pytest.fixture
def own_study(own_finished: Path) -> Study:
    """Return a copy of the study that has been run, for a test that changes it."""
    from nas.search.opening import open_study

    return open_study(own_finished)


# pytest-xdist's workers ignore Ctrl-C, and what they start would too
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

torch.set_num_threads(1)  # whatever the environment says
