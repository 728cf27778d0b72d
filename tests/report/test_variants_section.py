"""The report's section on what nas compress made."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "analysis"))

from test_variants import INT8, PRUNED

from nas.report.page import render_report
from nas.search.study import Study

HEADING = "Smaller and faster variants"


def test_the_report_shows_variants_where_there_are_some(own_study: Study) -> None:
    assert HEADING not in render_report(own_study)
    hostile = replace(INT8, name="<b>bold</b>", parent=PRUNED.name)
    own_study.add_variants([PRUNED, hostile], bundle="small")
    page = render_report(own_study)
    section = page[page.index(HEADING) : page.index("All trials")]
    assert [section.count(f'data-plot="variants-{cost}"') for cost in ("flops", "weight_bytes", "latency_ms")] == [
        1
    ] * 3
    assert PRUNED.name in section and "2.00 times" in section
    assert "&lt;b&gt;bold&lt;/b&gt;: it is 3.00 points worse" in section
    assert "<b>bold</b>" not in page
