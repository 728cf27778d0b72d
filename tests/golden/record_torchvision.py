"""Record what torchvision's networks hold and compute, for tests that cannot import torchvision.

Writes ``torchvision.json.gz`` beside this script: the versions it was recorded with and, for each network,

* ``norm``: the mean of the scales of its batch norms, to be given to `fill`;
* ``tensors``: the key and shape of each tensor of its state dict, in the state dict's order;
* ``logits``: its first 16 logits in evaluation mode, every tensor and the image having been made by `fill`.

GoogLeNet and Inception v3 have their auxiliary heads, as published checkpoints do; the logits do not depend on them.

Recorded with torch 2.13.0 (CPU) and torchvision 0.28.0. To record anew, in an environment of its own::

    pip install torch==2.13.0 numpy pillow
    pip install --no-deps torchvision==0.28.0
    python tests/golden/record_torchvision.py

Tests import `fill` and `IMAGES` from here, so only `main` imports torch and torchvision.
"""

from __future__ import annotations

import gzip
import json
import math
import zlib
from pathlib import Path
from typing import Any

import numpy as np

RECORD = Path(__file__).with_name("torchvision.json.gz")
IMAGES = ("images", (1, 3, 96, 96))  # the key and shape of the image
LOGITS = 16

# With random weights the signal dies away or explodes with depth. These mean scales keep each network in between,
# where its logits depend on the image and on every layer, but float32 and float64 still agree to about 1e-6.
NORMS = {
    "efficientnet_b0": 1.12,
    "efficientnet_b1": 1.1,
    "efficientnet_b2": 1.08,
    "efficientnet_b3": 1.06,
    "efficientnet_b4": 1.04,
    "efficientnet_b5": 1.02,
    "efficientnet_b6": 1.0,
    "efficientnet_b7": 0.97,
    "efficientnet_v2_s": 0.84,
    "resnet18": 0.65,
    "resnet34": 0.65,
    "resnet50": 0.65,
    "resnet101": 0.65,
    "resnet152": 0.65,
    "resnext50_32x4d": 0.65,
    "resnext101_32x8d": 0.65,
    "wide_resnet50_2": 0.65,
    "googlenet": 1.0,
    "inception_v3": 1.1,
}
INCEPTION = {"aux_logits": True, "init_weights": False, "transform_input": False}
ARGUMENTS = {"googlenet": INCEPTION, "inception_v3": INCEPTION}


def fill(key: str, shape: tuple[int, ...], norm: float = 1.0) -> np.ndarray:
    """Make the tensor of a state dict, or the image, that every run makes alike.

    Args:
        key: The tensor's key in the state dict, or "images".
        shape: The tensor's shape.
        norm: The mean of a batch norm's scale.

    Returns:
        Normal numbers whose seed is the key, scaled and shifted to suit the tensor's kind: float32, or an int64 zero
        for the number of batches that a batch norm has seen.
    """
    kind = key.rpartition(".")[2]
    if kind == "num_batches_tracked":
        return np.zeros(shape, dtype=np.int64)
    normal = np.random.RandomState(zlib.crc32(key.encode())).standard_normal(shape).astype(np.float32)
    if kind == "images":
        return normal
    if len(shape) > 1:
        return normal * np.float32(math.sqrt(2 / math.prod(shape[1:])))
    match kind:
        case "weight":
            return np.maximum(norm + np.float32(0.1) * normal, np.float32(0.1))
        case "running_var":
            return 1 + np.float32(0.1) * np.abs(normal)
        case "bias" | "running_mean":
            return np.float32(0.1) * normal
    raise ValueError(f"no rule for {key} of shape {shape}")


def main() -> None:
    """Build each network, fill it, run it and write the record."""
    import torch

    if torch.version.cuda is None:
        # torchvision's operators do not load beside a CPU-only torch, and its import fails for want of these two
        library = torch.library.Library("torchvision", "DEF")
        for operator in ("nms", "qnms"):
            library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    import torchvision

    torch.set_num_threads(1)
    images = torch.from_numpy(fill(*IMAGES))
    networks: dict[str, Any] = {}
    for name, norm in NORMS.items():
        network = getattr(torchvision.models, name)(weights=None, **ARGUMENTS.get(name, {})).eval()
        tensors = {key: tuple(tensor.shape) for key, tensor in network.state_dict().items()}
        network.load_state_dict({key: torch.from_numpy(fill(key, shape, norm)) for key, shape in tensors.items()})
        with torch.inference_mode():
            logits = network(images)[0, :LOGITS].tolist()
        networks[name] = {"norm": norm, "tensors": tensors, "logits": [float(f"{logit:.9g}") for logit in logits]}
        print(f"{name}: {len(tensors)} tensors, largest logit {max(map(abs, logits)):.3g}")
    record = {
        "torch": torch.__version__.partition("+")[0],
        "torchvision": torchvision.__version__.partition("+")[0],
        "networks": networks,
    }
    RECORD.write_bytes(gzip.compress(json.dumps(record, separators=(",", ":")).encode(), mtime=0))


if __name__ == "__main__":
    main()
