"""A peer of ``search.py``: BoTorch's qLogNEHVI (Ament et al. 2023, arXiv:2310.20708), told the cost of every candidate.

The accuracy is a Gaussian process of BoTorch's defaults (``MixedSingleTaskGP`` where there are categories, else
``SingleTaskGP``), with the logarithm of the cost as one more input; the cost is a deterministic model. The first ten
proposals are random. Candidates are chosen as ``ParetoSampler`` does before it climbs: all points of a small space,
else a thousand random ones and those beside the front. The reference point is the one that shares are measured by,
which no search knows. It needs ``pip install botorch``.
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from botorch.acquisition.multi_objective.logei import qLogNoisyExpectedHypervolumeImprovement
from botorch.fit import fit_gpytorch_mll
from botorch.models import MixedSingleTaskGP, ModelList, SingleTaskGP
from botorch.models.deterministic import GenericDeterministicModel
from botorch.sampling.index_sampler import IndexSampler
from botorch.sampling.list_sampler import ListSampler
from botorch.sampling.normal import SobolQMCNormalSampler
from gpytorch.mlls import ExactMarginalLogLikelihood
from torch import Tensor

from nas.fronts.geometry import front_members, front_reference
from nas.replay.problem import Entry, Problem, Yardstick
from nas.replay.simulate import Moment, cost_of
from nas.sampling.candidates import Rules, Search
from nas.sampling.conditions import Conditions
from nas.sampling.history import Encoder
from nas.sampling.points import Parameters, drawn_points, mutations

_RANDOM = 10  # proposals before it learns
_DRAWN = 1000  # random candidates, as ParetoSampler draws
_STEPS = 40  # of a fit, as ParetoSampler's
_SAMPLES = 128  # of the posterior, BoTorch's default
_AT_ONCE = 200  # candidates of one evaluation, for memory


def replay_botorch(problem: Problem, *, seed: int, proposals: int) -> list[Moment]:
    """Return the course of a search; its seconds are those of processor time that proposals took."""
    warnings.simplefilter("ignore")  # BoTorch tells of its own rounding
    torch.manual_seed(seed)
    random, yardstick, cost = np.random.default_rng(seed), Yardstick(problem), cost_of(problem)
    encode, fitted = _encoder(problem), dict[str, Any]()
    tried, done, moments = list[Parameters](), list[Entry](), list[Moment]()
    compute = seconds = 0.0
    for _ in range(min(proposals, len(problem.entries))):
        started = time.process_time()
        pool = _pool(problem, cost, tried, done, random)
        if not pool:
            break
        if len(tried) < _RANDOM:
            chosen = pool[int(random.integers(len(pool)))]
        else:
            errors = [1 - entry.accuracies[-1] for entry in done]
            chosen = pool[_best(problem, encode(tried), errors, encode(pool), fitted)]
        seconds += time.process_time() - started
        entry = problem.entries[problem.identity(chosen)]
        tried.append(chosen)
        done.append(entry)
        compute += entry.cost * len(entry.accuracies)
        moments.append(Moment(len(done), len(done), compute, seconds, yardstick.share(done)))
    return moments


def _encoder(problem: Problem) -> Callable[[list[Parameters]], Tensor]:
    """Return what makes points of candidates: ordered ones and, last, the cost in 0 to 1, categories as numbers."""
    encoder, cost = Encoder(dict(problem.space), smallest_share=1.0), cost_of(problem)
    costs = np.array([entry.cost for entry in problem.entries.values()])
    low, high = math.log(costs.min()), math.log(costs.max())

    def encode(listed: list[Parameters]) -> Tensor:
        known = np.array([cost(parameters) for parameters in listed])
        points = encoder(listed, known, np.ones(len(listed)))
        points[:, -1] = (np.log(known) - low) / (high - low)
        return torch.from_numpy(points)

    return encode


def _pool(
    problem: Problem, cost: Callable[[Parameters], float], tried: list[Parameters], done: list[Entry], random: Any
) -> list[Parameters]:
    space = dict(problem.space)
    seen = {problem.identity(parameters) for parameters in tried}
    rules = Rules(cost, problem.allowed, None, problem.identity)
    search = Search(rules, space, Conditions((), space), random, seen)
    costs, errors = np.array([e.cost for e in done]), np.array([1 - e.accuracies[-1] for e in done])
    members = front_members(costs, errors) if done else []
    beside = (mutant for index in members for mutant in mutations(tried[index], space, random))
    return [c.parameters for c in search.candidates([*beside, *drawn_points(space, _DRAWN, random)])]


def _best(problem: Problem, points: Tensor, errors: list[float], pool: Tensor, fitted: dict[str, Any]) -> int:
    """Return the index of the most promising of a pool, (candidates, dimensions); a fit begins at the one before."""
    entries = list(problem.entries.values())
    logs = np.log([entry.cost for entry in entries])
    reference = front_reference(logs, np.array([1 - entry.accuracies[-1] for entry in entries]))
    scaled = (reference.reference_cost - logs.min()) / np.ptp(logs)
    values = -torch.tensor(errors, dtype=torch.float64)[:, None]
    categories = [i for i, name in enumerate(problem.space) if hasattr(problem.space[name], "choices")]
    model = MixedSingleTaskGP(points, values, cat_dims=categories) if categories else SingleTaskGP(points, values)
    if fitted:
        model.load_state_dict({**model.state_dict(), **fitted})
    likelihood = ExactMarginalLogLikelihood(model.likelihood, model)
    fit_gpytorch_mll(likelihood, optimizer_kwargs={"options": {"maxiter": _STEPS}})
    fitted.update(model.named_parameters())
    samples = torch.Size([_SAMPLES])
    acquisition = qLogNoisyExpectedHypervolumeImprovement(
        ModelList(model, GenericDeterministicModel(lambda x: -x[..., -1:])),
        ref_point=[-reference.reference_error, -scaled],
        X_baseline=points,
        sampler=ListSampler(SobolQMCNormalSampler(samples, seed=0), IndexSampler(samples, seed=0)),
        prune_baseline=True,
        cache_root=False,
    )
    with torch.no_grad():
        gains = torch.cat([acquisition(some[:, None]) for some in torch.split(pool, _AT_ONCE)])
    return int(gains.argmax())
