"""Claim: pruned by ``l2``, a network is better than pruned at random, before any training.

Run as ``python tests/benchmarks/pruning.py [FAMILY] [SCOPE]``, on handwritten digits, three networks for each figure.
Each network is trained for 10 epochs, pruned by each criterion, validated with its batch norms estimated anew, then
trained for 3 epochs and validated again; beside it, what the same shape comes to in 3 epochs from scratch.
"""

from __future__ import annotations

import statistics
import sys
from collections import defaultdict

import torch

from nas.architecture.cost import count_cost
from nas.architecture.space import load_space
from nas.compress.ranking import rank_criteria
from nas.data.sources import DataConfig, load_data
from nas.training.loop import train
from nas.training.recipe import Recipe

SEEDS, MULTIPLE, CPU = 3, 4, torch.device("cpu")


def main(family: str = "resnet_small", scope: str = "uniform") -> None:
    data = load_data(DataConfig(digits=True))
    architecture = load_space(family).architecture(width=0.5, depth=0.5, resolution=8, num_classes=10, in_channels=1)
    print(f"{family}, {count_cost(architecture).flops:,} FLOPs, scope {scope}, multiples of {MULTIPLE}")
    found = defaultdict[tuple[str, ...], list[float]](list)
    for seed in range(SEEDS):
        whole = train(architecture, data, Recipe(epochs=10), seed=seed, device=CPU)
        found["unpruned",].append(whole.val_accuracy)
        given = {"multiple": MULTIPLE, "scope": scope, "device": CPU, "seed": seed}
        for flops in (0.7, 0.5):
            for ranked in rank_criteria(architecture, whole.model.state_dict(), data, flops=flops, **given):
                key = f"{100 * (1 - flops):.0f} % removed", ranked.criterion
                found[*key, "norms only"].append(ranked.val_accuracy)
                smaller, short = ranked.pruned.architecture, Recipe(epochs=3)
                tuned = train(smaller, data, short, seed=seed, device=CPU, initial=ranked.pruned.state)
                found[*key, "3 epochs"].append(tuned.val_accuracy)
                if ranked.criterion == "l2":
                    found[*key, "3 epochs from scratch"].append(
                        train(smaller, data, short, seed=seed, device=CPU).val_accuracy
                    )
    for key, values in found.items():
        print(f"{', '.join(key)}: {100 * statistics.mean(values):.1f} ± {100 * statistics.stdev(values):.1f} %")
    failed = False
    for removed in ("30 % removed", "50 % removed"):
        best, control = (statistics.mean(found[removed, name, "norms only"]) for name in ("l2", "random"))
        print(f"{removed}: {100 * (best - control):.1f} points better than random before training")
        print("PASS" if best > control else "FAIL")
        failed |= best <= control
    sys.exit(int(failed))


if __name__ == "__main__":
    main(*sys.argv[1:])
