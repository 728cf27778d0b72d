"""A network as readable PyTorch code that needs torch alone, written from its description.

The code here knows layers and nothing of families. Names of parameters are those of the weights file.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from nas.architecture.cost import SectionCost, count_cost
from nas.architecture.layers import Block, Conv, Layer, Shape, SqueezeExcite
from nas.architecture.shapes import layer_shape
from nas.architecture.spec import Architecture, sections
from nas.export.code.skeletons import DEFAULTS, BlockClass, Blocks, Body
from nas.export.code.terms import WIDTH, Call, Noted, Repeated, Term, lines
from nas.units import format_count

CODE_VERSION = 1
"""It is raised when the same network is written in other bytes."""

_HERE = Path(__file__).parent
_NAME = 60  # characters of a name that are shown


def model_code(architecture: Architecture, preprocessing: Mapping[str, Any]) -> str:
    """Return a network as a Python module; the same bytes for equal arguments.

    It defines ``Network`` and ``load_model(weights="weights.safetensors")``, which returns one in eval mode. Dropout
    and stochastic depth, which act in training only, are left out.

    Args:
        architecture: Any architecture.
        preprocessing: How images are prepared: ``mean`` and ``std`` of each channel.
    """
    blocks = Blocks(architecture)
    parts = list(_parts(architecture))
    written = [
        _docstring(architecture, preprocessing),
        _imports(parts),
        _conv(architecture, parts) if any(isinstance(part, Conv) for part in parts) else "",
        _template("gate") if any(isinstance(part, SqueezeExcite) for part in parts) else "",
        _template("parallel") if any(len(one.body.branches) > 1 for one in blocks.classes) else "",
        *map(_block_class, blocks.classes),
        _network(architecture, blocks),
        _template("loading"),
    ]
    head, imports, *rest = written
    return f"{head}\n\n{imports}\n\n\n" + "\n\n\n".join(text.rstrip("\n") for text in rest if text) + "\n"


def plain_name(architecture: Architecture) -> str:
    """Return a network's name without what could mean anything in code, Markdown or YAML, or its digest."""
    name = " ".join(re.sub(r"[^A-Za-z0-9_.,+-]+", " ", architecture.name).split())[:_NAME].strip()
    return name or f"network {architecture.digest}"


def _parts(architecture: Architecture) -> Iterator[Layer | Block]:
    """Yield all layers and blocks of a network, those within blocks too."""

    def inside(part: Layer | Block) -> Iterator[Layer | Block]:
        yield part
        if isinstance(part, Block):
            for sequence in (*part.branches, part.shortcut or ()):
                for layer in sequence:
                    yield from inside(layer)

    for section in sections(architecture):
        for part in section.parts:
            yield from inside(part)


def _docstring(architecture: Architecture, preprocessing: Mapping[str, Any]) -> str:
    cost, size = count_cost(architecture), architecture.resolution
    channels = [f"({', '.join(f'{value:.6g}' for value in preprocessing[key])})" for key in ("mean", "std")]
    facts = (
        f"Digest {architecture.digest}; {cost.flops:,} FLOPs for one image (a multiply-add is one),"
        f" {cost.params:,} parameters, {architecture.num_classes} classes."
    )
    given = (
        f"Input: float32 of shape (n, {architecture.in_channels}, {size}, {size}), pixels of 0 to 1, of which the mean"
        f" {channels[0]} is subtracted and which are divided by the standard deviation {channels[1]}. Output: logits."
    )
    use = ("model = load_model()", "with torch.inference_mode():", "    logits = model(images)")
    left_out = "It is for inference: dropout and stochastic depth, which act in training only, are left out."
    texts = [textwrap.fill(text, WIDTH) for text in (facts, given)]
    return "\n\n".join(
        [
            f'"""{plain_name(architecture)}: PyTorch code',
            *texts,
            textwrap.indent("\n".join(use), " " * 4),
            f'{textwrap.fill(left_out, WIDTH)}\n"""',
        ]
    )


def _imports(parts: list[Layer | Block]) -> str:
    ordered = "from collections import OrderedDict\n" if any(isinstance(part, Conv) for part in parts) else ""
    return f"import json\nimport math\n{ordered}\nimport torch\nfrom torch import nn"


def _template(name: str) -> str:
    return (_HERE / f"{name}.py.txt").read_text(encoding="utf-8")


def _conv(architecture: Architecture, parts: list[Layer | Block]) -> str:
    """Return the function that makes convolutions, with the parameters that this network needs."""
    convs = [part for part in parts if isinstance(part, Conv)]
    pairs = any(isinstance(conv.kernel, tuple) for conv in convs)
    valid, bare = any(conv.padding == "valid" for conv in convs), not all(conv.norm for conv in convs)
    same = "(kernel - 1) // 2"
    if pairs:
        same = "tuple((side - 1) // 2 for side in sides)"
    names = ["in_channels", "channels", "kernel", "stride=1", "groups=1"]
    names += [*(["padding=None"] if valid else []), *(["norm=True"] if bare else []), "activation=None"]
    does = f"A convolution, batch norm{' or a bias' if bare else ''}, an activation."
    body = ["sides = kernel if isinstance(kernel, tuple) else (kernel, kernel)"] if pairs else []
    body += ["if padding is None:", f"    padding = {same}"] if valid else [f"padding = {same}"]
    body += [
        "conv = nn.Conv2d(",
        "    in_channels,",
        "    channels,",
        "    kernel,",
        "    stride,",
        "    padding,",
        "    groups=groups,",
        f"    bias={'not norm' if bare else 'False'},",
        ")",
    ]
    norm = f"nn.BatchNorm2d(channels, eps={architecture.norm_epsilon!r})"
    if bare:
        body += ["parts = OrderedDict(conv=conv)", "if norm:", f'    parts["norm"] = {norm}']
    else:
        body += [f"norm = {norm}", "parts = OrderedDict(conv=conv, norm=norm)"]
    body += ["if activation is not None:", '    parts["activation"] = activation()', "return nn.Sequential(parts)"]
    head = _definition("conv", names, indent=0)
    return "\n".join([*head, f'    """{does}"""', *(f"    {line}" for line in body)])


def _definition(name: str, parameters: list[str], *, indent: int) -> list[str]:
    return lines(Call(name, tuple(parameters)), indent=indent, before="def ", after=":")


def _block_class(described: BlockClass) -> str:
    body, margin = described.body, " " * 8
    names = [
        f"{parameter.name}={DEFAULTS[parameter.role]}" if parameter.role in DEFAULTS else parameter.name
        for parameter in described.parameters
    ]
    written = [f"{margin}super().__init__()", *_branches(body)]
    if body.shortcut:
        written += lines(Call("nn.Sequential", body.shortcut), indent=8, before="self.shortcut = ")
    if body.residual == "residual":
        written.append(f"{margin}self.residual = residual")
    if body.activation != "None":
        written.append(f"{margin}self.activation = {body.activation}()")
    return "\n".join(
        [
            f"class {described.name}(nn.Module):",
            f'    """{_told(body)}"""',
            "",
            *_definition("__init__", ["self", *names], indent=4),
            *written,
            "",
            "    def forward(self, x):",
            *(f"{margin}{line}" for line in _forward(body)),
        ]
    )


def _branches(body: Body) -> list[str]:
    branches = tuple(Call("nn.Sequential", branch) for branch in body.branches)
    if len(branches) > 1:
        return lines(Call("parallel", branches), indent=8, before="self.branches = ")
    return [
        *lines(branches[0], indent=8, before="layers = "),
        "        self.branches = nn.ModuleList([layers])",
    ]


def _told(body: Body) -> str:
    """Return what a block does, in words."""
    count = len(body.branches)
    words = "Layers in sequence" if count == 1 else f"{count} branches side by side"
    if count > 1 and body.join == "add":
        words = f"{count} branches, added"
    if body.shortcut:
        words += ", and a shortcut"
    elif body.residual != "False":
        words += ", and the input" if body.residual == "True" else ", and the input if residual"
    return f"{words}, then {body.activation.removeprefix('nn.')}." if body.activation != "None" else f"{words}."


def _forward(body: Body) -> list[str]:
    code, y = list[str](), "self.branches[0](x)"
    if len(body.branches) > 1 and body.join == "concat":
        y = "torch.cat([branch(x) for branch in self.branches], dim=1)"
    elif len(body.branches) > 1:
        code, y = [f"y = {y}", "for branch in self.branches[1:]:", "    y = y + branch(x)"], "y"
    if body.residual == "residual":
        code, y = [*code, *([f"y = {y}"] if y != "y" else []), "if self.residual:", "    y = y + x"], "y"
    elif body.shortcut or body.residual == "True":
        code, y = [*code, *([f"y = {y}"] if y != "y" else [])], "y + self.shortcut(x)" if body.shortcut else "y + x"
    return [*code, f"return self.activation({y})" if body.activation != "None" else f"return {y}"]


def _network(architecture: Architecture, blocks: Blocks) -> str:
    shape = Shape(architecture.in_channels, architecture.resolution)
    costs = {section.name: section for section in count_cost(architecture).sections}
    terms = dict[str, Term]()
    for section in sections(architecture):
        made = list[Term]()
        for part in section.parts:
            made.append(blocks.term(part, shape))
            shape = layer_shape(part, shape)
        terms[section.name] = Call("nn.Sequential", tuple(_folded(made)))
    stages = [Noted(_cost_note(costs[name]), term) for name, term in terms.items() if name.startswith("stages")]
    written = [
        *lines(terms["stem"], indent=8, before="self.stem = "),
        *lines(Call("nn.Sequential", tuple(stages)), indent=8, before="self.stages = "),
        *lines(terms["head"], indent=8, before="self.head = "),
        "        self.pool = nn.AdaptiveAvgPool2d(1)",
        f"        self.classifier = nn.Linear({shape.channels}, {architecture.num_classes})",
    ]
    return _template("network").replace("        ...", "\n".join(written))


def _folded(terms: list[Term]) -> list[Term]:
    """Return terms with those that follow their equals as one."""
    folded = list[Term]()
    start = 0
    while start < len(terms):
        end = start
        while end < len(terms) and terms[end] == terms[start]:
            end += 1
        folded.append(terms[start] if end - start == 1 else Repeated(terms[start], end - start))
        start = end
    return folded


def _cost_note(cost: SectionCost) -> str:
    after = cost.after
    return f"to {after.channels} channels of {after.size} x {after.size}: {format_count(cost.flops)} FLOPs"
