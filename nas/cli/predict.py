"""nas predict: the classes of images."""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from nas.cli.options import AsJson, Storage, Threads, print_json
from nas.cli.output import say
from nas.errors import ConfigError, DataError

if TYPE_CHECKING:
    from nas.predict.bundle import Bundle
    from nas.predict.evaluation import Evaluation
    from nas.predict.run import Given, Prediction, Predictor

FoundT = TypeVar("FoundT")

_MOST_INPUT = 2**28  # bytes of an image on standard input
_MANY = 64  # images for which a bar is shown


def predict(
    network: Annotated[
        str, typer.Argument(metavar="BUNDLE|STUDY#N", help="What nas export wrote, or a trial of a study.")
    ],
    images: Annotated[
        list[str],
        typer.Argument(metavar="IMAGE|FOLDER|-", help="Images, folders of images, or - for one on standard input."),
    ],
    top: Annotated[int, typer.Option(min=1, help="How many classes to show of each image.")] = 5,
    format: Annotated[
        str,
        typer.Option(help="File of the bundle to run: onnx, onnx-int8, onnx-uint8, tflite or tflite-int8."),
    ] = "onnx",
    threads: Threads = 1,
    explain: Annotated[
        bool,
        typer.Option("--explain", help="Write a class-activation map beside each image, IMAGE.cam.png; onnx only."),
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Write over files that --explain finds there.")] = False,
    storage: Storage = None,
    as_json: AsJson = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print the predictions as CSV.")] = False,
) -> None:
    """Say what images show. Torch is not needed for a bundle."""
    if as_json and as_csv:
        raise ConfigError("--json and --csv cannot be used together")
    if explain and "-" in images:
        raise ConfigError("--explain does not apply: standard input has no place to write a map beside")
    if explain and format != "onnx":
        raise ConfigError(f"--explain does not apply: maps are made of the format onnx only, not of {format}")
    if force and not explain:
        raise ConfigError("--force does not apply: only --explain writes files")
    from nas.predict.images import gather
    from nas.predict.run import Predictor, Unread

    predictor = Predictor(_bundle(network, storage, format), threads=threads)
    given, notes = gather(images, frozenset(predictor.classes), read_input=_standard_input)
    draw = _drawing(predictor, given, threads=threads, force=force) if explain else None
    found = list(_with_progress(predictor.each(given, top=top), total=len(given)))
    unread = [one for one in found if isinstance(one, Unread)]
    predictions = [one for one in found if not isinstance(one, Unread)]
    if len(found) == len(unread) == 1:
        raise DataError(unread[0].reason)
    for line in (*notes, *predictor.told, *(one.reason for one in unread)):
        say(line, err=True)
    if not predictions:
        raise DataError(f"none of {len(unread):,} images can be read")
    maps = [] if draw is None else list(_with_progress(draw(predictions), total=len(predictions)))
    if as_json:
        print_json(_document(predictions))
    elif as_csv:
        say(_csv(predictions, top=min(top, len(predictor.classes))), end="")
    else:
        _show(predictions, maps)
    if unread:
        say(f"{len(unread):,} of {len(found):,} images cannot be read", err=True)


def _bundle(network: str, storage: str | None, format: str) -> Bundle:
    from nas.predict.bundle import read_bundle

    if "#" not in network or Path(network).exists():
        return read_bundle(network, format=format)
    if format != "onnx":
        raise ConfigError(f"--format does not apply: {network} is a trial, of which onnx is made; export it first")
    from nas.cli.trial import named_trial
    from nas.predict.trial import bundle_of_trial

    with named_trial(network, storage) as (study, trial):
        return bundle_of_trial(study, trial)


def _standard_input() -> bytes:
    """Return the bytes of one image.

    Raises:
        DataError: There are none, or too many.
    """
    if sys.stdin.isatty():
        raise DataError("-: nothing is piped in; write for example: cat image.jpg | nas predict BUNDLE -")
    content = sys.stdin.buffer.read(_MOST_INPUT + 1)
    if not content:
        raise DataError("-: standard input is empty; it must be the bytes of one image")
    if len(content) > _MOST_INPUT:
        raise DataError(f"-: standard input has more than {_MOST_INPUT:,} bytes; it must be the bytes of one image")
    return content


def _with_progress(found: Iterator[FoundT], *, total: int) -> Iterator[FoundT]:
    """Yield what comes, with a bar on the terminal where there is much."""
    if total < _MANY or not sys.stderr.isatty():
        yield from found
        return
    from rich.progress import Progress

    from nas.cli.progress import make_console

    with Progress(console=make_console(stderr=True), transient=True) as progress:
        yield from progress.track(found, total=total, description="images")


def _drawing(
    predictor: Predictor, given: Sequence[Given], *, threads: int, force: bool
) -> Callable[[Sequence[Prediction]], Iterator[Path]]:
    """Return a function that writes the map of each image's best class and yields where.

    Raises:
        BundleError: The network has no such maps.
        ExportError: A file is there already.
    """
    from nas.predict.explain import Explainer, map_target, require_free

    explainer, by_name = Explainer(predictor, threads=threads), {one.name: one for one in given}
    if not force:
        require_free(map_target(name) for name in by_name)

    def draw(predictions: Sequence[Prediction]) -> Iterator[Path]:
        for one in predictions:
            explainer.write(by_name[one.file], one.name, map_target(one.file))
            yield map_target(one.file)

    return draw


def _evaluation(predictions: Sequence[Prediction]) -> Evaluation | None:
    from nas.predict.evaluation import Judged, evaluate

    return evaluate(Judged(one.label, one.name, one.probability) for one in predictions if one.label is not None)


def _document(predictions: Sequence[Prediction]) -> object:
    """Return a list; where true classes are known, an object with the list and what comes of them."""
    evaluation, listed = _evaluation(predictions), [one.document() for one in predictions]
    return listed if evaluation is None else {"predictions": listed, "evaluation": evaluation.document()}


def _csv(predictions: Sequence[Prediction], *, top: int) -> str:
    known = any(one.label is not None for one in predictions)
    further = [f"{what}_{place}" for place in range(2, top + 1) for what in ("class", "probability")]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["file", *(["actual"] if known else []), "class", "probability", *further])
    for one in predictions:
        writer.writerow(
            [one.file, *([one.label or ""] if known else []), *(value for best in one.top for value in best)]
        )
    return text.getvalue()


def _show(predictions: Sequence[Prediction], maps: Sequence[Path]) -> None:
    from nas.units import format_percent

    for one in predictions:
        classes = [f"{name} {format_percent(probability)}" for name, probability in one.top]
        known = "" if one.label is None else " (right)" if one.label == one.name else f" (is {one.label})"
        say(f"{one.file}: {classes[0]}{known}{''.join(f', {text}' for text in classes[1:])}")
    if maps:
        more = f" and {len(maps) - 1:,} more" if len(maps) > 1 else ""
        say(f"class-activation map of the first class: {maps[0]}{more}")
    evaluation = _evaluation(predictions)
    if evaluation is not None:
        from nas.cli.progress import make_console
        from nas.cli.tables.predictions import show_evaluation

        say("")
        show_evaluation(make_console(), evaluation)
