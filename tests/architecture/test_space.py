from __future__ import annotations

from pathlib import Path

import pytest
from conftest import SPACES
from hypothesis import given
from hypothesis import strategies as st

from nas.architecture.presets import PRESETS, preset
from nas.architecture.shapes import layer_shape
from nas.architecture.space import Range, SearchSpace, load_space
from nas.architecture.spec import walk
from nas.errors import ArchitectureError, ConfigError


def coarse(space: SearchSpace) -> SearchSpace:
    """Return the space with a stem that strides as far as ImageNet's do and any resolution."""
    return space.model_copy(update={"resolution": space.resolution.model_copy(update={"min": 1})})


@pytest.mark.parametrize("name", SPACES)
def test_the_smallest_resolution_is_the_smallest(name: str) -> None:
    space = coarse(load_space(name))
    smallest = space.smallest_resolution()
    space.architecture(resolution=smallest, num_classes=10)
    with pytest.raises(ArchitectureError, match=f"needs at least {smallest} px"):
        space.architecture(resolution=smallest - 1, num_classes=10)


@given(st.sampled_from(sorted(set(SPACES) - {"inception"})), st.floats(0.25, 2.0), st.floats(0.25, 2.0))
def test_width_scales_channels_and_depth_scales_blocks(name: str, width: float, depth: float) -> None:
    space = load_space(name)
    network = space.architecture(width=width, depth=depth, resolution=64, num_classes=10)
    for row, stage in zip(space.stages, network.stages, strict=True):
        repeated = len(stage.blocks) - bool(getattr(row, "reduction", ()))  # a reduction stands before the modules
        assert abs(repeated - row.repeats * depth) < 1 + 1e-6
    for step in walk(network):
        assert step.after.channels % 8 == 0
    assert network.resolution == 64


def test_only_the_first_block_of_a_stage_strides() -> None:
    network = preset("resnet50")
    first, *others = network.stages[1].blocks
    steps = {step.where: step for step in walk(network)}
    before = steps["stages[1].blocks[0]"].before
    assert layer_shape(first, before).size * 2 == before.size
    assert all(step.before == step.after for where, step in steps.items() if where.startswith("stages[1].blocks[2"))
    assert len(set(others)) == 1


@pytest.mark.parametrize("key", ["width", "depth", "resolution"])
@pytest.mark.parametrize("name", SPACES)
def test_coefficients_out_of_range_are_refused(name: str, key: str) -> None:
    space = load_space(name)
    allowed = getattr(space, key)
    for value in (allowed.min / 2, allowed.max * 2):
        given = {"resolution": 64, key: int(value) if key == "resolution" else value}
        with pytest.raises(ConfigError, match=rf"{key} .* is out of range: {name} allows"):
            space.architecture(num_classes=10, **given)


def test_unknown_names_list_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="did you mean 'resnet'.*efficientnet_small"):
        load_space("resnett")
    with pytest.raises(ConfigError, match="did you mean 'resnet50'.*efficientnet_b0"):
        preset("resnet51")


def test_a_space_file_in_the_working_folder_is_found_by_name_and_path() -> None:
    source = load_space("resnet_small")
    Path("search_spaces").mkdir()
    document = source.model_dump_json().replace('"resnet_small"', '"mine"')
    Path("search_spaces/mine.yaml").write_text(document)  # JSON is YAML
    assert load_space("mine") == load_space("search_spaces/mine.yaml")
    assert load_space("mine").stages == source.stages


def test_a_row_with_a_foreign_key_is_refused() -> None:
    text = load_space("resnet_small").model_dump_json().replace('"kernel":3', '"kernle":3', 1)
    Path("bad.yaml").write_text(text)
    with pytest.raises(ConfigError, match=r"bad.yaml: stem\[0\].conv: unknown key 'kernle'; did you mean 'kernel'"):
        load_space("bad.yaml")


def test_ranges_read_as_a_number_or_two() -> None:
    assert Range.model_validate(1.5) == Range(min=1.5, max=1.5)
    with pytest.raises(ValueError, match="min 2 is larger than max 1"):
        Range(min=2, max=1)


def test_presets_have_the_resolution_they_are_measured_at() -> None:
    natives = {"efficientnet_v2_s": 384, "inception_v3": 299, "googlenet": 224, "resnet50": 224, "resnext50_32x4d": 224}
    assert {name: preset(name).resolution for name in natives} == natives


def test_an_error_that_no_resolution_mends_does_not_ask_for_another() -> None:
    space = load_space("resnext_small")
    stages = tuple(row.model_copy(update={"cardinality": 3, "group_width": None}) for row in space.stages)
    broken = space.model_copy(update={"stages": stages, "stem": (space.stem[0].model_copy(update={"kernel": 2}),)})
    with pytest.raises(ArchitectureError, match="kernel must be odd, but is 2$"):
        broken.architecture(resolution=16, num_classes=3)


@pytest.mark.parametrize("name", PRESETS)
def test_presets_take_other_data(name: str) -> None:
    network = preset(name, num_classes=7, in_channels=1, resolution=96)
    assert (network.num_classes, network.in_channels, network.resolution, network.name) == (7, 1, 96, name)
