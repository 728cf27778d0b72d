"""Names of the files of a bundle."""

from __future__ import annotations

MANIFEST = "manifest.json"
EARLIER = ("README.md", "architecture.json", "model.onnx", "preprocessing.json", "weights.safetensors")
"""What bundles of every version hold."""

FILES = tuple(sorted((*EARLIER, MANIFEST, "model.py", "preprocess.py")))
"""What every bundle holds."""

PIXELS_ONNX = "model-uint8.onnx"
INT8_ONNX = "model-int8.onnx"
TFLITE = "model.tflite"
INT8_TFLITE = "model-int8.tflite"
WEIGHTS_ONNX = ("model-weights-int8.onnx", "model-weights-int4.onnx")
OPTIONAL = (PIXELS_ONNX, INT8_ONNX, *WEIGHTS_ONNX, TFLITE, INT8_TFLITE)
"""What it holds besides where that was asked for."""
