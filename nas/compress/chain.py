"""From one network to a smaller or faster one: prune, train on, int8; what costs too much or wins nothing is refused.

Each step makes a variant, which is judged as an ONNX file: on the validation images against the network that the chain
began with, and by its time against the file before it. The test images are looked at once, for the one that is kept.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import torch

from nas.architecture.cost import count_cost
from nas.architecture.spec import Architecture
from nas.compress.expected import expected_speed
from nas.compress.finetune import Tuned, fine_tune
from nas.compress.profile import profile_onnx
from nas.compress.prune import prune_network
from nas.compress.speed import Speed, compare_speed
from nas.compress.workshop import Done, Link, Plan, Workshop
from nas.data.sources import load_test
from nas.errors import VariantError
from nas.export.origin import told_recipe
from nas.export.trained import CALIBRATED, Shown, noise_images, some_images
from nas.models.build import build_model
from nas.training.recipe import Recipe
from nas.units import format_count

FASTER = 0.97
"""Times as long as before, at most, that count as faster: of one file against itself it was 0.98 to 1.02, on two cores
with a load of 7."""
_OPERATORS = 3  # that are named where int8 is not faster
EPOCHS = 3
"""Passes over the training images after pruning, unless another number is asked for."""


def expectations(architecture: Architecture, plan: Plan) -> list[str]:
    """Say what to expect of a plan, before the work."""
    lines = list[str]()
    if plan.prune is not None:
        lines.append(
            "Expect of pruning: time falls by less than FLOPs do, and by least where channels are no multiples of 8"
        )
    if plan.int8:
        lines.append(f"Expect of int8: {expected_speed(architecture)}")
    if plan.weight_bits is not None:
        share = {8: "a quarter", 4: "an eighth"}[plan.weight_bits]
        lines.append(f"Expect of weights of {plan.weight_bits} bits: {share} of the bytes, and no speed")
    return lines


def run_chain(shop: Workshop) -> Done:
    """Make and judge the variants of a plan.

    Raises:
        ConfigError: The network cannot be pruned so far.
        VariantError: A variant loses too much accuracy, or is no faster, and the plan does not keep it.
        TrainingDiverged: All trainings did.
    """
    links, speed = [_first(shop)], Speed({}, "")
    for step in _steps(shop.plan):
        links.append(step(shop, links[-1]))
        speed = compare_speed({link.name: link.file for link in links}, rounds=shop.rounds)
        links[-1] = replace(links[-1], refused=_refusal(links, speed, shop.plan))
        if links[-1].refused and not shop.plan.keep:
            raise VariantError(f"{links[-1].name}: {links[-1].refused}; --keep writes it all the same")
    return Done(tuple(links), speed, *_tested(shop, links), _shown(shop))


def _steps(plan: Plan) -> list[Callable[[Workshop, Link], Link]]:
    steps: list[Callable[[Workshop, Link], Link]] = []
    if plan.prune is not None or plan.recipe is not None:
        steps.append(_smaller)
    if plan.int8:
        steps.append(_int8)
    if plan.weight_bits is not None:
        steps.append(_fewer_bits)
    return steps


def _first(shop: Workshop) -> Link:
    architecture = shop.parent.architecture
    network = build_model(architecture)
    network.load_state_dict(dict(shop.parent.state))
    file = shop.exported(network.eval(), "parent.onnx")
    return Link(shop.parent.name, "", "float32", file, architecture, network, shop.score(file))


def _smaller(shop: Workshop, before: Link) -> Link:
    """Prune a network, train it on, or both."""
    plan, architecture, state = shop.plan, before.architecture, before.network.state_dict()
    facts: dict[str, Any] = {}
    if plan.prune is not None:
        options = {"criterion": plan.criterion, "scope": plan.scope, "multiple": plan.multiple}
        pruned = prune_network(architecture, state, flops=round(1 - plan.prune, 12), **options)  # type: ignore[arg-type]
        shop.watch.line(pruned_line(architecture, pruned.architecture))
        architecture, state = pruned.architecture, pruned.state
        facts["prune"] = {"share": plan.prune, **options}
    assert shop.images is not None and plan.recipe is not None
    tuned = fine_tune(
        architecture,
        state,
        shop.images.dataset,
        plan.recipe,
        seeds=plan.seeds,
        device=shop.device,
        folder=shop.folder,
        watch=shop.watch,
    )
    facts["train"] = _training_facts(plan.recipe, tuned, len(shop.images.dataset.train))
    network = build_model(architecture)
    network.load_state_dict({name: tensor.cpu() for name, tensor in tuned.best.model.state_dict().items()})
    file = shop.exported(network.eval(), "model.onnx")
    step = "trained" if plan.prune is None else "pruned"
    name, score = f"{before.name} {_words(plan, facts['train']['epochs'])}", shop.score(file)
    return Link(name, step, "float32", file, architecture, network, score, facts=facts)


def _words(plan: Plan, epochs: int) -> str:
    """Return what was done to a network: what is not as by default tells it from others of the same share."""
    assert plan.recipe is not None
    options = {"criterion": plan.criterion, "scope": plan.scope, "multiple": f"multiples of {plan.multiple}"}
    said = [text for key, text in options.items() if plan.prune is not None and key in plan.changed]
    said += ["taught"] if plan.recipe.distillation is not None else []
    said += [f"{epochs} epochs"] if epochs != EPOCHS else []
    what = "trained on" if plan.prune is None else f"pruned by {100 * plan.prune:g} %"
    return f"{what} ({', '.join(said)})" if said else what


def _training_facts(recipe: Recipe, tuned: Tuned, images: int) -> dict[str, Any]:
    return {
        "epochs": recipe.total_epochs(images),
        "recipe": told_recipe(recipe.resolved(images).model_dump(mode="json", exclude_defaults=True)),
        "val_accuracy_by_seed": {str(seed): accuracy for seed, accuracy in tuned.accuracies.items()},
    }


def _int8(shop: Workshop, before: Link) -> Link:
    from nas.compress.quantize import quantize_onnx

    assert shop.images is not None
    train, file = shop.images.dataset.train, shop.folder / "model-int8.onnx"
    chosen = some_images(train, before.architecture.resolution, most=CALIBRATED)
    quantize_onnx(before.file, shop.inputs(chosen), file)
    facts = {"int8": {"calibrated_on": f"{len(chosen)} training images"}}
    name, score = f"{before.name}, int8", shop.score(file)
    return Link(name, "int8", "int8", file, before.architecture, before.network, score, facts=facts)


def _fewer_bits(shop: Workshop, before: Link) -> Link:
    from nas.compress.weight_only import quantize_weights

    bits = shop.plan.weight_bits
    assert bits is not None
    file = shop.folder / f"model-weights-int{bits}.onnx"
    quantize_weights(before.file, file, bits=bits)
    score, facts = shop.score(file), {"weights": {"bits": bits}}
    name, step = f"{before.name}, weights int{bits}", f"weights-int{bits}"
    return Link(name, step, f"int{bits}", file, before.architecture, before.network, score, facts=facts)


def _refusal(links: list[Link], speed: Speed, plan: Plan) -> str:
    """Return why the last link is refused, with the figures; empty where it is not."""
    first, before, last = links[0], links[-2], links[-1]
    reasons = list[str]()
    if last.val_accuracy is not None and first.val_accuracy is not None:
        lost = 100 * (first.val_accuracy - last.val_accuracy)
        if lost > plan.max_drop + 1e-9:
            reasons.append(
                f"validation accuracy {100 * last.val_accuracy:.2f} % is {lost:.2f} points below the"
                f" {100 * first.val_accuracy:.2f} % of {first.name} (--max-drop {plan.max_drop:g})"
            )
    ratio = speed.ratio(last.name, before.name)
    if last.step in ("pruned", "int8") and ratio > FASTER:
        times = f"{speed.median_ms(last.name):.3g} ms against {speed.median_ms(before.name):.3g} ms"
        noise = f" (more than {FASTER:g} is noise)" if ratio < 1 else ""
        said = f"it is not faster than {before.name} here: {times}, {ratio:.2f} times as long{noise}{_spent(last)}"
        reasons.append(said)
    return " and ".join(reasons)


def _spent(link: Link) -> str:
    """Return which operators an int8 file spends its time in."""
    if link.step != "int8":
        return ""
    most = ", ".join(f"{one.operator} {100 * one.share:.0f} %" for one in profile_onnx(link.file)[:_OPERATORS])
    return f" ({most} of its time)"


def _tested(shop: Workshop, links: list[Link]) -> tuple[tuple[float, float] | None, int]:
    """Look at the test images: with the last link, and with the network in float32 that lies beside it."""
    if shop.images is None:
        return None, 0
    test = load_test(shop.images.of.data)
    plain = next(link for link in reversed(links) if link.precision == "float32")
    score = partial(shop.score, part=test)
    last, beside = score(links[-1].file), score(plain.file)
    assert last is not None and beside is not None
    if shop.images.study is not None:
        shop.images.study.add_test_look(links[-1].architecture.digest, last, command="compress")
    return (last, beside), len(test)


def _shown(shop: Workshop) -> Shown:
    if shop.images is None:
        return noise_images(shop.parent.facts)
    some = some_images(shop.images.dataset.validation, shop.parent.architecture.resolution)
    return Shown(torch.from_numpy(shop.inputs(some)), some.images, some.labels)


def pruned_line(before: Architecture, after: Architecture) -> str:
    """Return one line that tells what was removed, in closed form."""
    old, new = count_cost(before), count_cost(after)
    return (
        f"pruned from {format_count(old.flops)} to {format_count(new.flops)} FLOPs"
        f" ({100 * (1 - new.flops / old.flops):.0f} % removed), from {format_count(old.params)} to"
        f" {format_count(new.params)} parameters"
    )
