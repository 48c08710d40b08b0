import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.evaluate import metrics as m
from components.evaluate.champion import EVERYBODY, Calibration, compare, request_auc, standard_error

# Two requests of three candidates each; the first candidate of each was opened.
ROW = np.repeat(np.arange(2, dtype=np.int32), 3)
LABEL = np.array([True, False, False, True, False, False])
WHO = np.array(["a", "b"])
CHALLENGER = np.array([0.9, 0.5, 0.1, 0.5, 0.9, 0.1])
CHAMPION = np.array([0.9, 0.5, 0.1, 0.9, 0.5, 0.1])


def test_compare_by_hand():
    found = compare((CHALLENGER, CHAMPION), ROW, LABEL, WHO, {"b only": np.array([False, True])}, 9)
    assert list(found) == [EVERYBODY, "b only"]
    second = 1 / np.log2(3)
    everybody = found[EVERYBODY]
    assert everybody["requests"] == 2
    assert everybody["ndcg"]["challenger"] == pytest.approx((1 + second) / 2, abs=1e-5)
    assert everybody["ndcg"]["champion"] == 1.0
    # Differences 0 and second - 1 around their mean, by one associate each.
    spread = (1 - second) / 2
    assert everybody["ndcg"]["standard_error"] == pytest.approx(np.sqrt(2 * spread**2) / 2, abs=1e-6)
    assert everybody["auc"]["challenger"] == pytest.approx((1 + 0.5) / 2)
    assert everybody["auc"]["champion"] == 1.0
    assert found["b only"]["ndcg"]["challenger"] == pytest.approx(second, abs=1e-5)
    assert found["b only"]["requests"] == 1


def test_calibration_error_in_one_cohort_by_hand():
    # Three candidates, a bin each: gaps .1, .5 and .1 of the champion, .5, .9 and .1 of the challenger.
    found = compare((CHALLENGER, CHAMPION), ROW, LABEL, WHO, {"b only": np.array([False, True])}, 9)
    assert found["b only"]["calibration_error"]["champion"] == pytest.approx(0.7 / 3, abs=1e-5)
    assert found["b only"]["calibration_error"]["challenger"] == pytest.approx(1.5 / 3, abs=1e-5)


def test_equal_rankers_do_not_differ_at_all():
    found = compare((CHAMPION, CHAMPION), ROW, LABEL, WHO, {}, 9)
    for measure in ("ndcg", "auc", "calibration_error"):
        assert found[EVERYBODY][measure]["challenger"] == found[EVERYBODY][measure]["champion"]
        assert found[EVERYBODY][measure]["standard_error"] == 0


def test_a_page_that_the_shortlist_misses_counts_for_ndcg_alone():
    label = np.array([True, False, False, False, False, False])
    found = compare((CHALLENGER, CHAMPION), ROW, label, WHO, {"b only": np.array([False, True])}, 99)
    assert found["b only"]["ndcg"]["champion"] == 0
    assert found["b only"]["auc"] is None
    assert found[EVERYBODY]["auc"]["champion"] == 1.0


def test_a_cohort_without_candidates_is_not_compared():
    found = compare(
        (CHALLENGER[:3], CHAMPION[:3]), ROW[:3], LABEL[:3], WHO, {"b only": np.array([False, True])}, 99
    )
    assert found["b only"]["calibration_error"] is None
    assert found["b only"]["auc"] is None


@settings(max_examples=50)
@given(scores=st.lists(st.integers(0, 4), min_size=2, max_size=8), target=st.integers(0, 7))
def test_request_auc_is_the_auc_of_one_request(scores, target):
    score = np.array(scores, float)
    label = np.arange(len(scores)) == target % len(scores)
    better, ties = m.positions(score, np.zeros(len(scores), np.int32), label, 1, 99)
    assert request_auc(better, ties, np.array([len(scores)]))[0] == pytest.approx(m.auc(score, label))


def test_a_single_candidate_has_no_auc():
    assert np.isnan(request_auc(np.array([0]), np.array([0]), np.array([1])))[0]


def test_standard_error_of_independent_values_is_the_usual_one():
    values = np.random.default_rng(2).normal(size=400)
    assert standard_error(values, np.arange(400)) == pytest.approx(values.std() / 20)


def test_standard_error_sees_that_an_associates_requests_go_together():
    values = np.repeat(np.random.default_rng(2).normal(size=40), 10)
    assert standard_error(values, np.repeat(np.arange(40), 10)) == pytest.approx(
        np.sqrt(10) * standard_error(values, np.arange(400))
    )


def test_calibration_of_a_sample_is_that_of_its_rows():
    draw = np.random.default_rng(4)
    probability, label = draw.random(300), draw.random(300) < 0.4
    group = draw.integers(0, 20, 300)
    whole = Calibration(probability, label, group, 20)
    assert whole.error(np.ones((1, 20)))[0] == pytest.approx(
        m.expected_calibration_error(m.calibration(probability, label, 10)), abs=1e-5
    )
    # Twice everybody is the same log twice.
    assert whole.error(np.full((1, 20), 2.0))[0] == pytest.approx(whole.error(np.ones((1, 20)))[0])


def noisy(requests, seed, harm=None):
    """Shortlists of 20 in random order for two equally good rankers; ``harm`` spoils the first's scores."""
    draw = np.random.default_rng(seed)
    row = np.repeat(np.arange(requests, dtype=np.int32), 20)
    label = np.tile(np.arange(20) == 0, requests)
    quality = draw.normal(size=len(row)) + 1.5 * label
    scores = [1 / (1 + np.exp(-(quality + draw.normal(scale=0.5, size=len(row)) - 3))) for _ in range(2)]
    if harm is not None:
        spoilt = harm[row]
        scores[0] = np.where(spoilt, draw.permutation(scores[0]), scores[0])
    return tuple(scores), row, label


def test_intervals_hold_for_equal_rankers():
    """The difference is within two standard errors in about 95 % of the logs."""
    inside = {"ndcg": 0, "auc": 0, "calibration_error": 0}
    for seed in range(100):
        scores, row, label = noisy(200, seed)
        found = compare(scores, row, label, np.arange(200).astype(str), {}, 99)[EVERYBODY]
        for measure in inside:
            gap = abs(found[measure]["challenger"] - found[measure]["champion"])
            inside[measure] += gap < 1.96 * found[measure]["standard_error"]
    assert all(88 <= count <= 100 for count in inside.values()), inside


def test_harm_to_one_cohort_is_found_where_the_average_hides_it():
    cold = np.arange(2000) < 250
    scores, row, label = noisy(2000, 1, harm=cold)
    found = compare(scores, row, label, np.arange(2000).astype(str), {"cold": cold, "warm": ~cold}, 99)
    loss = found["cold"]["ndcg"]["champion"] - found["cold"]["ndcg"]["challenger"]
    assert loss > 4 * found["cold"]["ndcg"]["standard_error"]
    warm = found["warm"]["ndcg"]
    assert abs(warm["champion"] - warm["challenger"]) < 3 * warm["standard_error"]
