"""Classes of uneven size: what counts in the loss, and by which figure networks are compared."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from nas.architecture.space import load_space
from nas.data.batches import standardisation, to_device
from nas.data.sources import DataConfig, load_data
from nas.training.evaluate import assess
from nas.training.loop import train
from nas.training.optimizer import class_weights, make_loss
from nas.training.recipe import Recipe

CPU = torch.device("cpu")


@pytest.mark.parametrize("loss", ["cross_entropy", "mse", "binary_cross_entropy"])
def test_balanced_classes_count_the_same_whatever_their_number(loss: Any) -> None:
    labels = torch.tensor([0] * 6 + [1] * 2)
    recipe, model = Recipe(loss=loss, class_weights="balanced"), nn.Linear(2, 2)
    weights = class_weights(recipe, labels, num_classes=3)
    assert weights is not None and weights[:2].tolist() == pytest.approx([8 / 12, 8 / 4])
    assert weights[labels].mean().item() == pytest.approx(1)
    logits = torch.randn(8, 3)
    plain, weighted = make_loss(recipe, model), make_loss(recipe, model, class_weights=weights)
    each = [plain(logits[labels == kind], labels[labels == kind]) for kind in (0, 1)]
    assert weighted(logits, labels).item() == pytest.approx(sum(each).item() / 2, rel=1e-5)
    shares = functional.one_hot(labels, 3).float()
    assert weighted(logits, shares).item() == pytest.approx(weighted(logits, labels).item(), rel=1e-5)
    assert class_weights(Recipe(), labels, num_classes=3) is None


def test_class_weights_bring_a_rare_class_back() -> None:
    digits = load_data(DataConfig(digits=True, limit=600))
    network = load_space("resnet_small").architecture(
        width=0.25, depth=0.25, resolution=8, num_classes=10, in_channels=1
    )
    labels = digits.train.labels
    rare = np.concatenate([np.flatnonzero(labels == 0)[:12], np.flatnonzero(labels != 0)])
    uneven = replace(digits, train=digits.train.take(rare))
    recalls = {}
    for weights in ("none", "balanced"):
        recipe = Recipe(epochs=8, batch_size=32, class_weights=weights, metric="balanced_accuracy")
        result = train(network, uneven, recipe, seed=1, device=CPU)
        images = to_device(digits.validation, resolution=8, standard=standardisation(uneven), device=CPU)
        found = assess(result.model, images, num_classes=10)
        recalls[weights] = found.by_class[0]
        assert result.val_accuracy == pytest.approx(sum(filter(None, found.by_class)) / 10, abs=0.02)
    assert (recalls["balanced"] or 0) > (recalls["none"] or 0)
