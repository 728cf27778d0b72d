"""The report's page as tests read it: what its scripts are given, and its text."""

from __future__ import annotations

import base64
import gzip
import json
import re
from html.parser import HTMLParser
from typing import Any


def held(page: str, identity: str) -> Any:
    """Return the document that an element of a page holds for its scripts."""
    kind, text = re.search(
        rf'<script type="application/(\w+)" id="{identity}">(.*?)</script>', page, re.DOTALL
    ).groups()  # type: ignore[union-attr]
    return json.loads(text if kind == "json" else gzip.decompress(base64.b64decode(text)))


def shown(page: str) -> str:
    """Return a page in one line, without scripts and what they are given."""
    return " ".join(re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL).split())


def words(page: str) -> str:
    """Return the text of a page in one line, as a reader has it."""
    found = list[str]()
    parser = HTMLParser()
    parser.handle_data = found.append  # type: ignore[method-assign]
    parser.feed(re.sub(r"<style.*?</style>", "", shown(page), flags=re.DOTALL))
    return " ".join(" ".join(found).split())
