"""The report in a real browser: Debian's Chromium, driven by Playwright."""

from __future__ import annotations

import csv
import io
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pretended
import pytest
import sqlalchemy as sa
from pretended import STUDY, pretend

from nas.architecture.space import load_space
from nas.config.study import StudyConfig
from nas.report.page import write_report
from nas.search.run.start import run_study
from nas.search.storage.schema import TRIAL
from nas.search.study import Study

playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright (make install)")
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium here (Debian: apt-get install chromium)")

QUIET = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update")
HOSTILE = (
    '</script><script>window.hacked=1</script><b class="hostile">bold</b><a href="https://evil.example/">link</a>'
    "<img src=x onerror=window.hacked=1>\"'`&amp;${1}<!--"
)
"""Text that is a danger wherever it is taken for markup: in elements, attributes, scripts and plotly's labels."""
NAME = '</script><b class=hostile>"&lt;'
"""Likewise, as short as a name in a legend is."""
MARKUP = ".hostile, [href*=evil], a[*|href*=evil], img[onerror], img[src=x]"
"""What would be there if it were."""
DESKTOP, PHONE = {"width": 1200, "height": 800}, {"width": 390, "height": 844}

CUT_OFF = """() => [...document.querySelectorAll('body *')].filter(one => {
  const box = one.getBoundingClientRect(), text = [...one.childNodes].some(n => n.nodeType === 3 && n.data.trim());
  const inner = one instanceof HTMLElement && one.clientWidth && one.scrollWidth > one.clientWidth + 1;
  return text && box.width && !one.closest('.unseen, .skip, script, noscript')
    && (box.left < -1 || box.right > innerWidth + 1 || inner);
}).map(one => one.tagName + ': ' + one.textContent.slice(0, 60))"""


@dataclass
class Opened:
    """A page in the browser, what it complained of and what it asked for."""

    page: Any
    study: Study
    complaints: list[str]
    requests: list[str]

    def ready(self) -> Opened:
        self.page.wait_for_selector("html[data-plots=ready]", state="attached", timeout=120_000)
        return self

    def at(self, size: dict[str, int], scheme: str = "light", media: str = "screen") -> Any:
        """Return the page in a size and look, drawn anew."""
        self.page.evaluate("document.getElementById('card').close()")
        self.page.set_viewport_size(size)
        self.page.emulate_media(color_scheme=scheme, media=media)
        self.page.wait_for_timeout(250)  # it is drawn anew a moment after the last change
        return self.ready().page


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=BROWSER, args=list(QUIET))
        yield browser
        browser.close()


def opened(browser: Any, study: Study, path: Path, **options: Any) -> Opened:
    """Write a study's report and open it."""
    page = browser.new_page(viewport=DESKTOP, **options)
    told = Opened(page, study, [], [])
    page.on("console", lambda said: told.complaints.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: told.complaints.append(str(error)))
    page.on("request", lambda request: told.requests.append(request.url))
    page.goto(write_report(study, path).resolve().as_uri())
    return told


def hostile_study() -> Study:
    """Return a study with names that are a danger to a page, whose trials are trained, infeasible and failed."""
    spaces = [load_space("resnet_small").model_copy(update={"name": NAME}), load_space("efficientnet_small")]
    document = {**STUDY, "name": "hostile", "description": HOSTILE, "budget": {"flops": {"max": "8M"}}}
    document["search"] = {**STUDY["search"], "spaces": spaces, "trials": 60, "replicates": {"seeds": 2, "networks": 4}}
    study = run_study(StudyConfig.model_validate(document))
    with study.database.engine.begin() as connection:
        last = sa.select(sa.func.max(TRIAL.c.number)).where(TRIAL.c.state == "trained").scalar_subquery()
        values = {"state": "failed", "error": HOSTILE, "device": HOSTILE, "accuracy": None}
        connection.execute(TRIAL.update().where(TRIAL.c.number == last).values(values))
    return study


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder := tmp_path_factory.mktemp("pages"))
        patch.setenv("NAS_CACHE", str(folder / ".cache"))
        pretend(patch)
        yield folder


@pytest.fixture(scope="module")
def report(browser: Any, folder: Path) -> Opened:
    """Return the report of a study of 60 trials, opened once for all that look at it."""
    return opened(browser, hostile_study(), folder / "report.html").ready()


def test_nothing_is_complained_of_loaded_or_sent(report: Opened) -> None:
    assert report.complaints == [] and len(report.requests) == 1
    assert report.page.locator(".plot .main-svg").count() > 3 and not report.page.locator(".notice").count()
    refused = report.page.evaluate(
        """() => new Promise(told => {
            document.addEventListener('securitypolicyviolation', event => told(event.effectiveDirective), {once: true});
            fetch('https://example.org/').catch(() => setTimeout(told, 1000, 'nothing said'));
        })"""
    )
    assert refused == "connect-src" and len(report.requests) == 1
    report.complaints.clear()  # that it was refused


def test_names_and_errors_are_text_wherever_they_stand(report: Opened) -> None:
    page = report.at(DESKTOP)
    assert page.evaluate("window.hacked") is None
    assert page.locator(MARKUP).evaluate_all("all => all.map(one => one.outerHTML)") == []
    assert page.locator(".lead").inner_text() == " ".join(HOSTILE.split())
    page.locator("select[name=state]").select_option("failed")
    assert page.locator("table.trials td.words").inner_text().endswith(HOSTILE)  # its error
    page.locator("table.trials tbody button").click()
    assert page.locator("#card .notice").inner_text() == HOSTILE and page.locator("#card h2").inner_text().endswith(
        NAME
    )
    page.keyboard.press("Escape")
    page.locator("select[name=state]").select_option("")
    plain = page.locator(".plot text").all_text_contents()
    assert any(NAME in text for text in plain)  # in the legend, at least
    page.evaluate("Plotly.Fx.hover(document.querySelector('.plot'), [{curveNumber: 0, pointNumber: 0}])")
    assert NAME in page.locator(".hoverlayer").first.text_content()
    assert page.evaluate("window.hacked") is None and not page.locator(MARKUP).count()


def test_click_and_keyboard_open_a_card(report: Opened) -> None:
    page, best = report.at(DESKTOP), max(point.trial.number for point in front(report.study))
    card = page.locator("#card")
    page.locator(f".table tr[data-row='{best}'] td").last.click()
    assert card.is_visible() and f"Trial {best}:" in card.inner_text()
    for said in ("The network", "stem", "stage 1", "classifier", "Its learning curve", f"--trial {best} -o"):
        assert said in card.inner_text()
    sections = report.study.architecture(next(t for t in report.study.trials() if t.number == best)).stages
    assert card.locator("svg").first.locator("text", has_text="stage").count() == len(sections)
    page.get_by_role("button", name="Close").click()
    assert not card.is_visible()
    button = page.locator("table.trials tbody button").nth(2)
    button.focus()
    page.keyboard.press("Enter")
    assert card.is_visible() and "Trial 2:" in card.inner_text()
    page.keyboard.press("Escape")
    assert not card.is_visible() and page.evaluate("document.activeElement.dataset.open") == "2"
    spot = page.locator(".plot").first.locator(".scatterlayer .points path").first
    spot.click(force=True)
    assert card.is_visible() and card.locator("h2").inner_text().startswith("Trial ")
    page.keyboard.press("Escape")


def front(study: Study) -> Any:
    from nas.analysis.pareto import front_with_noise

    return front_with_noise(study).points


def test_the_table_is_filtered_sorted_turned_and_written(report: Opened, tmp_path: Path) -> None:
    page, trials = report.at(DESKTOP), report.study.trials()
    rows, caption = page.locator("table.trials tbody tr"), page.locator("table.trials caption")
    assert rows.count() == 25 and caption.inner_text() == "60 trials; 1 to 25 of 60 shown here"
    page.get_by_role("button", name="Next").click()
    assert rows.count() == 25 and rows.first.get_attribute("data-row") == "25"
    page.get_by_role("button", name="FLOPs").click()
    page.get_by_role("button", name="FLOPs").click()
    cheapest = sorted(trials, key=lambda trial: (trial.flops, trial.number))
    numbers = [int(row.get_attribute("data-row")) for row in rows.all()]
    assert numbers == [trial.number for trial in cheapest[:25]]
    assert page.locator("table.trials th[aria-sort]").inner_text() == "FLOPs ↑"
    page.locator("select[name=state]").select_option("infeasible")
    infeasible = [trial.number for trial in cheapest if trial.state == "infeasible"]
    assert caption.inner_text().startswith(f"{len(infeasible)} of 60 trials")
    with page.expect_download() as download:
        page.get_by_role("button", name="Download CSV").click()
    download.value.save_as(tmp_path / "trials.csv")
    written = list(csv.DictReader(io.StringIO((tmp_path / "trials.csv").read_text(encoding="utf-8"))))
    assert [int(row["number"]) for row in written] == infeasible and download.value.suggested_filename.endswith(".csv")
    known = {trial.number: trial for trial in trials}
    assert all(int(row["flops"]) == known[int(row["number"])].flops and row["mean_accuracy"] == "" for row in written)
    page.locator("select[name=state]").select_option("")
    page.get_by_label("Find").fill("efficientnet")
    page.wait_for_timeout(300)
    assert caption.inner_text().startswith(f"{sum(trial.space == 'efficientnet_small' for trial in trials)} of 60")
    page.get_by_label("Find").fill("")
    page.wait_for_timeout(300)


@pytest.mark.parametrize("width", [390, 900])
def test_nothing_is_cut_off_or_scrolls_sideways(report: Opened, width: int) -> None:
    page = report.at({"width": width, "height": 844})
    assert page.evaluate("document.scrollingElement.scrollWidth") <= width
    assert page.evaluate(CUT_OFF) == []
    page.locator("table.trials tbody button").first.click()
    assert page.evaluate(CUT_OFF) == []
    page.keyboard.press("Escape")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_serious_finding_of_axe(report: Opened, scheme: str) -> None:
    axe = Path(pytest.importorskip("axe_playwright_python").__file__).with_name("axe.min.js")
    page = report.at(PHONE if scheme == "dark" else DESKTOP, scheme)
    paper = page.evaluate("[...document.querySelectorAll('.plot')].map(plot => plot._fullLayout.paper_bgcolor)")
    assert set(paper) == {{"light": "#ffffff", "dark": "#15181e"}[scheme]}  # plots follow the page
    page.evaluate(axe.read_text(encoding="utf-8"))
    for card in (False, True):
        if card:
            page.locator("[data-open]").first.click()
        found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
        serious = [one for one in found["violations"] if one["impact"] in ("serious", "critical")]
        assert [(one["id"], one["nodes"][0]["html"][:200]) for one in serious] == []
    page.keyboard.press("Escape")


def test_printed_everything_is_there(report: Opened) -> None:
    page = report.at(DESKTOP, "dark")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    page.emulate_media(media="print", color_scheme="dark")
    page.wait_for_timeout(500)
    page.set_viewport_size({"width": 700, "height": 1000})
    shown = page.evaluate(
        "[...document.querySelectorAll('.plot')].map(p => [p._fullLayout.width, p._fullLayout.paper_bgcolor])"
    )
    assert shown and all(width <= 700 and paper == "#ffffff" for width, paper in shown)
    assert page.locator("table.trials tbody tr").count() == 60
    assert not any(one.is_visible() for one in page.locator("form, .no-print, .modebar").all())
    assert page.locator("pre").is_visible() and page.evaluate("document.scrollingElement.scrollWidth") <= 700
    pdf = page.pdf(prefer_css_page_size=True)
    assert pdf.startswith(b"%PDF") and len(re.findall(rb"/Type\s*/Page\b", pdf)) > 3
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    report.at(DESKTOP)


def test_without_a_way_to_inflate_there_are_tables_and_words(browser: Any, report: Opened, folder: Path) -> None:
    page = browser.new_page(viewport=DESKTOP)
    page.add_init_script("delete window.DecompressionStream")
    page.goto((folder / "report.html").resolve().as_uri())
    page.wait_for_selector("html[data-plots=ready]", state="attached")
    assert "plots are missing here" in page.locator(".notice").first.inner_text()
    assert page.locator("figcaption").first.is_visible() and not page.locator(".plot").first.is_visible()
    assert page.locator("table.trials tbody tr").count() == 25
    page.close()


DEGENERATE: dict[str, dict[str, Any]] = {
    "one": {"search": {**STUDY["search"], "trials": 1}},
    "infeasible": {"budget": {"flops": {"max": "450k"}}, "search": {**STUDY["search"], "trials": 3}},
    "equal": {"search": {**STUDY["search"], "trials": 25, "startup_trials": 5}},
}


@pytest.mark.parametrize("name", DEGENERATE)
def test_degenerate_studies_have_pages_too(
    browser: Any, folder: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name == "equal":  # all trainings end alike
        monkeypatch.setattr(pretended, "truth", lambda architecture: 0.4)
        monkeypatch.setattr(pretended, "NOISE", 0.0)
    study = run_study(StudyConfig.model_validate({**STUDY, "name": name, **DEGENERATE[name]}))
    told = opened(browser, study, folder / f"{name}.html").ready()
    page = told.at(PHONE)
    assert told.complaints == [] and page.evaluate("document.scrollingElement.scrollWidth") <= 390
    assert page.evaluate(CUT_OFF) == []
    trained = name in ("one", "equal")
    assert ("take trial " if trained else "no trained network") in page.locator(".answer").inner_text().lower()
    page.close()
