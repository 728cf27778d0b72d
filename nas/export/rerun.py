"""The formats of a stranger's bundle, run beside its network on images of noise, after checks of what they are."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from nas.architecture.cost import BYTES_PER_ELEMENT, count_cost
from nas.architecture.spec import Architecture
from nas.data import preprocess
from nas.data.preprocess import Pixels
from nas.export.formats import (
    PIXELS_TOLERANCE,
    TOLERANCE,
    Logits,
    Parity,
    compared,
    module_logits,
    onnx_logits,
    require_akin,
)
from nas.export.names import INT8_ONNX, INT8_TFLITE, PIXELS_ONNX, TFLITE, WEIGHTS_ONNX
from nas.export.onnx_checks import require_harmless
from nas.export.pixels import INPUT
from nas.export.reading import (
    LARGEST_HEADER,
    LARGEST_TEXT,
    MEBIBYTE,
    Contents,
    bytes_of_tensors,
    expected_tensors,
    read_preprocessing,
    read_weights,
)
from nas.export.tflite import checks as tflite_checks
from nas.export.tflite.running import Shapes, TFLiteProcess, has_litert
from nas.models.build import Network

IMAGES = 4
"""On which the formats are compared."""

_LARGEST_SIDE = 2048  # pixels of an image that is resized; those of a study may be larger
_BESIDE_WEIGHTS = 64 * MEBIBYTE  # of a file that holds them
_PIXEL_MARGIN = 4  # float32 pixels of all channels, transposed and resized


class StoredNetwork(NamedTuple):
    """The network of a bundle, and what its ONNX files may take.

    Attributes:
        model: With the weights, in eval mode.
        facts: The content of ``preprocessing.json``.
        architecture: What it is.
        weights: Bytes of its weights.
        elements: That any tensor may have while some images run.
    """

    model: Network
    facts: dict[str, Any]
    architecture: Architecture
    weights: int
    elements: int

    def pixels(self, side: int, *, count: int = IMAGES) -> Pixels:
        """Return images of noise, uint8 of shape (count, side, side, channels)."""
        shape = (count, side, side, self.architecture.in_channels)
        return np.random.default_rng(0).integers(0, 256, shape, np.uint8)

    def inputs(self, pixels: Pixels) -> npt.NDArray[np.float32]:
        """Return what the network is given for some images."""
        return np.concatenate([preprocess.network_input(one, self.facts) for one in pixels])

    def logits(self, pixels: Pixels) -> Logits:
        """Return the logits of some images."""
        return module_logits(self.model, torch.from_numpy(self.inputs(pixels)))


def stored_network(contents: Contents, architecture: Architecture) -> StoredNetwork:
    """Return the network of a bundle.

    Raises:
        ExportError: Its weights or how its images are prepared are not those of the architecture.
    """
    path = contents.folder / "preprocessing.json"
    facts = read_preprocessing(contents.read(path.name, most=LARGEST_TEXT), architecture, source=path)
    tensors = expected_tensors(architecture)
    size, path = bytes_of_tensors(tensors), contents.folder / "weights.safetensors"
    weights = read_weights(contents.read(path.name, most=size + LARGEST_HEADER), tensors, source=path)
    model = Network(architecture).eval()
    model.load_state_dict(weights)
    alive = IMAGES * count_cost(architecture).peak_memory // BYTES_PER_ELEMENT
    return StoredNetwork(model, facts, architecture, size, alive + max(tensor.numel() for tensor in weights.values()))


def rerun(contents: Contents, network: StoredNetwork) -> Iterator[Parity]:
    """Run the other formats on images of noise beside the network.

    Raises:
        ExportError: One is not the same network, or not what may be run; the message names it.
    """
    pixels = network.pixels(network.architecture.resolution)
    inputs, expected = network.inputs(pixels), network.logits(pixels)
    yield from _onnx(contents, network, "model.onnx", inputs, expected)
    for name in (INT8_ONNX, *WEIGHTS_ONNX, TFLITE, INT8_TFLITE):
        if name in contents and name not in unchecked(contents):
            run = _tflite if name in (TFLITE, INT8_TFLITE) else _onnx
            yield from run(contents, network, name, inputs, expected)
    if PIXELS_ONNX in contents:
        stored = network.pixels(min(network.facts["size"], _LARGEST_SIDE), count=1)
        _pixels(contents, network, stored, PIXELS_TOLERANCE)
        yield _pixels(contents, network, pixels, TOLERANCE)  # nothing to resize: no level may differ


def _onnx(
    contents: Contents, network: StoredNetwork, name: str, inputs: npt.NDArray[np.float32], expected: Logits
) -> Iterator[Parity]:
    """Run an ONNX file on one image and on all, since a batch size may be written into it."""
    path = contents.folder / name
    content = contents.read(name, most=network.weights + _BESIDE_WEIGHTS)
    for count in (1, len(inputs)):
        require_harmless(content, inputs[:count].shape, name="images", most=network.elements, source=path)
        given = onnx_logits(content, "images", inputs[:count])
        found = _parity(path, expected[:count], given, rounded=name != "model.onnx")
    yield found


def _tflite(
    contents: Contents, network: StoredNetwork, name: str, inputs: npt.NDArray[np.float32], expected: Logits
) -> Iterator[Parity]:
    """Run a TensorFlow Lite file, which takes one image."""
    path = contents.folder / name
    content = contents.read(name, most=network.weights + _BESIDE_WEIGHTS)
    shapes = Shapes((1, *inputs.shape[1:]), (1, *expected.shape[1:]))
    tflite_checks.require_harmless(content, shapes, most=network.elements, source=str(path))
    given = TFLiteProcess(content, shapes, source=str(path)).run(inputs)
    yield _parity(path, expected, given, rounded=name == INT8_TFLITE)


def _pixels(contents: Contents, network: StoredNetwork, pixels: Pixels, tolerance: float) -> Parity:
    path = contents.folder / PIXELS_ONNX
    content = contents.read(PIXELS_ONNX, most=network.weights + _BESIDE_WEIGHTS)
    most = _PIXEL_MARGIN * max(network.elements, pixels.size)
    require_harmless(content, pixels.shape, name=INPUT, most=most, source=path)
    given = onnx_logits(content, INPUT, pixels)
    return compared(str(path), network.logits(pixels), given, tolerance=tolerance)._replace(file=PIXELS_ONNX)


def _parity(path: Path, expected: Logits, given: Logits, *, rounded: bool) -> Parity:
    found = compared(str(path), expected, given, tolerance=None if rounded else TOLERANCE)
    if rounded:
        require_akin(str(path), expected, given)
    return found._replace(file=path.name)


def unchecked(contents: Contents) -> list[str]:
    """Return the names of files that nothing on this machine runs."""
    return [] if has_litert() else [name for name in (TFLITE, INT8_TFLITE) if name in contents]
