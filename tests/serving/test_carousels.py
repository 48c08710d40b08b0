import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.contract.time import DAY
from serving.carousels import Candidates, carousels

NOW = 1_795_507_200.0
TITLES = ["Lifting", "Tills", "Fire"]


def by_score(at, score, limit):
    return at[np.argsort(-score, kind="stable")][:limit]


def candidates(n, *, evidence=(), shift=(), age=(), due=()):
    def filled(values, default, kind):
        return np.array([*values, *[default] * (n - len(values))], kind)

    return Candidates(
        score=np.linspace(0.9, 0.1, n).astype(np.float32),
        evidence=filled(evidence, -1, np.int32),
        shift=filled(shift, 0, np.float32),
        age_days=filled(age, np.nan, np.float64),
        due=filled([NOW + day * DAY for day in due], np.nan, np.float64),
    )


def rows(found, *, first=2, size=2, arrange=by_score, shift="night", history=True):
    return carousels(
        found,
        np.arange(min(first, len(found.score))),
        arrange,
        time=NOW,
        shift=shift,
        history=history,
        titles=TITLES,
        size=size,
    )


def test_rows_are_filled_without_a_page_twice():
    nan = float("nan")
    found = candidates(
        12,
        evidence=[0, 0, 1, 2, 2, -1, 0, 0, 0],
        shift=[9, 0, 0, 0, 0, 3, 5, 4, 1],
        age=[1, nan, nan, nan, 2, nan, nan, nan, nan, 14, 14.5],
        due=[1, nan, nan, 20, nan, nan, -5, nan, nan, nan, nan, 31],
    )
    made = rows(found)
    # Of the better half, what is left after For you and Due soon (3 and 6): evidence 1 and 2, once each.
    assert [(row.key, row.items) for row in made] == [
        ("for_you", [0, 1]),
        ("because", [2]),
        ("popular_shift", [7, 5]),
        ("new", [4, 9]),
        ("due_soon", [6, 3]),
    ]
    assert made[1].title == "Because you opened 'Tills'"
    assert (made[2].title, made[2].reason) == (
        "Popular on your shift",
        "Opened most on the night shift lately",
    )


def test_the_page_with_most_good_candidates_is_the_evidence():
    found = candidates(8, evidence=[-1, -1, 1, 2, 2, 1, 1, 1])
    (because,) = [row for row in rows(found, size=5, first=0) if row.key == "because"]
    # 2 has one in the better half (positions 0 to 3), 1 too, and 1 is first; all of 1 are shown.
    assert because.items == [2, 5, 6, 7]


def test_empty_rows_are_left_out():
    assert [row.key for row in rows(candidates(3))] == ["for_you"]
    assert rows(candidates(0)) == []
    (row,) = rows(candidates(1), history=False)
    assert row.reason == "Chosen by your role and shift and what is opened around you"


def test_without_a_shift_the_row_is_named_otherwise():
    made = rows(candidates(4, shift=[0, 0, 1, 2]), shift="")
    assert [(row.key, row.title) for row in made] == [
        ("for_you", "For you"),
        ("popular_shift", "Popular now"),
    ]


def test_every_row_but_due_soon_is_arranged():
    def without_last(at, score, limit):
        return by_score(at, score, limit)[:1]

    made = rows(candidates(8, shift=[1] * 6, due=[np.nan] * 6 + [2, 1]), arrange=without_last)
    assert [(row.key, row.items) for row in made] == [
        ("for_you", [0, 1]),
        ("popular_shift", [2]),
        ("due_soon", [7, 6]),
    ]


@given(
    st.lists(
        st.tuples(
            st.integers(-1, 2),
            st.floats(0, 9, width=32),
            st.floats(0, 40) | st.just(np.nan),
            st.floats(-9, 60),
        ),
        max_size=30,
    ),
    st.integers(0, 12),
    st.integers(1, 6),
)
def test_no_page_twice_and_no_row_too_long(data, first, size):
    evidence, shift, age, due = zip(*data, strict=True) if data else ((), (), (), ())
    found = candidates(len(data), evidence=evidence, shift=shift, age=age, due=due)
    made = rows(found, first=first, size=size)
    shown = [item for row in made for item in row.items]
    assert len(set(shown)) == len(shown)
    assert all(row.items for row in made)
    assert all(len(row.items) <= size for row in made if row.key != "for_you")
    assert [row.key for row in made] == [row.key for row in rows(found, first=first, size=size)]
    for row in made:
        if row.key == "due_soon":
            dates = found.due[row.items]
            assert (np.diff(dates) >= 0).all()
            assert (dates <= NOW + 30 * DAY).all()
        if row.key == "new":
            assert (found.age_days[row.items] <= 14).all()
        if row.key == "because":
            assert len(set(found.evidence[row.items])) == 1


def test_a_title_that_is_not_known():
    found = Candidates(
        *(getattr(candidates(2, evidence=[0, 0]), name) for name in Candidates.__annotations__)
    )
    (row,) = carousels(
        found, np.array([], int), by_score, time=NOW, shift="", history=True, titles=[""], size=3
    )
    assert row.title == "Because of a page you opened"
    assert row.items == [0, 1]


@pytest.mark.parametrize("size", [1, 3])
def test_rows_are_no_longer_than_asked(size):
    made = rows(candidates(9, shift=[1] * 9), first=0, size=size)
    assert [len(row.items) for row in made] == [size]
