"""Images become classes with probabilities."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from nas.data.boundary import decoding, warnings_told
from nas.data.preprocess import prepare, stored_pixels
from nas.errors import ConfigError, DataError
from nas.export.names import PIXELS_ONNX
from nas.predict.bundle import Bundle, read_bundle
from nas.predict.network import Inputs, open_network

ImageFile: TypeAlias = str | os.PathLike[str] | bytes

_NOT_AN_IMAGE = "not an image that can be read"
_DECODERS = min(4, os.cpu_count() or 1)
"""Threads that decode images: Pillow decodes and resizes without holding the interpreter."""


class ClassProbability(NamedTuple):
    """A class and how probable the network takes it to be, in 0 to 1."""

    name: str
    probability: float


class Given(NamedTuple):
    """An image that is to be classified.

    Attributes:
        name: For people.
        content: The file, or the bytes of one.
        label: Its class, where that is known.
    """

    name: str
    content: Path | bytes
    label: str | None = None


class Prediction(NamedTuple):
    """What the network takes an image for.

    Attributes:
        file: Name of the image.
        top: The most probable classes, the first first.
        label: Its true class, where that is known.
    """

    file: str
    top: tuple[ClassProbability, ...]
    label: str | None = None

    @property
    def name(self) -> str:
        """The most probable class."""
        return self.top[0].name

    @property
    def probability(self) -> float:
        """Of the most probable class."""
        return self.top[0].probability

    def document(self) -> dict[str, Any]:
        """Return it as plain JSON data."""
        known = {} if self.label is None else {"actual": self.label}
        top = [{"class": name, "probability": probability} for name, probability in self.top]
        return {"file": self.file, "class": self.name, "probability": self.probability, **known, "top": top}


class Unread(NamedTuple):
    """An image that cannot be read, and why, in one line that names it."""

    file: str
    reason: str


class Predictor:
    """A network that classifies images as it did in training, without torch.

    Attributes:
        bundle: What it was made from.
        told: What the decoder warned of in the images so far, one line each.
    """

    def __init__(self, bundle: str | os.PathLike[str] | Bundle, *, format: str = "onnx", threads: int = 1) -> None:
        """Load a network.

        Args:
            bundle: A folder that ``nas export`` wrote.
            format: Which of its files to run: ``onnx``, ``onnx-int8``, ``onnx-uint8``, ``tflite`` or ``tflite-int8``.
            threads: Of the CPU within one operator; more make small networks slower.

        Raises:
            BundleError: It is no such folder, lacks the format, or is damaged.
            ConfigError: There is no such format.
            DataError: What runs it is not installed.
        """
        self.bundle = bundle if isinstance(bundle, Bundle) else read_bundle(bundle, format=format)
        self.told: list[str] = []
        self._network = open_network(self.bundle, threads=threads)
        self._input = stored_image if self.bundle.file == PIXELS_ONNX else prepare

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes in the order of the logits."""
        return self.bundle.classes

    def predict(self, images: ImageFile | Iterable[ImageFile], *, top: int = 5) -> list[Prediction]:
        """Return the most probable classes of images, in their order.

        Args:
            images: An image file, the bytes of one, or several.
            top: Number of classes of each.

        Raises:
            DataError: An image cannot be read (named).
        """
        several = [images] if isinstance(images, str | os.PathLike | bytes) else images
        given = (Given("<bytes>", one) if isinstance(one, bytes) else Given(str(one), Path(one)) for one in several)
        predictions = []
        for found in self.each(given, top=top):
            if isinstance(found, Unread):
                raise DataError(found.reason)
            predictions.append(found)
        return predictions

    def each(self, given: Iterable[Given], *, top: int = 5) -> Iterator[Prediction | Unread]:
        """Yield what images are taken for, a batch at a time, and those that cannot be read.

        Raises:
            ConfigError: ``top`` is below 1.
        """
        if top < 1:
            raise ConfigError(f"top must be at least 1, but is {top}")
        remaining = iter(given)
        with ThreadPoolExecutor(_DECODERS) as pool:
            while batch := list(islice(remaining, self._network.batch)):
                with warnings_told() as told:
                    inputs = list(pool.map(self.input, batch)) if len(batch) > 1 else [self.input(batch[0])]
                self.told = sorted({*self.told, *told.lines()})
                yield from self._named(batch, inputs, top)

    def input(self, given: Given) -> Inputs | Unread:
        """Return the network's input for an image, with a first dimension of 1; most take what ``prepare`` gives."""
        try:
            with decoding(given.name, _NOT_AN_IMAGE):
                return self._input(given.content, self.bundle.facts)
        except DataError as error:
            return Unread(given.name, str(error))
        except MemoryError:
            return Unread(given.name, f"{given.name}: does not fit into memory")

    def _named(
        self, batch: Sequence[Given], inputs: Sequence[Inputs | Unread], top: int
    ) -> Iterator[Prediction | Unread]:
        readable = [one for one in inputs if not isinstance(one, Unread)]
        logits = self._network.run(np.concatenate(readable))[0] if readable else np.empty((0, 1), np.float32)
        shares = iter(softmax(logits))
        for given, one in zip(batch, inputs, strict=True):
            if isinstance(one, Unread):
                yield one
            else:
                share = next(shares)
                best = np.argsort(-share, kind="stable")[:top]
                named = tuple(ClassProbability(self.classes[index], float(share[index])) for index in best)
                yield Prediction(given.name, named, given.label)


def stored_image(file: Path | bytes, facts: Mapping[str, Any]) -> npt.NDArray[np.uint8]:
    """Return the pixels of an image as a study stores them, of shape (1, size, size, channels)."""
    opened = BytesIO(file) if isinstance(file, bytes) else file
    return stored_pixels(opened, size=facts["size"], mode="L" if facts["channels"] == 1 else "RGB")[None]


def softmax(logits: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Return the probabilities of logits, both of shape (images, classes)."""
    powers = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True), np.float64)
