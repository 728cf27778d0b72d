"""A trained network is trained on while most of its weights become zeros, and told in bytes."""

from __future__ import annotations

import pytest
import torch

from nas.architecture.space import load_space
from nas.compress.sparsity import sparsify, stored_bytes
from nas.data.sources import DataConfig, load_data
from nas.errors import ConfigError
from nas.training.loop import train
from nas.training.recipe import Recipe
from nas.training.sparsity import Sparsity

CPU = torch.device("cpu")


def test_a_sparse_network_takes_fewer_bytes_when_it_is_compressed() -> None:
    digits = load_data(DataConfig(digits=True))
    network = load_space("resnet_small").architecture(width=0.5, depth=0.5, resolution=8, num_classes=10, in_channels=1)
    dense = train(network, digits, Recipe(epochs=4), seed=0, device=CPU)
    state = dense.model.state_dict()
    told = []
    short = Recipe(epochs=3)
    sparse = sparsify(network, state, digits, sparsity=0.8, recipe=short, device=CPU, on_epoch=told.append)
    assert len(told) == 3
    assert 0.7 < sparse.zeros < 0.8  # norms, biases and the first convolution keep theirs
    assert sparse.training.val_accuracy > dense.val_accuracy - 0.05
    before, after = stored_bytes(state), sparse.stored
    assert after.bytes == before.bytes
    assert after.compressed < 0.45 * before.compressed
    assert before.compressed < before.bytes

    once = Recipe(steps=4, batch_size=32)
    halved = sparsify(network, state, digits, sparsity=Sparsity(share=0.5, ends=0.5), recipe=once, device=CPU)
    assert 0.4 < halved.zeros < 0.5
    with pytest.raises(ConfigError, match="recipe: sparsity.share"):
        sparsify(network, state, digits, sparsity=1.5, device=CPU)
