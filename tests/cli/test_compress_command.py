"""``nas compress``, as its users would type it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from conftest import Outcome

from nas.architecture.cost import count_cost
from nas.architecture.serialization import load_architecture

Command = Callable[..., Outcome]


def test_a_trained_network_is_pruned_and_trained_on(nas_command: Command, finished: Path) -> None:
    front = json.loads(nas_command("front", finished, "--json").out)["front"]
    largest = max(front, key=lambda point: point["flops"])
    name = f"{finished}#{largest['number']}"
    pruned = ("--prune", 0.3, "--multiple", 4, "--epochs", 1)
    outcome = nas_command("compress", name, *pruned, "--teacher", name, "--data", "digits", "-o", "out")
    assert outcome.code == 0, outcome.err
    said = " ".join(outcome.out.split())
    assert "% removed), from " in said and f"taught by {name}" in said.replace("\n", "")
    small = load_architecture("out/architecture.json")
    assert 0.5 < count_cost(small).flops / largest["flops"] <= 0.7
    document = json.loads(Path("out/result.json").read_text())
    assert document["flops"] == count_cost(small).flops
    assert document["recipe"]["distillation"]["weight"] == 0.9
    once_more = ("--prune", 0.1, "--data", "digits", "--multiple", 1, "--epochs", 1)
    again = json.loads(nas_command("compress", "out", *once_more, "-o", "two", "--json").out)
    assert again["flops"] <= 0.9 * document["flops"]


def test_mistakes_of_compress(nas_command: Command) -> None:
    def refusal(*words: object) -> str:
        outcome = nas_command("compress", *words)
        assert outcome.code == 2
        return outcome.err

    assert "--prune must be a share of the FLOPs above 0 and below 1, but is 1" in refusal("x", "--prune", 1, "-o", "o")
    assert "--data is missing" in refusal("x", "--prune", 0.5, "-o", "o")
    missing = refusal("x", "--prune", 0.5, "-o", "o", "--data", "digits")
    assert "x: is no trained network: architecture.json is missing; give a bundle (nas export) or STUDY#N" in missing
