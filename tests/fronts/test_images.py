"""What drawing the validation images adds, from paired answers."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn.metrics import balanced_accuracy_score, f1_score

from nas.fronts.geometry import Array
from nas.fronts.images import image_noise, sampling_error, shares
from nas.fronts.posterior import ImageNoise
from nas.records import ClassNumbers, Metric
from nas.training.metrics import score_of

METRICS: tuple[Metric, ...] = ("accuracy", "balanced_accuracy", "macro_f1")
THEIRS = {
    "accuracy": lambda labels, answers: float((labels == answers).mean()),
    "balanced_accuracy": balanced_accuracy_score,
    "macro_f1": lambda labels, answers: f1_score(labels, answers, average="macro"),
}


def uneven(images: int, seed: int = 0) -> tuple[ClassNumbers, ClassNumbers]:
    """Return labels of four uneven classes, and answers of which three in four are right."""
    random = np.random.default_rng(seed)
    labels = random.choice(4, images, p=[0.6, 0.2, 0.15, 0.05])
    wrong = random.choice(4, images, p=[0.7, 0.1, 0.1, 0.1])
    return labels, np.where(random.random(images) < 0.75, labels, wrong)


@pytest.mark.parametrize("metric", METRICS)
def test_shares_and_confusions_give_the_metric(metric: Metric) -> None:
    labels, answers = uneven(500)
    expected = THEIRS[metric](labels, answers)
    assert shares(answers, labels, metric=metric).mean() == pytest.approx(expected)
    confusion = torch.bincount(torch.from_numpy(labels * 4 + answers), minlength=16).view(4, 4)
    assert score_of(confusion, metric).item() == pytest.approx(expected)


def test_classes_without_images_do_not_count() -> None:
    confusion = torch.tensor([[3, 1, 0], [0, 2, 0], [0, 0, 0]])
    assert score_of(confusion, "balanced_accuracy").item() == pytest.approx((0.75 + 1) / 2)
    assert score_of(confusion, "macro_f1").item() == pytest.approx((6 / 7 + 4 / 5) / 2)


@pytest.mark.parametrize("metric", METRICS)
def test_the_noise_of_drawing_images_is_that_of_a_bootstrap(metric: Metric) -> None:
    labels, answers = uneven(800)
    random, drawn = np.random.default_rng(1), []
    for _ in range(600):
        images = random.integers(0, 800, 800)
        drawn.append(THEIRS[metric](labels[images], answers[images]))
    assert sampling_error(shares(answers, labels, metric=metric)) == pytest.approx(np.std(drawn), rel=0.1)


def answered(own: float, family: float, images: int = 4000, seed: int = 0) -> list[tuple[str, list[Array]]]:
    """Return right answers of networks, three trainings each; difficulties have a share of each network and family."""
    random = np.random.default_rng(seed)
    common, found = math.sqrt(0.7 - own - family) * random.standard_normal(images), []
    of_family = {name: math.sqrt(family) * random.standard_normal(images) for name in "ab"}
    for number in range(16):
        name = "ab"[number % 2]
        hard = common + of_family[name] + math.sqrt(own) * random.standard_normal(images)
        trainings = [(hard + math.sqrt(0.3) * random.standard_normal(images) < 0.5).astype(float) for _ in range(3)]
        found.append((name, trainings))
    return found


def test_images_that_all_find_hard_add_nothing_to_differences() -> None:
    found = image_noise(answered(own=0.0, family=0.0))
    binomial = 0.69 * 0.31 / 4000
    assert found.alone < 0.03 * binomial and found.family < 0.03 * binomial


def test_what_a_network_or_a_family_alone_finds_hard_does() -> None:
    trained = answered(own=0.1, family=0.1)
    found = image_noise(trained)
    # of two networks of different families, directly: the variance of the difference of chances, seeds apart
    halves = [(np.mean(one[:2], axis=0), one[2]) for _, one in trained]
    pairs = [(i, j) for i in range(0, 16, 2) for j in range(1, 16, 2)]
    direct = np.mean([np.cov(halves[i][0] - halves[j][0], halves[i][1] - halves[j][1])[0, 1] for i, j in pairs]) / 4000
    assert 2 * (found.alone + found.family) == pytest.approx(direct, rel=0.1)
    assert found.family > 0 and found.alone > 0


def test_one_network_tells_nothing_of_differences() -> None:
    assert image_noise([]) == image_noise(answered(0.1, 0.1)[:1]) == ImageNoise()


def test_of_one_family_none_is_shared() -> None:
    one = [("a", trainings) for _, trainings in answered(own=0.1, family=0.0)]
    assert image_noise(one).family == 0 and image_noise(one).alone > 0


def test_networks_of_other_accuracies_are_of_no_other_family() -> None:
    """Covariances fall with the distance of accuracies, whatever the family: here one family is better."""
    random, found = np.random.default_rng(0), []
    common = math.sqrt(0.7) * random.standard_normal(4000)
    for number in range(16):
        ability = (0.4, 0.9)[number % 2]
        trainings = [(common + math.sqrt(0.3) * random.standard_normal(4000) < ability).astype(float) for _ in range(3)]
        found.append(("ab"[number % 2], trainings))
    noise = image_noise(found)
    assert noise.family < 0.03 * 0.65 * 0.35 / 4000
