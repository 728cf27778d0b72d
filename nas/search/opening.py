"""From a name to a study: a file, a shipped study, a definition, or a scaling study as ``STUDY:shape``."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TypeAlias

from nas.config.study import StudyConfig, load_study_config, settled
from nas.errors import StudyError
from nas.search.storage.database import Database
from nas.search.study import Study

_SCALING = re.compile(r"(?P<study>.{2,}):(?P<name>[a-z]+(-[0-9a-z]+)*)")
"""A scaling study as one names it on the command line, such as ``cifar10:shape``."""


Named: TypeAlias = str | Path | StudyConfig | Study
"""A study file, the name of a shipped study, a definition (its folder is ``./studies/NAME``), or an opened study."""


def find_study(study: Named, *, storage: str | None = None) -> Study:
    """Return the study that is meant, as its definition says and whether it was run or not.

    Here a name becomes a study; whatever works with it further on is given the study.

    Args:
        study: A study file, the name of a shipped study, a definition, or an opened study, which is returned as it is.
        storage: URL of its database where it is not in the study's folder.

    Raises:
        ConfigError: The study file is missing or wrong.
        StudyError: ``storage`` is not a database URL.
    """
    if isinstance(study, Study):
        if storage not in (None, study.storage):
            raise StudyError(f"storage does not apply: study {study.name!r} is open in {study.database}")
        return study
    if isinstance(study, StudyConfig):
        config, directory = study, Path("studies") / study.name
    elif isinstance(study, str) and (part := _SCALING.fullmatch(study)):
        return find_study(part["study"], storage=storage).scaling(part["name"])
    else:
        config, directory = load_study_config(study)
    return Study(config, directory, Database(storage) if storage else Database.in_folder(directory))


def open_study(study: Named, *, storage: str | None = None) -> Study:
    """Open a study that has been run, to look at it.

    Args:
        study: A study file, the name of a shipped study, or a definition.
        storage: Database URL; default: the SQLite database in the study's folder.

    Raises:
        ConfigError: The study file is missing or wrong.
        StudyError: The study has not been run yet, or the database belongs to another program.
    """
    found = find_study(study, storage=storage)
    stored = found.stored()
    if stored is None:
        raise StudyError(f"study {found.name!r} has not been run yet in {found.database}: run it with nas search")
    config, fingerprint = stored
    data = settled(found.config, config).data  # with the present paths
    return found.settled(config.model_copy(update={"data": data}), fingerprint)
