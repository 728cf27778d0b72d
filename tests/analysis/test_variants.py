"""What nas compress made: kept with a study, as a table, beside what the search found, and drawn."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import Outcome

sys.path.append(str(Path(__file__).parents[1] / "plots"))

from made import made_study

from nas import plots, variants_frame
from nas.analysis.pareto import front_with_noise
from nas.analysis.variants import variants_beside
from nas.errors import ConfigError
from nas.plots.studies.variants import variants_info
from nas.records import Figures, Variant
from nas.search.study import Study

PARENT = Figures(8_000_000, 80_000, 320_000, 330_000, 0.95, 2.0)
PRUNED = Variant(
    name="made#3 pruned by 50 %",
    step="pruned",
    digest="0123456789abcdef",
    precision="float32",
    parent="made#3",
    parent_digest="fedcba9876543210",
    parent_precision="float32",
    trial=3,
    figures=Figures(4_000_000, 40_000, 160_000, 170_000, 0.94, 1.0),
    parent_figures=PARENT,
    test_accuracy=None,
    kept=False,
    refused="",
    provenance={"setting": "processor time", "steps": []},
)
INT8 = replace(
    PRUNED,
    name=f"{PRUNED.name}, int8",
    step="int8",
    precision="int8",
    parent=PRUNED.name,
    parent_digest=PRUNED.digest,
    figures=Figures(4_000_000, 40_000, 40_000, 60_000, 0.92, 1.25),
    parent_figures=PRUNED.figures,
    test_accuracy=0.91,
    kept=True,
    refused="it is 3.00 points worse",
)
UNKNOWN = replace(
    INT8,
    name="made#4, weights int8",
    step="weights-int8",
    parent="made#4",
    refused="",
    figures=replace(INT8.figures, val_accuracy=None),
    parent_figures=replace(PARENT, val_accuracy=None),
)
Command = Callable[..., Outcome]


def test_variants_are_kept_in_order_and_give_way_to_the_same_made_again(own_study: Study) -> None:
    own_study.add_variants([PRUNED, INT8], bundle="small")
    assert own_study.variants() == [PRUNED, INT8]
    again = replace(PRUNED, figures=replace(PRUNED.figures, val_accuracy=0.5))
    own_study.add_variants([again], bundle="small")
    assert own_study.variants() == [INT8, again]
    assert own_study.beside("shape", own_study.config).variants() == []


def test_the_table_has_both_sides_and_what_follows(own_study: Study) -> None:
    assert len(variants_frame(own_study)) == 0
    own_study.add_variants([PRUNED, UNKNOWN], bundle="small")
    first, second = variants_frame(own_study).to_dict("records")
    assert (first["flops"], first["parent_flops"], first["speed"]) == (4_000_000, 8_000_000, 2.0)
    assert first["drop"] == pytest.approx(0.01) and first["trial"] == 3
    assert second["val_accuracy"] != second["val_accuracy"] and second["kept"]


def test_beside_a_variant_is_the_best_searched_network_of_no_more_flops() -> None:
    study = made_study(variants=[PRUNED, replace(PRUNED, figures=replace(PRUNED.figures, flops=1))])
    found, none = variants_beside(study)
    within = [point for point in front_with_noise(study).points if point.trial.flops <= 4_000_000]
    assert found.searched == within[-1] and none.searched is None


@pytest.mark.parametrize("against", ["flops", "weight_bytes", "latency_ms"])
def test_variants_are_drawn_joined_to_what_they_were_made_of(against: str) -> None:
    study = made_study(variants=[PRUNED, INT8, UNKNOWN])
    figure = plots.variants(study, against=against)
    traces = {trace.name: trace for trace in figure.data}
    place = [getattr(one, against) for one in (PARENT, PRUNED.figures, INT8.figures)]
    assert list(traces["made of"].x) == [place[0], place[1], None, place[1], place[2], None]
    assert list(traces["made of"].y) == [95, 94, None, 94, 92, None]
    assert list(traces["as it was"].x) == place[:1]
    assert traces["int8, kept though refused"].marker.symbol.endswith("-open")
    assert ("ResNet, searched" in traces) == (against != "latency_ms")
    said = figure.layout.title.subtitle.text.replace("<br>", " ")
    assert "1 variant without a measured accuracy left out." in said
    alt = figure.layout.meta["alt"]
    assert alt.startswith(f"{INT8.name}, kept though refused: 92.0 % at ") and f"{PRUNED.name}:" not in alt


def test_two_chains_of_one_network_begin_at_one_point() -> None:
    other = replace(PRUNED, name="made#3 pruned by 70 %", parent_figures=replace(PARENT, latency_ms=2.5))
    (root,) = variants_info(made_study(variants=[PRUNED, other]), against="latency_ms").nodes[""]
    assert root.name == "made#3"


def test_without_variants_the_figure_says_so() -> None:
    figure = plots.variants(made_study())
    assert "nas compress has made nothing of a network of made yet" in figure.layout.meta["alt"]
    with pytest.raises(ConfigError, match="variants are drawn against flops, weight_bytes, latency_ms, not 'params'"):
        plots.variants(made_study(), against="params")


def test_front_shows_variants(nas_command: Command, own_study: Study, own_finished: Path) -> None:
    assert "has made nothing" in nas_command("front", own_finished, "--variants").out
    own_study.add_variants([replace(PRUNED, figures=replace(PRUNED.figures, flops=10**9)), INT8], bundle="small")
    out = " ".join(nas_command("front", own_finished, "--variants").out.split())
    best = front_with_noise(own_study).points[-1]
    assert "made#3 pruned by 50 % 94.00 % 1.00 1G 160 kB 170 kB 1 2.00x" in out
    assert f"#{best.trial.number} " in out and "kept though refused" in out
    assert "Kept though refused: made#3 pruned by 50 %, int8: it is 3.00 points worse." in out
    assert "Variants that nas compress made: 2" in nas_command("front", own_finished).out
    first, _ = json.loads(nas_command("front", own_finished, "--json").out)["variants"]
    assert (first["name"], first["searched"]) == (PRUNED.name, best.trial.number)
    table = nas_command("front", own_finished, "--variants", "--csv").out.splitlines()
    assert len(table) == 3 and table[0].endswith(",searched")
    refused = nas_command("front", own_finished, "--variants", "--knee")
    assert refused.code == 2 and "--knee and --variants cannot be used together" in refused.err
