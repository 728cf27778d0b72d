"""Given to the interpreter that NAS_LITERT_PYTHON names, which has litert-torch and need not have nas.

Arguments: model.py, the weights, the file to write, channels and side of an image. The network takes one image.
"""

import sys
from pathlib import Path
from typing import Any


def main(code: str, weights: str, target: str, channels: str, side: str) -> None:
    """Write a network as a TensorFlow Lite file."""
    import litert_torch
    import torch

    written: dict[str, Any] = {}
    exec(compile(Path(code).read_text(encoding="utf-8"), "model.py", "exec"), written)
    image = torch.zeros(1, int(channels), int(side), int(side))
    litert_torch.convert(written["load_model"](weights), (image,)).export(target)


if __name__ == "__main__":
    main(*sys.argv[1:])
