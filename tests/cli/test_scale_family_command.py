"""``nas scale family``, as its users would type it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from conftest import TINY, Outcome

from nas.architecture.presets import preset
from nas.architecture.serialization import architecture_to_json
from nas.architecture.space import load_space
from nas.cli.scale.family import parse_phis
from nas.cli.tables.families import drift_text, family_table
from nas.scaling.costs import cost_kind
from nas.scaling.family import scale_family
from nas.scaling.rules import Rule, rule_to_json
from nas.schema import shipped
from nas.search.study import Study

Command = Callable[..., Outcome]


def family(nas_command: Command, *arguments: object) -> dict:
    outcome = nas_command("scale", "family", *arguments, "--json")
    assert (outcome.code, outcome.err) == (0, "")
    return json.loads(outcome.out)


def test_a_family_is_told_in_a_sentence_and_a_table(nas_command: Command) -> None:
    outcome = nas_command("scale", "family", "efficientnet_b0", "--rule", "compound", "--phi", "0:7")
    assert outcome.code == 0
    lines = outcome.out.splitlines()
    assert lines[0].startswith("efficientnet_b0 by rule compound (width × 1.1, depth × 1.2, resolution × 1.15 for each")
    assert lines[1] == "FLOPs: farthest from the promised 2^phi by -23.2 % at phi 7"
    for text in ("24 32 56 120 160 280 472", "3 5 5 7 7 9 3", "402M", "386M", "+17.3 %", "39.5G", "5.29M", "307M"):
        assert text in outcome.out
    assert "--exact takes the networks of the rule that are nearest" in outcome.out
    exact = nas_command("scale", "family", "efficientnet_b0", "--exact")
    assert "the networks nearest to the promised cost" in exact.out and "--exact takes" not in exact.out
    coarse = nas_command("scale", "family", "resnet_small", "--rule", "depth", "--exact", "--phi", "0,0.3")
    assert "phi 0.3: rounding leaves no network of this rule nearer to 2^phi" in coarse.out


def test_members_as_json_carry_both_counts(nas_command: Command) -> None:
    document = family(nas_command, "efficientnet_b0")
    members = document["members"]
    assert [round(member["multiply_adds_drift_percent"], 1) for member in members] == [
        *(0.0, 11.4, 17.3, 5.4, 2.4, -15.4, -18.6, -21.5)
    ]
    assert (members[0]["flops"], members[0]["multiply_adds"]) == (401659392, 385814752)
    for member in members:
        assert member["drift_percent"] == pytest.approx(100 * (member["flops"] / 401659392 / 2 ** member["phi"] - 1))
    assert members[1]["channels"] == [16, 24, 48, 88, 120, 208, 352] and members[1]["repeats"] == [2, 3, 3, 4, 4, 5, 2]
    assert document["rule"]["depth"] == 1.2 and document["multiple"] == 8 and document["baseline"]["resolution"] == 224
    published = family(nas_command, "efficientnet_b0", "--rule", "efficientnet")["members"]
    assert [round(math.log2(member["multiply_adds_growth"]), 1) for member in published] == [
        *(0.0, 0.8, 1.4, 2.2, 3.5, 4.7, 5.6, 6.6)
    ]


def test_a_family_begins_with_a_space_a_preset_or_a_file(nas_command: Command) -> None:
    options = ("--width", 0.5, "--depth", 1.5, "--resolution", 24, "--classes", 10, "--channels", 1)
    space = family(nas_command, "resnext_small", *options, "--cardinality", 4, "--phi", "0:1")
    start = space["baseline"]
    assert (start["width"], start["depth"], start["num_classes"], start["in_channels"]) == (0.5, 1.5, 10, 1)
    network = load_space("resnext_small").choose(cardinality=4)
    network = network.architecture(width=0.5, depth=1.5, resolution=24, num_classes=10, in_channels=1)
    assert start["digest"] == network.digest == space["members"][0]["digest"]

    Path("net.json").write_text(architecture_to_json(network))
    assert family(nas_command, "net.json", "--phi", "0:1")["members"] == space["members"]
    Path("b3.json").write_text(architecture_to_json(preset("efficientnet_b3", num_classes=7)))
    from_file = family(nas_command, "b3.json", "--phi", 1)
    assert from_file == family(nas_command, "efficientnet_b3", "--classes", 7, "--phi", 1)
    own = yaml.safe_load((shipped("search_spaces") / "resnet_small.yaml").read_text())
    Path("wide.yaml").write_text(yaml.safe_dump({**own, "name": "wide", "depth": {"min": 1, "max": 20}}))
    (grown,) = family(nas_command, "wide.yaml", "--rule", "depth", "--phi", 4)["members"]
    assert grown["depth"] == 16


def test_a_family_begins_with_a_trial(nas_command: Command, finished_study: Study) -> None:
    trial = next(trial for trial in finished_study.trials() if trial.state == "trained")
    Path("tiny.yaml").write_text(yaml.safe_dump(TINY))
    storage = ("--storage", finished_study.storage)
    document = family(nas_command, f"tiny.yaml#{trial.number}", *storage, "--phi", "0,0.5")
    assert document["baseline"]["digest"] == trial.digest == document["members"][0]["digest"]
    assert document["baseline"]["name"] == f"tiny.yaml#{trial.number}"
    assert document["members"][1]["flops"] > trial.flops
    refused = nas_command("scale", "family", f"tiny.yaml#{trial.number}", *storage, "--classes", 5)
    assert refused.code == 2 and "--classes does not apply" in refused.err
    assert (
        "is a study: name one of its trials, for example tiny.yaml#3" in nas_command("scale", "family", "tiny.yaml").err
    )


def test_rules_come_from_names_files_and_factors(nas_command: Command) -> None:
    Path("found.json").write_text(rule_to_json(Rule("found", 1.25, 1.0, 1.13)))
    from_file = family(nas_command, "resnet18", "--rule", "found.json", "--phi", "0:2")
    assert from_file == family(nas_command, "resnet18", "--rule", "width=1.25,resolution=1.13", "--phi", "0:2")
    fast = family(nas_command, "resnet18", "--rule", "fast", "--alpha", 1, "--phi", 1)
    assert fast["members"] == family(nas_command, "resnet18", "--rule", "width", "--phi", 1)["members"]
    steep = family(nas_command, "resnet18", "--alpha", 1.4, "--beta", 1, "--gamma", 1, "--phi", 1)
    assert steep["members"][0]["depth"] == 1.4 and steep["members"][0]["width"] == 1
    params = family(nas_command, "resnet18", "--cost", "params", "--exact", "--multiple", 32, "--phi", "0:1")
    assert params["cost"] == "params" and params["multiple"] == 32 and abs(params["members"][1]["drift_percent"]) < 5


def test_tables_fit_and_name_the_cost_that_doubles() -> None:
    members = scale_family("efficientnet_b0", "compound", range(3), kind=cost_kind("peak_memory"))
    headers = [str(column.header) for column in family_table(members, cost_kind("peak_memory"), width=160).columns]
    assert "peak memory drift" in headers and "peak memory" in headers and headers.count("drift") == 0
    for width in (60, 80, 100, 140):
        table = family_table(scale_family("efficientnet_b0", "compound", range(8)), cost_kind("flops"), width=width)
        shown = [str(column.header) for column in table.columns]
        assert {"phi", "width", "depth", "px", "FLOPs", "drift"} <= set(shown)
        assert ("channels" in shown) == (width >= 140)
    timed = scale_family("resnet18", "compound", (0,), seconds=lambda cost: 90.0)
    assert [str(column.header) for column in family_table(timed, cost_kind("flops"), width=160).columns][
        -1
    ] == "training"
    assert (drift_text(-0.04), drift_text(0.0), drift_text(1.25)) == ("0.0 %", "0.0 %", "+1.2 %")


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("0:3", (0, 1, 2, 3)),
        ("0:1:0.25", (0, 0.25, 0.5, 0.75, 1)),
        ("0:0.3:0.1", (0, 0.1, 0.2, 0.3)),
        ("2", (2,)),
        ("0,1.5,0", (0, 1.5)),
        ("-1:1", (-1, 0, 1)),
    ],
)
def test_phis_are_ranges_or_lists(text: str, numbers: tuple[float, ...]) -> None:
    assert parse_phis(text) == numbers


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("efficientnet_b0", "--phi", "x"), "--phi: 'x' is neither a range nor a list; write for example 0:7"),
        (("efficientnet_b0", "--phi", "1:2:3:4"), "--phi: '1:2:3:4' is neither a range nor a list"),
        (("efficientnet_b0", "--phi", ""), "--phi: '' is neither a range nor a list"),
        (("efficientnet_b0", "--phi", "0:inf"), "--phi: '0:inf' is neither a range nor a list"),
        (("efficientnet_b0", "--phi", "3:1"), "--phi: '3:1' holds no number: the range goes up"),
        (("efficientnet_b0", "--phi", "0:1:0"), "--phi: '0:1:0' holds no number"),
        (("efficientnet_b0", "--phi", "0:7:0.001"), "--phi: '0:7:0.001' means more than 200 networks"),
        (
            ("efficientnet_b0", "--phi", "0:9"),
            "phi 8 needs depth 4.3, but efficientnet allows 0.25 to 4: rule compound",
        ),
        (("efficientnet_b0", "--alpha", "0.9"), "alpha must be at least 1, but is 0.9"),
        (("efficientnet_b0", "--alpha", "1", "--beta", "1", "--gamma", "1"), "makes no larger network"),
        (("efficientnet_b0", "--rule", "compund"), "unknown rule 'compund'; did you mean 'compound'?"),
        (("efficientnet_b0", "--rule", "fast", "--gamma", "2"), "gamma does not apply to rule fast"),
        (("efficientnet_b0", "--rule", "efficientnet", "--phi", "8"), "phi 8 is not in the table of rule efficientnet"),
        (
            ("efficientnet_b0", "--cost", "macs"),
            "unknown cost 'macs'; did you mean 'flops'? known: flops, multiply_adds",
        ),
        (("efficientnet_b0", "--cost", "train_seconds"), "nothing tells how long networks train; begin with"),
        (("efficientnet_b0", "--multiple", "0"), "'--multiple'"),
        (("efficientnet_b0", "--width", "2"), "--width does not apply: efficientnet_b0 is a preset"),
        (("efficientnet_b0", "--storage", "sqlite:///a.db"), "--storage does not apply: efficientnet_b0 is no trial"),
        (("efficientnet", "--width", "9"), "width 9 is out of range: efficientnet allows 0.25 to 2.5"),
        (("efficientnet", "--classes", "0"), "--classes must be at least 1, but is 0"),
        (("digits",), "digits is a study: name one of its trials, for example digits#3"),
        (("digits#x",), "digits#x: write STUDY#N with the number of a trial"),
        (("digits#0",), "has not been run yet"),
        (("nothing",), "unknown preset or space 'nothing'"),
        (("nothing.yaml",), "nothing.yaml: no such file"),
        (("nothing.json",), "nothing.json: cannot be read"),
        (("strange.json",), "strange.json: only the network of a preset or of a space that is here can grow"),
        (("changed.json",), "changed.json: only the network of a preset or of a space that is here can grow"),
        (("changed.json", "--resolution", "32"), "--resolution does not apply: changed.json is an architecture file"),
        ((), "SPACE|PRESET|FILE|STUDY#N"),
    ],
)
def test_a_mistake_is_one_line(nas_command: Command, arguments: tuple[str, ...], message: str) -> None:
    text = architecture_to_json(preset("resnet18"))
    Path("strange.json").write_text(text.replace('"resnet18"', '"my network"'))
    Path("changed.json").write_text(text.replace('"num_classes": 1000', '"num_classes": 1000,\n "dropout": 0.5'))
    outcome = nas_command("scale", "family", *arguments)
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.startswith("nas: ") and outcome.err.count("\n") == 1 and message in outcome.err
