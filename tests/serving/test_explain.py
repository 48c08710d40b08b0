import numpy as np
import pytest

from components.contract.dataset import Dataset
from components.contract.features import CATEGORICAL, NUMERIC, FeatureBuilder
from components.contract.history import History
from components.contract.ranking import Ranker
from components.contract.release import load
from serving.explain import GROUPS, columns, contributions

N = 5


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


@pytest.fixture
def features():
    random = np.random.default_rng(7)
    numeric = random.normal(size=(N, len(NUMERIC))).astype(np.float32)
    categorical = random.integers(1, 5, size=(N, len(CATEGORICAL))).astype(np.int32)
    # The second of two requests of a batch.
    page = np.array([[7, 8], [1, 2]], np.int32)
    return numeric, categorical, History(np.ones(N, np.int32), page, np.zeros((2, 2)), np.ones(2))


@pytest.mark.parametrize("features", [NUMERIC, CATEGORICAL])
def test_every_feature_is_in_one_group(features):
    named = [column for group in GROUPS for column in columns(features, group)]
    assert sorted(named) == list(range(len(features)))


def test_no_group_names_what_is_no_feature():
    known = {name.split(".")[0] for name in (*NUMERIC, *CATEGORICAL)}
    assert known == {stem for stems in GROUPS.values() for stem in stems}


def test_effects_of_a_linear_ranker_are_its_terms(features):
    numeric, categorical, history = features
    score, shift = NUMERIC.index("two_tower.score"), CATEGORICAL.index("shift")

    def rank(numbers, codes, _):
        return sigmoid(0.5 * numbers[:, score] - 0.25 * codes[:, shift])

    found = contributions(rank, numeric, categorical, history, np.array([3, 1]))
    for at, effects in zip([3, 1], found, strict=True):
        assert set(effects) == set(GROUPS)
        centred = numeric[at, score] - numeric[:, score].mean()
        assert effects["two_tower"] == pytest.approx(0.5 * centred, abs=1e-3)
        assert effects["time_and_shift"] == pytest.approx(-0.25 * categorical[at, shift], abs=1e-3)
        others = [value for group, value in effects.items() if group not in ("two_tower", "time_and_shift")]
        assert others == pytest.approx([0] * len(others), abs=1e-3)
        sizes = [abs(value) for value in effects.values()]
        assert sizes == sorted(sizes, reverse=True)


def test_what_the_history_says_is_of_its_path(features):
    def rank(numbers, codes, history):
        return sigmoid(0.25 * history.latest(2).page[history.row].sum(axis=1))

    for effects in contributions(rank, *features, np.arange(N)):
        assert effects["history_path"] == pytest.approx(0.25 * (2 + 3), abs=1e-3)
        assert sum(map(abs, effects.values())) == pytest.approx(effects["history_path"])


def test_all_is_scored_in_one_batch_and_certain_scores_stay_finite(features):
    batches = []

    def rank(numbers, codes, history):
        batches.append((len(numbers), len(codes), len(history.row)))
        return np.where(numbers[:, 0] > 0, 1, 0).astype(np.float32)

    found = contributions(rank, *features, np.arange(N))
    assert batches == [(N * (len(GROUPS) + 1),) * 3]
    assert np.isfinite([list(effects.values()) for effects in found]).all()
    assert contributions(rank, *features, np.array([], int)) == []


def test_the_features_are_left_as_they_were(features):
    *parts, history = features
    parts += history
    before = [part.copy() for part in parts]
    contributions(lambda numbers, *_: sigmoid(numbers.sum(axis=1)), *features, np.arange(N))
    for part, kept in zip(parts, before, strict=True):
        np.testing.assert_array_equal(part, kept)


@pytest.mark.slow
def test_effects_of_the_real_ranker_are_differences_of_its_logits(small_release, features):
    release = load(small_release)
    rank = Ranker(release.ranker).bind(FeatureBuilder(Dataset.load(release.root)).values)
    numeric, categorical, history = features
    categorical = np.minimum(categorical, 1)
    found = contributions(rank, numeric, categorical, history, np.arange(N))
    whole = rank(numeric, categorical).astype(float)
    logit = np.log(whole / (1 - whole))
    for group in GROUPS:
        numbers, codes = numeric.copy(), categorical.copy()
        numbers[:, columns(NUMERIC, group)] = numeric.mean(axis=0)[columns(NUMERIC, group)]
        codes[:, columns(CATEGORICAL, group)] = 0
        without = rank(numbers, codes).astype(float)
        expected = logit - np.log(without / (1 - without))
        np.testing.assert_allclose([effects[group] for effects in found], expected, atol=2e-3)
    assert max(abs(value) for effects in found for value in effects.values()) > 0.01
