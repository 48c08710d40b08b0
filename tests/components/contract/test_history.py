import numpy as np
import pytest

from components.contract.errors import DataError
from components.contract.history import NO_HISTORY, History

HOUR = 3600.0


@pytest.fixture
def history():
    """Request 0 knows pages 4 (an hour ago) and 0 (a day ago), request 1 of none; three candidates."""
    return History(
        row=np.array([0, 0, 1], np.int32),
        page=np.array([[4, 0, -1], [-1, -1, -1]], np.int32),
        opened=np.array([[9 * HOUR, -14 * HOUR, np.nan], [np.nan] * 3]),
        time=np.array([10 * HOUR, 10 * HOUR]),
    )


def test_latest_pages_as_codes_and_ages(history):
    found = history.latest(2)
    assert found.page.tolist() == [[5, 1], [0, 0]]
    assert (found.page.dtype, found.age.dtype) == (np.int32, np.float32)
    np.testing.assert_allclose(found.age, np.log1p([[1, 24], [0, 0]]), rtol=1e-6)
    assert found.row is history.row
    assert history.latest(1).page.tolist() == [[5], [0]]
    assert history.latest(0).page.shape == (2, 0)


def test_histories_that_are_too_short_are_refused(history):
    with pytest.raises(DataError, match=r"latest 4 pages .* the histories hold 3; run the candidates step"):
        history.latest(4)
    with pytest.raises(DataError, match="hold 0"):
        NO_HISTORY.latest(1)
    assert NO_HISTORY.latest(0).page.shape == (0, 0)


def test_some_of_the_candidates(history):
    for at in (slice(1, 3), np.array([False, True, True]), np.array([1, 2])):
        assert history.of(at).row.tolist() == [0, 1]
        assert history.latest(2).of(at).row.tolist() == [0, 1]
        assert history.of(at).page is history.page


def test_a_hidden_history_is_none(history):
    found = history.hidden(np.array([True, False, False])).latest(3)
    assert found.page[found.row].tolist() == [[0, 0, 0], [5, 1, 0], [0, 0, 0]]
    assert found.age[found.row[0]].tolist() == [0, 0, 0]
    assert history.row.tolist() == [0, 0, 1]
