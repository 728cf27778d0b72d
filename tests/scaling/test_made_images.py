"""The lab on generated images of which one knows what they need."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

import nas

STUDY = {
    "data": {"shapes": 800, "validation": 0.25},
    "search": {
        "spaces": ["resnet_small"],
        "width": {"min": 0.25, "max": 1.0},
        "depth": {"min": 0.5, "max": 2.0},
        "resolution": {"min": 12, "max": 32},
    },
    "recipe": {"epochs": 8, "batch_size": 32, "cpu_threads": 1},
}


@pytest.mark.slow
def test_where_only_more_pixels_show_what_there_is_to_see_the_lab_says_so(tmp_path: Path) -> None:
    """At 22 px stripes of one pixel are gone, and half of the answer; neither depth nor width can bring it back."""
    file = tmp_path / "stripes.yaml"
    file.write_text(yaml.safe_dump(STUDY))
    baseline = nas.Point(nas.load_space("resnet_small"), 0.25, 0.5, 22, num_classes=4)
    found = nas.scale_compare(file, ["width", "depth", "resolution"], baseline, phis=[1], seeds=1)
    grown = {one.rule: one for one in found.grown if one.member.phi}
    assert grown["resolution"].member.point.resolution == 32
    assert [name for name, one in grown.items() if one.best or one.within_noise] == ["resolution"]
