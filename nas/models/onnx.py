"""A module as an ONNX file."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn

from nas.errors import ExportError
from nas.models.depthwise import contiguous

if TYPE_CHECKING:  # torch loads it where something is exported: 40 MB that a search does not need
    import onnx_ir as ir

OPSETS = range(18, 24)
"""Versions of ONNX's operators that torch's exporter writes for every network."""

DEFAULT_OPSET = 20


def require_opset(opset: int) -> None:
    """Require a version of ONNX's operators that can be written.

    Raises:
        ExportError: It is another.
    """
    if opset not in OPSETS:
        raise ExportError(f"opset {opset} cannot be written; allowed: {OPSETS[0]} to {OPSETS[-1]}")


def export_onnx(
    model: nn.Module, images: torch.Tensor, path: Path, *, opset: int = DEFAULT_OPSET, name: str = "images"
) -> None:
    """Write a model as one ONNX file whose batch size is free.

    Args:
        model: In eval mode.
        images: An example batch, float32 of shape (batch, channels, resolution, resolution).
        path: Of the file.
        opset: Version of ONNX's operators.
        name: Of the input.

    Raises:
        ExportError: This torch does not write that version.
    """
    with torch.no_grad(), warnings.catch_warnings(), _quiet("torch.onnx", "torch.fx.experimental.symbolic_shapes"):
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            model,
            (contiguous(images),),  # from one with channels last, the exporter writes every pooling as a gathering
            dynamo=True,
            verbose=False,
            optimize=True,  # torch 2.6 leaves it out by default, and writes a zero bias anew at every convolution
            input_names=[name],
            output_names=["logits"],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            opset_version=opset,
        )
        assert program is not None
        if (written := program.model.graph.opset_imports.get("")) != opset:  # where it cannot, the exporter goes on
            raise ExportError(f"opset {opset} cannot be written; torch {torch.__version__} wrote {written}")
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
def _quiet(*loggers: str) -> Iterator[None]:
    """Keep the exporter off the terminal: it warns of optional packages that nobody asked for, and older ones print."""
    levels = {logger: logging.getLogger(logger).level for logger in loggers}
    for logger in loggers:
        logging.getLogger(logger).setLevel(logging.ERROR)
    try:
        with redirect_stdout(StringIO()):
            yield
    finally:
        for logger, level in levels.items():
            logging.getLogger(logger).setLevel(level)
