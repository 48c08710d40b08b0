import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.contract import columns as c
from components.contract.requests import HISTORY, requests_of_stage
from components.contract.time import DAY
from tests.support.build import logs, make_dataset

ARRAYS = ("time", "associate_id", "history_page", "history_time", "history_count", "target", "tenure_days")


def assert_same(found, expected):
    for name in (*ARRAYS, "seen_row", "seen_page"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name), err_msg=name)
    for name, values in expected.attributes.items():
        np.testing.assert_array_equal(found.attributes[name], values)


def seen_of(requests, row):
    return requests.seen_page[requests.seen_row == row].tolist()


@pytest.fixture
def dataset():
    return make_dataset(
        [
            (0, 3, 10.0),
            (0, 1, 20.0, c.TRAIN),
            (0, 2, 40.0, c.TRAIN),
            (1, 0, 30.0, c.TRAIN),
            (1, 4, 50.0, c.HOLDOUT),
        ],
        associate={"role": ["cashier", None], "hired_at": [-2 * DAY, None]},
    )


def test_each_interaction_of_the_stage_is_a_request_in_time_order(dataset):
    found = requests_of_stage(dataset, c.TRAIN)
    assert found.time.tolist() == [20.0, 30.0, 40.0]
    assert found.target.tolist() == [1, 0, 2]
    assert found.associate_id.tolist() == ["A0", "A1", "A0"]
    assert found.attributes["role"].tolist() == ["cashier", "", "cashier"]
    assert len(requests_of_stage(dataset, c.HOLDOUT)) == 1


def test_history_is_what_came_before_most_recent_first(dataset):
    found = requests_of_stage(dataset, c.TRAIN)
    assert found.history_page.shape == (3, HISTORY)
    assert found.history_page[:, :3].tolist() == [[3, -1, -1], [-1, -1, -1], [1, 3, -1]]
    np.testing.assert_array_equal(found.history_time[2, :3], [20.0, 10.0, np.nan])
    assert found.history_count.tolist() == [1, 0, 2]
    assert [seen_of(found, row) for row in range(3)] == [[3], [], [3, 1]]


def test_tenure_counts_days_since_hire(dataset):
    tenure = requests_of_stage(dataset, c.TRAIN).tenure_days
    assert tenure[0] == pytest.approx(2 + 20 / DAY)
    assert np.isnan(tenure[1])


def test_hired_after_the_request_is_no_negative_tenure():
    dataset = make_dataset([(0, 0, 10.0, c.TRAIN)], associate={"hired_at": [DAY]})
    assert requests_of_stage(dataset, c.TRAIN).tenure_days.tolist() == [0.0]


def test_a_tie_in_time_is_ordered_by_page():
    dataset = make_dataset([(0, 4, 10.0, c.TRAIN), (0, 2, 10.0, c.TRAIN)])
    found = requests_of_stage(dataset, c.TRAIN)
    assert found.target.tolist() == [2, 4]
    assert [seen_of(found, row) for row in (0, 1)] == [[], [2]]


def test_history_beyond_the_limit_stays_counted_and_seen():
    pages = HISTORY + 12
    visits = [(0, page, float(page), c.FIT) for page in range(pages - 1)]
    found = requests_of_stage(make_dataset([*visits, (0, pages - 1, 1e3, c.TRAIN)], pages=pages), c.TRAIN)
    assert found.history_page[0].tolist() == list(range(pages - 2, pages - 2 - HISTORY, -1))
    assert found.history_count.tolist() == [pages - 1]
    assert seen_of(found, 0) == list(range(pages - 1))


def test_stage_without_interactions_is_empty(dataset):
    assert len(requests_of_stage(make_dataset([(0, 0, 1.0)]), c.HOLDOUT)) == 0


def test_limit_draws_the_same_sample_for_one_seed():
    dataset = make_dataset([(a, p, float(7 * a + p), c.TRAIN) for a in range(9) for p in range(5)])
    first, again = (requests_of_stage(dataset, c.TRAIN, limit=10, seed=3) for _ in range(2))
    other = requests_of_stage(dataset, c.TRAIN, limit=10, seed=4)
    assert_same(again, first)
    assert len(first) == 10
    assert (np.diff(first.time) >= 0).all()
    assert first.time.tolist() != other.time.tolist()
    # A sample changes who is asked, not what they had done before.
    whole = requests_of_stage(dataset, c.TRAIN)
    rows = [
        np.flatnonzero((whole.time == t) & (whole.target == p))[0]
        for t, p in zip(first.time, first.target, strict=True)
    ]
    np.testing.assert_array_equal(first.history_page, whole.history_page[rows])
    assert_same(requests_of_stage(dataset, c.TRAIN, limit=45), whole)


@given(visits=logs())
def test_history_and_seen_pages_against_a_loop(visits):
    found = requests_of_stage(make_dataset(visits, pages=6, associates=3), c.TRAIN)
    rows = sorted(visits, key=lambda visit: (visit[0], visit[2], visit[1]))
    expected = {}
    for associate in range(3):
        own = [visit for visit in rows if visit[0] == associate]
        for place, (_, page, time, stage) in enumerate(own):
            if stage == c.TRAIN:
                expected[f"A{associate}", page] = (time, [visit[1] for visit in own[:place]])
    assert len(found) == len(expected)
    assert (np.diff(found.time) >= 0).all()
    for row in range(len(found)):
        time, before = expected[str(found.associate_id[row]), int(found.target[row])]
        assert found.time[row] == time
        assert seen_of(found, row) == before
        assert found.history_page[row, : len(before)].tolist() == before[::-1]
        assert (found.history_page[row, len(before) :] == -1).all()
        assert found.history_count[row] == len(before)


@given(visits=logs(), size=st.integers(1, 7))
def test_chunks_put_together_are_the_whole(visits, size):
    whole = requests_of_stage(make_dataset(visits, pages=6, associates=3), c.TRAIN)
    parts = list(whole.chunks(size))
    assert [len(part) for part in parts] == [min(size, len(whole) - i) for i in range(0, len(whole), size)]
    for name in ARRAYS:
        joined = np.concatenate([getattr(part, name) for part in parts] or [getattr(whole, name)])
        np.testing.assert_array_equal(joined, getattr(whole, name))
    pairs = [
        (int(row) + number * size, int(page))
        for number, part in enumerate(parts)
        for row, page in zip(part.seen_row, part.seen_page, strict=True)
    ]
    assert pairs == list(zip(whole.seen_row.tolist(), whole.seen_page.tolist(), strict=True))


def test_take_nothing(dataset):
    nothing = requests_of_stage(dataset, c.TRAIN).take(slice(2, 2))
    assert len(nothing) == 0
    assert len(nothing.seen_row) == 0
