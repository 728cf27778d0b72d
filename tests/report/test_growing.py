"""The report's section on growth, on pretended trainings."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
import yaml
from pages import shown
from pretended import STUDY, pretend

import nas
from nas.errors import StudyError
from nas.report import growing
from nas.report.page import render_report
from nas.scaling.rules import Rule, compound
from nas.search.lab import stored
from nas.search.run.start import run_study
from nas.search.study import Study

TITLES = [
    "The best shape at each cost",
    "The shares of the first doubling",
    "Rules compared",
    "How accuracy follows cost",
    "More images or a larger network?",
]
MINE = Rule("<b>mine</b>", 1.0, 2.0, 1.0)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Study]:
    """A study of which everything was asked."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder := tmp_path_factory.mktemp("lab"))
        patch.setenv("NAS_CACHE", str(folder / ".cache"))
        pretend(patch)
        (file := folder / "lab.yaml").write_text(yaml.safe_dump(STUDY))
        study = run_study(file)
        grows = nas.Point(nas.load_space("resnet_small"), 0.75, 1.0, 16, num_classes=10, in_channels=1)
        nas.scale_shape(study, grows)
        nas.scale_search(study, grows, networks=12)
        nas.scale_compare(study, [compound(), MINE], grows, phis=(1,), seeds=2)
        nas.scale_data(study, networks=3, parts=(0.25, 0.5, 1.0))
        nas.scale_trust(study, times=(2,), networks=8)
        with study:
            yield study


def page(study: Study) -> str:
    """Return a study's report in one line, without scripts."""
    return shown(render_report(study))


@pytest.fixture(scope="module")
def text(lab: Study) -> str:
    return page(lab)


def test_the_report_tells_how_networks_should_grow(lab: Study, text: str) -> None:
    assert text.index("<h2>The front</h2>") < text.index("<h2>How should it grow?</h2>")
    section = text[text.index("<h2>How should it grow?</h2>") : text.index("<h2>Learning curves</h2>")]
    assert re.findall("<h3>(.*?)</h3>", section) == TITLES
    assert section.count('data-plot="growing-') == 4  # shape, triangle, rules, law
    grows = nas.Point(nas.load_space("resnet_small"), 0.75, 1.0, 16, num_classes=10, in_channels=1)
    told = nas.scale_shape(lab, grows, levels=(1, 2, 4), train=False).sentence
    assert f"<p>P{told[1:]}.</p>" in section
    assert "resnet_small: cannot tell, needs" in section or "the error falls as 1 / cost^" in section
    assert "times the images would bring" in section or "Cannot tell whether more images" in section
    assert "nas scale shape" not in section


def test_trust_stands_beside_the_front(text: str) -> None:
    line = text.index("Can these trainings be trusted? Against 4 epochs: up to")
    assert text.index("<h2>The front</h2>") < line < text.index("<h2>How should it grow?</h2>")


def test_compared_rules_are_a_table_and_their_names_are_text(text: str) -> None:
    rows = re.findall(r"<tr>(.*?)</tr>", text[text.index('<table class="rules">') :].partition("</table>")[0])
    cells = [re.findall(r"<td.*?>(.*?)</td>", row) for row in rows[1:]]
    assert [row[:2] for row in cells] == [["1", "baseline"], ["2", "compound"], ["2", "&lt;b&gt;mine&lt;/b&gt;"]]
    assert all(re.fullmatch(r"\d+\.\d ± \d\.\d %", row[7]) and row[8] == "2" for row in cells[1:])
    assert [row[9] for row in cells].count("best") == 1
    assert "<b>mine" not in text and "At 2 times the cost" in text


def test_what_cannot_be_told_says_why_and_the_rest_is_shown(lab: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    def too_few(*arguments: object) -> None:
        raise StudyError("5 <networks> are too few")

    monkeypatch.setattr(stored, "ask_doubling", too_few)
    monkeypatch.setattr(stored, "stored_trust", too_few)
    asked = {"search", "data", "trust"}
    names = [name for name in lab.scaling_names() if name.split("-")[0] in asked]
    monkeypatch.setattr(Study, "scaling_names", lambda self: names)
    text = page(lab)
    assert "<h3>The shares of the first doubling</h3> <p>Cannot tell: 5 &lt;networks&gt; are too few.</p>" in text
    assert re.findall("<h3>(.*?)</h3>", text) == [TITLES[1], *TITLES[3:]]
    assert "Cannot tell yet whether longer trainings have the same order: 5 &lt;networks&gt; are too few." in text


def test_a_scaling_study_of_an_earlier_version_is_to_be_asked_again(
    lab: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, scaling = next(stored.scaling_studies(lab, "shape"))
    search = scaling.config.search.model_copy(update={"asked": None})
    blank = scaling.settled(scaling.config.model_copy(update={"search": search}), scaling.fingerprint)
    monkeypatch.setattr(Study, "scaling", lambda self, name: blank)
    monkeypatch.setattr(Study, "scaling_names", lambda self: ["shape"])
    told = growing.told_growth(lab)[0]
    assert told.sentences[0].startswith("Cannot tell: an earlier version has not kept what was asked; ask again")
    assert not told.figure


def test_a_study_that_was_not_asked_says_how_to(finished_study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    def gathered(study: Study) -> None:
        raise AssertionError("opening a report should stay fast")

    monkeypatch.setattr("nas.search.lab.source.evidence_for", gathered)
    text = page(finished_study)
    assert "<code>nas scale shape " in text and "finds out, and this report then shows it" in text
    assert "<h3>" not in text and "be trusted" not in text


def test_a_scaling_study_has_a_report_of_its_own_without_the_section(lab: Study) -> None:
    text = page(lab.scaling("shape"))
    assert "<h3>" not in text and "nas scale shape" not in text
