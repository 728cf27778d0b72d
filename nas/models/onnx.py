"""A module as an ONNX file."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import onnx_ir as ir
import torch

from nas.models.build import Network


def export_onnx(model: Network, images: torch.Tensor, path: Path) -> None:
    """Write a model as one ONNX file whose batch size is free.

    Args:
        model: In eval mode.
        images: An example batch, float32 of shape (batch, channels, resolution, resolution).
        path: Of the file.
    """
    with torch.no_grad(), warnings.catch_warnings(), _quiet("torch.onnx"):
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            model,
            (images,),
            dynamo=True,
            verbose=False,
            input_names=["images"],
            output_names=["logits"],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
        )
        assert program is not None
        _forget_origins(program.model.graph)
        program.save(str(path), external_data=False)


def _forget_origins(graph: ir.Graph) -> None:
    """Take out what the exporter notes of where nodes come from: among it are paths of this machine."""
    graph.metadata_props.clear()
    for value in (*graph.inputs, *graph.initializers.values()):
        value.metadata_props.clear()
    for node in graph.all_nodes():
        node.metadata_props.clear()
        for value in node.outputs:
            value.metadata_props.clear()


@contextmanager
def _quiet(logger: str) -> Iterator[None]:
    """Keep a logger's warnings off the terminal: the exporter warns of optional packages that nobody asked for."""
    level = logging.getLogger(logger).level
    logging.getLogger(logger).setLevel(logging.ERROR)
    try:
        yield
    finally:
        logging.getLogger(logger).setLevel(level)
