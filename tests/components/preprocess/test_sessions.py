import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.preprocess.sessions import Summary, merge, summarise

GAP = 30


def summary(rows, gap=GAP):
    associate, page, time = np.array(rows, np.int64).reshape(-1, 3).T
    return summarise(associate.astype(np.int32), page.astype(np.int32), time, gap)


def together(parts, gap=GAP):
    return merge(Summary(*map(np.concatenate, zip(*parts, strict=True))), gap)


def first_engagements(rows):
    return together([summary(rows)])


def test_repeats_keep_a_session_alive_but_are_no_interaction():
    # The repeat of page 5 at 25 joins 0 and 50 into one session.
    found = first_engagements([(0, 5, 0), (0, 5, 25), (0, 6, 50)])
    assert found.page.tolist() == [5, 6]
    assert found.session.tolist() == [0, 0]
    assert found.sessions.tolist() == [1]


@pytest.mark.parametrize(("second", "session"), [(30, 0), (31, 1)])
@pytest.mark.parametrize("apart", [False, True])
def test_only_a_longer_gap_splits(second, session, apart):
    rows = [(0, 1, 0), (0, 2, second)]
    found = together([summary(rows[:1]), summary(rows[1:])]) if apart else first_engagements(rows)
    assert found.session.tolist() == [0, session]


def test_ties_are_in_page_order_and_sessions_of_repeats_count():
    found = first_engagements([(1, 4, 7), (0, 9, 5), (0, 2, 5), (0, 2, 500), (1, 4, 900), (1, 3, 901)])
    assert found.associate.tolist() == [0, 0, 1, 1]
    assert found.page.tolist() == [2, 9, 4, 3]
    assert found.ordinal.tolist() == [0, 1, 0, 1]
    assert found.session.tolist() == [0, 0, 0, 1]
    assert found.sessions.tolist() == [2, 2]


def test_a_session_over_another_keeps_it_open():
    # 0 to 100 by steps of 20, and another summary's 10 to 15: what comes at 120 still belongs to it.
    long = summary([(0, 1, time) for time in range(0, 101, 20)])
    found = together([long, summary([(0, 2, 10), (0, 2, 15)]), summary([(0, 3, 120)])])
    assert found.page.tolist() == [1, 2, 3]
    assert found.session.tolist() == [0, 0, 0]


def test_no_events():
    found = first_engagements([])
    assert len(found.page) == len(found.sessions) == 0


events = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 4), st.integers(0, 400)), min_size=1, max_size=40
)


@given(rows=events, data=st.data())
def test_summaries_of_any_division_say_the_same(rows, data):
    rows += [(associate, 0, 1000) for associate in range(4)]
    part = data.draw(st.lists(st.integers(0, 3), min_size=len(rows), max_size=len(rows)))
    parts = [[row for row, number in zip(rows, part, strict=True) if number == n] for n in range(4)]
    found = together([summary(rows) for rows in parts])
    # Event by event, as one would by hand.
    expected = []
    count = np.zeros(4, int)
    for associate in range(4):
        seen, session, last = set(), -1, None
        for time, page in sorted((t, p) for a, p, t in rows if a == associate):
            session += last is None or time - last > GAP
            last = time
            if page not in seen:
                expected.append((associate, page, time, len(seen), session))
                seen.add(page)
        count[associate] = session + 1
    columns = (found.associate, found.page, found.time, found.ordinal, found.session)
    assert list(zip(*(column.tolist() for column in columns), strict=True)) == expected
    assert found.sessions.tolist() == count.tolist()
