"""A Gaussian process over ordered and categorical dimensions, small enough to be refitted for every proposal."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import scipy.optimize
import torch
from torch import Tensor

from nas.fronts.geometry import Array

_JITTER = 1e-8
_AT_ONCE = 64  # points of a prediction
_PRIORS = {
    "weight": (math.log(0.7), 1.0),
    "line": (0.0, 1.0),
    "scale": (math.log(0.5), 1.0),
    "noise": (math.log(0.01), 1.5),
}
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
    are (Duvenaud et al. 2011, arXiv:1112.4394), the product what they do together. Where points have lines, their inner
    product times a weight is added, which makes the mean linear in them: a ridge of which the weight is fitted
    (Rasmussen & Williams 2006, section 2.7).
    """

    _solved: tuple[Tensor, Tensor] | None  # of a prediction, what does not depend on where it is made

    def __init__(self, points: Array, values: Array, *, categorical: npt.NDArray[np.bool_]) -> None:
        """Keep data; ``fit`` must follow.

        Args:
            points: Of shape (count, dimensions and lines): ordered dimensions in 0 to 1, categories as numbers, then
                lines, perhaps none: what the mean is linear in, around -1 to 1.
            values: Of shape (count,).
            categorical: Of shape (dimensions,): which dimensions have categories.
        """
        self._center = float(values.mean())
        self._spread = float(values.std()) or 1.0
        self._points = _Points.split(points, len(categorical))
        self._values = torch.from_numpy((values - self._center) / self._spread)
        self._categorical = torch.from_numpy(categorical)
        self.parameters = self._prior_means()

    def fit(self, *, iterations: int = 40) -> GaussianProcess:
        """Find the kernel's parameters and return this; they depend on the data and nothing else."""
        pairs = self._pairs(self._points)

        def loss(parameters: Array) -> tuple[float, Array]:
            theta = torch.from_numpy(parameters).requires_grad_()
            value = self._negative_log_posterior(theta, pairs)
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
        further = _Points.split(points, len(self._categorical))
        other._points = _Points(*map(torch.cat, zip(self._points, further, strict=True)))
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
            for others in _Points.split(points, len(self._categorical)).parts():
                cross = self._kernel_between(theta, others)
                explained = torch.linalg.solve_triangular(factor, cross.T, upper=False).square().sum(dim=0)
                variance = (self._own(theta, others) - explained).clamp_min(1e-12)
                means.append((cross @ weights).numpy())
                stds.append(variance.sqrt().numpy())
        return Prediction(self._center + self._spread * np.concatenate(means), self._spread * np.concatenate(stds))

    @property
    def parameters(self) -> Array:
        """Logarithms: a weight for each dimension, one of the lines if any, two scales, the variance of the noise."""
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
        weights = [_PRIORS["weight"]] * len(self._categorical) + [_PRIORS["line"]] * self._points.has_lines
        return [*weights, _PRIORS["scale"], _PRIORS["scale"], _PRIORS["noise"]]

    def _prior_means(self) -> Array:
        return np.array([mean for mean, _ in self._priors()])

    def _negative_log_posterior(self, theta: Tensor, pairs: _Pairs) -> Tensor:
        factor = self._cholesky(theta, self._kernel(theta, pairs))
        solved = torch.linalg.solve_triangular(factor, self._values[:, None], upper=False)
        means, stds = torch.tensor(self._priors(), dtype=theta.dtype).T
        prior = (((theta - means) / stds) ** 2).sum()
        loss: Tensor = 0.5 * (solved**2).sum() + factor.diagonal().log().sum() + 0.5 * prior
        return loss

    def _cholesky(self, theta: Tensor, kernel: Tensor) -> Tensor:
        noise = (theta[-1].exp() + _JITTER) * torch.eye(len(kernel), dtype=theta.dtype)
        factor: Tensor = torch.linalg.cholesky(kernel + noise)
        return factor

    def _own(self, theta: Tensor, points: _Points) -> Tensor:
        """Return the kernel of each point with itself, (points,), or of all where it is the same."""
        scales = theta[-3].exp() + theta[-2].exp()
        return scales + theta[-4].exp() * points.lines.square().sum(dim=1) if points.has_lines else scales

    def _kernel_between(self, theta: Tensor, others: _Points) -> Tensor:
        """Return the kernel (others, points), some rows at a time: all differences at once may be a gigabyte."""
        return torch.cat([self._kernel(theta, self._pairs(part)) for part in others.parts()])

    def _pairs(self, others: _Points) -> _Pairs:
        products = others.lines @ self._points.lines.T if others.has_lines else None
        return _Pairs(_differences(others.dimensions, self._points.dimensions, self._categorical), products)

    def _kernel(self, theta: Tensor, pairs: _Pairs) -> Tensor:
        """Return the kernel (n, m) of pairs (n, m)."""
        scaled = pairs.differences * theta[: len(self._categorical)].exp()
        ordered, differing = scaled[..., ~self._categorical], scaled[..., self._categorical]
        joint = _matern((ordered**2).sum(dim=-1)) * (-differing.sum(dim=-1)).exp()
        alone = torch.cat([_matern(ordered**2), (-differing).exp()], dim=-1).mean(dim=-1)
        kernel: Tensor = theta[-3].exp() * joint + theta[-2].exp() * alone
        return kernel if pairs.products is None else kernel + theta[-4].exp() * pairs.products


class _Points(NamedTuple):
    """Points as tensors: their dimensions, (points, dimensions), and what the mean is linear in, (points, lines)."""

    dimensions: Tensor
    lines: Tensor

    @classmethod
    def split(cls, points: Array, dimensions: int) -> _Points:
        """Return points, (points, dimensions and lines), in two."""
        tensor = torch.from_numpy(np.ascontiguousarray(points))
        return cls(tensor[:, :dimensions].contiguous(), tensor[:, dimensions:].contiguous())

    @property
    def has_lines(self) -> bool:
        return self.lines.shape[1] > 0

    def parts(self) -> Iterator[_Points]:
        """Yield some at a time."""
        for dimensions, lines in zip(*(torch.split(tensor, _AT_ONCE) for tensor in self), strict=True):
            yield _Points(dimensions, lines)


class _Pairs(NamedTuple):
    """Of pairs of points (n, m): distances (n, m, dimensions), and inner products of their lines, if they have any."""

    differences: Tensor
    products: Tensor | None


def _differences(first: Tensor, second: Tensor, categorical: Tensor) -> Tensor:
    """Return distances (n, m, dimensions), 0 or 1 between categories."""
    away = (first[:, None] - second[None]).abs()
    return torch.where(categorical, (away > 0).to(away.dtype), away)


def _matern(squared: Tensor) -> Tensor:
    """Return the Matern kernel of smoothness 5/2 of squared distances."""
    distance = (5 * squared + 1e-12).sqrt()
    return (1 + distance + distance**2 / 3) * (-distance).exp()
