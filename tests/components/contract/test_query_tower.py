from dataclasses import replace
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.contract import query_tower
from components.contract.query_tower import QueryTower, Vocabulary
from tests.support.ways import both_ways, once

way = both_ways(query_tower)


def tower(pages=4, dimensions=3, history_size=2, seed=0):
    random = np.random.default_rng(seed)
    inputs = 4 * dimensions + 3

    def draw(*shape):
        return random.normal(size=shape).astype(np.float32)

    return QueryTower(
        page_ids=np.array([f"P{row}" for row in range(pages)], dtype=np.str_),
        known=np.ones(pages, bool),
        associates=Vocabulary.of(["A1", "A2"]),
        attributes={"role": Vocabulary.of(["clerk", "driver"]), "shift": Vocabulary.of(["night"])},
        weights={
            "history": draw(pages, dimensions),
            "associate": draw(3, dimensions),
            "attribute": draw(5, dimensions),
            "position": draw(history_size),
            "age": np.float32(0.1),
            "hidden": draw(inputs, 5),
            "hidden_bias": draw(5),
            "output": draw(5, dimensions),
            "output_bias": draw(dimensions),
        },
    )


def ask(query, history, age=None):
    history = np.array(history, np.int32)
    batch = len(history)
    age = np.ones(history.shape) if age is None else np.array(age, float)
    return query(np.zeros(batch, np.int32), np.zeros((batch, 2), np.int32), history, age)


def test_strings_become_rows_of_the_stacked_tables():
    query = tower()
    assert query.encode_associates(["A2", None, "A9"]).tolist() == [2, 0, 0]
    rows = query.encode_attributes({"role": ["driver", None], "shift": np.array(["night", "late"])})
    # role has rows 0 (unknown) to 2, shift 3 (unknown) and 4.
    assert rows.tolist() == [[2, 4], [0, 3]]
    assert query.encode_attributes({"role": ["clerk"]}).tolist() == [[1, 3]]


def test_a_query_computed_by_hand():
    # One dimension; the network does nothing, so that the sign of the weighted mean is the query.
    query = tower(pages=2, dimensions=2)
    for name in ("hidden", "hidden_bias", "output", "output_bias"):
        query.weights[name][...] = 0
    query.weights["history"][...] = [[1, 0], [0, 1]]
    query.weights["position"][...] = [0, np.log(0.5)]
    query = QueryTower(**{**vars(query), "weights": {**query.weights, "age": np.float32(1)}})
    # Ages of 0 and 3 hours: weights 1 and 0.5 / (1 + 3) = 0.125.
    found = ask(query, [[0, 1]], [[0, 3 * 3600]])
    np.testing.assert_allclose(found, np.array([[1, 0.125]]) / np.hypot(1, 0.125), rtol=1e-6)


@given(st.lists(st.lists(st.integers(-1, 3), min_size=2, max_size=2), min_size=1, max_size=5))
def test_queries_are_unit_vectors_and_rows_do_not_mix(history):
    query = tower()
    found = ask(query, history)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(ask(query, history[:1]), found[:1], rtol=1e-5)


@once
@settings(max_examples=60)
@given(
    seed=st.integers(0, 2**32), batch=st.integers(1, 4), length=st.integers(0, 5), places=st.integers(1, 4)
)
def test_compiled_and_plain_are_the_same(way, seed, batch, length, places):
    draw, query = np.random.default_rng(seed), tower(history_size=places, seed=seed)
    query.known[draw.integers(4)] = False
    given = (
        draw.integers(0, 3, batch).astype(np.int32),
        draw.integers(0, 5, (batch, 2)).astype(np.int32),
        draw.integers(-1, 4, (batch, length)).astype(np.int32),
        draw.exponential(1e5, (batch, length)),
    )
    found = query(*given)
    with patch.object(query_tower, "library", lambda: None):
        np.testing.assert_allclose(replace(query)(*given), found, rtol=1e-4, atol=1e-5)


def test_padding_and_length_of_the_history():
    query = tower()
    expected = ask(query, [[2, -1]])
    np.testing.assert_allclose(ask(query, [[2]]), expected, rtol=1e-6)
    # Padded ages may be anything; pages beyond the tower's history size are ignored.
    np.testing.assert_allclose(ask(query, [[2, -1, 3]], [[1, np.nan, 5]]), expected, rtol=1e-6)
    np.testing.assert_allclose(ask(query, np.empty((1, 0))), ask(query, [[-1, -1]]), rtol=1e-6)


def test_align_follows_page_ids():
    query = tower()
    moved = query.align(np.array(["P3", "new", "P1"]))
    np.testing.assert_allclose(ask(moved, [[2, 0]]), ask(query, [[1, 3]]), rtol=1e-6)
    # A page without an embedding is passed over: what comes after it is the latest page.
    np.testing.assert_allclose(ask(moved, [[1, -1]]), ask(query, [[-1, -1]]), rtol=1e-6)
    np.testing.assert_allclose(ask(moved, [[1, 0]]), ask(query, [[-1, 3]]), rtol=1e-6)
    assert query.align(query.page_ids.copy()) is query


def test_save_and_load(tmp_path):
    query = tower()
    query.save(tmp_path)
    loaded = QueryTower.load(tmp_path)
    np.testing.assert_array_equal(ask(loaded, [[2, 0]]), ask(query, [[2, 0]]))
    assert loaded.encode_associates(["A2"]).tolist() == [2]
    assert loaded.encode_attributes({"shift": ["night"]}).tolist() == [[0, 4]]
    assert (loaded.dimensions, loaded.history_size) == (3, 2)


@pytest.mark.parametrize("catalogue", [[], ["new"]])
def test_a_catalogue_without_known_pages(catalogue):
    query = tower()
    moved = query.align(np.array(catalogue, dtype=np.str_))
    history = [[0 if catalogue else -1, -1]]
    np.testing.assert_allclose(ask(moved, history), ask(query, [[-1, -1]]), rtol=1e-6)
