"""The largest amount of activation memory that a network needs at inference, in closed form.

Counted is the largest sum of feature maps that are alive at once while one image runs through the network, the image
among them. A convolution, a pooling and a concatenation write to new memory while what they read is there; batch norm,
activations, gates and additions work in place on what nobody needs afterwards. That is how inference runtimes run a
network, and how memory is counted for microcontrollers (Lin et al. 2020, arXiv:2007.10319, §3). Branches of a block run
one after another, then the shortcut, as in the built module.
"""

from __future__ import annotations

from functools import lru_cache

from nas.architecture.layers import Block, Shape, SqueezeExcite
from nas.architecture.shapes import Run, trace_block


def peak_elements(run: Run, *, kept: bool = False) -> int:
    """Return the most elements of feature maps alive at once while a layer or block runs, its input among them.

    Args:
        run: What runs, with the shapes (channels, size) of its input and output.
        kept: Whether somebody needs the input afterwards.
    """
    before, part = run.before, run.part
    if isinstance(part, Block):
        return _block_peak(part, before, kept)
    if isinstance(part, SqueezeExcite):
        # what is needed again cannot be gated in place; on a 1x1 map the gate itself is as large, and takes the product
        gated = 2 * before.elements + before.channels if kept and before.size > 1 else 0
        return max(before.elements + before.channels + part.channels, gated)
    return before.elements + run.after.elements


def _branch_peak(branch: tuple[Run, ...], given: int, *, kept: bool) -> int:
    """Return the peak of layers in sequence whose input has ``given`` elements and may be needed afterwards."""
    peak, held = given, 0
    for index, run in enumerate(branch):
        peak = max(peak, held + peak_elements(run, kept=kept and index == 0))
        held = given if kept else 0
        if run.repeats > 1:
            peak = max(peak, held + peak_elements(run))
    return peak


@lru_cache(maxsize=1 << 18)
def _block_peak(block: Block, shape: Shape, kept: bool) -> int:
    trace = trace_block(block, shape)
    given, joined = shape.elements, trace.after.elements
    concatenates = block.join == "concat" and len(trace.branches) > 1
    passed_on = not all(trace.branches)  # a branch of no layers: the input is part of the concatenation
    needed_later = kept or block.shortcut is not None
    peak = ends = 0
    for index, branch in enumerate(trace.branches):
        last = index + 1 == len(trace.branches)
        peak = max(peak, ends + _branch_peak(branch, given, kept=needed_later or passed_on or not last))
        if branch and (concatenates or index == 0):
            ends += branch[-1].after.elements
    if concatenates:
        peak = max(peak, ends + joined + (given if needed_later or passed_on else 0))
    if trace.shortcut:
        peak = max(peak, joined + _branch_peak(trace.shortcut, given, kept=kept))
    return peak
