"""What a chain made, written: as a bundle, and beside the study."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from torch import Tensor

from nas.compress.workshop import Done, Link, Workshop
from nas.export.bundle import Options, write_bundle
from nas.export.formats import Parity
from nas.export.origin import told_recipe
from nas.export.trained import Trained, preprocessing_of
from nas.models.device import describe_versions
from nas.records import Variant


def write_chain(
    shop: Workshop, done: Done, variants: Sequence[Variant], target: Path, *, command: str, force: bool
) -> tuple[Parity, ...]:
    """Write the bundle of a chain, whole or not at all, and keep its variants with the study.

    Args:
        shop: What the chain had.
        done: What it came to.
        variants: Of it.
        target: Folder of the bundle.
        command: That made it.
        force: Whether an earlier bundle is replaced.

    Returns:
        How the formats compare.

    Raises:
        ExportError: The folder cannot be written.
    """
    formats = write_bundle(_trained(shop, done, variants, command), target, Options(force=force)).formats
    if shop.images is not None and shop.images.study is not None:
        shop.images.study.add_variants(variants, bundle=str(target))
    return formats


def made_variants(shop: Workshop, done: Done, *, command: str) -> tuple[Variant, ...]:
    """Return what a chain made, step by step."""
    links, common = done.links, _provenance(shop, done, command)
    trial = _trial(shop)
    return tuple(
        Variant(
            name=link.name,
            step=link.step,
            digest=link.architecture.digest,
            precision=link.precision,
            parent=before.name,
            parent_digest=before.architecture.digest,
            parent_precision=before.precision,
            trial=trial,
            figures=link.figures(done.speed),
            parent_figures=before.figures(done.speed),
            test_accuracy=None if done.tested is None or link is not links[-1] else done.tested[0],
            kept=link is links[-1],
            refused=link.refused,
            provenance={**common, "steps": [one.facts for one in links[1 : place + 2]]},
        )
        for place, (before, link) in enumerate(zip(links, links[1:], strict=False))
    )


def _provenance(shop: Workshop, done: Done, command: str) -> dict[str, Any]:
    parent, recipe, images = shop.parent, shop.plan.recipe, shop.images
    taught = None if recipe is None or recipe.distillation is None else recipe.distillation
    return {
        "parent": {"name": parent.name, "digest": parent.architecture.digest, "weights": _weights(parent.state)},
        "teachers": [] if taught is None else list(taught.digests),
        "images": None if images is None else _images(images.dataset),
        "max_drop": shop.plan.max_drop,
        "setting": done.speed.setting,
        "versions": describe_versions(),
        "command": command,
        "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _images(dataset: Any) -> dict[str, str]:
    return {"name": dataset.name, "fingerprint": dataset.identity.fingerprint, "content": dataset.identity.content}


def _weights(state: Mapping[str, Tensor]) -> str:
    """Return sixteen hexadecimal digits of weights."""
    digest = hashlib.blake2b(digest_size=8)
    for name, tensor in sorted(state.items()):
        digest.update(name.encode() + tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _trial(shop: Workshop) -> int | None:
    """Return the study's trial with the network that the chain began with: the one that was named, else the first."""
    if shop.images is None or shop.images.study is None:
        return None
    digest = shop.parent.architecture.digest
    same = [trial.number for trial in shop.images.study.trials() if trial.digest == digest]
    return shop.parent.trial if shop.parent.trial in same else next(iter(same), None)


def _trained(shop: Workshop, done: Done, variants: Sequence[Variant], command: str) -> Trained:
    plain: Link = next(link for link in reversed(done.links) if link.precision == "float32")
    architecture, images, recipe = plain.architecture, shop.images, shop.plan.recipe
    seeds = plain.facts.get("train", {}).get("val_accuracy_by_seed", {}).values()
    one = () if plain.val_accuracy is None else (plain.val_accuracy,)
    named = "" if shop.parent.named is None else shop.parent.named.name
    count = 0 if images is None else len(images.dataset.train)
    return Trained(
        architecture=architecture,
        model=plain.network,
        preprocessing=shop.parent.facts
        if images is None
        else preprocessing_of(images.dataset, architecture.resolution),
        origin=f"and `nas compress` changed: {variants[-1].name}",
        val_accuracy=plain.val_accuracy,
        test_accuracy=None if done.tested is None else done.tested[1],
        tests=done.tests,
        images=done.shown.images,
        pixels=done.shown.pixels,
        shown=f"{len(done.shown.pixels)} {'images of noise' if images is None else 'validation images'}",
        data=named or "not known" if images is None else images.dataset.name,
        recipe={} if recipe is None else told_recipe(recipe.resolved(count).model_dump(mode="json")),
        seeds=tuple(seeds) or one,
        command=command,
        labels=done.shown.labels,
        images_of=None if images is None else images.of,
        named=shop.parent.named,
        variants=tuple(variants),
        beside={} if plain is done.links[-1] else {done.links[-1].file.name: done.links[-1].file},
    )
