from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.contract.features import CATEGORICAL, NUMERIC
from components.contract.fusion import rank_features
from components.evaluate.sources import Without, additions, overlap, unique_hits
from tests.support.build import toy_examples

ABSENT = 100
SOURCES = len(toy_examples(1).sources)


def listed(*places: dict[int, int]):
    """One request with a candidate for each mapping of sources to ranks; the first was opened."""
    examples = toy_examples(1, len(places))
    rank = np.full((SOURCES, len(places)), ABSENT)
    for candidate, named in enumerate(places):
        for source, place in named.items():
            rank[source, candidate] = place
    numeric = np.ones((len(places), len(NUMERIC)), np.float32)
    ranks, high, fused = rank_features(rank)
    numeric[:, [NUMERIC.index(f"{name}.rank") for name in examples.sources]] = ranks.T
    numeric[:, NUMERIC.index("agreement")], numeric[:, NUMERIC.index("fused_rank")] = high, fused
    label = np.arange(len(places)) == 0
    values = examples.values | {"first_source": np.array(["", *examples.sources])}
    return replace(examples, numeric=numeric, label=label, values=values)


def by(name):
    """A ranker that goes by one feature alone."""
    return lambda numeric, *_: numeric[:, NUMERIC.index(name)]


def test_overlap_by_hand():
    top = np.array([[[1, 2, 3], [3, 4, -1]], [[5, 6, 7], [-1, -1, -1]]], np.int32)
    # Of six pages of the first, one; of two pages of the second, one.
    np.testing.assert_allclose(overlap(top), [[1, 1 / 6], [1 / 2, 1]])
    assert np.isnan(overlap(np.full((2, 1, 3), -1, np.int32))).all()


_LISTS = st.lists(st.integers(0, 6), unique=True, min_size=3, max_size=3)


@given(_LISTS, _LISTS)
def test_overlap_against_sets(one, two):
    shared = len(set(one) & set(two)) / 3
    np.testing.assert_allclose(overlap(np.array([[one, two]], np.int32)), [[1, shared], [shared, 1]])


def test_unique_hits_are_those_of_one_source_alone():
    examples = toy_examples(3)
    top = np.full((3, SOURCES, 10), -1, np.int32)
    top[0, 2, 4] = top[1, 2, 0] = top[1, 5, 9] = 7
    top[2, 3, 0] = 8
    requests = examples.requests.with_columns(pl.Series("target", [7, 7, 9], dtype=pl.Int32))
    found = unique_hits(replace(examples, source_top=top, requests=requests))
    assert found.tolist() == [int(source == 2) for source in range(SOURCES)]


def test_without_a_source_its_words_are_gone_and_the_others_are_counted_anew():
    examples = listed({0: 0, 1: 20}, {0: 3}, {1: 5, 2: 5})
    numeric, categorical, kept = Without(examples).source(0)
    # The second candidate was in its list alone.
    assert kept.tolist() == [True, False, True]
    name = examples.sources[0]
    assert numeric[:, NUMERIC.index(f"{name}.score")].tolist() == [0, 0, 0]
    assert numeric[:, NUMERIC.index(f"{name}_last.score")].tolist() == [0, 0, 0]
    np.testing.assert_allclose(numeric[:, NUMERIC.index(f"{name}.rank")], np.log1p(ABSENT))
    assert numeric[:, NUMERIC.index("agreement")].tolist() == [0, 0, 2]
    absent = 1 / (10 + ABSENT)
    expected = [1 / 30 + (SOURCES - 1) * absent, SOURCES * absent, 2 / 15 + (SOURCES - 2) * absent]
    np.testing.assert_allclose(numeric[:, NUMERIC.index("fused_rank")], expected, rtol=1e-5)
    assert categorical[:, CATEGORICAL.index("first_source")].tolist() == [2, 0, 2]
    same = [column for column, of in enumerate(NUMERIC) if of.startswith(examples.sources[1])]
    np.testing.assert_array_equal(numeric[:, same], examples.numeric[:, same])


def test_a_page_that_only_one_source_names_is_lost_without_it():
    found = additions(listed({3: 1}, {0: 1, 3: 4}, {0: 0}), by("fused_rank"), 40)
    lost = {name: added["lost"] for name, added in found.items()}
    # The page opened is third of the blend, at 1 / log2(4).
    assert found["two_tower"]["ndcg_with"] == 0.5
    assert found["two_tower"]["ndcg_without"] == 0.0
    assert lost["two_tower"] == 0.5
    # Without transitions the one that both named falls behind it, and the last is gone.
    assert lost["transitions"] == -0.5
    assert {lost[name] for name in found if name not in ("two_tower", "transitions")} == {0.0}


def test_a_ranker_that_does_not_listen_to_a_source_loses_nothing_but_its_candidates():
    examples = toy_examples(50, 12)
    found = additions(examples, by("tenure"), 40)
    assert {added["requests"] for added in found.values()} == {50}
    assert all(added["ndcg_without"] <= added["ndcg_with"] + 0.2 for added in found.values())
    name = examples.sources[3]
    heard = additions(examples, by(f"{name}.score"), 40)
    others = [heard[one]["ndcg_without"] for one in examples.sources if one != name]
    assert others == pytest.approx([heard[name]["ndcg_with"]] * len(others), abs=0.05)
    # All scores alike: the page opened is at the mean of twelve places.
    expected = (1 / np.log2(np.arange(10) + 2)).sum() / 12
    assert heard[name]["ndcg_without"] == pytest.approx(expected, abs=0.05)
