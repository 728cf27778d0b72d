"""A module as an ONNX file: what the exporter says on the way."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
import torch

from nas.architecture.space import load_space
from nas.models.build import build_model
from nas.models.onnx import export_onnx


def test_the_exporter_neither_prints_nor_warns(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    real, asked = torch.onnx.export, dict[str, Any]()

    def as_torch_2_6_does(*arguments: Any, **options: Any) -> Any:
        asked.update(options)
        print("Applied 1 of general pattern rewrite rules.")
        for name in ("torch.onnx", "torch.fx.experimental.symbolic_shapes"):
            logging.getLogger(name).warning("Ignored guard s2 >= 16 == True, this could result in accuracy problems")
        return real(*arguments, **options)

    monkeypatch.setattr(torch.onnx, "export", as_torch_2_6_does)
    network = load_space("resnet_small").architecture(
        width=0.25, depth=0.25, resolution=8, num_classes=10, in_channels=1
    )
    export_onnx(build_model(network).eval(), torch.zeros(2, 1, 8, 8), Path("model.onnx"))
    assert capsys.readouterr() == ("", "") and "Ignored guard" not in caplog.text
    assert asked["optimize"] is True  # or older versions write zeros anew for each bias, which nas verify refuses
    assert logging.getLogger("torch.onnx").level != logging.ERROR
