import numpy as np
import pytest

from components.preprocess.sessions import first_engagements


def arrays(rows):
    associate, page, time = zip(*rows, strict=True)
    return np.array(associate, np.int32), np.array(page, np.int32), np.array(time, np.int64)


def test_repeats_keep_a_session_alive_but_are_no_interaction():
    # Gap 30: the repeat of page 5 at 25 joins 0 and 50 into one session.
    found = first_engagements(*arrays([(0, 5, 0), (0, 5, 25), (0, 6, 50)]), gap=30)
    assert found.page.tolist() == [5, 6]
    assert found.session.tolist() == [0, 0]
    assert found.sessions.tolist() == [1]


@pytest.mark.parametrize(("second", "session"), [(30, 0), (31, 1)])
def test_only_a_longer_gap_splits(second, session):
    found = first_engagements(*arrays([(0, 1, 0), (0, 2, second)]), gap=30)
    assert found.session.tolist() == [0, session]


def test_ties_are_in_page_order_and_sessions_of_repeats_count():
    rows = [(1, 4, 7), (0, 9, 5), (0, 2, 5), (0, 2, 500), (1, 4, 900), (1, 3, 901)]
    found = first_engagements(*arrays(rows), gap=30)
    assert found.associate.tolist() == [0, 0, 1, 1]
    assert found.page.tolist() == [2, 9, 4, 3]
    assert found.ordinal.tolist() == [0, 1, 0, 1]
    assert found.session.tolist() == [0, 0, 0, 1]
    assert found.sessions.tolist() == [2, 2]


def test_no_events():
    found = first_engagements(np.zeros(0, np.int32), np.zeros(0, np.int32), np.zeros(0, np.int64), gap=30)
    assert len(found.page) == len(found.sessions) == 0
