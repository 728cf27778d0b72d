"""What is predicted is what training would have said: one preprocessing, whatever the images are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
import pytest
import torch
from bundles import color_model, write_bundle
from PIL import Image

from nas.architecture.space import load_space
from nas.data.batches import standardisation, to_device
from nas.data.folder import read_folder
from nas.data.sources import DataConfig, load_data
from nas.export.trained import preprocessing_of
from nas.models.build import Network, build_model
from nas.models.onnx import export_onnx
from nas.predict.run import Given, Predictor

MODES = ("RGB", "L", "LA", "P", "RGBA", "CMYK", "I;16", "1", "GIF", "JPEG")
SIZE, RESOLUTION = 40, 24


def write_odd_image(folder: Path, index: int, generator: np.random.Generator) -> None:
    """Write one of images of all modes, of odd sizes, and of all orientations where the format has EXIF."""
    mode, turn = MODES[index % len(MODES)], 1 + index % 8
    height, width = generator.integers(9, 130, 2)
    coarse = generator.integers(0, 256, (int(height) // 5 + 2, int(width) // 5 + 2, 4), np.uint8)
    picture = Image.fromarray(coarse).resize((int(width), int(height)), Image.Resampling.BICUBIC)
    exif = Image.Exif()
    exif[0x0112] = turn
    path = folder / f"{index:03}"
    if mode == "GIF":
        frames = [picture.convert("RGB"), picture.convert("RGB").rotate(180)]
        frames[0].save(f"{path}.gif", save_all=True, append_images=frames[1:])
    elif mode == "JPEG":
        picture.convert("RGB").save(f"{path}.jpg", exif=exif)
    elif mode == "CMYK":
        picture.convert("RGB").convert("CMYK").save(f"{path}.tif")
    elif mode == "I;16":
        levels = np.asarray(picture.convert("L")).astype(np.uint16) * 257
        Image.fromarray(levels).save(f"{path}.png", exif=exif)
    else:
        picture.convert("RGB" if mode == "P" else "RGBA").convert(mode).save(f"{path}.png", exif=exif)


def write_odd_images(folder: Path, count: int) -> None:
    generator = np.random.default_rng(0)
    for index in range(count):
        place = folder / ("even", "odd")[index // len(MODES) % 2]
        place.mkdir(parents=True, exist_ok=True)
        write_odd_image(place, index, generator)


class Seen(NamedTuple):
    """Images as training saw them, and what ``preprocessing.json`` says of them."""

    files: list[Path]
    inputs: torch.Tensor
    facts: dict[str, Any]


def seen_in_training(color: str, count: int) -> Seen:
    write_odd_images(Path("images"), count)
    dataset = load_data(DataConfig.model_validate({"folder": "images", "size": SIZE, "color": color}))
    source = read_folder(Path("images"), size=SIZE, color="grayscale" if color == "grayscale" else "rgb")
    standard, device = standardisation(dataset), torch.device("cpu")
    batches = to_device(source.train, resolution=RESOLUTION, standard=standard, device=device)
    inputs = next(batches.in_order(len(source.train))).images.contiguous()
    return Seen(sorted(Path("images").rglob("*.*")), inputs, preprocessing_of(dataset, RESOLUTION))


def spread_logits(model: Network, images: torch.Tensor) -> None:
    """Let a network of random weights be sure of both of its classes in turn."""
    with torch.no_grad():
        model.train()(images)  # statistics of batch norm
        logits = model.eval()(images)
        lead = logits[:, 0] - logits[:, 1]
        model.classifier.bias -= torch.stack([lead.quantile(0.5), torch.zeros(())])
        model.classifier.weight *= 2 / lead.std()
        model.classifier.bias *= 2 / lead.std()


def test_a_hundred_odd_images_have_the_class_that_training_gives_them() -> None:
    seen = seen_in_training("rgb", 100)
    torch.manual_seed(0)
    space = load_space("resnet_small")
    model = build_model(space.architecture(width=0.5, depth=0.5, resolution=RESOLUTION, num_classes=2))
    spread_logits(model, seen.inputs)
    Path("bundle").mkdir()
    export_onnx(model, seen.inputs[:2], Path("bundle/model.onnx"))
    Path("bundle/preprocessing.json").write_text(json.dumps(seen.facts))
    with torch.inference_mode():
        expected = model(seen.inputs).softmax(dim=1).numpy()
    assert 0.3 < expected.argmax(axis=1).mean() < 0.7  # both classes are named
    predictor = Predictor("bundle")
    said = predictor.predict(seen.files, top=2)
    assert [predictor.classes.index(one.name) for one in said] == expected.argmax(axis=1).tolist()
    np.testing.assert_allclose([one.probability for one in said], expected.max(axis=1), atol=0.02)


@pytest.mark.parametrize("color", ["rgb", "grayscale", "hsv"])
def test_the_input_is_that_of_training(color: str) -> None:
    seen = seen_in_training(color, 100)
    predictor = Predictor(write_bundle(Path("bundle"), model=any_model(seen), **seen.facts))
    inputs = [predictor.input(Given(str(path), path)) for path in seen.files]
    differences = np.abs(np.concatenate(inputs) - seen.inputs.numpy())
    assert (differences > 1e-6).mean() < 0.02  # where the two resizes round otherwise
    if color != "hsv":  # a level of red can be a large step of hue
        level = 1 / 255 / np.asarray(seen.facts["std"]).reshape(-1, 1, 1)
        assert (differences <= level + 1e-6).all()


def any_model(seen: Seen) -> onnx.ModelProto:
    return color_model(resolution=RESOLUTION, channels=seen.facts["channels"], classes=2)
