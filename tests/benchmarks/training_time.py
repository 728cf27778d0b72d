"""Claim: nine networks that are timed tell the others' training time by FLOPs and activations, and best so.

Networks of two families, evenly spread by FLOPs up to 20 million, are timed by the processor time of a training step
on one thread. Again and again 70 % of them stand for a study, of which nine are known, as in ``nas check``: how far off
are the times of the others, and the time of all? By the law of ``nas/scaling/seconds.py``, by interpolation between the
nine by FLOPs, on logarithms, and by their mean.

Then the same of real trainings, those of the scaling table: some have ended, how long does the next one take?

Run as ``python tests/benchmarks/training_time.py [FOLDER] [-o FILE.csv]``; the folder holds the binary version of
CIFAR-10. Without it images are generated, which takes as long. It takes some minutes on a core that others use too;
each timing is a line of the CSV file, and a run goes on where it stopped. What came of it is in
``studies/results/training/RESULTS.md``.
"""

from __future__ import annotations

import argparse
import csv
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeAlias

import numpy as np
import torch

from nas.config.study import StudyConfig
from nas.data.sources import load_data
from nas.fronts.geometry import Array
from nas.models.device import describe_device, describe_versions
from nas.scaling.seconds import fit_seconds, left_out
from nas.search.counting import count_networks, evenly_spread
from nas.tables import read_table
from nas.training import timing

FAMILIES = ("resnet_small", "efficientnet_small")
TABLE = Path(__file__).parents[2] / "studies" / "results" / "scaling_table" / "table_cifar10.csv.gz"
SIMILAR = 1.5
COLUMNS = ("family", "flops", "activations", "image_seconds")
Times: TypeAlias = dict[tuple[str, int, int], float]
"""Seconds of an image by family, FLOPs and activations."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--networks", type=int, default=45, help="of each family")
    parser.add_argument("-o", "--output", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    timing.time = SimpleNamespace(perf_counter=time.process_time)  # type: ignore[attr-defined]
    print(f"{describe_device(torch.device('cpu'))}; {describe_versions()}")
    timed = {family: time_family(family, given.folder, given.networks, given.output) for family in FAMILIES}
    timed["both"] = np.concatenate(list(timed.values()))
    met = [compare(name, networks) for name, networks in timed.items()]
    met.append(replay_trainings())
    print("PASS" if all(met) else "FAIL")
    sys.exit(not all(met))


def time_family(family: str, folder: Path | None, count: int, output: Path | None) -> Array:
    """Return FLOPs, activations and seconds of an image, of shape (networks, 3)."""
    data: dict[str, Any] = {"shapes": 12_500} if folder is None else {"cifar": folder, "limit": 12_500}
    search = {
        "spaces": [family],
        "width": {"min": 0.25, "max": 2.0, "step": 0.125},
        "depth": {"min": 0.25, "max": 2.0, "step": 0.25},
        "resolution": {"min": 16, "max": 32, "step": 4},
    }
    config = StudyConfig.model_validate(
        {"name": "timed", "data": data, "budget": {"flops": {"max": "20M"}}, "search": search}
    )
    dataset, device = load_data(config.data), torch.device("cpu")
    networks = evenly_spread(count_networks(config, dataset).networks, count)
    batch = config.recipe.step_images(len(dataset.train))
    timing.time_step(networks[0].architecture, dataset, config.recipe, device=device)
    known = known_times(output)
    for network in networks:
        key = (family, network.cost.flops, network.cost.activations)
        if key not in known:
            known[key] = timing.time_step(network.architecture, dataset, config.recipe, device=device).seconds / batch
            write_times(output, known)
    return np.array(
        [(flops, activations, known[name, flops, activations]) for name, flops, activations in known if name == family]
    )


def known_times(path: Path | None) -> Times:
    """Return the seconds of an image that are written."""
    if path is None or not path.exists():
        return {}
    with path.open(newline="") as file:
        return {(row[0], int(row[1]), int(row[2])): float(row[3]) for row in list(csv.reader(file))[1:]}


def write_times(path: Path | None, times: Times) -> None:
    if path is not None:
        with path.open("w", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows(
                [COLUMNS, *((*key, f"{t:.4g}") for key, t in times.items())]
            )


def law(costs: Array, seconds: Array) -> Callable[[Array], Array]:
    model = fit_seconds(*costs.T, seconds)
    return lambda others: model.predict(*others.T)


def interpolation(costs: Array, seconds: Array) -> Callable[[Array], Array]:
    order = np.argsort(costs[:, 0])
    known, times = np.log(costs[order, 0]), np.log(seconds[order])
    return lambda others: np.exp(np.interp(np.log(others[:, 0]), known, times))


def mean(costs: Array, seconds: Array) -> Callable[[Array], Array]:
    return lambda others: np.full(len(others), seconds.mean())


RULES = (law, interpolation, mean)


def compare(name: str, networks: Array, *, draws: int = 300) -> bool:
    """Print how far off each rule is, and tell whether the law is the best."""
    networks = networks[np.argsort(networks[:, 0])]
    model = fit_seconds(*networks.T)
    print(f"{name}, {len(networks)} networks: {model}; each by all others: {left_out(*networks.T)}")
    generator = np.random.default_rng(0)
    single, whole, told = np.zeros((draws, 3)), np.zeros((draws, 3)), np.zeros(draws)
    for draw in range(draws):
        study = networks[np.sort(generator.choice(len(networks), int(0.7 * len(networks)), replace=False))]
        places = [round((len(study) - 1) * place / 8) for place in range(9)]
        nine, others = study[places], np.delete(study, places, axis=0)
        told[draw] = left_out(*nine.T).median
        for index, rule in enumerate(RULES):
            predict = rule(nine[:, :2], nine[:, 2])
            single[draw, index] = np.median(np.abs(predict(others[:, :2]) / others[:, 2] - 1))
            whole[draw, index] = predict(study[:, :2]).mean() / study[:, 2].mean() - 1
    errors, totals = single.mean(axis=0), np.sqrt((whole**2).mean(axis=0))
    for rule, error, total in zip(RULES, errors, totals, strict=True):
        print(f"  {rule.__name__:<14} another network {error:.1%} (median)  the study {total:.1%} (root mean square)")
    print(f"  leaving one of the nine out tells {told.mean():.1%}")
    return bool(errors.argmin() == 0 and totals.argmin() == 0)


def replay_trainings(*, draws: int = 40) -> bool:
    """Print how well trainings that have ended tell the next, and tell whether the law is the better rule."""
    frame = read_table(TABLE).frame
    own = frame[frame["repeat"] == 0].groupby(["digest", "flops", "activations"])["seconds"].sum().reset_index()
    trainings = own[["flops", "activations", "seconds"]].to_numpy(float)
    generator, met = np.random.default_rng(0), []
    for count in (5, 8, 12, 20, 40, 100):
        errors = []
        for _ in range(draws):
            order = generator.permutation(len(trainings))
            ended, coming = trainings[order[:count]], trainings[order[count : count + 30]]
            predicted = fit_seconds(*ended.T).predict(*coming[:, :2].T)
            for one, seconds in zip(coming, predicted, strict=True):
                alike = ended[np.abs(np.log(ended[:, 0] / one[0])) <= np.log(SIMILAR), 2]
                typical = np.median(alike) if len(alike) >= 3 else np.nan
                errors.append((abs(seconds / one[2] - 1), abs(typical / one[2] - 1)))
        both = np.array(errors)
        knows = np.isfinite(both[:, 1])
        of_all, of_both = np.median(both[:, 0]), np.median(both[knows], axis=0)
        print(
            f"after {count} trainings the law is off by {of_all:.1%} (median); where three were of similar FLOPs"
            f" ({knows.mean():.0%}) by {of_both[0]:.1%}, their median by {of_both[1]:.1%}"
        )
        met.append(of_both[0] < of_both[1])
    return all(met)


if __name__ == "__main__":
    main()
