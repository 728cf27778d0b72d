"""Whether a bundle is whole, and whether its formats are still the same network. A bundle is data: nothing in it runs.

``model.py`` is not run but written anew and compared. The ONNX files are run by onnxruntime, after checks of their
size.
"""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from nas.architecture.cost import BYTES_PER_ELEMENT, count_cost
from nas.architecture.serialization import architecture_from_json
from nas.architecture.spec import Architecture
from nas.data import preprocess
from nas.errors import ExportError
from nas.export import manifest
from nas.export.bundle import FILES, PIXELS_ONNX
from nas.export.code.module import CODE_VERSION, model_code
from nas.export.formats import PIXELS_TOLERANCE, Logits, Parity, compared, module_logits, onnx_logits
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
    read_regular,
    read_weights,
    require_runnable,
)
from nas.models.build import Network

_IMAGES = 4
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
        formats, notes = _compare(contents, architecture, known)
    except RecursionError:
        raise ExportError(f"{path}: is nested too deeply") from None
    for name in known.files:
        contents.read(name, most=LARGEST_TEXT)
    return Verified(
        folder, known.digest, known.writer, tuple(known.files), f"{_IMAGES} images of noise", formats, notes
    )


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
            content = read_regular(self.folder / name, most=most)
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
    known = manifest.read_manifest(read_regular(path, most=LARGEST_TEXT), source=str(path))
    allowed, needed = {*FILES, PIXELS_ONNX} - {manifest.NAME}, {*FILES} - {manifest.NAME}
    for name in sorted(known.files.keys() - allowed):
        raise ExportError(f"{path}: names {name[:100]!r}, which is no file of a bundle")
    for name in sorted(needed - known.files.keys()):
        raise ExportError(f"{path}: does not name {name}")
    present = {entry.name for entry in folder.iterdir()} - LEFT_BY_OTHERS - {manifest.NAME}
    for name in sorted(present - known.files.keys()):
        raise ExportError(f"{folder / name}: is not named in {manifest.NAME}")
    return known


def _compare(
    contents: _Contents, architecture: Architecture, known: manifest.Manifest
) -> tuple[tuple[Parity, ...], tuple[str, ...]]:
    folder, cost = contents.folder, count_cost(architecture)
    path = folder / "preprocessing.json"
    facts = read_preprocessing(contents.read(path.name, most=LARGEST_TEXT), architecture, source=path)
    if known.code_version != CODE_VERSION:
        raise ExportError(
            f"{folder / 'model.py'}: is code of version {known.code_version}; this version of nas writes version"
            f" {CODE_VERSION} and cannot compare it"
        )
    if contents.text("model.py") != model_code(architecture, facts):
        raise ExportError(f"{folder / 'model.py'}: is not what nas writes for the network of architecture.json")
    tensors = expected_tensors(architecture)
    size, path = bytes_of_tensors(tensors), folder / "weights.safetensors"
    weights = read_weights(contents.read(path.name, most=size + LARGEST_HEADER), tensors, source=path)
    model = Network(architecture).eval()
    model.load_state_dict(weights)
    generator = np.random.default_rng(0)
    side, channels = architecture.resolution, architecture.in_channels
    pixels = generator.integers(0, 256, (_IMAGES, side, side, channels), np.uint8)
    images = np.concatenate([preprocess.network_input(one, facts) for one in pixels])
    expected = module_logits(model, torch.from_numpy(images))
    elements = _IMAGES * cost.peak_memory // BYTES_PER_ELEMENT + max(
        (int(np.prod(shape)) for _, shape in tensors.values()), default=0
    )
    parities = list[Parity]()

    def run(name: str, given: str, batch: np.ndarray[tuple[int, ...], np.dtype[np.generic]], most: int) -> Logits:
        content = contents.read(name, most=size + 64 * MEBIBYTE)
        require_harmless(content, batch.shape, name=given, most=most, source=folder / name)
        return onnx_logits(content, given, batch)

    for count in (1, _IMAGES):
        logits = run("model.onnx", "images", images[:count], elements)
        last = compared(str(folder / "model.onnx"), expected[:count], logits)
    parities.append(last._replace(file="model.onnx"))
    if PIXELS_ONNX in contents:
        source = str(folder / PIXELS_ONNX)
        exact = compared(source, expected, run(PIXELS_ONNX, INPUT, pixels, _PIXEL_MARGIN * elements))
        parities.append(exact._replace(file=PIXELS_ONNX))
        stored = generator.integers(0, 256, (_IMAGES, facts["size"], facts["size"], channels), np.uint8)
        images = np.concatenate([preprocess.network_input(one, facts) for one in stored])
        most = _PIXEL_MARGIN * max(elements, stored.size)
        logits = run(PIXELS_ONNX, INPUT, stored, most)
        compared(source, module_logits(model, torch.from_numpy(images)), logits, tolerance=PIXELS_TOLERANCE)
    notes = []
    if contents.text("preprocess.py") != inspect.getsource(preprocess):
        notes.append("preprocess.py is not what this version of nas writes; read it before you run it")
    return tuple(parities), tuple(notes)
