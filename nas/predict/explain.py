"""Class-activation maps: which part of an image speaks for a class.

A network that ends in global average pooling and a linear layer gives a class the mean over places of the weighted sum
of its last feature map; before the mean, that sum is a map (Zhou et al., 2016, "Learning deep features for
discriminative localization").
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper
from PIL import Image

from nas.data.preprocess import stored_pixels
from nas.errors import BundleError, ConfigError, DataError, ExportError
from nas.export.onnx_checks import read_graph
from nas.files import write_whole
from nas.predict.bundle import MODEL, Bundle
from nas.predict.images import MAP_ENDING
from nas.predict.network import NetworkSession
from nas.predict.run import Given, Predictor, Unread

_RESHAPES = {"Flatten", "Reshape", "Squeeze", "Identity", "Dropout", "Gather"}
"""What may stand between the two; that it changes no number is seen when the network is run."""

_TOLERANCE = 1e-3  # of a logit, relative to the largest
_LEAST_SIDE = 256  # of a picture, in pixels: one of 32 could not be looked at
_HEAT = ((0.0, 0.35, 0.7, 1.0), ((30, 30, 110), (190, 40, 110), (250, 150, 40), (255, 250, 170)))
"""Colours from what does not speak for the class to what does most."""


class Head(NamedTuple):
    """The end of a network: pooling and a linear layer.

    Attributes:
        feature_map: Name of what is pooled.
        weights: Of the linear layer, float32 of shape (classes, channels).
        bias: Of the linear layer, float32 of shape (classes,); 0 where it has none.
    """

    feature_map: str
    weights: npt.NDArray[np.float32]
    bias: npt.NDArray[np.float32]


class Explainer:
    """Draws class-activation maps."""

    def __init__(self, predictor: Predictor, *, threads: int = 1) -> None:
        """Load the network once more, with its last feature map among what it gives.

        Raises:
            BundleError: It does not end in global average pooling and a linear layer.
            ConfigError: The predictor runs another format than ONNX in float32.
        """
        if predictor.bundle.file != MODEL:
            raise ConfigError(
                f"class-activation maps are made of {MODEL} only, not of {predictor.bundle.file}: leave the format out"
            )
        self._predictor = predictor
        self._head = find_head(predictor.bundle)
        self._network = NetworkSession(predictor.bundle, threads=threads, also=[self._head.feature_map])

    def map(self, given: Given, name: str) -> npt.NDArray[np.float32]:
        """Return the map of a class, float32 of shape (height, width); its mean is the logit without the bias.

        Raises:
            DataError: The image cannot be read.
            BundleError: The network makes something else of its last feature map.
        """
        found = self._predictor.input(given)
        if isinstance(found, Unread):
            raise DataError(found.reason)
        (logits,), (features,) = self._network.run(found)
        if features.ndim != 3 or len(features) != self._head.weights.shape[1]:
            raise _without_head(self._predictor.bundle)
        maps = np.tensordot(self._head.weights, features, axes=1)
        difference = np.abs(maps.mean(axis=(1, 2)) + self._head.bias - logits).max()
        if not difference <= _TOLERANCE * max(1.0, float(np.abs(logits).max())):
            raise _without_head(self._predictor.bundle)
        return np.asarray(maps[self._predictor.classes.index(name)], np.float32)

    def write(self, given: Given, name: str, target: Path) -> None:
        """Write the map of a class over the part of an image that the network sees, as PNG.

        Raises:
            DataError: The image cannot be read.
            ExportError: The file cannot be written.
        """
        heat = self.map(given, name)
        opened = BytesIO(given.content) if isinstance(given.content, bytes) else given.content
        side = max(_LEAST_SIDE, self._predictor.bundle.facts["size"])
        drawn = BytesIO()
        overlay(stored_pixels(opened, size=side, mode="RGB"), heat).save(drawn, "PNG")
        write_whole(target, drawn.getvalue)


def find_head(bundle: Bundle) -> Head:
    """Return the end of a network.

    Raises:
        BundleError: It is another.
    """
    graph = read_graph(bundle.model, source=f"{bundle.source}").graph
    makers = {output: node for node in graph.node for output in node.output}
    constants = {tensor.name: tensor for tensor in graph.initializer}
    linear, bias = makers.get(graph.output[0].name), ""
    if linear is not None and linear.op_type == "Add":
        bias = next((name for name in linear.input if name in constants), "")
        linear = next((makers[name] for name in linear.input if name in makers), None)
    elif linear is not None and len(linear.input) > 2:
        bias = linear.input[2]
    if linear is not None and linear.op_type in ("Gemm", "MatMul") and linear.input[1] in constants:
        pool = makers.get(linear.input[0])
        while pool is not None and pool.op_type in _RESHAPES:
            pool = makers.get(pool.input[0])
        if pool is not None and _pools_all_places(pool, constants):
            weights = numpy_helper.to_array(constants[linear.input[1]]).astype(np.float32)
            turned = any(attribute.name == "transB" and attribute.i for attribute in linear.attribute)
            added = numpy_helper.to_array(constants[bias]) if bias in constants else np.zeros(len(bundle.classes))
            return Head(pool.input[0], weights if turned else weights.T, np.asarray(added, np.float32).reshape(-1))
    raise _without_head(bundle)


def _without_head(bundle: Bundle) -> BundleError:
    return BundleError(
        f"{bundle.source}: does not end in global average pooling and a linear layer in float32, which a"
        " class-activation map is made of"
    )


def _pools_all_places(node: onnx.NodeProto, constants: dict[str, onnx.TensorProto]) -> bool:
    if node.op_type == "GlobalAveragePool":
        return True
    axes = [value for attribute in node.attribute if attribute.name == "axes" for value in attribute.ints]
    if len(node.input) > 1 and node.input[1] in constants:
        axes = numpy_helper.to_array(constants[node.input[1]]).tolist()
    return node.op_type == "ReduceMean" and sorted(axis % 4 for axis in axes) == [2, 3]


def overlay(pixels: npt.NDArray[np.uint8], heat: npt.NDArray[np.float32]) -> Image.Image:
    """Return a picture with a map over it; what speaks against the class looks like what says nothing.

    Args:
        pixels: uint8 of shape (side, side, 3).
        heat: Of any shape and unit.
    """
    shares = heat.clip(min=0) / max(float(heat.max()), 1e-12)
    side = pixels.shape[0]
    smooth = np.asarray(Image.fromarray(shares).resize((side, side), Image.Resampling.BILINEAR))
    places, colors = _HEAT
    heated = np.stack([np.interp(smooth, places, levels) for levels in zip(*colors, strict=True)], axis=-1)
    gray = (pixels @ np.array([0.299, 0.587, 0.114]))[..., None]
    return Image.fromarray(np.rint(0.5 * gray + 0.5 * heated).clip(0, 255).astype(np.uint8))


def map_target(name: str) -> Path:
    """Return where the map of an image is written: beside it."""
    return Path(name + MAP_ENDING)


def require_free(targets: Iterable[Path]) -> None:
    """Require that there are no such files.

    Raises:
        ExportError: There is one.
    """
    taken = [target for target in targets if os.path.lexists(target)]
    if taken:
        more = f", and {len(taken) - 1:,} more" if len(taken) > 1 else ""
        raise ExportError(f"{taken[0]}: is there already{more}; --force writes over it")
