"""How many weights of a network become zeros while it is trained, as data."""

from __future__ import annotations

from typing import Any, Self

from pydantic import Field, model_validator

from nas.schema import Strict


class Sparsity(Strict):
    """The ``sparsity`` section of a recipe: weights of least magnitude become zeros, by a cubic schedule.

    After the share ``x`` of the time from ``begins`` to ``ends`` a share ``share * (1 - (1 - x)³)`` of the weights of
    each layer is zero (Zhu & Gupta 2017, arXiv:1710.01878, equation 1): many early, when there are many to spare, and
    few late. What has become zero stays it.

    Attributes:
        share: Of each layer's weights at the end, above 0 and below 1. A recipe may give this number alone.
        begins: As a share of all steps; default 0, which suits networks that are trained already.
        ends: As a share of all steps; default 0.75, so that a quarter of them is left for those that stay.
    """

    share: float = Field(gt=0, lt=1)
    begins: float = Field(0.0, ge=0, lt=1)
    ends: float = Field(0.75, gt=0, le=1)

    @model_validator(mode="before")
    @classmethod
    def _share_alone(cls, given: Any) -> Any:
        return given if isinstance(given, dict | cls) else {"share": given}

    @model_validator(mode="after")
    def _ends_later(self) -> Self:
        if self.begins >= self.ends:
            raise ValueError(f"begins must be less than ends, but is {self.begins:g}, and ends {self.ends:g}")
        return self

    def at(self, time: float) -> float:
        """Return the share of weights that are zero when a share ``time`` of all steps is taken."""
        left = 1 - min(1.0, max(0.0, (time - self.begins) / (self.ends - self.begins)))
        return self.share * (1 - left**3)
