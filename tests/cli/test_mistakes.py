"""One line for every mistake, a traceback for a fault of ours, and help."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import TINY, Outcome

from nas.cli import main
from nas.schema import shipped

Command = Callable[..., Outcome]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("cost", "efficientnet_b9"), "unknown preset or space 'efficientnet_b9'; did you mean 'efficientnet_b"),
        (("cost", "nothing.yaml"), "nothing.yaml: no such file"),
        (("cost", "nothing.json"), "nothing.json: cannot be read"),
        (("cost", "broken.json"), "broken.json, line 1: not valid JSON"),
        (("cost", "efficientnet", "--width", "9"), "width 9 is out of range: efficientnet allows 0.25 to 2.5"),
        (
            ("cost", "efficientnet_b0", "--resolution", "8"),
            "resolution 8 is out of range: efficientnet allows 32 to 672",
        ),
        (
            ("cost", "coarse.yaml", "--resolution", "8"),
            "1x1 feature map is too small for stride 2: raise the resolution",
        ),
        (("cost", "efficientnet_b0", "--width", "1"), "--width does not apply: efficientnet_b0 is a preset; allowed: "),
        (("cost", "efficientnet_b0", "--classes", "0"), "--classes must be at least 1, but is 0"),
        (("cost", "efficientnet_b0", "--depth", "deep"), "but 'deep' was given"),
        (("cost",), "NAME|FILE"),
        (("cost", "resnet18", "resnet19"), "unknown preset or space 'resnet19'; did you mean 'resnet1"),
        (("cost", "resnet18", "--kernel", "5"), "--kernel does not apply: resnet18 is a preset; allowed: "),
        (("cost", "resnet", "--kernel", "4"), "resnet: kernel: a kernel must be odd, but 4 was given"),
        (("cost", "inception", "--kernel", "5"), "kernel does not apply to inception; known: activation, squ"),
        (("cost", "resnet18", "--latency", "--batch", "1,x"), "--batch: 'x' is not a whole number above zero"),
        (("cost", "resnet18", "--latency", "--batch", "1,,2"), "--batch: '1,,2' must be values separated by commas"),
        (("cost", "resnet18", "--latency", "--backend", "tvm"), "unknown backend 'tvm'; known: eager, compile, onnx"),
        (("cost", "resnet18", "--latency", "--device", "cuda:9"), "this machine has no device 'cuda:9'"),
        (("cost", "resnet18", "--latency", "--threads", "0"), "'--threads'"),
        (("cost", "resnet18", "--latency", "--batch", "1,1"), "--batch: a value is given twice: 1,1"),
        (("cost", "resnet18", "--device", "cpu"), "--device does not apply: it is for --latency and --training-memory"),
        (("cost", "resnet18", "--threads", "2"), "--threads does not apply: it is for --latency"),
        (("cost", "resnet18", "--batch", "1"), "--batch does not apply: it is for --latency and --training-memory"),
        (("cost", "resnet18", "--training-memory", "--backend=eager"), "--backend does not apply: it is for --latency"),
        (("table", "replay", "a.csv", "--storage", "sqlite:///a.db"), "--storage does not apply: a.csv is a table"),
        (("search", "digits", "--workers", "2", "--share-gpu"), "--share-gpu needs a GPU, but trainings run on cpu"),
        (("search", "digits", "--share-gpu"), "--share-gpu is for --executor processes, but the executor is inline"),
        (("check", "digits", "--share-gpu"), "--share-gpu does not apply: it says how --workers train"),
        (
            ("train", "resnet18", "--data", "digits", "--storage", "sqlite:///a.db"),
            "--storage does not apply: no trial",
        ),
        (("train", "resnet18", "--data", "digits", "--epochs", "1", "--set", "epochs=2"), "epochs is given twice"),
        (("train", "resnet18", "--data", "digits", "--set", "ema=0", "--set", "ema=1"), "--set: ema is given twice"),
        (("train", "resnet18", "--data", "digits", "--set", "lr=1"), "unknown key 'lr'; did you mean 'learning_rate'"),
        (
            ("train", "resnet_small", "--data", "digits", "--set", "learning_rate=2001-99-99"),
            "--set: learning_rate: input should be a valid number",
        ),
        (("train", "resnet_small", "--data", "digits", "--set", f"epochs={'9' * 30}"), "1e+30 is too large a number"),
        (("train", "resnet_small", "--data", "digits", "--set", "batch_size=1"), "recipe.batch_size: steps of 1 image"),
        (("cost", "x" * 300), "unknown preset or space"),
        (("cost", f"{'x' * 300}.json"), "cannot be read: File name too long"),
        (("search", "x" * 300), "unknown study"),
        (("report", "FINISHED", "-o", "x" * 300), "cannot be written: File name too long"),
        (("export", "FINISHED", "--trial", "0", "-o", "x" * 300), "File name too long"),
        (("report", "FINISHED", "-o", "."), ".: is a folder, not a file"),
        (("table", "build", "FINISHED", "-o", "."), ".: is a folder, not a file"),
        (("latency", "good.yaml"), "has not been run yet"),
        (("latency", "FINISHED", "--backend", "tvm"), "--backend: unknown backend 'tvm'; known: eager, compile, onnx"),
        (("latency", "FINISHED", "--device", "cuda:9"), "this machine has no device 'cuda:9'"),
        (("serch", "digits"), "serch"),
        (("search", "digit"), "unknown study 'digit'; did you mean 'digits'"),
        (("search", "absent.yaml"), "absent.yaml: no such file"),
        (("search", "empty.yaml"), "empty.yaml: the file is empty"),
        (("search", "list.yaml"), "list.yaml: must be a mapping of keys to values, but is a list"),
        (("search", "typo.yaml"), "typo.yaml: recipe: unknown key 'epoch'; did you mean 'epochs'?"),
        (("search", "tight.yaml"), "is below the cheapest network of the search"),
        (("search", "nofolder.yaml"), "images: no such folder"),
        (("search", "good.yaml", "--device", "cuda:7"), "this machine has no device 'cuda:7'; known: auto, cpu"),
        (
            ("search", "good.yaml", "--trials", "-1"),
            "'--trials': Input should be greater than or equal to 0, but '-1' was given",
        ),
        (("search", "good.yaml", "--until", "bored"), "--until: unknown condition 'bored'; known: stagnant"),
        (("search", "good.yaml", "--max-hours", "0"), "--max-hours must be a number above 0, but is 0"),
        (("search", "good.yaml", "--max-hours", "x"), "unable to parse string as a number, but 'x' was given"),
        (("search", "good.yaml", "--storage", "here.db"), "storage is not a database URL"),
        (("search", "blocked.yaml"), "cannot be written"),
        (("check", "tight.yaml"), "is below the cheapest network of the search"),
        (("front", "good.yaml"), "'good' has not been run yet in sqlite:///good/study.db: run it with nas search"),
        (("status", "good.yaml"), "has not been run yet"),
        (("report", "good.yaml"), "has not been run yet"),
        (("export", "good.yaml", "--trial", "0", "-o", "out"), "has not been run yet"),
        (("export", "good.yaml", "--trial", "0"), "--output"),
        (("export", "good.yaml", "--max-flops", "lots", "-o", "out"), "--max-flops: 'lots' is not a count"),
        (("front", "FINISHED", "--json", "--csv"), "--json and --csv cannot be used together"),
        (("export", "FINISHED", "--trial", "99", "-o", "out"), "has no trial 99; trained: "),
        (("export", "FINISHED", "-o", "out"), "give either a trial or a limit on the FLOPs"),
        (("report", "FINISHED", "-o", "file/report.html"), "file/report.html: cannot be written"),
        (("export", "FINISHED", "--max-flops", "1M", "-o", "file"), "file: is a file, not a folder"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_mistakes_are_one_line_and_exit_code_2(
    nas_command: Command, finished: Path, arguments: tuple[str, ...], message: str
) -> None:
    write_mistakes()
    before = sorted(Path().rglob("*"))
    outcome = nas_command(*(finished if argument == "FINISHED" else argument for argument in arguments))
    assert outcome.code == 2, outcome
    assert outcome.err.startswith("nas: ") and outcome.err.count("\n") == 1
    assert message in outcome.err
    assert outcome.out == ""
    assert sorted(Path().rglob("*")) == before


def write_mistakes() -> None:
    """Write study files with one mistake each."""

    def write(name: str, **changes: Any) -> None:
        Path(f"{name}.yaml").write_text(yaml.safe_dump({**TINY, "name": name, **changes}))

    write("good")
    write("typo", recipe={"epoch": 3})
    write("tight", budget={"flops": {"max": "1k"}})
    write("nofolder", data={"folder": "images"})
    write("blocked")
    Path("blocked").write_text("a file where the study's folder should be")
    Path("file").write_text("")
    Path("empty.yaml").write_text("")
    Path("list.yaml").write_text("- 1\n")
    Path("broken.json").write_text("{")
    coarse = yaml.safe_load((shipped("search_spaces") / "resnet.yaml").read_text())
    Path("coarse.yaml").write_text(yaml.safe_dump({**coarse, "name": "coarse", "resolution": {"min": 1, "max": 64}}))


def test_help_and_version(nas_command: Command) -> None:
    commands = ("cost", "check", "search", "status", "front", "latency", "report", "export")
    overview = nas_command("--help")
    assert overview.code == 0 and all(command in overview.out for command in commands)
    for command in commands:
        assert nas_command(command, "--help").code == 0
    assert nas_command("--version").out.startswith("nas 0.")


def test_an_unexpected_failure_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(architecture: object) -> None:
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr("nas.architecture.cost.count_cost", fail)
    monkeypatch.setattr(sys, "argv", ["nas", "cost", "resnet18"])
    with pytest.raises(RuntimeError, match="a fault of ours"):
        main()


def test_ctrl_c_is_told_whatever_runs(nas_command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*arguments: object, **keywords: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("nas.architecture.cost.count_cost", interrupt)
    outcome = nas_command("cost", "resnet18")
    assert (outcome.code, outcome.out, outcome.err) == (130, "", "nas: interrupted\n")
