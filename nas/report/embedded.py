"""What the page carries inside: data and plotly's script, as text that no browser takes for markup."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

from markupsafe import Markup

from nas.plots.library import plotly_js

_PLAIN = 100_000
"""Bytes from which on data is compressed: below, a browser that cannot inflate shows it all the same."""
_HARMFUL = {ord("<"): "\\u003c", ord(">"): "\\u003e", ord("&"): "\\u0026", 0x2028: "\\u2028", 0x2029: "\\u2029"}
_DIGITS = 6
"""Significant digits of a figure's numbers; no screen shows more."""


class Script(NamedTuple):
    """A script, and its digest as a content-security policy names it."""

    text: str
    digest: str


def plain_data(value: Any) -> Any:
    """Return data for a figure with numbers of six digits; what is not finite is null, as JSON has no other word."""
    if isinstance(value, float):
        return _rounded(value) if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: plain_data(item) for key, item in value.items()}
    if hasattr(value, "tolist"):  # an array, or a number of NumPy's
        return plain_data(value.tolist())
    return [plain_data(item) for item in value] if isinstance(value, list | tuple) else value


def _rounded(value: float) -> float | int:
    short = float(f"{value:.{_DIGITS}g}")
    return int(short) if short.is_integer() and abs(short) < 1e15 else short


def embedded(identity: str, document: Any) -> Markup:
    """Return a document as an element of a page that a script reads: JSON, compressed where it is long.

    Args:
        identity: Of the element.
        document: Plain JSON data.
    """
    text = json.dumps(document, separators=(",", ":"), allow_nan=False).translate(_HARMFUL)
    if len(text) <= _PLAIN:
        return Markup(f'<script type="application/json" id="{identity}">{text}</script>')
    return packed(identity, text.encode())


def packed(identity: str, content: bytes) -> Markup:
    """Return bytes as an element of a page, compressed: gzip, then base64."""
    text = base64.b64encode(gzip.compress(content, 9, mtime=0)).decode()
    return Markup(f'<script type="application/gzip" id="{identity}">{text}</script>')


def script(text: str) -> Script:
    """Return a script with its digest."""
    return Script(text, f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'")


@cache
def plotly_script() -> Script:
    """Return plotly's script with its digest."""
    return script(plotly_js())


def policy(scripts: Sequence[Script], *, webgl: bool) -> str:
    """Return a content-security policy: these scripts run and no others, and nothing is loaded or sent.

    Styles are free, because plotly writes them into its elements.

    Args:
        scripts: That may run.
        webgl: Whether a figure is drawn by WebGL, for which plotly makes functions from text of its own.
    """
    allowed = " ".join([*(one.digest for one in scripts), *(["'unsafe-eval'"] if webgl else [])])
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data: blob:;"
        " base-uri 'none'; form-action 'none'"
    )
