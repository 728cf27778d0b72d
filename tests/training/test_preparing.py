"""What a training needs of its images before the first step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nas.data.sources import DataConfig, Dataset, load_data
from nas.data.types import ImageSet
from nas.training.preparing import flips, mirror_note
from nas.training.recipe import Recipe


def images(*, mirrors: bool) -> Dataset:
    some = ImageSet(np.zeros((4, 2, 2, 1), np.uint8), np.arange(4) % 2)
    return Dataset("some", ("a", "b"), mirrors, some, some)


@pytest.mark.parametrize(
    ("data", "mirrors", "flip", "told"),
    [
        ({"folder": "x"}, True, None, True),
        ({"hf": "x"}, True, None, True),
        ({"folder": "x"}, True, True, False),
        ({"folder": "x"}, True, False, False),
        ({"cifar": "x"}, True, None, False),
        ({"npz": "x"}, False, None, False),
    ],
)
def test_a_guess_about_mirroring_is_told(data: dict[str, Any], mirrors: bool, flip: bool | None, told: bool) -> None:
    note = mirror_note(DataConfig.model_validate(data), images(mirrors=mirrors), Recipe(flip=flip))
    assert (note is not None) == told
    assert note is None or "recipe.flip: false" in note


def test_an_archive_is_not_taken_for_photographs() -> None:
    np.savez("data.npz", x=np.zeros((40, 4, 4), np.uint8), y=np.arange(40) % 2)
    assert not flips(load_data(DataConfig(npz=Path("data.npz"))), Recipe())
