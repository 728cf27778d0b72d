"""Generated images whose right answer is known: how much resolution and how much depth a network needs.

Each image shows a small shape inside a large one; both are circles or squares, of random place, size and colours. The
class joins two independent facts of equal frequency:

- **Texture, which only resolution reveals.** The large shape is filled with stripes of one pixel, horizontal or
  vertical. At half the resolution two neighbouring stripes average to one even tone, and the fact is gone.
- **Composition, which only depth resolves.** The two shapes are of the same kind or of different kinds. Each kind alone
  is as frequent in either class, so neither shape tells it: a network must see both and compare them, which takes a
  receptive field as wide as the large shape.

A network at half resolution can thus be right for half of the images at best, and so can one that sees texture alone.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from nas.data.types import ImageSet, Source

SIZE = 32
"""Height and width in pixels."""
CLASSES = ("horizontal same", "horizontal different", "vertical same", "vertical different")

_SEED = 1596  # part of the data, so no setting changes it


def make_shapes(count: int) -> Source:
    """Return ``count`` images of 32x32 px in colour, the four classes in turn; fewer are the first of more."""
    labels = np.arange(count, dtype=np.int64) % len(CLASSES)
    images = np.stack([_draw(int(label), np.random.default_rng((_SEED, i))) for i, label in enumerate(labels)])
    return Source("shapes", CLASSES, True, ImageSet(images, labels))


def _draw(label: int, generator: np.random.Generator) -> npt.NDArray[np.uint8]:
    vertical, different = label >= 2, label % 2 == 1
    outer = bool(generator.integers(2))
    inner = outer != different
    radius = generator.uniform(10, 13)
    center = generator.uniform(radius + 1, SIZE - radius - 1, 2)
    inside = center + generator.uniform(-1.5, 1.5, 2)
    background, stripes, core = generator.uniform(40, 215, (3, 3))
    contrast = generator.uniform(20, 40) * generator.choice((-1, 1))
    rows, columns = np.mgrid[:SIZE, :SIZE]
    tone = np.where((columns if vertical else rows) % 2 == generator.integers(2), contrast, -contrast)
    canvas = np.broadcast_to(background, (SIZE, SIZE, 3)).copy()
    canvas = np.where(_mask(outer, center, radius)[..., None], stripes + tone[..., None], canvas)
    canvas = np.where(_mask(inner, inside, generator.uniform(4, 5))[..., None], core, canvas)
    noisy = canvas + generator.normal(0, 4, canvas.shape)
    return np.clip(np.rint(noisy), 0, 255).astype(np.uint8)


def _mask(circle: bool, center: npt.NDArray[np.float64], radius: float) -> npt.NDArray[np.bool_]:
    """Return where a circle or a square of the same area lies."""
    distances = np.abs(np.mgrid[:SIZE, :SIZE] - center[:, None, None])
    if circle:
        return np.asarray(np.hypot(*distances) <= radius)
    return np.asarray(distances.max(axis=0) <= radius * np.sqrt(np.pi) / 2)
