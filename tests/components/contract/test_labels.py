import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.contract.labels import Labels


def test_likeness_is_the_cosine_of_rarity_weights():
    # a on two pages of four: log 2; b and c on one: log 4, which is twice as much.
    labels = Labels(pl.Series([["a", "b"], ["a", "c"], ["b"], ["d"]]))
    history = np.array([[0, 1], [2, -1]], np.int32)
    row = np.array([0, 0, 0, 1], np.int32)
    page = np.array([1, 2, 3, 0], np.int32)
    last, second, _ = labels(row, page, history)
    # b is on pages 0 and 2, so log 2 as a is; c and d alone weigh log 4 = 2 log 2.
    assert last == pytest.approx([1 / (np.sqrt(2) * np.sqrt(5)), 1 / np.sqrt(2), 0, 1 / np.sqrt(2)])
    assert second == pytest.approx([1, 0, 0, 0])


def test_the_history_decays():
    labels = Labels(pl.Series([["a"], ["b"], ["a"], ["b"]]))
    both = labels(np.zeros(2, np.int32), np.array([2, 3], np.int32), np.array([[0, 1]], np.int32))[2]
    assert both == pytest.approx(np.array([1, 0.8]) / np.sqrt(1 + 0.64))


def test_a_label_of_all_pages_says_nothing():
    labels = Labels(pl.Series([["all"], ["all"], ["all", "one"]]))
    found = labels(np.zeros(3, np.int32), np.arange(3, dtype=np.int32), np.array([[0, 2]], np.int32))
    assert found[0].tolist() == [0, 0, 0]
    assert found[1] == pytest.approx([0, 0, 1])


def test_no_labels_and_no_history():
    nothing = Labels(pl.Series([[], []], dtype=pl.List(pl.String)))
    asked = np.zeros(2, np.int32), np.arange(2, dtype=np.int32), np.array([[1, 0]], np.int32)
    assert not nothing(*asked).any()
    labels = Labels(pl.Series([["a"], ["b"]]))
    assert not labels(asked[0], asked[1], np.full((1, 3), -1, np.int32)).any()


@given(
    st.lists(st.lists(st.sampled_from("abcde"), max_size=4), min_size=2, max_size=8),
    st.lists(st.integers(-1, 7), min_size=1, max_size=5),
)
def test_likeness_lies_between_0_and_1_and_is_whole_with_itself(labels, history):
    pages = len(labels)
    opened = np.array([[page if page < pages else -1 for page in history]], np.int32)
    found = Labels(pl.Series(labels, dtype=pl.List(pl.String)))(
        np.zeros(pages, np.int32), np.arange(pages, dtype=np.int32), opened
    )
    assert found.min() >= 0
    assert found.max() <= 1 + 1e-6
    last = opened[0, 0]
    if last >= 0 and any(sum(name in other for other in labels) < pages for name in labels[last]):
        assert found[0, last] == pytest.approx(1, abs=1e-5)
