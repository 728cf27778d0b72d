"""nas cost: what networks cost, on paper and on the device."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from nas.cli.network import (
    ActivationName,
    Cardinality,
    Channels,
    Classes,
    Depth,
    Expansion,
    Kernel,
    Resolution,
    SqueezeExcitation,
    Width,
    architecture_of,
    given_options,
)
from nas.cli.options import (
    AsJson,
    Device,
    Threads,
    complain,
    known_backends,
    latency_document,
    print_json,
    refuse_typed,
    split_integers,
)
from nas.errors import NasError

if TYPE_CHECKING:
    from rich.console import Console

    from nas.architecture.cost import Cost
    from nas.architecture.spec import Architecture
    from nas.models.backends import Backend
    from nas.models.latency import Measured


def cost(
    names: Annotated[
        list[str], typer.Argument(metavar="NAME|FILE...", help="Presets, search spaces, or architecture files.")
    ],
    width: Width = None,
    depth: Depth = None,
    resolution: Resolution = None,
    classes: Classes = None,
    channels: Channels = None,
    kernel: Kernel = None,
    expansion: Expansion = None,
    cardinality: Cardinality = None,
    activation: ActivationName = None,
    squeeze_excitation: SqueezeExcitation = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Also measure the built network, and fail if the figures differ.")
    ] = False,
    latency: Annotated[bool, typer.Option("--latency", help="Also measure inference time.")] = False,
    training_memory: Annotated[
        bool, typer.Option("--training-memory", help="Also measure the memory of one training step.")
    ] = False,
    device: Device = "auto",
    batch: Annotated[
        str, typer.Option(metavar="N[,N...]", help="Batch sizes for --latency and --training-memory.")
    ] = "1",
    threads: Threads = 1,
    backend: Annotated[
        str,
        typer.Option(
            metavar="NAME[,NAME...]", help="Backends for --latency: eager, compile, onnxruntime, onnxruntime-int8."
        ),
    ] = "eager,compile,onnxruntime",
    as_json: AsJson = False,
) -> None:
    """Show what networks cost, without building them. Several networks are shown side by side."""
    from nas.architecture.cost import count_cost
    from nas.cli.progress import make_console

    given = given_options(
        width=width,
        depth=depth,
        resolution=resolution,
        classes=classes,
        channels=channels,
        kernel=kernel,
        expansion=expansion,
        cardinality=cardinality,
        activation=activation,
        squeeze_excitation=squeeze_excitation,
    )
    networks = [architecture_of(name, given) for name in names]
    batches, backends = split_integers("--batch", batch), known_backends(backend)
    _require_applicable(device, latency=latency, training_memory=training_memory)
    costs = [count_cost(network) for network in networks]
    if verify:
        for network, counted in zip(networks, costs, strict=True):
            _verify(network, counted)
    console, progress = make_console(), make_console(stderr=True)
    if not as_json:
        _print_costs(console, networks, costs, verified=verify)
    documents = [_document(network, counted, verify) for network, counted in zip(networks, costs, strict=True)]
    if training_memory:
        for document, network in zip(documents, networks, strict=True):
            document["training_memory"] = _training_memory(progress, network, batches, device)
        if not as_json:
            _print_training_memory(console, documents)
    measured = [_measure(progress, n, device, backends, batches, threads) for n in networks] if latency else []
    for document, found in zip(documents, measured, strict=False):
        document["latency"] = [latency_document(item) for item in found.latencies]
        document["not_measured"] = [failure._asdict() for failure in found.failures]
    if latency and not as_json:
        _print_latencies(console, networks, costs, measured)
    if latency and (warning := _busy_warning(measured)):
        complain(warning, 0)
    if as_json:
        print_json(documents[0] if len(documents) == 1 else documents)
    if latency and not any(found.latencies for found in measured):
        raise NasError("nothing could be measured")


def _busy_warning(measured: list[Measured]) -> str:
    from nas.cli.tables.latency import busy_warning

    return busy_warning(item for found in measured for item in found.latencies)


def _require_applicable(device: str, *, latency: bool, training_memory: bool) -> None:
    """Refuse options that do not apply, and a device that is not there, before anything is printed."""
    either = "it is for --latency and --training-memory"
    refuse_typed("--device", "--batch", unless=latency or training_memory, reason=either)
    refuse_typed("--threads", "--backend", unless=latency, reason="it is for --latency")
    if latency or training_memory:
        from nas.models.device import resolve_device

        resolve_device(device)


def _print_costs(console: Console, networks: list[Architecture], costs: list[Cost], *, verified: bool) -> None:
    from nas.cli.tables.networks import compare_table, cost_notes, stage_table

    if len(networks) == 1:
        console.print(stage_table(networks[0], costs[0], width=console.width))
        console.print(cost_notes(costs[0]))
    else:
        console.print(compare_table(networks, costs, width=console.width))
    if verified:
        console.print("fvcore and the traced network give the same figures, section by section")


def _verify(network: Architecture, counted: Cost) -> None:
    from nas.models.build import build_model
    from nas.models.measure import measure_cost

    measured = measure_cost(build_model(network), network)
    if measured != counted:
        pairs = zip((measured, *measured.sections), (counted, *counted.sections), strict=True)
        ours = next((pair for pair in pairs if pair[0] != pair[1] and hasattr(pair[0], "name")), (measured, counted))
        raise NasError(f"{network.name}: fvcore measures {ours[0]}, but the closed form gives {ours[1]}")


def _training_memory(console: Console, network: Architecture, batches: list[int], device: str) -> dict[str, int]:
    from nas.models.memory import measure_training_memory

    found = {}
    for batch in batches:
        with console.status(f"{network.name}: a training step of {batch} images"):
            found[str(batch)] = measure_training_memory(network, batch=batch, device=device)
    return found


def _print_training_memory(console: Console, documents: list[dict[str, Any]]) -> None:
    from nas.units import format_bytes

    for document in documents:
        parts = [f"{format_bytes(value)} for {batch}" for batch, value in document["training_memory"].items()]
        text = f"{document['name']}: a training step allocates {', '.join(parts)} images (measured)"
        console.print(text, soft_wrap=True)


def _measure(
    console: Console,
    network: Architecture,
    device: str,
    backends: list[Backend],
    batches: list[int],
    threads: int,
) -> Measured:
    from nas.models.latency import measure_latency

    with console.status(network.name) as status:
        return measure_latency(
            network,
            device=device,
            backends=backends,
            batches=batches,
            threads=threads,
            on_start=lambda backend, batch: status.update(f"{network.name}: {backend}, {batch} images"),
        )


def _print_latencies(
    console: Console, networks: list[Architecture], costs: list[Cost], measured: list[Measured]
) -> None:
    from nas.analysis.latency import Timed, compare_orders
    from nas.cli.tables.latency import disagreement_lines, latency_table

    names = [network.name for network in networks]
    if any(found.latencies for found in measured):
        console.print(latency_table(names, [found.latencies for found in measured], width=console.width))
    for name, found in zip(names, measured, strict=True):
        for backend, batch, reason in found.failures:
            text = f"{name}: {backend} could not be measured at batch {batch} and above: {reason}"
            console.print(text, soft_wrap=True)
    settings = dict.fromkeys((item.backend, item.batch) for found in measured for item in found.latencies)
    for backend, batch in settings if len(networks) > 1 else ():
        rows = [
            Timed(name, counted.flops, item)
            for name, counted, found in zip(names, costs, measured, strict=True)
            for item in found.latencies
            if (item.backend, item.batch) == (backend, batch)
        ]
        lines = disagreement_lines(compare_orders(rows), setting=f"{backend}, batch {batch}")
        console.print("\n".join(lines), soft_wrap=True)


def _document(network: Architecture, counted: Cost, verified: bool) -> dict[str, Any]:
    return {
        "name": network.name,
        "digest": network.digest,
        "resolution": network.resolution,
        **_figures(counted),
        "weight_bytes": {precision: counted.weight_bytes_at(precision) for precision in ("fp32", "fp16", "int8")},
        "sections": [
            {
                "name": section.name,
                "repeats": section.repeats,
                "channels": section.after.channels,
                "resolution": section.after.size,
                **_figures(section),
            }
            for section in counted.sections
        ],
        "verified": verified,
    }


_FIGURES = (
    *("flops", "multiply_adds", "params", "activations", "peak_memory"),
    *("flops_by_operator", "activations_by_operator"),
)


def _figures(counted: Any) -> dict[str, Any]:
    return {name: getattr(counted, name) for name in _FIGURES}
