"""What a user's file says is taken at its word, or refused in one line."""

from __future__ import annotations

from typing import Any

import pytest

from nas.architecture.space import load_space
from nas.config.study import StudyConfig, load_study_config
from nas.errors import ConfigError
from nas.schema import did_you_mean, find, names_of, parse_yaml, shipped, shortened, validate

STUDY: dict[str, Any] = {"name": "plain", "data": {"digits": True}, "search": {"spaces": ["resnet_small"]}}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("010", "010"),
        ("1:30", "1:30"),
        ("2001-01-01", "2001-01-01"),
        ("2001-99-99", "2001-99-99"),
        ("1e-5", 1e-5),
        ("1E3", 1000.0),
        ("-.5", -0.5),
        ("1_000", 1000),
        ("0", 0),
        ("400M", "400M"),
    ],
)
def test_values_are_what_they_look_like(text: str, value: Any) -> None:
    assert repr(parse_yaml(text, source="here")) == repr(value)


@pytest.mark.parametrize(
    "text", ["9" * 5000, "!!int x", "!!timestamp x", "!!set 3", "[" * 5000, "&a [*a]", "a\0b", "{[1]: 2}", "="]
)
def test_what_is_no_value_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(ConfigError, match="^here") as caught:
        parse_yaml(text, source="here")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("section", "key", "value", "message"),
    [
        ("search", "trials", True, "search.trials: must be a number, but true was given"),
        ("search", "seed", False, "search.seed: must be a number, but false was given"),
        ("search", "kernel", [3, True], "search.kernel: must be a number, but true"),
        ("search", "width", True, r"search.width.min: must be a number, but true"),
        ("recipe", "epochs", True, "recipe.epochs: must be a number, but true"),
        ("recipe", "learning_rate", True, "recipe.learning_rate: must be a number, but true"),
        ("recipe", "decay_at", [True], "recipe.decay_at: must be a number, but true"),
        ("data", "limit", True, "data.limit: must be a number, but true"),
        ("recipe", "learning_rate", float("nan"), "recipe.learning_rate: input should be a finite number"),
        ("recipe", "learning_rate", 1e300, r"recipe.learning_rate: 1e\+300 is too large a number: at most 1e\+18"),
        ("recipe", "epochs", 10**29, r"recipe.epochs: 1e\+29 is too large a number"),
        ("recipe", "epochs", "9" * 30, "recipe.epochs: .* is too large a number"),
        ("recipe", "images", "999999999999999999T", "recipe.images: .* is too large a count"),
        ("search", "replicates", {"seeds": 1e15}, "search.replicates.seeds: .*less than or equal to 1000"),
        ("search", "width", {"min": 0.5, "max": 1, "step": 1e-300}, "search.width.step: 1e-300 is too small: 0.5 to 1"),
        ("search", "resolution", {"min": 8, "max": 10**9}, "search.resolution.max: .*less than or equal to 100000"),
        ("search", "spaces", ["a\0b"], r"search.spaces: unknown space .a\\x00b.; known: "),
        (
            "search",
            "spaces",
            ["resnet_smal"],
            "search.spaces: unknown space 'resnet_smal'; did you mean 'resnet_small'",
        ),
        ("search", "spaces", [3], "search.spaces: must be names or files of search spaces, but 3 was given"),
        ("search", "spaces", ["nowhere.yaml"], "search.spaces: nowhere.yaml: no such file"),
        ("search", "spaces", ["x" * 300 + ".yaml"], "search.spaces: x*.yaml: cannot be read: File name too long"),
        ("search", "spaces", [{"name": "own"}], "search.spaces: a space: stem: is missing"),
        ("search", "spaces", ["resnet", "resnet"], "search.spaces: a space is given twice: resnet, resnet"),
        ("recipe", "lr", 0.1, "recipe: unknown key 'lr'; did you mean 'learning_rate'"),
    ],
)
def test_a_value_that_cannot_be_meant_is_refused_at_its_key(section: str, key: str, value: Any, message: str) -> None:
    document = {**STUDY, section: {**STUDY.get(section, {}), key: value}}
    with pytest.raises(ConfigError, match=f"^here: {message}") as caught:
        validate(StudyConfig, document, source="here")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "known", "meant"),
    [
        ("lr", ["l1", "learning_rate"], "learning_rate"),
        ("LR", ["l1", "learning_rate"], "learning_rate"),
        ("bs", ["ema", "batch_size"], "batch_size"),
        ("wd", ["warmup", "weight_decay"], "weight_decay"),
        ("lr", ["l1"], "l1"),
        ("epoch", ["epochs"], "epochs"),
    ],
)
def test_the_nearest_key_is_the_one_that_is_meant(given: str, known: list[str], meant: str) -> None:
    assert f"did you mean {meant!r}?" in did_you_mean(given, known)


@pytest.mark.parametrize("name", ["x" * 300, "a\0b", "x" * 5000])
def test_what_no_file_can_be_called_is_an_unknown_name(name: str) -> None:
    with pytest.raises(ConfigError, match="^unknown study") as caught:
        find("studies", name, what="study")
    assert len(str(caught.value)) < 200


def test_a_long_value_is_shortened_in_the_middle() -> None:
    assert shortened("short") == "'short'"
    assert len(shortened("x" * 500)) < 80 and shortened("x" * 500).endswith("x'")


@pytest.mark.parametrize(("stem", "advice"), [("my study ü", "my-study-u"), ("ß", "my-study"), ("x" * 220, "xxx")])
def test_a_file_whose_name_is_no_studys_says_what_to_do(tmp_path: Any, stem: str, advice: str) -> None:
    path = tmp_path / f"{stem}.yaml"
    path.write_text("data: {digits: true}\nsearch: {spaces: [resnet_small]}\n")
    with pytest.raises(ConfigError, match=f"{stem}.yaml: name is missing.*write for example name: {advice}"):
        load_study_config(path)
    path.write_text(path.read_text() + "name: mine\n")
    assert load_study_config(path)[0].name == "mine"


def test_shipped_spaces_tell_their_source_and_those_of_users_need_not() -> None:
    assert all(load_space(shipped("search_spaces") / f"{name}.yaml").source for name in names_of("search_spaces"))
    document = load_space("resnet_small").model_dump()
    del document["source"]
    assert validate(type(load_space("resnet_small")), document, source="own").source == ""
