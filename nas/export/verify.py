"""Whether a bundle is whole, and whether its formats are still the same network. A bundle is data: nothing in it runs.

``model.py`` and ``preprocess.py`` are not run but written anew and compared. ONNX files are run by onnxruntime and
TensorFlow Lite files by LiteRT, after checks of their size and operators.
"""

from __future__ import annotations

import hashlib
import inspect
from pathlib import Path
from typing import NamedTuple

from nas.architecture.serialization import architecture_from_json
from nas.data import preprocess
from nas.errors import ExportError
from nas.export import manifest
from nas.export.code.module import CODE_VERSION, model_code
from nas.export.formats import Parity
from nas.export.names import FILES, OPTIONAL
from nas.export.place import LEFT_BY_OTHERS
from nas.export.reading import LARGEST_DESCRIPTION, LARGEST_TEXT, Contents, require_runnable
from nas.export.rerun import IMAGES, StoredNetwork, rerun, stored_network, unchecked
from nas.export.tflite.running import INSTALL
from nas.files import read_bounded

EARLIER_PREPROCESSING = frozenset({"ebd9dc7e43d7eb3f683f1802f049c247e3af9ec591f28452462b4b755b792e60"})
"""SHA-256 of each ``preprocess.py`` that earlier versions of nas wrote; whoever changes it adds the one of before."""


class Verified(NamedTuple):
    """What was found of a bundle that is whole.

    Attributes:
        directory: Of the bundle.
        digest: Of its network.
        writer: Name and version of what wrote it.
        files: Names of the files whose checksums are right.
        compared_on: What the formats were run on.
        formats: How each other format compares with the network of ``architecture.json`` and ``weights.safetensors``;
            ``model.py`` and ``preprocess.py`` were the same, byte for byte, when written anew.
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
    contents = Contents(folder, known)
    path = folder / "architecture.json"
    try:
        architecture = architecture_from_json(contents.text(path.name, most=LARGEST_DESCRIPTION), source=path)
        if architecture.digest != known.digest:
            raise ExportError(f"{path}: is another network than {manifest.NAME} says")
        require_runnable(architecture, IMAGES, source=path)
        network = stored_network(contents, architecture)
        _require_code(contents, network, known.code_version)
        _require_preprocessing(contents)
        formats = tuple(rerun(contents, network))
    except RecursionError:
        raise ExportError(f"{path}: is nested too deeply") from None
    for name in known.files:
        contents.read(name, most=LARGEST_TEXT)
    noise = f"{IMAGES} images of noise"
    return Verified(folder, known.digest, known.writer, tuple(known.files), noise, formats, _notes(contents))


def _manifest(folder: Path) -> manifest.Manifest:
    """Read the manifest and require that the folder holds what it names, and nothing else."""
    if not folder.is_dir():
        raise ExportError(f"{folder}: is not a folder")
    path = folder / manifest.NAME
    if not path.exists() and not path.is_symlink() and (folder / "architecture.json").exists():
        raise ExportError(f"{path}: is missing; bundles of earlier versions have none: export the network again")
    known = manifest.read_manifest(read_bounded(path, most=LARGEST_TEXT), source=str(path))
    allowed, needed = {*FILES, *OPTIONAL} - {manifest.NAME}, {*FILES} - {manifest.NAME}
    for name in sorted(known.files.keys() - allowed):
        raise ExportError(f"{path}: names {name[:100]!r}, which is no file of a bundle")
    for name in sorted(needed - known.files.keys()):
        raise ExportError(f"{path}: does not name {name}")
    present = {entry.name for entry in folder.iterdir()} - LEFT_BY_OTHERS - {manifest.NAME}
    for name in sorted(present - known.files.keys()):
        raise ExportError(f"{folder / name}: is not named in {manifest.NAME}")
    return known


def _require_code(contents: Contents, network: StoredNetwork, code_version: int) -> None:
    """Require that ``model.py`` is what is written for the network; it is not run."""
    path = contents.folder / "model.py"
    if code_version != CODE_VERSION:
        raise ExportError(
            f"{path}: is code of version {code_version}; this version of nas writes version {CODE_VERSION} and cannot"
            " compare it"
        )
    if contents.text(path.name) != model_code(network.architecture, network.facts):
        raise ExportError(f"{path}: is not what nas writes for the network of architecture.json")


def _require_preprocessing(contents: Contents) -> None:
    """Require that ``preprocess.py`` is what this version of nas writes, or an earlier one."""
    text = contents.text("preprocess.py")
    if text != inspect.getsource(preprocess) and _digest(text) not in EARLIER_PREPROCESSING:
        raise ExportError(f"{contents.folder / 'preprocess.py'}: is not what nas writes; read it before you run it")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _notes(contents: Contents) -> tuple[str, ...]:
    text = contents.text("preprocess.py")
    old = ["preprocess.py is that of an earlier version of nas"] if _digest(text) in EARLIER_PREPROCESSING else []
    return (
        *old,
        *(
            f"not checked: {name}, whose checksum is right but which nothing here runs; {INSTALL}"
            for name in unchecked(contents)
        ),
    )
