"""A Gaussian process over ordered and categorical dimensions, small enough to be refitted for every proposal."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.optimize
import torch
from torch import Tensor

from nas.fronts.geometry import Array

_JITTER = 1e-8
_AT_ONCE = 64  # points of a prediction
_PRIORS = {"weight": (math.log(0.7), 1.0), "scale": (math.log(0.5), 1.0), "noise": (math.log(0.01), 1.5)}
"""Mean and standard deviation of each logarithm's normal prior: weak, for standardised values and [0, 1] inputs."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """Mean and standard deviation of the noiseless function at some points, each of shape (points,)."""

    mean: Array
    std: Array


class GaussianProcess:
    """Fitted to data by maximum a posteriori; predicts in the units of its values.

    The kernel is ``s * Matern52(ordered) * exp(-sum of w over categories that differ)`` plus the mean over dimensions
    of the same kernel of each alone, plus noise. The additive part carries what one dimension does whatever the others
    are (Duvenaud et al. 2011, arXiv:1112.4394), the product what they do together.
    """

    _solved: tuple[Tensor, Tensor] | None  # of a prediction, what does not depend on where it is made

    def __init__(self, points: Array, values: Array, *, categorical: npt.NDArray[np.bool_]) -> None:
        """Keep data; ``fit`` must follow.

        Args:
            points: Of shape (count, dimensions): ordered dimensions in 0 to 1, categories as numbers.
            values: Of shape (count,).
            categorical: Of shape (dimensions,): which dimensions have categories.
        """
        self._center = float(values.mean())
        self._spread = float(values.std()) or 1.0
        self._points = torch.from_numpy(points)
        self._values = torch.from_numpy((values - self._center) / self._spread)
        self._categorical = torch.from_numpy(categorical)
        self.parameters = self._prior_means()

    def fit(self, *, iterations: int = 40) -> GaussianProcess:
        """Find the kernel's parameters and return this; they depend on the data and nothing else."""
        distances = _differences(self._points, self._points, self._categorical)

        def loss(parameters: Array) -> tuple[float, Array]:
            theta = torch.from_numpy(parameters).requires_grad_()
            value = self._negative_log_posterior(theta, distances)
            value.backward()  # type: ignore[no-untyped-call]
            assert theta.grad is not None
            return float(value.detach()), theta.grad.numpy().copy()

        bounds = [(mean - 4 * std, mean + 4 * std) for mean, std in self._priors()]
        found = scipy.optimize.minimize(
            loss, self.parameters, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": iterations}
        )
        self.parameters = found.x
        return self

    def believing(self, points: Array) -> GaussianProcess:
        """Return this with what is predicted at points, (others, dimensions), as if it had been seen.

        So points near trials that still run promise less (the kriging believer of Ginsbourger et al. 2010).
        """
        if not len(points):
            return self
        believed = (self.predict(points).mean - self._center) / self._spread
        other = copy.copy(self)
        other._points = torch.cat([self._points, torch.from_numpy(points)])
        other._values = torch.cat([self._values, torch.from_numpy(believed)])
        other._solved = None
        return other

    def predict(self, points: Array) -> Prediction:
        """Predict the noiseless function at points of shape (points, dimensions)."""
        theta = torch.from_numpy(self.parameters)
        means, stds = [np.empty(0)], [np.empty(0)]
        with torch.no_grad():
            if self._solved is None:
                factor = self._cholesky(theta, self._kernel_between(theta, self._points))
                self._solved = factor, torch.cholesky_solve(self._values[:, None], factor)[:, 0]
            factor, weights = self._solved
            for others in torch.split(torch.from_numpy(np.ascontiguousarray(points)), _AT_ONCE):
                cross = self._kernel_between(theta, others)
                explained = torch.linalg.solve_triangular(factor, cross.T, upper=False).square().sum(dim=0)
                variance = (theta[-3].exp() + theta[-2].exp() - explained).clamp_min(1e-12)
                means.append((cross @ weights).numpy())
                stds.append(variance.sqrt().numpy())
        return Prediction(self._center + self._spread * np.concatenate(means), self._spread * np.concatenate(stds))

    @property
    def parameters(self) -> Array:
        """Logarithms of the kernel's parameters: a weight for each dimension, two scales, the variance of the noise."""
        return self._parameters

    @parameters.setter
    def parameters(self, parameters: Array) -> None:
        self._parameters = parameters
        self._solved = None

    @property
    def noise(self) -> float:
        """Standard deviation of the noise, in the units of the values."""
        return self._spread * math.exp(0.5 * self.parameters[-1])

    def _priors(self) -> list[tuple[float, float]]:
        dimensions = self._points.shape[1]
        return [*[_PRIORS["weight"]] * dimensions, _PRIORS["scale"], _PRIORS["scale"], _PRIORS["noise"]]

    def _prior_means(self) -> Array:
        return np.array([mean for mean, _ in self._priors()])

    def _negative_log_posterior(self, theta: Tensor, differences: Tensor) -> Tensor:
        factor = self._cholesky(theta, self._kernel(theta, differences))
        solved = torch.linalg.solve_triangular(factor, self._values[:, None], upper=False)
        means, stds = torch.tensor(self._priors(), dtype=theta.dtype).T
        prior = (((theta - means) / stds) ** 2).sum()
        loss: Tensor = 0.5 * (solved**2).sum() + factor.diagonal().log().sum() + 0.5 * prior
        return loss

    def _cholesky(self, theta: Tensor, kernel: Tensor) -> Tensor:
        noise = (theta[-1].exp() + _JITTER) * torch.eye(len(kernel), dtype=theta.dtype)
        factor: Tensor = torch.linalg.cholesky(kernel + noise)
        return factor

    def _kernel_between(self, theta: Tensor, others: Tensor) -> Tensor:
        """Return the kernel (others, points), some rows at a time: all differences at once may be a gigabyte."""
        parts = torch.split(others, _AT_ONCE)
        return torch.cat([self._kernel(theta, _differences(part, self._points, self._categorical)) for part in parts])

    def _kernel(self, theta: Tensor, differences: Tensor) -> Tensor:
        """Return the kernel (n, m) of differences (n, m, dimensions)."""
        scaled = differences * theta[:-3].exp()
        ordered, differing = scaled[..., ~self._categorical], scaled[..., self._categorical]
        joint = _matern((ordered**2).sum(dim=-1)) * (-differing.sum(dim=-1)).exp()
        alone = torch.cat([_matern(ordered**2), (-differing).exp()], dim=-1).mean(dim=-1)
        kernel: Tensor = theta[-3].exp() * joint + theta[-2].exp() * alone
        return kernel


def _differences(first: Tensor, second: Tensor, categorical: Tensor) -> Tensor:
    """Return distances (n, m, dimensions), 0 or 1 between categories."""
    away = (first[:, None] - second[None]).abs()
    return torch.where(categorical, (away > 0).to(away.dtype), away)


def _matern(squared: Tensor) -> Tensor:
    """Return the Matern kernel of smoothness 5/2 of squared distances."""
    distance = (5 * squared + 1e-12).sqrt()
    return (1 + distance + distance**2 / 3) * (-distance).exp()
