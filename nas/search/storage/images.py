"""Whether the images of a study are still those of its first run."""

from __future__ import annotations

from nas.errors import StudyError
from nas.records import ImageDigests


def require_same_images(study: str, *, then: ImageDigests, now: ImageDigests) -> list[str]:
    """Make sure that a study's images have not changed.

    Args:
        study: Name of the study.
        then: Images of the first run, as far as they were noted.
        now: The images that are there.

    Returns:
        What cannot be told of them, or tells itself only by the pixels, one line each.

    Raises:
        StudyError: There are other images, or the same with other labels (says which).
    """
    changed = what_changed(then, now)
    if changed:
        raise StudyError(
            f"the images of {study!r} have changed since it was run: {changed}; undo the change, or give the study"
            " with other images another name"
        )
    if not then.content:
        return ["the images were not verified before: the version of nas that ran this study noted no digest of them"]
    if then.pixels == now.pixels:
        return []
    versions = " and ".join(
        f"{name} {then.decoders.get(name, 'of an unknown version')} then, {now.decoders.get(name, 'none')} now"
        for name in sorted(then.decoders.keys() | now.decoders.keys())
        if then.decoders.get(name) != now.decoders.get(name)
    )
    return [
        "the images are the same files, but are decoded to other pixels than at the first run"
        f" ({versions or 'by the same versions'}): accuracies may differ a little"
    ]


def what_changed(then: ImageDigests, now: ImageDigests) -> str:
    """Return what has changed, empty where nothing has that is known."""
    same_images = bool(then.content) and then.content[:8] == now.content[:8]
    if then.fingerprint and then.fingerprint != now.fingerprint:
        if same_images:
            return "the images are the same, but their classes, their parts or their size are others"
        return "the images, their classes or their number are others"
    if not then.content or then.content == now.content:
        return ""
    if same_images:
        return "the images are the same, but their labels, their order or their parts are others"
    return "other images, in the same number"
