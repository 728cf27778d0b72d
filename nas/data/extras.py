"""Optional libraries."""

from __future__ import annotations

from importlib.util import find_spec

from nas.errors import DataError


def require_extra(module: str, *, extra: str, what: str) -> None:
    """Make sure that an optional library is there.

    Args:
        module: That is imported later.
        extra: Of this package, which installs it.
        what: Needs it, for people.

    Raises:
        DataError: It is not installed.
    """
    spec = find_spec(module)
    if spec is None or spec.origin is None:  # a folder of that name, as wandb makes one, is no library
        raise DataError(f"{what} needs {module}, which is not installed: pip install 'nas-explorer[{extra}]'")
