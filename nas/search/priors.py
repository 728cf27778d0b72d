"""What an earlier study tells of a new one: its trainings, reduced to the coefficients of a prior."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import optuna
from optuna.study import StudyDirection

from nas.architecture.space import COEFFICIENTS
from nas.config.prior import Prior
from nas.config.study import StudyConfig
from nas.errors import ConfigError, UserError
from nas.files import is_table
from nas.fronts.geometry import Array
from nas.sampling.fitting import fit_prior
from nas.sampling.law import misfit, require_shared
from nas.scaling.evidence import TrainedNetwork
from nas.search.proposals import distributions
from nas.search.storage.database import Database
from nas.search.study import Study


def scaling_prior(
    source: str | Path | Study | optuna.Study, *, storage: str | None = None, cost_index: int = 1
) -> Prior:
    """Return what an earlier study tells a search on other images, for ``ParetoSampler`` or ``search.prior``.

    Args:
        source: A study that has been run, a table as ``nas table build`` writes it (``.csv`` or ``.csv.gz``), or a
            study of Optuna's with two objectives.
        storage: URL of the study's database where it is not in its folder.
        cost_index: Which of the two objectives of a study of Optuna's is the cost: 0 or 1.

    Raises:
        UserError: There is no such study or table, or it does not tell enough.
    """
    if isinstance(source, optuna.Study):
        return _of_optuna(source, cost_index)
    from nas.search.evidence import gather  # loads pandas

    name = source.name if isinstance(source, Study) else Path(source).name
    networks = gather(source, storage=storage).networks
    return prior_of(networks, np.array([network.error for network in networks]), source=name)


def prior_of(networks: Sequence[TrainedNetwork], errors: Array, *, source: str) -> Prior:
    """Return what networks and their errors, float64 of shape (networks,), tell a search."""
    tried = [{key: getattr(network, key) for key in COEFFICIENTS} for network in networks]
    return fit_prior(tried, np.array([float(network.flops) for network in networks]), errors, source=source)


def _of_optuna(study: optuna.Study, cost_index: int) -> Prior:
    if len(study.directions) != 2:
        raise UserError(f"a prior needs a study of two objectives, but it has {len(study.directions)}")
    trials = study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.COMPLETE,))
    values = np.array([trial.values for trial in trials], dtype=float).reshape(-1, 2)
    usable = np.isfinite(values).all(axis=1)
    sign = -1 if study.directions[1 - cost_index] == StudyDirection.MAXIMIZE else 1
    tried = [trial.params for trial, use in zip(trials, usable, strict=True) if use]
    losses: Array = sign * values[usable, 1 - cost_index]
    return fit_prior(tried, values[usable, cost_index], losses, source=study.study_name)


def with_prior(config: StudyConfig, database: Database, directory: Path) -> StudyConfig:
    """Return a definition in which a prior that is named by its study or table is its coefficients.

    Args:
        config: A definition.
        database: Of the study; a prior's study that was not run in its own folder is looked for there.
        directory: Of the study.

    Raises:
        ConfigError: What the prior is named by cannot be read or tells too little, or it knows none of the parameters.
    """
    named = config.search.prior
    if isinstance(named, str):
        shared = None if database.url == Database.in_folder(directory).url else database.url
        try:
            prior = _read(named, shared)
        except UserError as error:
            raise ConfigError(f"search.prior: {error}") from None
        config = config.model_copy(update={"search": config.search.model_copy(update={"prior": prior})})
    if config.search.prior is not None:
        require_shared(config.search.known_prior, distributions(config.search))
    return config


def _read(named: str, shared: str | None) -> Prior:
    """Return a prior by its name: from where the study lies, else from the database that the new study is in."""
    try:
        return scaling_prior(named)
    except UserError:
        if shared is None or is_table(named):
            raise
        return scaling_prior(named, storage=shared)


def prior_note(config: StudyConfig) -> str | None:
    """Return one line where a prior and a search do not have the same parameters, else None."""
    if config.search.prior is None:
        return None
    prior = config.search.known_prior
    apart = misfit(prior, distributions(config.search))
    return f"{prior.named} has other parameters than this search: {apart}" if apart else None
