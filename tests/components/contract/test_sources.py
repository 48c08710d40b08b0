import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from components.contract.sources import Neighbours, Vectors

IDS = np.array(["a", "b", "c"])
MATRIX = np.array([[0, 1, 3], [2, 0, 2], [0, -1, 0.0]])


@pytest.fixture
def lists():
    return Neighbours.from_matrix(IDS, MATRIX, 2)


def test_largest_positive_entries_best_first(lists):
    assert lists.index.tolist() == [[2, 1], [0, 2], [-1, -1]]
    assert lists.score.tolist() == [[3, 1], [2, 2], [0, 0]]
    assert lists.index.dtype == np.int32
    assert lists.score.dtype == np.float32


def test_sparse_and_dense_give_the_same():
    dense, sparse = (Neighbours.from_matrix(IDS, m, 2) for m in (MATRIX, sp.csr_matrix(MATRIX)))
    np.testing.assert_array_equal(dense.index, sparse.index)
    np.testing.assert_array_equal(dense.score, sparse.score)


def test_lists_are_no_longer_than_the_catalogue():
    assert Neighbours.from_matrix(IDS, MATRIX, 50).index.shape == (3, 3)
    assert Neighbours.from_matrix(IDS[:0], np.zeros((0, 0)), 50).index.shape == (0, 1)


@given(
    matrix=hnp.arrays(np.float32, (6, 6), elements=st.integers(-3, 3).map(float)),
    size=st.integers(1, 8),
)
def test_from_matrix_against_a_sort(matrix, size):
    found = Neighbours.from_matrix(np.array(list("abcdef")), matrix, size)
    for row in range(6):
        best = sorted(
            (column for column in range(6) if matrix[row, column] > 0), key=lambda k: (-matrix[row, k], k)
        )
        best = best[:size]
        width = found.index.shape[1]
        assert found.index[row].tolist() == best + [-1] * (width - len(best))
        assert found.score[row].tolist() == matrix[row, best].tolist() + [0] * (width - len(best))


def test_blocks_of_rows_give_the_same():
    # More pages than one block of rows holds.
    draw = np.random.default_rng(1)
    pages = 4200
    matrix = sp.random(pages, pages, 0.001, format="csr", random_state=1)
    found = Neighbours.from_matrix(np.array([f"{i:05}" for i in range(pages)]), matrix, 3)
    for row in [*draw.integers(0, pages, 20).tolist(), 0, 3993, 3994, 3995, pages - 1]:
        dense = matrix[row].toarray().ravel().astype(np.float32)
        best = [int(k) for k in np.argsort(-dense, kind="stable")[:3] if dense[k] > 0]
        assert found.index[row].tolist() == best + [-1] * (3 - len(best))


def test_align_to_the_same_catalogue_changes_nothing(lists):
    assert lists.align(IDS.copy()) is lists


def test_align_drops_gone_pages_and_gives_new_ones_no_list(lists):
    found = lists.align(np.array(["new", "c", "a"]))
    assert found.page_ids.tolist() == ["new", "c", "a"]
    # a: c (3), then b, which is gone; c had no neighbours.
    assert found.index.tolist() == [[-1, -1], [-1, -1], [1, -1]]
    assert found.score.tolist() == [[0, 0], [0, 0], [3, 0]]


def test_align_to_another_order_keeps_the_lists(lists):
    found = lists.align(np.array(["c", "b", "a"]))
    assert found.index.tolist() == [[-1, -1], [2, 0], [0, 1]]
    assert found.score.tolist() == [[0, 0], [2, 2], [3, 1]]


def test_align_to_an_empty_catalogue(lists):
    assert lists.align(np.array([], np.str_)).index.shape == (0, 2)
    assert Vectors.normalised(IDS, np.eye(3)).align(np.array([], np.str_)).vectors.shape == (0, 3)


@given(
    old=st.lists(st.sampled_from("abcdefgh"), unique=True, min_size=1),
    new=st.lists(st.sampled_from("abcdefgh"), unique=True, min_size=1),
)
def test_align_against_a_dictionary(old, new):
    draw = np.random.default_rng(len(old))
    lists = Neighbours.from_matrix(np.array(old), draw.random((len(old), len(old))), 4)
    vectors = Vectors.normalised(np.array(old), draw.normal(size=(len(old), 3)))
    aligned, moved = lists.align(np.array(new)), vectors.align(np.array(new))

    def named(which, page):
        row = which.page_ids.tolist().index(page)
        pairs = zip(which.index[row], which.score[row], strict=True)
        return {str(which.page_ids[i]): float(score) for i, score in pairs if i >= 0}

    for row, page in enumerate(new):
        kept = {n: s for n, s in named(lists, page).items() if n in new} if page in old else {}
        assert named(aligned, page) == kept
        expected = vectors.vectors[old.index(page)] if page in old else np.zeros(3)
        np.testing.assert_array_equal(moved.vectors[row], expected)


def test_vectors_have_unit_length_or_none():
    found = Vectors.normalised(IDS, np.array([[3.0, 4.0], [0, 0], [0, -2]]))
    np.testing.assert_allclose(found.vectors, [[0.6, 0.8], [0, 0], [0, -1]])
    assert found.vectors.dtype == np.float32


def test_save_and_load(tmp_path, lists):
    lists.save(tmp_path / "new" / "lists.npz")
    found = Neighbours.load(tmp_path / "new" / "lists.npz")
    vectors = Vectors.normalised(IDS, np.eye(3))
    vectors.save(tmp_path / "vectors.npz")
    for name in ("page_ids", "index", "score"):
        np.testing.assert_array_equal(getattr(found, name), getattr(lists, name))
    np.testing.assert_array_equal(Vectors.load(tmp_path / "vectors.npz").vectors, vectors.vectors)
