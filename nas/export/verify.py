"""Whether a bundle is whole, and whether its formats are still the same network. A bundle is data: nothing in it runs.

``model.py`` is not run but written anew and compared. The ONNX files are run by onnxruntime, after checks of their
size.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from nas.architecture.cost import BYTES_PER_ELEMENT, count_cost
from nas.architecture.serialization import architecture_from_json
from nas.architecture.spec import Architecture
from nas.data import preprocess
from nas.data.preprocess import Pixels
from nas.errors import ExportError
from nas.export import manifest
from nas.export.code.module import CODE_VERSION, model_code
from nas.export.formats import PIXELS_TOLERANCE, TOLERANCE, Logits, Parity, compared, module_logits, onnx_logits
from nas.export.names import FILES, INT8_ONNX, PIXELS_ONNX, WEIGHTS_ONNX
from nas.export.onnx_checks import require_harmless
from nas.export.pixels import INPUT
from nas.export.place import LEFT_BY_OTHERS
from nas.export.reading import (
    LARGEST_DESCRIPTION,
    LARGEST_HEADER,
    LARGEST_TEXT,
    MEBIBYTE,
    bytes_of_tensors,
    expected_tensors,
    read_preprocessing,
    read_weights,
    require_runnable,
)
from nas.files import read_bounded
from nas.models.build import Network

_IMAGES = 4
_LARGEST_SIDE = 2048  # pixels of an image that is resized; those of a study may be larger
_PIXEL_MARGIN = 4  # float32 pixels of all channels, transposed and resized


class Verified(NamedTuple):
    """What was found of a bundle that is whole.

    Attributes:
        directory: Of the bundle.
        digest: Of its network.
        writer: Name and version of what wrote it.
        files: Names of the files whose checksums are right.
        compared_on: What the formats were run on.
        formats: How each ONNX file compares with the network of ``architecture.json`` and ``weights.safetensors``;
            ``model.py`` was the same, byte for byte, when written anew.
        notes: What could not be checked, one line each.
    """

    directory: Path
    digest: str
    writer: str
    files: tuple[str, ...]
    compared_on: str
    formats: tuple[Parity, ...]
    notes: tuple[str, ...]


def verify_bundle(directory: str | Path) -> Verified:
    """Check the files of a bundle against its manifest, and its formats against each other.

    Args:
        directory: What ``nas export`` wrote, or a copy of it. Nothing in it is executed.

    Raises:
        ExportError: A file is missing, changed, a link, too large, or not the same network; the message names it.
        ConfigError: A description cannot be read.
    """
    folder = Path(directory)
    known = _manifest(folder)
    contents = _Contents(folder, known)
    path = folder / "architecture.json"
    try:
        architecture = architecture_from_json(contents.text(path.name, most=LARGEST_DESCRIPTION), source=path)
        if architecture.digest != known.digest:
            raise ExportError(f"{path}: is another network than {manifest.NAME} says")
        require_runnable(architecture, _IMAGES, source=path)
        network = _network(contents, architecture)
        _require_code(contents, network, known.code_version)
        formats = tuple(_compare(contents, network))
    except RecursionError:
        raise ExportError(f"{path}: is nested too deeply") from None
    for name in known.files:
        contents.read(name, most=network.weights + LARGEST_TEXT)
    noise = f"{_IMAGES} images of noise"
    return Verified(folder, known.digest, known.writer, tuple(known.files), noise, formats, _notes(contents))


class _Contents:
    """The files of a bundle, each read once and held against the manifest."""

    def __init__(self, folder: Path, known: manifest.Manifest) -> None:
        self.folder = folder
        self._known = known
        self._read: dict[str, bytes] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._known.files

    def read(self, name: str, *, most: int) -> bytes:
        """Return what a file holds.

        Raises:
            ExportError: It is not what the manifest says, or has more than ``most`` bytes.
        """
        if name not in self._read:
            content = read_bounded(self.folder / name, most=most)
            if manifest.facts_of(content) != self._known.files[name]:
                raise ExportError(f"{self.folder / name}: is not what was written (its checksum differs)")
            self._read[name] = content
        return self._read[name]

    def text(self, name: str, *, most: int = LARGEST_TEXT) -> str:
        return self.read(name, most=most).decode("utf-8", errors="replace")


def _manifest(folder: Path) -> manifest.Manifest:
    """Read the manifest and require that the folder holds what it names, and nothing else."""
    if not folder.is_dir():
        raise ExportError(f"{folder}: is not a folder")
    path = folder / manifest.NAME
    if not path.exists() and not path.is_symlink() and (folder / "architecture.json").exists():
        raise ExportError(f"{path}: is missing; bundles of earlier versions have none: export the network again")
    known = manifest.read_manifest(read_bounded(path, most=LARGEST_TEXT), source=str(path))
    allowed = {*FILES, PIXELS_ONNX, INT8_ONNX, *WEIGHTS_ONNX} - {manifest.NAME}
    needed = {*FILES} - {manifest.NAME}
    for name in sorted(known.files.keys() - allowed):
        raise ExportError(f"{path}: names {name[:100]!r}, which is no file of a bundle")
    for name in sorted(needed - known.files.keys()):
        raise ExportError(f"{path}: does not name {name}")
    present = {entry.name for entry in folder.iterdir()} - LEFT_BY_OTHERS - {manifest.NAME}
    for name in sorted(present - known.files.keys()):
        raise ExportError(f"{folder / name}: is not named in {manifest.NAME}")
    return known


class _Network(NamedTuple):
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

    def pixels(self, side: int, *, count: int = _IMAGES) -> Pixels:
        """Return images of noise, uint8 of shape (count, side, side, channels)."""
        shape = (count, side, side, self.architecture.in_channels)
        return np.random.default_rng(0).integers(0, 256, shape, np.uint8)

    def inputs(self, pixels: Pixels) -> npt.NDArray[np.float32]:
        """Return what the network is given for some images."""
        return np.concatenate([preprocess.network_input(one, self.facts) for one in pixels])

    def logits(self, pixels: Pixels) -> Logits:
        """Return the logits of some images."""
        return module_logits(self.model, torch.from_numpy(self.inputs(pixels)))


def _network(contents: _Contents, architecture: Architecture) -> _Network:
    path = contents.folder / "preprocessing.json"
    facts = read_preprocessing(contents.read(path.name, most=LARGEST_TEXT), architecture, source=path)
    tensors = expected_tensors(architecture)
    size, path = bytes_of_tensors(tensors), contents.folder / "weights.safetensors"
    weights = read_weights(contents.read(path.name, most=size + LARGEST_HEADER), tensors, source=path)
    model = Network(architecture).eval()
    model.load_state_dict(weights)
    alive = _IMAGES * count_cost(architecture).peak_memory // BYTES_PER_ELEMENT
    return _Network(model, facts, architecture, size, alive + max(tensor.numel() for tensor in weights.values()))


def _require_code(contents: _Contents, network: _Network, code_version: int) -> None:
    """Require that ``model.py`` is what is written for the network; it is not run."""
    path = contents.folder / "model.py"
    if code_version != CODE_VERSION:
        raise ExportError(
            f"{path}: is code of version {code_version}; this version of nas writes version {CODE_VERSION} and cannot"
            " compare it"
        )
    if contents.text(path.name) != model_code(network.architecture, network.facts):
        raise ExportError(f"{path}: is not what nas writes for the network of architecture.json")


def _compare(contents: _Contents, network: _Network) -> Iterator[Parity]:
    """Run the ONNX files on images of noise beside the network."""
    pixels = network.pixels(network.architecture.resolution)
    expected, inputs = network.logits(pixels), network.inputs(pixels)

    def parity(
        name: str, given: str, batch: npt.NDArray[Any], logits: Logits, tolerance: float | None = TOLERANCE
    ) -> Parity:
        path = contents.folder / name
        content = contents.read(name, most=network.weights + 64 * MEBIBYTE)
        most = network.elements if given == "images" else _PIXEL_MARGIN * max(network.elements, batch.size)
        require_harmless(content, batch.shape, name=given, most=most, source=path)
        found = compared(str(path), logits, onnx_logits(content, given, batch), tolerance=tolerance)
        return found._replace(file=name)

    parity("model.onnx", "images", inputs[:1], expected[:1])
    yield parity("model.onnx", "images", inputs, expected)
    for name in (INT8_ONNX, *WEIGHTS_ONNX):
        if name in contents:
            parity(name, "images", inputs[:1], expected[:1], None)
            yield parity(name, "images", inputs, expected, None)
    if PIXELS_ONNX in contents:
        stored = network.pixels(min(network.facts["size"], _LARGEST_SIDE), count=1)
        parity(PIXELS_ONNX, INPUT, stored, network.logits(stored), PIXELS_TOLERANCE)
        yield parity(PIXELS_ONNX, INPUT, pixels, expected)  # nothing to resize: no level may differ


def _notes(contents: _Contents) -> tuple[str, ...]:
    if contents.text("preprocess.py") == inspect.getsource(preprocess):
        return ()
    return ("preprocess.py is not what this version of nas writes; read it before you run it",)
