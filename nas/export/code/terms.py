"""Expressions of Python as values: compared, generalised and written in lines of 88 columns.

Anti-unification (Plotkin 1970, "A note on inductive generalization"): of several expressions that differ in values
only, what is the same in all stays as it is, and what differs becomes a parameter; values that always agree are one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any, NamedTuple, TypeAlias

WIDTH = 88
"""Columns of a line, as ruff and black have it where nobody says otherwise."""


class Value(NamedTuple):
    """A value that may become a parameter; its role names that."""

    role: str
    value: Any


class Argument(NamedTuple):
    """A keyword argument, which is left out where its value is the default."""

    keyword: str
    term: Term
    default: str


class Call(NamedTuple):
    """A function or class with its arguments."""

    function: str
    arguments: tuple[Term | Argument, ...]


class Repeated(NamedTuple):
    """Several equal terms in a list of arguments."""

    term: Term
    times: int


class Noted(NamedTuple):
    """A term with a comment before it."""

    comment: str
    term: Term


Term: TypeAlias = str | Value | Call | Repeated | Noted


def values(term: Any) -> Iterator[Value]:
    """Yield the values of a term, or of tuples of terms, from left to right."""
    if isinstance(term, Value):
        yield term
    elif isinstance(term, tuple):
        for part in term:
            yield from values(part)


def replaced(term: Any, texts: Iterator[str]) -> Any:
    """Return a term, or tuples of terms, with a text in the place of each value."""
    if isinstance(term, Value):
        return next(texts)
    if not isinstance(term, tuple):
        return term
    parts = [replaced(part, texts) for part in term]
    return type(term)(*parts) if hasattr(term, "_fields") else tuple(parts)


def skeleton(term: Any) -> Any:
    """Return what terms have in common that differ in values only."""
    return replaced(term, iter(["?"] * sum(1 for _ in values(term))))


class Parameter(NamedTuple):
    """A parameter, and the places among the values that it stands for."""

    name: str
    role: str
    places: tuple[int, ...]


def generalised(
    terms: Sequence[Any], *, roles: Sequence[str], positional: Collection[str]
) -> tuple[Any, tuple[Parameter, ...]]:
    """Return the one term that stands for all of some that have the same skeleton, and its parameters.

    Args:
        terms: At least one.
        roles: All roles; of values that are one parameter, the role named first names it.
        positional: Those whose parameters come first, as the values do; the others follow in the order of ``roles``.
    """
    rows = [tuple(repr(value.value) for value in values(term)) for term in terms]
    places = dict[tuple[str, ...], list[int]]()
    for place, column in enumerate(zip(*rows, strict=True)):
        places.setdefault(column, []).append(place)
    all_roles = [value.role for value in values(terms[0])]
    texts = list(rows[0])
    found = [
        (min((all_roles[place] for place in at), key=roles.index), tuple(at))
        for column, at in places.items()
        if len(set(column)) > 1
    ]
    parameters = list[Parameter]()
    for role, at in sorted(found, key=lambda one: -1 if one[0] in positional else roles.index(one[0])):
        alike, before = sum(one[0] == role for one in found), sum(p.role == role for p in parameters)
        parameters.append(Parameter(role if alike == 1 else f"{role}{before + 1}", role, at))
        for place in at:
            texts[place] = parameters[-1].name
    return replaced(terms[0], iter(texts)), tuple(parameters)


def lines(term: Any, *, indent: int, before: str = "", after: str = "") -> list[str]:
    """Write a term: in one line where that has room, else argument by argument.

    Args:
        term: Without values but those that are written as they are.
        indent: Columns before it.
        before: Text before it in its first line.
        after: Text behind it in its last line.
    """
    margin = " " * indent
    if isinstance(term, Noted):
        return [f"{margin}# {term.comment}", *lines(term.term, indent=indent, before=before, after=after)]
    if isinstance(term, Argument):
        return lines(term.term, indent=indent, before=f"{before}{term.keyword}=", after=after)
    one = f"{margin}{before}{inline(term)}{after}"
    if not _noted(term) and len(one) <= WIDTH:
        return [one]
    if isinstance(term, Repeated):
        inner = lines(term.term, indent=indent + 4)
        return [f"{margin}{before}*(", *inner, f"{margin}    for _ in range({term.times})", f"{margin}){after}"]
    if not isinstance(term, Call):
        return [one]
    body = [line for part in _given(term) for line in lines(part, indent=indent + 4, after=",")]
    return [f"{margin}{before}{term.function}(", *body, f"{margin}){after}"]


def inline(term: Any) -> str:
    """Write a term in one line."""
    if isinstance(term, Call):
        return f"{term.function}({', '.join(map(inline, _given(term)))})"
    if isinstance(term, Repeated):
        return f"*({inline(term.term)} for _ in range({term.times}))"
    if isinstance(term, Argument):
        return f"{term.keyword}={inline(term.term)}"
    return repr(term.value) if isinstance(term, Value) else str(term)


def _given(call: Call) -> list[Any]:
    """Return the arguments that are not the default."""
    return [part for part in call.arguments if not (isinstance(part, Argument) and inline(part.term) == part.default)]


def _noted(term: Any) -> bool:
    return isinstance(term, Noted) or (isinstance(term, Call) and any(map(_noted, term.arguments)))
