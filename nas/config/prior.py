"""What an earlier study says of a new one: how an error changes with parameters and cost, as coefficients."""

from __future__ import annotations

import hashlib
import json
from typing import Self

from pydantic import model_validator

from nas.schema import Strict


class Prior(Strict):
    """Slopes of the logarithm of an error over the logarithms of parameters and cost, and how sure they are.

    The error is counted as the sampler counts it (``nas/sampling/scores.py``): without a unit, whatever was learned.

    Attributes:
        source: The study or table that it is from, as it was named.
        slopes: By parameter: change of the logarithm of the error with that of the parameter.
        cost: The same of the cost.
        covariance: Of the slopes in their order, that of the cost last.
    """

    source: str = ""
    slopes: dict[str, float]
    cost: float
    covariance: tuple[tuple[float, ...], ...]

    @model_validator(mode="after")
    def _covariance_fits(self) -> Self:
        terms = len(self.slopes) + 1
        if [len(row) for row in self.covariance] != [terms] * terms:
            raise ValueError(f"covariance must be {terms} rows of {terms} numbers: one for each slope, the cost last")
        return self

    @property
    def named(self) -> str:
        """What a message calls it."""
        return f"the prior of {self.source}" if self.source else "the prior"

    @property
    def digest(self) -> str:
        """Sixteen hexadecimal digits of the coefficients, wherever they are from."""
        content = json.dumps(self.model_dump(mode="json", exclude={"source"}), sort_keys=True)
        return hashlib.blake2b(content.encode(), digest_size=8).hexdigest()
