"""nas export: a trained network as a folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nas.cli.options import AsJson, Device, Storage, print_json, refuse_typed
from nas.cli.output import say
from nas.cli.trial import chosen_trial, named_trial
from nas.errors import ConfigError

if TYPE_CHECKING:
    from nas.cli.retrain import Retrained
    from nas.export.bundle import ExportedNetwork
    from nas.export.formats import Parity


def export(
    network: Annotated[
        str,
        typer.Argument(metavar="STUDY|STUDY#N|FOLDER", help="A study, one of its trials, or what nas train wrote."),
    ],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder to write.")],
    trial: Annotated[int | None, typer.Option(help="Number of the trial to export.")] = None,
    max_flops: Annotated[
        str | None, typer.Option(help="Export the most accurate network with at most this many FLOPs, such as 20M.")
    ] = None,
    knee: Annotated[
        bool, typer.Option("--knee", help="Export the knee of the front: nas front --knee shows it.")
    ] = False,
    opset: Annotated[int, typer.Option(help="Version of ONNX's operators, 18 to 23.")] = 20,
    with_preprocessing: Annotated[
        bool, typer.Option("--with-preprocessing", help="Add model-uint8.onnx, which takes pixels of any size.")
    ] = False,
    tflite: Annotated[
        bool, typer.Option("--tflite", help="Add model.tflite; NAS_LITERT_PYTHON names what converts it.")
    ] = False,
    tflite_int8: Annotated[
        bool, typer.Option("--tflite-int8", help="Add model-int8.tflite, calibrated on training images.")
    ] = False,
    retrain: Annotated[
        bool,
        typer.Option("--retrain", help="Train the network first, from several seeds, and export the best of them."),
    ] = False,
    epochs: Annotated[
        int | None, typer.Option(min=1, help="With --retrain: passes over the images.  [default: the study's]")
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="With --retrain: number of trainings.")] = 3,
    device: Device = "auto",
    force: Annotated[bool, typer.Option("--force", help="Replace an earlier export.")] = False,
    storage: Storage = None,
    as_json: AsJson = False,
) -> None:
    """Export a trained network to a folder.

    The folder holds the network as PyTorch code and as ONNX, the weights, and a README that says how to load them.
    """
    from nas.analysis.looks import warn_of_test_looks
    from nas.cli.progress import make_console
    from nas.cli.retrain import Retraining, export_retrained
    from nas.export.bundle import Options, export_network, export_training
    from nas.export.trained import is_training
    from nas.models.device import resolve_device

    refuse_typed("--epochs", "--seeds", "--device", unless=retrain, reason="without --retrain nothing is trained")
    options = (("--trial", trial), ("--max-flops", max_flops), ("--knee", knee or None), ("--retrain", retrain or None))
    given = [option for option, value in options if value is not None]
    trained, named = is_training(network), "#" in network
    if trained and given or named and set(given) - {"--retrain"}:
        raise ConfigError(f"{given[0]} does not apply: {network} is {'what nas train wrote' if trained else 'a trial'}")
    found: Retrained | None = None
    warning, changes = None, list[str]()
    written = Options(opset, with_preprocessing, force, tflite=tflite, tflite_int8=tflite_int8)
    if trained:
        exported = export_training(network, output, **written._asdict())
    else:
        with (
            named_trial(network, storage)
            if named
            else chosen_trial(network, storage, number=trial, max_flops=max_flops, knee=knee)
        ) as (opened, chosen):
            changes = opened.image_changes()
            if retrain:
                latency = next(iter(opened.latencies().get(chosen.digest, [])), None)
            else:
                exported = export_network(opened, chosen, output, **written._asdict())
                warning = warn_of_test_looks(opened)
        if retrain:  # which takes long: the study is not held open
            study = network.rpartition("#")[0] if named else network
            wanted = Retraining(study, opened.name, chosen, latency, storage, epochs, seeds, resolve_device(device))
            found = export_retrained(wanted, output, written, make_console(stderr=as_json))
            exported, warning = found.exported, found.warning
    if as_json:
        print_json(_document(exported, warning, None if found is None else found.figures))
        return
    _print(exported, [*([] if warning is None else [warning]), *changes])


def _document(exported: ExportedNetwork, warning: str | None, retrained: dict[str, Any] | None) -> dict[str, Any]:
    return {
        "directory": str(exported.directory),
        "trial": None if exported.trial is None else exported.trial.number,
        "origin": exported.origin,
        "test_accuracy": exported.test_accuracy,
        "onnx_difference": exported.onnx_difference,
        "compared_on": exported.compared_on,
        "formats": [one._asdict() for one in exported.formats],
        "warning": warning,
        "retrained": retrained,
    }


def _print(exported: ExportedNetwork, notes: list[str]) -> None:
    label = "" if exported.trial is None else f" ({exported.trial.label})"
    who = "The network" if exported.trial is None else f"Trial {exported.trial.number}"
    say(f"{who}{label} is in {exported.directory}")
    say(f"  test accuracy {100 * exported.test_accuracy:.2f} %")
    for line in notes:
        say(f"  {line}")
    say(f"  compared with the network on {exported.compared_on}:")
    for one in exported.formats:
        say(f"    {parity_line(one)}")
    say(f"  how to load it: {exported.directory / 'README.md'}")


def parity_line(parity: Parity) -> str:
    """Say how a format compares with the network."""
    from nas.units import format_bytes

    said = [f"logits differ by at most {parity.difference:.2g}", f"same top class for {100 * parity.agreement:.4g} %"]
    if parity.accuracy is not None:
        said.append(f"right for {100 * parity.accuracy:.4g} %")
    if parity.latency_ms is not None:
        said.append(f"{parity.latency_ms:.3g} ms")
    if parity.bytes is not None:
        said.append(format_bytes(parity.bytes))
    return f"{parity.file}: {', '.join(said)}"
