import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.evaluate import metrics as m

small_scores = st.lists(st.integers(0, 4), min_size=1, max_size=7)


def at_place(better, ties, k, gain):
    """Mean gain over every place that the target may take among its ties."""
    places = range(better, better + ties + 1)
    return float(np.mean([gain(place) if place < k else 0.0 for place in places]))


@given(better=st.integers(0, 15), ties=st.integers(0, 15), k=st.integers(1, 12))
def test_expected_over_all_places_of_a_tie(better, ties, k):
    b, t = np.array([better]), np.array([ties])
    assert m.hit_rate(b, t, k)[0] == pytest.approx(at_place(better, ties, k, lambda place: 1.0))
    assert m.ndcg(b, t, k)[0] == pytest.approx(
        at_place(better, ties, k, lambda place: 1 / np.log2(place + 2))
    )
    assert m.reciprocal_rank(b, t, k)[0] == pytest.approx(
        at_place(better, ties, k, lambda place: 1 / (place + 1))
    )


@settings(max_examples=25)
@given(scores=small_scores, k=st.integers(1, 8))
def test_ties_against_random_orders(scores, k):
    """Shuffle the candidates many times, sort by score: the mean is the expected value."""
    draw = np.random.default_rng(0)
    score = np.array(scores)
    label = np.zeros(len(score), bool)
    label[0] = True
    better, ties = m.positions(score.astype(float), np.zeros(len(score), np.int32), label, 1, 100)
    rounds = 4000
    noise = draw.random((rounds, len(score)))
    place = ((score > score[0]) | ((score == score[0]) & (noise < noise[:, :1]))).sum(axis=1)
    gains = {
        m.hit_rate: (place < k).astype(float),
        m.ndcg: np.where(place < k, 1 / np.log2(place + 2), 0),
        m.reciprocal_rank: np.where(place < k, 1 / (place + 1), 0),
    }
    for metric, simulated in gains.items():
        assert metric(better, ties, k)[0] == pytest.approx(simulated.mean(), abs=0.04)


@given(rows=st.lists(st.tuples(small_scores, st.integers(-1, 6)), min_size=1, max_size=5))
def test_positions_against_a_loop(rows):
    score, row, label = [], [], []
    for number, (scores, target) in enumerate(rows):
        score += scores
        row += [number] * len(scores)
        label += [place == target for place in range(len(scores))]
    better, ties = m.positions(
        np.array(score, np.float32), np.array(row, np.int32), np.array(label), len(rows), 99
    )
    for number, (scores, target) in enumerate(rows):
        if 0 <= target < len(scores):
            assert better[number] == sum(s > scores[target] for s in scores)
            assert ties[number] == sum(s == scores[target] for s in scores) - 1
        else:
            assert (better[number], ties[number]) == (99, 0)


def test_requests_without_candidates_miss():
    better, ties = m.positions(np.array([0.5]), np.array([1], np.int32), np.array([True]), 3, 40)
    assert (better.tolist(), ties.tolist()) == ([40, 0, 40], [0, 0, 0])


@given(pairs=st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=1, max_size=30))
def test_auc_against_all_pairs(pairs):
    score = np.array([p[0] for p in pairs], float)
    label = np.array([p[1] for p in pairs])
    wins = [1.0 if a > b else 0.5 if a == b else 0.0 for a in score[label] for b in score[~label]]
    found = m.auc(score, label)
    if wins:
        assert found == pytest.approx(np.mean(wins))
    else:
        assert np.isnan(found)


@given(
    pairs=st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=40),
    bins=st.integers(1, 12),
)
def test_calibration_bins_hold_everything_in_order(pairs, bins):
    probability = np.array([p[0] for p in pairs])
    label = np.array([p[1] for p in pairs])
    table = m.calibration(probability, label, bins)
    counts = np.array([row["count"] for row in table])
    assert counts.sum() == len(pairs)
    assert counts.max() - counts.min() <= 1
    predicted = [row["predicted"] for row in table]
    assert predicted == sorted(predicted)
    assert np.average(predicted, weights=counts) == pytest.approx(probability.mean(), abs=1e-5)
    assert np.average([row["observed"] for row in table], weights=counts) == pytest.approx(
        label.mean(), abs=1e-5
    )


def test_calibration_error_by_hand():
    table = [
        {"predicted": 0.1, "observed": 0.0, "count": 6},
        {"predicted": 0.7, "observed": 1.0, "count": 2},
    ]
    assert m.expected_calibration_error(table) == pytest.approx((0.6 + 0.6) / 8)
    assert m.expected_calibration_error([]) == 0


def test_log_loss_by_hand_and_at_the_ends():
    found = m.log_loss(np.array([0.8, 0.4], np.float32), np.array([True, False]))
    assert found == pytest.approx(-(np.log(0.8) + np.log(0.6)) / 2, rel=1e-6)
    assert np.isfinite(m.log_loss(np.array([0.0, 1.0]), np.array([True, False])))


def test_bootstrap_covers_the_mean_at_its_rate():
    draw = np.random.default_rng(3)
    covered = 0
    for seed in range(200):
        low, high = m.bootstrap(draw.normal(1.0, 2.0, 100), np.arange(100), rounds=300, seed=seed)
        covered += low <= 1.0 <= high
    assert 0.88 <= covered / 200 <= 0.99


def test_bootstrap_draws_whole_associates():
    values = np.repeat(np.random.default_rng(1).normal(size=20), 50)
    apart = m.bootstrap(values, np.arange(1000))
    together = m.bootstrap(values, np.repeat(np.arange(20), 50))
    assert together[1] - together[0] > 4 * (apart[1] - apart[0])
    assert together[0] < values.mean() < together[1]
    assert m.bootstrap(values, np.arange(1000)) == apart


def test_bootstrap_of_nothing():
    assert np.isnan(m.bootstrap(np.empty(0), np.empty(0))).all()
