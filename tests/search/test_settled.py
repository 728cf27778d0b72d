"""What a study's file leaves out stays what it was at the study's first run."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from nas.architecture.space import Range
from nas.config.prior import Prior
from nas.config.study import EARLIER, SETTLED, WIDENED, StudyConfig, config_from_json, earlier_ways, settled
from nas.search.opening import find_study, open_study
from nas.search.run.events import Noted
from nas.search.run.start import run_study

sys.path.insert(0, str(Path(__file__).parents[1] / "golden"))
from record_study import unpack  # noqa: E402

RANGES = {"spaces": "resnet_small", "width": 1.0, "depth": 1.0, "resolution": 8}


def begun_before(**sections: object) -> StudyConfig:
    """Return a study as a version wrote it that knew none of the later keys."""
    document = StudyConfig.model_validate({"name": "old", "search": RANGES, **sections}).model_dump(mode="json")
    for section, values in EARLIER.items():
        for key in values:
            del document[section][key]
    return config_from_json(json.dumps(document))


def test_what_an_earlier_version_did_is_filled_in() -> None:
    stored = begun_before(data={"digits": True})
    for section, values in EARLIER.items():
        assert {key: getattr(getattr(stored, section), key) for key in values} == values
    assert stored.recipe.flip is None


def test_what_an_earlier_version_took_for_photographs_is_still_mirrored() -> None:
    assert begun_before(data={"npz": "x.npz"}).recipe.flip is True
    assert begun_before(data={"npz": "x.npz"}, recipe={"flip": False}).recipe.flip is False
    now = StudyConfig.model_validate({"name": "new", "search": RANGES, "data": {"npz": "x.npz"}})
    assert config_from_json(now.model_dump_json()) == now


@pytest.mark.parametrize(("section", "key"), [(section, key) for section, keys in SETTLED.items() for key in keys])
def test_a_key_left_out_stays_and_a_key_given_counts(section: str, key: str) -> None:
    other = {"batch_size": 7, "learning_rate": 0.7, "weight_decay": 0.7, "flip": True, "startup_trials": 77}
    other |= {
        "repeat_by": "raw",
        "sampler_version": 1,
        "prior": Prior(slopes={"width": -0.1}, cost=-0.2, covariance=((1.0, 0.0), (0.0, 1.0))),
        "sampler": "random",
        "norm_statistics": "running",
        "ema_warm_up": False,
        "every_class": False,
    }
    left_out = {"name": "s", "data": {"digits": True}, "search": RANGES}
    given = {**left_out, section: {**left_out.get(section, {}), key: other[key]}}
    stored, file = (StudyConfig.model_validate(document) for document in (given, left_out))
    assert getattr(getattr(settled(file, stored), section), key) == other[key]
    assert settled(stored, file) == stored


def test_a_space_that_was_widened_since_stays_what_it_was() -> None:
    file = StudyConfig.model_validate({"name": "s", "data": {"digits": True}, "search": {"spaces": "efficientnet"}})
    (space,), depth = file.search.spaces, Range(min=0.25, max=3.5, step=0.05)
    assert WIDENED == {"efficientnet": {"depth": 3.5}} and space.depth.max > 3.5
    old = {"spaces": (space.model_copy(update={"depth": depth}),), "depth": depth}
    stored = file.model_copy(update={"search": file.search.model_copy(update=old)})
    assert settled(file, stored) == stored
    assert earlier_ways(file, stored) == ["search.depth is 0.25 to 3.5, in a new study 0.25 to 4"]
    # a depth that the file gives counts
    given = Range(min=1, max=2)
    fixed, begun = (
        one.model_copy(update={"search": one.search.model_copy(update={"depth": given})}) for one in (file, stored)
    )
    assert settled(fixed, begun) == begun and settled(fixed, stored).search.depth == given
    assert earlier_ways(fixed, begun) == []
    narrow = space.model_copy(update={"depth": given})
    edited = stored.model_copy(update={"search": stored.search.model_copy(update={"spaces": (narrow,)})})
    assert settled(file, edited).search.spaces == (space,)  # somebody else's change, which is refused later
    # rows that changed, or ranges that we did not widen, are a change of the study
    width = space.model_copy(update={"width": Range(min=1, max=2)})
    other = stored.model_copy(update={"search": stored.search.model_copy(update={"spaces": (width,)})})
    assert settled(file, other).search.spaces == (space,)


def test_one_line_says_in_what_a_study_goes_on_as_it_began(tmp_path: Path) -> None:
    path, said = unpack(tmp_path), list[str]()
    run_study(path, trials=1, on_event=lambda event: said.append(event.text) if isinstance(event, Noted) else None)
    (line,) = (text for text in said if "as it began" in text)
    assert not any("has no effect" in text for text in said)  # of what the study's file leaves out
    assert "recipe.norm_statistics is running, in a new study recomputed" in line
    assert "search.repeat_by is raw, in a new study shrunk" in line
    assert "data.every_class is false, in a new study true" in line
    assert find_study(path).as_begun().config.definition() == open_study(path).config.definition()
    assert earlier_ways(open_study(path).config, open_study(path).config) == []
