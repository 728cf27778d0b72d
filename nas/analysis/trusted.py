"""Whether the short trainings of a study can be trusted, as far as longer ones were made to tell."""

from __future__ import annotations

from nas.errors import UserError
from nas.search.study import Study


def told_trust(study: Study) -> list[str]:
    """Return how far the short trainings of a study are known to tell the order of longer ones, a sentence each."""
    if not any(name.split("-")[0] == "trust" for name in study.scaling_names()):
        return []
    from nas.search.lab.source import Source
    from nas.search.lab.stored import stored_trust  # a second, for those who have asked

    try:
        found = stored_trust(Source(study, None, study.name))
    except UserError as error:  # nothing was trained longer yet
        return [f"Cannot tell yet whether longer trainings have the same order: {error}."]
    return [f"Against {answer.long}: {answer.sentence}." for answer in found]
