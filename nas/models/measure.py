"""Measure what a built module costs: the judge of the closed forms in ``architecture/cost.py`` and ``memory.py``.

FLOPs and activations are fvcore's. The peak of activation memory is read off the traced graph of the module.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping
from typing import Any

import torch
from torch import fx, nn

from nas.architecture.cost import BYTES_PER_ELEMENT, FLOP_OPERATORS, Cost, Counts, SectionCost
from nas.architecture.layers import Shape
from nas.architecture.shapes import branch_shape
from nas.architecture.spec import Architecture, Section, sections
from nas.errors import MeasurementError

UNCOUNTED_OPERATORS = frozenset(
    f"aten::{name}"
    for name in (
        *("add", "mul", "sigmoid", "avg_pool2d", "max_pool2d"),
        *("elu", "gelu", "hardswish", "leaky_relu", "prelu", "silu"),
    )
)
"""Operators that fvcore does not count and this project takes as free; any other uncounted one is an error."""

_IN_PLACE_MODULES = (nn.BatchNorm2d, *(getattr(nn, name) for name in ("ReLU", "PReLU", "LeakyReLU", "ELU")))
_IN_PLACE_MODULES += (nn.SiLU, nn.GELU, nn.Hardswish)
_SAME_MEMORY = ("flatten", nn.Identity, nn.Dropout)


def measure_cost(model: nn.Module, architecture: Architecture) -> Cost:
    """Measure what one image costs in eval mode.

    Args:
        model: The built network. Its mode (training or evaluation) is restored afterwards.
        architecture: The architecture of the network, which gives the shape of the input.

    Returns:
        The cost, equal to ``count_cost(architecture)``.

    Raises:
        MeasurementError: The network runs an operator whose cost is not known.
    """
    weight = next(model.parameters())
    size = (1, architecture.in_channels, architecture.resolution, architecture.resolution)
    images = torch.zeros(size, device=weight.device, dtype=weight.dtype)
    was_training = model.training
    model.eval()
    try:
        flops, activations = _analyse(model, images)
        peaks = _peak_elements(model, images)
    finally:
        model.train(was_training)
    parts = []
    shape = Shape(architecture.in_channels, architecture.resolution)
    for section in (*sections(architecture), Section("classifier", ())):
        modules = _modules_of(section.name)
        after = branch_shape(section.parts, shape)
        classifies = section.name == "classifier"
        parts.append(
            SectionCost(
                name=section.name,
                repeats=1 if classifies else len(section.parts),
                before=shape,
                after=Shape(architecture.num_classes, 1) if classifies else after,
                counts=_counts([model.get_submodule(name) for name in modules], modules, flops, activations),
                peak_memory=BYTES_PER_ELEMENT * max((peaks.get(name, 0) for name in modules), default=0),
            )
        )
        shape = after
    return Cost.of_sections(parts)


def _modules_of(section: str) -> tuple[str, ...]:
    """Return the names of the modules of a section: ``stages[0]`` is ``stages.0``."""
    return ("pool", "classifier") if section == "classifier" else (section.replace("[", ".").replace("]", ""),)


def _counts(
    modules: list[nn.Module],
    names: tuple[str, ...],
    flops: Mapping[str, Mapping[str, int]],
    activations: Mapping[str, Mapping[str, int]],
) -> Counts:
    def total(found: Mapping[str, Mapping[str, int]], operator: str) -> int:
        return sum(int(found[name].get(operator, 0)) for name in names if name in found)

    return Counts(
        **{operator: total(flops, operator) for operator in FLOP_OPERATORS},
        conv_outputs=total(activations, "conv"),
        linear_outputs=total(activations, "linear"),
        params=sum(parameter.numel() for module in modules for parameter in module.parameters()),
        weights=sum(
            part.weight.numel()
            for module in modules
            for part in module.modules()
            if isinstance(part, nn.Conv2d | nn.Linear)
        ),
    )


def _analyse(model: nn.Module, images: torch.Tensor) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return FLOPs and activations by module and operator.

    The import lives here because fvcore's raises deprecation warnings.
    """
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        from fvcore.nn import ActivationCountAnalysis, FlopCountAnalysis

        logging.getLogger("fvcore").setLevel(logging.ERROR)
        flops: Any = FlopCountAnalysis(model, images).unsupported_ops_warnings(False).uncalled_modules_warnings(False)
        activations: Any = ActivationCountAnalysis(model, images).unsupported_ops_warnings(False)
        activations.uncalled_modules_warnings(False)
        found = flops.by_module_and_operator(), activations.by_module_and_operator()
    unknown = set(flops.unsupported_ops()) - UNCOUNTED_OPERATORS
    unknown |= set(found[0][""]) - set(FLOP_OPERATORS)
    if unknown:
        raise MeasurementError(f"nas does not know the cost of {', '.join(sorted(unknown))}: the total would be wrong")
    return found


def _peak_elements(model: nn.Module, images: torch.Tensor) -> dict[str, int]:
    """Return the most elements alive at once while each top-level module (or stage) runs, from the traced graph.

    Element-wise operations work in place on an operand that nobody reads afterwards; every other one writes to new
    memory while its operands are alive.
    """
    graph = fx.GraphModule(model, _Tracer().trace(model))
    sizes = _Sizes(graph)
    sizes.run(images)
    nodes = [node for node in graph.graph.nodes if node.op != "output"]
    memory: dict[fx.Node, fx.Node] = {}  # the node that made the memory a node lies in
    last_read: dict[fx.Node, int] = {}
    for time, node in enumerate(nodes):
        memory[node] = memory[node.all_input_nodes[0]] if _is(graph, node, _SAME_MEMORY) else node
        last_read.update({memory[given]: time for given in node.all_input_nodes} | {memory[node]: time})
    peaks: dict[str, int] = {}
    alive: dict[fx.Node, int] = {}
    for time, node in enumerate(nodes):
        if memory[node] is node:
            dying = [memory[g] for g in node.all_input_nodes if last_read[memory[g]] == time]
            in_place = _is(graph, node, (*_IN_PLACE_MODULES, "add", "mul", "sigmoid"))
            reused = next((d for d in dying if in_place and sizes.elements[d] == sizes.elements[node]), None)
            if reused is not None:
                del alive[reused]
            alive[node] = sizes.elements[node]
        where = _top_module(node)
        peaks[where] = max(peaks.get(where, 0), sum(alive.values()))
        alive = {node: size for node, size in alive.items() if last_read[node] > time}
    return peaks


class _Tracer(fx.Tracer):
    """Keeps whole what is a layer, of torch or made from one of torch's."""

    def is_leaf_module(self, module: nn.Module, name: str) -> bool:
        return isinstance(module, nn.Conv2d) or super().is_leaf_module(module, name)


class _Sizes(fx.Interpreter):
    """Runs a graph and keeps how many elements each node puts out."""

    def __init__(self, graph: fx.GraphModule) -> None:
        super().__init__(graph)
        self.elements: dict[fx.Node, int] = {}

    def run_node(self, node: fx.Node) -> Any:
        with torch.no_grad():
            result = super().run_node(node)
        if isinstance(result, torch.Tensor):
            self.elements[node] = result.numel()
        return result


def _is(graph: fx.GraphModule, node: fx.Node, kinds: tuple[object, ...]) -> bool:
    """Tell whether a node is a module or function of one of the kinds."""
    if node.op == "call_module":
        return type(graph.get_submodule(str(node.target))) in kinds
    return node.op != "placeholder" and getattr(node.target, "__name__", node.target) in kinds


def _top_module(node: fx.Node) -> str:
    """Return the name of the section's module that a node belongs to."""
    stack = list(node.meta.get("nn_module_stack", {}))
    deepest = str(stack[-1]) if stack else ""
    parts = deepest.split(".")
    return ".".join(parts[:2]) if parts[0] == "stages" else parts[0]
