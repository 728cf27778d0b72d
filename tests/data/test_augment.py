from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

from nas.data import augment
from nas.data.augment import cut_mix, cut_out, mix_up
from nas.data.batches import Batch


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def batch(count: int = 64, size: int = 16) -> Batch:
    """Return images whose every pixel is 1 + their index, each of a class of its own."""
    values = torch.arange(1.0, count + 1).view(-1, 1, 1, 1)
    return Batch(values.expand(count, 3, size, size).contiguous(), torch.arange(count))


def test_cut_out_erases_a_square_of_each_image() -> None:
    given = batch()
    erased = cut_out(given, share=0.5, generator=seeded())
    holes = (erased.images == 0).all(1)
    assert torch.equal(
        erased.images[~holes[:, None].expand_as(erased.images)], given.images[~holes[:, None].expand_as(given.images)]
    )
    areas = holes.sum((1, 2))
    assert areas.max() == 64 and areas.min() >= 16  # 8x8, a quarter of it at a corner
    for hole in holes:
        rows, columns = hole.any(1).sum(), hole.any(0).sum()
        assert hole.sum() == rows * columns
    assert len({tuple(map(tuple, hole.nonzero().tolist())) for hole in holes}) > 20


def test_mix_up_blends_images_as_it_blends_labels() -> None:
    given = batch()
    mixed = mix_up(given, alpha=1.0, num_classes=64, generator=seeded())
    expected = mixed.shares @ torch.arange(1.0, 65)
    torch.testing.assert_close(mixed.images[:, 0, 0, 0], expected)
    torch.testing.assert_close(mixed.shares.sum(1), torch.ones(64))
    assert (mixed.shares > 0).sum(1).max() == 2


@pytest.mark.parametrize("seed", range(5))
def test_cut_mix_counts_the_area_that_it_replaced(seed: int) -> None:
    given = batch()
    mixed = cut_mix(given, alpha=1.0, num_classes=64, generator=seeded(seed))
    for index in range(64):
        values, counts = mixed.images[index, 0].unique(return_counts=True)
        for value, pixels in zip(values.tolist(), counts.tolist(), strict=True):
            assert mixed.shares[index, int(value) - 1] == pytest.approx(pixels / 256, abs=1e-5)


def test_the_shares_are_of_the_beta_distribution_and_follow_the_generator() -> None:
    drawn = [
        augment._beta(0.4, generator, torch.device("cpu")).item() for generator in [seeded(3)] for _ in range(4000)
    ]
    assert stats.kstest(np.array(drawn), stats.beta(0.4, 0.4).cdf).pvalue > 1e-3
    assert augment._beta(0.4, seeded(3), torch.device("cpu")).item() == pytest.approx(drawn[0])
