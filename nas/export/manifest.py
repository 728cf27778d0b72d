"""What a bundle says of its own files: sizes, checksums and versions.

Checksums show damage, not origin: whoever changes a file can write a new manifest.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, NamedTuple, Self

from pydantic import TypeAdapter

from nas.documents import parse_document
from nas.errors import ExportError
from nas.export import names
from nas.schema import Strict

NAME = names.MANIFEST
FORMAT_VERSION = 1
"""It is raised when readers of this version could misread a newer bundle."""


class FileFacts(Strict):
    """Size in bytes and checksum of a file."""

    bytes: int
    sha256: str


class FormatFacts(Strict):
    """How a format compared with the module when it was written; see ``formats.Parity``."""

    difference: float
    agreement: float
    images: int
    accuracy: float | None = None
    bytes: int | None = None
    latency_ms: float | None = None
    timed: int | None = None

    @classmethod
    def of(cls, parity: Mapping[str, Any]) -> Self:
        """Return what a manifest keeps of a ``formats.Parity``, as a dict."""
        return cls(**{name: value for name, value in parity.items() if name != "file"})


class NamedImages(Strict):
    """The images that a network was trained on: where they were, and what tells them from others.

    Attributes:
        name: Of the source, for people.
        study: Study file, relative to the bundle, or the name of a study; None where there was none.
        data: The ``data`` section of a study; a path in it is relative to the bundle.
        fingerprint: As in ``nas.records.ImageDigests``.
        content: Likewise.
    """

    name: str
    study: str | None
    data: dict[str, Any]
    fingerprint: str
    content: str


class Manifest(Strict):
    """What ``manifest.json`` holds.

    Attributes:
        writer: Name and version of what wrote the bundle.
        code_version: Of how ``model.py`` is written.
        digest: Of the architecture.
        versions: Of torch, onnxruntime and Python.
        command: That wrote the bundle.
        compared_on: Which images the formats were compared on.
        timed_on: Processor on which they were timed; None in bundles of before.
        formats: How each compared, by file.
        files: All other files by name.
        images: The images that it was trained on, where that is known.
        variants: What ``nas compress`` made on the way to this bundle (see ``nas.records.Variant``).
        checksum: SHA-256 of all the rest.
    """

    writer: str
    code_version: int
    digest: str
    versions: str
    command: str
    compared_on: str
    timed_on: str | None = None
    formats: dict[str, FormatFacts]
    files: dict[str, FileFacts]
    images: NamedImages | None = None
    variants: list[dict[str, Any]] = []
    checksum: str = ""


class _Checked(NamedTuple):
    text: str
    checksum: str


def manifest_text(manifest: Manifest) -> str:
    """Return what ``manifest.json`` holds; the same text for equal manifests."""
    return _written(_document(manifest)).text


def read_manifest(content: bytes, *, source: str) -> Manifest:
    """Read what ``manifest_text`` wrote.

    Raises:
        ConfigError: It is no manifest, or of another version.
        ExportError: It was damaged.
    """
    text = content.decode("utf-8", errors="replace")
    manifest = parse_document(text, TypeAdapter(Manifest), version=FORMAT_VERSION, source=source)
    written = _written(_document(manifest))
    if (written.text.encode(), written.checksum) != (content, manifest.checksum):
        raise ExportError(f"{source}: is not what was written (its own checksum differs)")
    return manifest


def facts_of(content: bytes) -> FileFacts:
    """Return size and checksum of what a file holds."""
    return FileFacts(bytes=len(content), sha256=hashlib.sha256(content).hexdigest())


def _document(manifest: Manifest) -> dict[str, Any]:
    return manifest.model_dump(mode="json", exclude_defaults=True)  # as before there were such fields


def _written(document: Mapping[str, Any]) -> _Checked:
    rest = {"format_version": FORMAT_VERSION, **{key: value for key, value in document.items() if key != "checksum"}}
    checksum = hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()
    return _Checked(json.dumps({**rest, "checksum": checksum}, indent=1) + "\n", checksum)
