"""What a network learns from besides the labels, as data."""

from __future__ import annotations

from typing import Any, Self

from pydantic import Field, PositiveFloat, field_validator, model_validator

from nas.schema import Strict


class Distillation(Strict):
    """The ``distillation`` section of a recipe: what a network learns from besides the labels.

    The loss is ``(1 - weight)`` times the recipe's own and ``weight * temperature²`` times the divergence KL(teacher |
    network) of the classes' probabilities at that temperature (Hinton et al. 2015, arXiv:1503.02531, §2).

    Attributes:
        teacher: One or several: the folder of a bundle of ``nas export``, or of what else holds
            ``architecture.json``, ``weights.safetensors`` and ``preprocessing.json``; in a study also STUDY#N, a trial
            of another one. Several are followed in the mean of their probabilities at the temperature.
        temperature: By which logits are divided, the teachers' and the network's; default 4.
        weight: Share of the teachers in the loss, above 0 and at most 1; default 0.9.
        digests: Of the teachers' architectures and weights, in the same order. A study writes them down at its first
            run, as it does ``folders``; a teacher that has another by now is refused.
        folders: Where the teachers lie, if ``teacher`` does not say it.
    """

    teacher: tuple[str, ...] = Field(min_length=1)
    temperature: PositiveFloat = 4.0
    weight: float = Field(0.9, gt=0, le=1)
    digests: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()

    @property
    def places(self) -> tuple[str, ...]:
        """Folders of the teachers."""
        return self.folders or self.teacher

    @field_validator("teacher", mode="before")
    @classmethod
    def _single_teacher(cls, given: Any) -> Any:
        return (given,) if isinstance(given, str) else given

    @model_validator(mode="after")
    def _a_digest_for_each(self) -> Self:
        for key in ("digests", "folders"):
            if (given := getattr(self, key)) and len(given) != len(self.teacher):
                raise ValueError(f"{key} must be as many as the teachers, {len(self.teacher)}, but are {len(given)}")
        return self
