"""Claims: the trainer runs at 0.97 of a bare loop on the CPU; making batches takes 5 % of a study's training at most.

The bare loop has the same network, optimiser and batch, tensors ready, and no bookkeeping. The trainer cuts its batches
from stored images, shifts and mirrors them, follows the schedule and adds up loss and accuracy. Both take turns, a few
steps each, and the ratio is that of the medians of all turns. The networks are proxies of 11 to 20 MFLOPs at 32 px.
Both keep the memory of a step for the next, as the trainer does; the bare loop without that is shown beside.

For a GPU the claims are 0.9 of a bare loop whose whole step, optimiser and all, is captured as a CUDA graph, and twice
the bare loop under autocast as it is, for proxies below 100 MFLOPs at 32 px; images/s and FLOP/s (three forward passes
to a step) are shown by family.

Run as ``python tests/benchmarks/trainer.py [--threads 2] [--device cuda] [STUDY ...]``: the studies are those whose
share of batches is measured, that of the digits by default; their images must be there.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import sys
import time
from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import torch
from torch import nn

from nas.architecture.cost import count_cost
from nas.architecture.space import load_space
from nas.architecture.spec import Architecture
from nas.data.batches import standardisation, to_device
from nas.data.sources import Dataset
from nas.data.types import ImageSet
from nas.models.build import build_model
from nas.models.device import describe_device, describe_versions, resolve_device
from nas.search.check import check_study
from nas.training.allocator import kept_memory
from nas.training.optimizer import make_loss, make_optimizer
from nas.training.recipe import Recipe
from nas.training.run import Run

Loop: TypeAlias = Callable[[int], object]
"""Takes so many steps."""

BATCH, SIZE, TURNS = 128, 32, 12
CPU_CLAIM, GRAPH_CLAIM, EAGER_CLAIM, DATA_CLAIM = 0.97, 0.9, 2.0, 0.05
PROXIES = {"resnet_small": 0.75, "efficientnet_small": 1.0, "resnext_small": 1.0, "inception_small": 0.75}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("studies", nargs="*", default=["digits"])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    device = resolve_device(given.device)
    print(f"{describe_device(device)}, {given.threads} threads; {describe_versions()}")
    torch.set_num_threads(given.threads)
    dataset = random_images()
    networks = [
        load_space(family).architecture(width=width, resolution=SIZE, num_classes=10, in_channels=3)
        for family, width in PROXIES.items()
    ]
    if device.type == "cuda":
        held = [on_gpu(architecture, dataset, device) for architecture in networks]
    else:
        plain = [take_turns([bare_steps(a, device)], device, steps=4)[0] for a in networks]
        with kept_memory():
            held = [on_cpu(a, dataset, seconds) for a, seconds in zip(networks, plain, strict=True)]
    for study in given.studies:
        share = check_study(study, device=given.device).data_share
        held.append(share <= DATA_CLAIM)
        print(f"{study}: batches take {100 * share:.1f} % of training (at most 5 %): {verdict(held[-1])}")
    sys.exit(not all(held))


def verdict(holds: bool) -> str:
    return "PASS" if holds else "FAIL"


def random_images() -> Dataset:
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (4096, SIZE, SIZE, 3), np.uint8)
    train = ImageSet(images, generator.integers(0, 10, 4096))
    return Dataset("random", tuple(map(str, range(10))), True, train, train)


def on_cpu(architecture: Architecture, dataset: Dataset, plain: float) -> bool:
    device = torch.device("cpu")
    loops = [bare_steps(architecture, device), trainer_steps(architecture, dataset, device)]
    base, own = take_turns(loops, device, steps=4)
    holds = base / own >= CPU_CLAIM
    print(
        f"{named(architecture)}: bare loop {BATCH / base:,.0f} images/s, trainer {BATCH / own:,.0f}: ratio"
        f" {base / own:.3f} (at least {CPU_CLAIM}): {verdict(holds)}; {plain / own:.2f} times a bare loop that does not"
        f" keep its memory ({BATCH / plain:,.0f} images/s)"
    )
    return holds


def on_gpu(architecture: Architecture, dataset: Dataset, device: torch.device) -> bool:
    eager, graph = (bare_steps(architecture, device, graph=graph) for graph in (False, True))
    seconds = take_turns([eager, graph, trainer_steps(architecture, dataset, device)], device, steps=25)
    speed = BATCH / seconds[2]
    rate = 3 * 2 * count_cost(architecture).flops * speed / 1e12
    to_graph, to_eager = seconds[1] / seconds[2], seconds[0] / seconds[2]
    holds = to_graph >= GRAPH_CLAIM and to_eager >= EAGER_CLAIM
    print(
        f"{named(architecture)}: bare loop {BATCH / seconds[0]:,.0f} images/s, as a graph {BATCH / seconds[1]:,.0f},"
        f" trainer {speed:,.0f} ({rate:.2f} TFLOP/s): {to_graph:.3f} of the graph (at least {GRAPH_CLAIM}),"
        f" {to_eager:.2f} times the bare loop (at least {EAGER_CLAIM}): {verdict(holds)}"
    )
    return holds


def named(architecture: Architecture) -> str:
    return f"{architecture.name}, {count_cost(architecture).flops / 1e6:.1f} MFLOPs"


def take_turns(loops: list[Loop], device: torch.device, *, steps: int) -> list[float]:
    """Return the seconds of a step of each loop, the median of turns that follow one another."""
    seconds: list[list[float]] = [[] for _ in loops]
    for turn in range(TURNS + 1):
        for index, loop in enumerate(loops):
            synchronise(device)
            started = time.perf_counter()
            loop(steps)
            synchronise(device)
            if turn:  # the first warms up
                seconds[index].append((time.perf_counter() - started) / steps)
    return [statistics.median(times) for times in seconds]


def synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def bare_steps(architecture: Architecture, device: torch.device, *, graph: bool = False) -> Loop:
    recipe = Recipe(steps=10**6, batch_size=BATCH, schedule="constant", cuda_graphs=graph)
    model = build_model(architecture).to(device=device, memory_format=torch.channels_last).train()
    optimizer = make_optimizer(model, recipe, learning_rate=0.01)
    loss = make_loss(recipe, model)
    images = torch.randn(BATCH, 3, SIZE, SIZE, device=device).to(memory_format=torch.channels_last)
    labels = torch.randint(10, (BATCH,), device=device)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            value = loss(model(images), labels)
        value.backward()
        optimizer.step()

    return repeated(replayed(step) if graph else step)


def repeated(step: Callable[[], None]) -> Loop:
    def loop(steps: int) -> None:
        for _ in range(steps):
            step()

    return loop


def replayed(step: Callable[[], None]) -> Callable[[], None]:
    aside = torch.cuda.Stream()
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=aside):
        step()

    def replay(held: Callable[[], None] = step) -> None:  # with its tensors, which the graph does not keep
        graph.replay()

    return replay


def trainer_steps(architecture: Architecture, dataset: Dataset, device: torch.device) -> Loop:
    recipe = Recipe(steps=10**6, batch_size=BATCH, schedule="constant")
    model: nn.Module = build_model(architecture).to(device=device, memory_format=torch.channels_last)
    generator = torch.Generator(device).manual_seed(0)
    run = Run(model, architecture, recipe, train_images=len(dataset.train), generator=generator)  # type: ignore[arg-type]
    images = to_device(dataset.train, resolution=SIZE, standard=standardisation(dataset), device=device)
    batches = run.all_batches(images, flip=True)
    return lambda steps: run.take_steps(itertools.islice(batches, steps))


if __name__ == "__main__":
    main()
