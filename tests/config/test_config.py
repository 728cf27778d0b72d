from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import TINY

from nas.architecture.space import Range, ResolutionRange
from nas.config.search import Halving, Replicates, SearchConfig, common_range
from nas.config.study import StudyConfig, changes, definition_digest, definition_of, load_study_config
from nas.errors import ConfigError
from nas.schema import read_yaml, shipped

Edit = Callable[[dict[str, Any]], Any]


def write(edit: Edit = lambda d: None, path: str = "mine.yaml") -> Path:
    document = copy.deepcopy(TINY)
    del document["name"]
    edit(document)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(yaml.safe_dump(document))
    return Path(path)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda d: d["recipe"].update(epoch=3), "recipe: unknown key 'epoch'; did you mean 'epochs'"),
        (lambda d: d.update(recipes={}), "unknown key 'recipes'; did you mean 'recipe'"),
        (lambda d: d.update(recipe=3), "recipe: must be a mapping"),
        (lambda d: d["recipe"].update(epochs="many"), "recipe.epochs: .*'many' was given"),
        (lambda d: d["recipe"].update(epochs=0), "recipe.epochs: .*greater than 0.*0 was given"),
        (lambda d: d["recipe"].update(learning_rate=float("nan")), "recipe.learning_rate: .*finite"),
        (
            lambda d: d["search"].update(spaces=["resnet_smal"]),
            "unknown space 'resnet_smal'; did you mean 'resnet_small'",
        ),
        (lambda d: d["search"].update(spaces=[]), "search"),
        (lambda d: d.update(search=3), "search: must be a mapping"),
        (
            lambda d: d["search"].update(spaces=["resnet_small"] * 2),
            "a space is given twice: resnet_small, resnet_small",
        ),
        (lambda d: d["budget"].update(latency_ms={"batch": 8}), "budget.latency_ms: give max or min, in milliseconds"),
        (
            lambda d: d["search"].update(spaces=["resnet_small", "resnet"]),
            "resolution 8 is out of range: resnet allows",
        ),
        (lambda d: d["search"].update(spaces="absent.yaml"), "absent.yaml: no such file"),
        (lambda d: d["search"].update(width={"min": 0.1, "max": 1}), "width 0.1 is out of range: resnet_small allows"),
        (lambda d: d["search"].update(width={"min": 2, "max": 1}), "search.width: min 2 is larger than max 1"),
        (lambda d: d["search"].update(resolution=4), "resolution 4 is out of range"),
        (
            lambda d: d["search"].update(sampler="magic"),
            "search.sampler: unknown value 'magic'; known: pareto, tpe, random",
        ),
        (lambda d: d["budget"].update(flops={"max": "1X"}), "budget.flops.max: '1X' is not a count; write for example"),
        (lambda d: d["budget"].update(flops="1M"), "budget.flops: must be a mapping"),
        (lambda d: d["budget"].update(flops={"min": "2M", "max": "1M"}), "budget.flops: min 2M is larger than max 1M"),
        (lambda d: d["budget"].update(latency={}), "budget: unknown key 'latency'"),
        (lambda d: d["budget"].update(latency_ms={"max": -1}), "budget.latency_ms.max: .*greater than 0.*-1 was given"),
        (
            lambda d: d["budget"].update(latency_ms={"min": 3, "max": 1}),
            "budget.latency_ms: min 3 is larger than max 1",
        ),
        (lambda d: d["budget"].update(peak_memory={"max": "1X"}), "budget.peak_memory.max: '1X' is not a count"),
        (lambda d: d["search"].update(kernel=[3, 4]), r"search.kernel\[1\]: a kernel must be odd, but 4 was given"),
        (lambda d: d["search"].update(kernel=[3, 3]), "search.kernel: a value is given twice: 3, 3"),
        (lambda d: d["search"].update(kernel=[]), "search.kernel: "),
        (
            lambda d: d["search"].update(replicates={"seeds": 1}),
            "search.replicates.seeds: .*greater than or equal to 2, but 1 was given",
        ),
        (lambda d: d["search"].update(cardinality=[4]), "search: cardinality does not apply to any block of resnet_"),
        (
            lambda d: d["search"].update(activation=["silo"]),
            r"search.activation\[0\]: unknown value 'silo'; did you mean 'silu'",
        ),
        (lambda d: d["data"].update(folder="x"), "data: give exactly one source"),
        (lambda d: d["data"].update(validation=1.0), "data.validation: .*less than 1"),
        (lambda d: d.pop("data"), "data: is missing"),
        (lambda d: d.update(name="a b"), "name: "),
    ],
)
def test_mistakes_are_one_line_with_file_and_key(edit: Edit, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        load_study_config(write(edit))
    assert str(caught.value).startswith("mine.yaml: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "bad.yaml: the file is empty"),
        ("# nothing\n", "the file is empty"),
        ("- a\n- b\n", "must be a mapping of keys to values, but is a list"),
        ("just text", "must be a mapping of keys to values, but is a str"),
        ("data: {digits: true\n", "bad.yaml, line 2: not valid YAML"),
        ("data: !!python/object:os.system {}\n", "not valid YAML"),
        (
            "data: {digits: true}\nsearch: {}\ndata: {}\n",
            "bad.yaml, line 3: not valid YAML: the key 'data' is given twice",
        ),
        ("search:\n  trials: 1\n  trials: 2\n", "bad.yaml, line 3: not valid YAML: the key 'trials' is given twice"),
        (b"\xff\xfe\x00", "not a UTF-8 text file"),
    ],
)
def test_files_that_hold_no_mapping_are_refused(text: str | bytes, message: str) -> None:
    Path("bad.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ConfigError, match=message):
        load_study_config("bad.yaml")


def test_a_merged_key_may_be_given_anew() -> None:
    Path("merged.yaml").write_text("a: &base {trials: 1, seed: 2}\nb: {<<: *base, trials: 3}\n")
    assert read_yaml(Path("merged.yaml"))["b"] == {"trials": 3, "seed": 2}


def test_missing_studies_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"absent\.yaml: no such file"):
        load_study_config("absent.yaml")
    with pytest.raises(ConfigError, match="unknown study 'digit'; did you mean 'digits'.* known: cifar10, digits"):
        load_study_config("digit")
    Path("folder.yaml").mkdir()
    with pytest.raises(ConfigError, match="is a folder"):
        load_study_config("folder.yaml")


def test_a_study_writes_beside_its_file_and_a_name_writes_below_the_working_folder() -> None:
    path = write(lambda d: d.update(data={"folder": "../images"}), "elsewhere/mine.yaml")
    config, directory = load_study_config(path)
    assert (config.name, directory) == ("mine", Path("elsewhere/mine"))
    assert config.data.folder == Path("images")
    assert load_study_config("digits")[1] == Path("studies/digits")
    write(lambda d: None, "studies/own.yaml")
    assert load_study_config("own")[1] == Path("studies/own")


@pytest.mark.parametrize("path", sorted(shipped("studies").glob("*.yaml")), ids=lambda path: path.stem)
def test_shipped_studies_are_valid(path: Path) -> None:
    config, _ = load_study_config(path)
    assert config.description


def test_definitions_survive_json_and_leave_out_length_and_place(tiny_config: StudyConfig) -> None:
    assert StudyConfig.model_validate_json(tiny_config.model_dump_json()) == tiny_config
    longer = tiny_config.model_copy(update={"search": tiny_config.search.model_copy(update={"trials": 99})})
    assert longer.definition() == tiny_config.definition()
    other = tiny_config.model_copy(update={"recipe": tiny_config.recipe.model_copy(update={"epochs": 3})})
    assert changes(tiny_config.definition(), other.definition()) == ["recipe.epochs was 2, is 3"]


def test_spaces_alone_allow_what_all_of_them_do() -> None:
    search = {"spaces": ["resnet_small", "efficientnet_small"]}
    config = StudyConfig.model_validate({**TINY, "search": search})
    assert (config.search.width.min, config.search.width.max) == (0.25, 3.0)
    assert (config.search.depth.max, config.search.resolution.min) == (4.0, 8)
    coarse, fine = Range(min=1, max=3, step=0.5), Range(min=0.5, max=2, step=0.1)
    assert common_range([coarse, fine], "width") == Range(min=1, max=2, step=0.5)
    assert common_range([ResolutionRange(min=8, max=16)], "resolution") == ResolutionRange(min=8, max=16)
    assert common_range([Range(min=1, max=2), Range(min=2, max=3)], "width") == Range(min=2, max=2)
    with pytest.raises(ConfigError, match="have no depth in common: 1 to 2, 3 to 4; give one space only"):
        common_range([Range(min=1, max=2), Range(min=3, max=4)], "depth")


def test_files_of_spaces_lie_beside_the_study_and_names_are_of_those_shipped() -> None:
    table = (shipped("search_spaces") / "resnet_small.yaml").read_text()
    Path("elsewhere").mkdir()
    for file in ("own.yaml", "other.yml"):
        name = file.partition(".")[0]
        Path("elsewhere", file).write_text(table.replace("name: resnet_small", f"name: {name}"))
    path = write(
        lambda d: d["search"].update(spaces=["own.yaml", "efficientnet_small", "other.yml"]), "elsewhere/m.yaml"
    )
    assert [space.name for space in load_study_config(path)[0].search.spaces] == ["own", "efficientnet_small", "other"]
    path = write(lambda d: d["search"].update(spaces="own.yaml"), "elsewhere/m.yaml")
    assert [space.name for space in load_study_config(path)[0].search.spaces] == ["own"]


def test_a_resolution_must_suffice_for_the_strides() -> None:
    table = yaml.safe_load((shipped("search_spaces") / "resnet_small.yaml").read_text())
    spaces = [{**table, "resolution": {"min": 1, "max": 64}}]
    SearchConfig.model_validate({"spaces": spaces, "resolution": 3})
    with pytest.raises(ValueError, match="resolution 2 is too small for the strides of resnet_small, .* at least 3"):
        SearchConfig.model_validate({"spaces": spaces, "resolution": 2})


def test_what_a_study_leaves_open() -> None:
    search = SearchConfig.model_validate({"spaces": "resnet_small"})
    assert (search.trials, search.sampler, search.startup_trials, search.seed) == (50, "pareto", 4, 0)
    assert (search.halving, search.replicates) == (None, None)
    assert (Halving(), Replicates()) == (Halving(first=3, factor=3), Replicates(seeds=3, of="front", networks=20))


def test_dimensions_are_open_to_the_spaces_that_have_them() -> None:
    search = {"spaces": ["resnext_small", "efficientnet_small"], "cardinality": [2, 4], "activation": "gelu"}
    config = StudyConfig.model_validate({**TINY, "search": search}).search
    assert config.dimensions("resnext_small") == {"cardinality": (2, 4), "activation": ("gelu",)}
    assert config.dimensions("efficientnet_small") == {"activation": ("gelu",)}
    assert list(config.choices("resnext_small")) == [
        {"cardinality": 2, "activation": "gelu"},
        {"cardinality": 4, "activation": "gelu"},
    ]


def test_what_an_earlier_version_wrote_keeps_its_digest(tiny_config: StudyConfig) -> None:
    document = tiny_config.model_dump(mode="json")
    assert definition_of(document) == tiny_config.definition()
    longer = {**document, "description": "new", "search": {**document["search"], "trials": 99}}
    assert definition_digest(longer) == definition_digest(document)
    earlier = {**document, "search": {k: v for k, v in document["search"].items() if k != "kernel"}}
    assert StudyConfig.model_validate(earlier) == tiny_config
    assert definition_digest(earlier) != definition_digest(document)


def test_a_definition_has_one_digest_for_ever() -> None:
    recipe, data = {"epochs": 2}, {"digits": True}
    document = {"name": "a", "recipe": recipe, "data": data, "search": {"seed": 1, "spaces": ["s"]}}
    assert definition_digest(document) == "bf8689a418170959"  # of an earlier version: what is stored depends on it
    left_out = {"description": "x", "data": {**data, "folder": "p"}, "recipe": recipe, "name": "a"}
    search = {"spaces": ["s"], "seed": 1, "trials": 3, "replicates": {"seeds": 3}}
    assert definition_digest({**left_out, "search": search}) == "bf8689a418170959"


def test_changes_are_told_by_their_place() -> None:
    before = {"search": {"kernel": [3, 5], "seed": 1}, "name": "a"}
    after = {"search": {"kernel": [3, 7], "trials": 9}, "name": "a"}
    assert changes(before, after) == [
        "search.kernel[1] was 5, is 7",
        "search.seed was 1, is absent",
        "search.trials was absent, is 9",
    ]
