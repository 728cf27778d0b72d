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
    if find_spec(module) is None:
        raise DataError(f"{what} needs {module}, which is not installed: pip install 'nas-explorer[{extra}]'")
