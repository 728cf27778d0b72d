"""How often the test images of a study were looked at."""

from __future__ import annotations

from nas.search.study import Study


def tested_networks(study: Study) -> list[str]:
    """Return the networks that were tried on the test images, each once, in that order: ``trial 3``, or a digest."""
    trials = {trial.digest: trial.number for trial in reversed(study.trials())}  # a repeated network's first trial
    digests = dict.fromkeys(look.digest for look in study.test_looks())
    return [f"trial {trials[digest]}" if digest in trials else digest[:8] for digest in digests]


def warn_of_test_looks(study: Study) -> str | None:
    """Return what to say once the test images were looked at with more than one network."""
    networks = tested_networks(study)
    if len(networks) < 2:
        return None
    return (
        f"the test images of this study have now been looked at with {len(networks)} networks"
        f" ({', '.join(networks)}): choosing by test accuracy makes it optimistic"
    )
