import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st

from components.contract import columns as c
from components.contract.sources import Neighbours
from components.contract.time import DAY
from components.neighbours.neighbours import NeighbourSettings, cosine, ease, fit, interaction_matrix
from components.neighbours.step import run
from tests.support.build import logs, make_dataset

# Pages 0 and 1 share an associate; page 2 stands alone.
VISITS = [(0, 0, 0.0), (0, 1, 0.0), (1, 0, 0.0), (2, 2, 0.0)]


def test_matrix_weighs_by_age():
    dataset = make_dataset([(0, 0, 0.0), (1, 1, 10 * DAY)], pages=2)
    found = interaction_matrix(dataset, c.EVERYTHING, 10).toarray()
    # In X.T @ X an interaction of one half-life counts half.
    np.testing.assert_allclose(found, [[np.sqrt(0.5), 0], [0, 1]])


def test_ease_is_the_ridge_regression_without_self_weights():
    draw = np.random.default_rng(2)
    x = (draw.random((30, 6)) < 0.4).astype(float)
    found = ease(x.T @ x, 2.0)
    for page in range(6):
        # Page's column from all the others, solved directly.
        others = [i for i in range(6) if i != page]
        a = x[:, others]
        direct = np.linalg.solve(a.T @ a + 2.0 * np.eye(5), a.T @ x[:, page])
        np.testing.assert_allclose(found[others, page], direct, rtol=1e-9, atol=1e-12)
        assert found[page, page] == 0


def test_cosine_by_hand():
    gram = sp.csr_matrix(np.array([[4.0, 2, 0], [2, 9, 0], [0, 0, 1]]))
    np.testing.assert_allclose(cosine(gram, 0).toarray(), [[0, 2 / 6, 0], [2 / 6, 0, 0], [0, 0, 0]])
    np.testing.assert_allclose(cosine(gram, 4).toarray(), [[0, 0.2, 0], [0.2, 0, 0], [0, 0, 0]])


@given(seed=st.integers(0, 1000))
def test_cosine_is_numpys(seed):
    x = np.random.default_rng(seed).random((5, 4)) * (np.random.default_rng(seed + 1).random((5, 4)) < 0.6)
    found = cosine(sp.csr_matrix(x.T @ x), 0).toarray()
    for i in range(4):
        for j in range(4):
            lengths = np.linalg.norm(x[:, i]) * np.linalg.norm(x[:, j])
            expected = x[:, i] @ x[:, j] / lengths if i != j and lengths else 0
            assert found[i, j] == pytest.approx(expected)


def test_fit_lists_pages_of_the_same_associates():
    found = fit(make_dataset(VISITS, pages=3), c.EVERYTHING, NeighbourSettings(knn_shrinkage=0))
    for lists in found:
        assert lists.index[:, 0].tolist() == [1, 0, -1]
    np.testing.assert_allclose(found[1].score[:2, 0], 1 / np.sqrt(2))


@given(visits=logs(), later=logs())
def test_later_stages_change_nothing(visits, later):
    seen = [(*visit[:3], c.FIT) for visit in visits]
    hidden = [(a, p, t + DAY, c.TRAIN) for a, p, t, _ in later]
    for before, after in zip(
        fit(make_dataset(seen, pages=6, associates=3), c.TRAIN, NeighbourSettings()),
        fit(make_dataset(seen + hidden, pages=6, associates=3), c.TRAIN, NeighbourSettings()),
        strict=True,
    ):
        np.testing.assert_array_equal(before.index, after.index)
        np.testing.assert_array_equal(before.score, after.score)


def test_step_writes_both_lists(tmp_path):
    make_dataset(VISITS, pages=3).save(tmp_path / "dataset")
    figures = run(tmp_path / "dataset", tmp_path / "out", c.EVERYTHING)
    assert figures == {"ease_pages_with_list": 2, "item_knn_pages_with_list": 2}
    assert Neighbours.load(tmp_path / "out" / "ease.npz").index[0, 0] == 1
    # 1 / (sqrt(2) * 1 + 10)
    score = Neighbours.load(tmp_path / "out" / "item_knn.npz").score[0, 0]
    assert score == pytest.approx(1 / (np.sqrt(2) + 10))


def test_an_empty_log_has_no_neighbours(tmp_path):
    make_dataset([], pages=3, associates=0).save(tmp_path / "dataset")
    assert run(tmp_path / "dataset", tmp_path / "out", c.TRAIN)["ease_pages_with_list"] == 0
