import numpy as np
import pytest

from components.contract.fusion import first_source, rank_features, reciprocal_rank, unlisted_score


def test_reciprocal_ranks_are_those_of_the_paper():
    assert reciprocal_rank(np.array([0, 1, 40])) == pytest.approx([1 / 60, 1 / 61, 1 / 100])


def test_what_no_source_lists_stands_below_what_any_lists():
    lowest = reciprocal_rank(np.array([10_000]))[0]
    found = unlisted_score(np.array([7, 7, 0], np.float32), 7, np.array([1.0, 0.0, 1.0]))
    assert found.max() < lowest
    # The most opened first, then the newest.
    assert np.argsort(-found).tolist() == [0, 1, 2]
    assert found.min() > 0


def test_rank_features():
    logs, high, steep = rank_features(np.array([[0, 9], [10, 50]]))
    assert logs == pytest.approx(np.log([[1, 10], [11, 51]]))
    assert high.tolist() == [1, 1]
    assert steep == pytest.approx([1 / 10 + 1 / 20, 1 / 19 + 1 / 60])


def test_the_first_of_the_sources_settles_a_tie():
    assert first_source(np.array([[2, 5], [2, 5]]), np.array([5, 5])).tolist() == [0, -1]
