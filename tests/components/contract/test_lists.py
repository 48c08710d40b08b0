import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.contract import lists as module
from components.contract.lists import Lists
from components.contract.sources import Neighbours

IDS = np.array(["P0", "P1", "P2"])
# After page 0 comes 1, then 2; after page 1 comes 2.
FOLLOWS = np.array([[0, 4, 2], [0, 0, 3], [0, 0, 0.0]])
BACK = np.array([[0, 0, 0], [1, 0, 0], [5, 0, 0.0]])


@pytest.fixture
def lists():
    return Lists.side_by_side([Neighbours.from_matrix(IDS, FOLLOWS, 2), Neighbours.from_matrix(IDS, BACK, 1)])


def sums(lists, page, weight):
    parts = list(lists.sums(np.array(page, np.int32), np.array(weight, np.float32)))
    return np.concatenate([part for _, part in parts], axis=1)


def test_sums_weigh_the_lists_of_all_pages(lists):
    found = sums(lists, [[0, 1], [2, -1]], [[1, 0.5], [2, 1]])
    assert found[0].tolist() == [[0, 4, 2 + 1.5], [0, 0, 0]]
    assert found[1].tolist() == [[0.5, 0, 0], [10, 0, 0]]


def test_copies_stand_in_their_planes(lists):
    planes = np.zeros((4, 3, 3), np.float32)
    lists.copy(np.array([1, -1, 0], np.int32), planes, np.array([3, 1]))
    assert planes[3].tolist() == [[0, 0, 3], [0, 0, 0], [0, 4, 2]]
    assert planes[1].tolist() == [[1, 0, 0], [0, 0, 0], [0, 0, 0]]
    assert not planes[[0, 2]].any()


def test_a_part_holds_the_sources_named(lists):
    np.testing.assert_array_equal(sums(lists.part(1, 2), [[2]], [[1]])[0], [[5, 0, 0]])


@given(
    page=st.lists(st.lists(st.integers(-1, 2), min_size=3, max_size=3), min_size=1, max_size=5),
    entries=st.integers(1, 30),
)
def test_cutting_the_batch_changes_nothing(page, entries):
    made = Lists.side_by_side([Neighbours.from_matrix(IDS, FOLLOWS, 2), Neighbours.from_matrix(IDS, BACK, 3)])
    weight = np.arange(3 * len(page)).reshape(-1, 3)
    whole = sums(made, page, weight)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_ENTRIES", entries)
        np.testing.assert_array_equal(sums(made, page, weight), whole)
    dense = np.stack([FOLLOWS, BACK])
    for source, row in np.ndindex(2, len(page)):
        expected = sum(w * dense[source, p] for p, w in zip(page[row], weight[row], strict=True) if p >= 0)
        np.testing.assert_array_equal(whole[source, row], expected + np.zeros(3))
