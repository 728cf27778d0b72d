"""What a study tells of its networks: from its database, with the answers of those that were trained again."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
import pytest

from nas.analysis.pareto import front_with_noise, pareto_front
from nas.config.search import Replicates
from nas.fronts import judged
from nas.fronts.images import image_noise
from nas.fronts.posterior import ImageNoise
from nas.records import ClassNumbers, Repeat
from nas.search.run.wanted import _networks, next_repeat
from nas.search.storage.packing import pack
from nas.search.storage.schema import ANSWER, REPEAT
from nas.search.study import Study


def answers(labels: ClassNumbers, *, share: float, seed: int) -> ClassNumbers:
    random = np.random.default_rng(seed)
    return np.where(random.random(len(labels)) < share, labels, (labels + 1) % 10)


def forget_answers(study: Study) -> None:
    """Leave a study as versions did that kept no answers."""
    with study.database.engine.begin() as connection:
        connection.execute(ANSWER.delete())


def keep_answers(study: Study, number: int, repeat: int, given: ClassNumbers) -> None:
    row = {"study": study.name, "number": number, "repeat": repeat, "answers": pack(given)}
    with study.database.engine.begin() as connection:
        connection.execute(ANSWER.insert().prefix_with("OR REPLACE").values(row))


def keep_repeat(study: Study, repeat: Repeat) -> None:
    row = {**asdict(repeat), "study": study.name, "curve": "[]"}
    with study.database.engine.begin() as connection:
        connection.execute(REPEAT.insert().values(row))


def train_again(study: Study, *, with_answers: bool = True) -> None:
    """Keep two more trainings of each network of the front, and what all three answered."""
    labels = study.val_labels()
    assert labels is not None
    for trial in pareto_front(study):
        for repeat in range(3):
            given = answers(labels, share=0.8, seed=10 * trial.number + repeat)
            if repeat:
                accuracy = float((given == labels).mean())
                keep_repeat(study, Repeat(trial.number, repeat, "trained", repeat, accuracy=accuracy))
            if with_answers:
                keep_answers(study, trial.number, repeat, given)


def test_paired_answers_reach_the_judgement(own_study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    given = list[int]()

    def noted(networks: list[tuple[str, list[np.ndarray]]]) -> ImageNoise:
        given.extend(len(trainings) for _, trainings in networks)
        return image_noise(networks)

    monkeypatch.setattr(judged, "image_noise", noted)
    before = own_study.judgement()
    assert given == [] and before.noise.assumed
    front = pareto_front(own_study)
    train_again(own_study)
    after = own_study.judgement()
    assert given == [3] * len(front) and not after.noise.assumed and after.noise.further == 2 * len(front)
    points = front_with_noise(own_study)
    assert {p.seeds for p in (*points.points, *points.others) if p.trial in front} == {3}


def test_a_study_whose_answers_were_not_kept_is_judged_without(own_study: Study) -> None:
    forget_answers(own_study)
    train_again(own_study, with_answers=False)
    assert not own_study.judgement().noise.assumed and own_study.answers() == {}


def test_the_noise_of_another_metric_is_that_of_its_answers(own_study: Study) -> None:
    forget_answers(own_study)
    labels = own_study.val_labels()
    assert labels is not None
    config = own_study.config
    recipe = config.recipe.model_copy(update={"metric": "macro_f1"})
    study = own_study.settled(config.model_copy(update={"recipe": recipe}), own_study.fingerprint)
    assumed = study.judgement().noise.std
    for trial in study.trials():
        if trial.state == "trained":
            keep_answers(study, trial.number, 0, answers(labels, share=0.95, seed=trial.number))
    assert study.judgement().noise.std < 0.8 * assumed  # these answers are better than the trial's accuracies
    assert study.judgement().noise.assumed


@pytest.mark.parametrize("by", ["shrunk", "raw"])
def test_who_is_trained_again_goes_by_what_the_study_says(own_study: Study, by: str) -> None:
    asked: dict[str, Any] = {"repeat_by": by, "replicates": Replicates(seeds=2, networks=1)}
    search = own_study.config.search.model_copy(update=asked)
    study = own_study.settled(own_study.config.model_copy(update={"search": search}), own_study.fingerprint)
    networks = _networks(study, asked["replicates"])
    expected = {one.network.trial: one.network.shrunk for one in study.judgement().networks}
    if by == "raw":
        assert [network.shrunk for network in networks] == [network.mean for network in networks]
    else:
        assert {network.trial: network.shrunk for network in networks} == expected
    claimed = next_repeat(study)
    assert claimed is not None
    likeliest = max(networks, key=lambda network: network.probability)
    assert (claimed.trial, claimed.repeat) == (likeliest.trial, 1)
    keep_repeat(study, Repeat(claimed.trial.number, 1, "trained", claimed.seed, accuracy=0.5))
    assert next_repeat(study) is None  # one network, two seeds


def test_the_best_accuracy_alone_is_that_of_the_judgement(own_study: Study) -> None:
    for change in (lambda study: None, train_again, forget_answers):
        change(own_study)
        assert own_study.best_expected() == max(one.network.shrunk for one in own_study.judgement().networks)
    assert judged.best_expected([], [], val_images=10) is None
