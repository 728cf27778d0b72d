"""nas verify: whether a bundle is whole."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nas.cli.options import AsJson, print_json
from nas.cli.output import say

CHECKSUMS = "checksums show damage, not where a bundle comes from"


def verify(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="A folder that nas export wrote.")],
    as_json: AsJson = False,
) -> None:
    """Check an exported folder and its formats.

    Whether it is whole, and whether all formats are the same network. Nothing in it is executed.
    """
    from nas.cli.export import parity_line
    from nas.export.verify import verify_bundle

    found = verify_bundle(bundle)
    if as_json:
        document = {**found._asdict(), "directory": str(bundle), "formats": [one._asdict() for one in found.formats]}
        code = {"model_code": "the same bytes when written anew"}
        print_json({**document, **code, "files": list(found.files), "notes": [*found.notes, CHECKSUMS]})
        return
    say(f"{bundle} is whole: {len(found.files)} files as {found.writer} wrote them, network {found.digest}")
    say("  model.py: written anew, the same bytes; preprocess.py: as nas writes it")
    say(f"  compared with the network on {found.compared_on}:")
    for one in found.formats:
        say(f"    {parity_line(one)}")
    for note in (*found.notes, CHECKSUMS):
        say(f"  {note}")
