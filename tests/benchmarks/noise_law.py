"""Claim: the noise of a training follows the binomial law better than it is the same for all networks.

Sixteen networks of two small families are trained on digits from four seeds each, eight epochs. After each of the last
three epochs the variances over the seeds are held against two laws, each with the factor that fits best: ``noise²``
the same for all, and ``noise² ~ a (1 - a)`` of the mean accuracy ``a`` of a network. What is compared is the logarithm
of the likelihood (variances have scaled chi-squared distributions of three degrees of freedom).

Run as ``python tests/benchmarks/noise_law.py`` (64 trainings, some minutes on one core).
"""

from __future__ import annotations

import itertools
import sys

import numpy as np
import numpy.typing as npt
import torch

from nas.architecture.space import load_space
from nas.data.sources import DataConfig, load_data
from nas.training.loop import train
from nas.training.recipe import Recipe

Array = npt.NDArray[np.float64]

FAMILIES, WIDTHS, DEPTHS = ("resnet_small", "efficientnet_small"), (0.25, 0.5, 1.0, 1.5), (0.25, 1.0)
SEEDS, EPOCHS = range(100, 104), 8


def curves(family: str, width: float, depth: float) -> Array:
    """Return the validation accuracies of a network, (seeds, epochs)."""
    data = load_data(DataConfig(digits=True, validation=0.3))
    network = load_space(family).architecture(width=width, depth=depth, resolution=8, num_classes=10, in_channels=1)
    cpu = torch.device("cpu")
    trained = [train(network, data, Recipe(epochs=EPOCHS), seed=seed, device=cpu) for seed in SEEDS]
    return np.array([[epoch.val_accuracy for epoch in one.curve] for one in trained])


def log_likelihood(variances: Array, law: Array) -> float:
    """Return that of variances over the seeds, (networks,), which are in proportion to a law, up to a constant."""
    free = len(SEEDS) - 1
    expected = law * (variances / law).mean()
    return float(-0.5 * free * (np.log(expected) + variances / expected).sum())


def main() -> None:
    found = np.array([curves(*one) for one in itertools.product(FAMILIES, WIDTHS, DEPTHS)])
    passed = True
    for epoch in range(EPOCHS - 3, EPOCHS):
        means, variances = found[:, :, epoch].mean(axis=1), found[:, :, epoch].var(axis=1, ddof=1)
        alike, binomial = (log_likelihood(variances, law) for law in (np.ones(len(means)), means * (1 - means)))
        print(f"epoch {epoch + 1}: accuracies {means.min():.3f} to {means.max():.3f}, all alike {alike:.1f}", end="")
        print(f", binomial {binomial:.1f}", flush=True)
        passed &= binomial > alike
    print("PASS" if passed else "FAIL")
    sys.exit(not passed)


if __name__ == "__main__":
    main()
