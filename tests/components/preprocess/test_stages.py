import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.contract.columns import FIT, HOLDOUT, TRAIN
from components.preprocess.stages import assign_stages

# Associates 0 (five pages), 1 (one page), 2 (two pages), 3 (three pages).
ASSOCIATE = np.array([0, 0, 0, 0, 0, 1, 2, 2, 3, 3, 3])
TIME = np.array([1.0, 2, 3, 4, 5, 9, 2, 8, 3, 3, 7])


def test_lastout_holds_the_last_page_and_trains_on_those_before():
    stages = assign_stages(ASSOCIATE, TIME, protocol="lastout", lastout_train=2)
    expected = [FIT, FIT, TRAIN, TRAIN, HOLDOUT, FIT, FIT, HOLDOUT, FIT, TRAIN, HOLDOUT]
    assert stages.tolist() == expected
    assert stages.dtype == np.int8


@pytest.mark.parametrize(
    ("train", "expected"),
    [
        (0, [FIT, FIT, FIT, FIT, HOLDOUT, FIT, FIT, HOLDOUT, FIT, FIT, HOLDOUT]),
        (9, [FIT, TRAIN, TRAIN, TRAIN, HOLDOUT, FIT, FIT, HOLDOUT, FIT, TRAIN, HOLDOUT]),
    ],
)
def test_lastout_never_trains_on_a_first_page(train, expected):
    assert assign_stages(ASSOCIATE, TIME, protocol="lastout", lastout_train=train).tolist() == expected


def test_time_divides_at_the_cuts():
    stages = assign_stages(ASSOCIATE, TIME, protocol="time", cuts=[3.0, 8.0])
    expected = [FIT, FIT, TRAIN, TRAIN, TRAIN, HOLDOUT, FIT, HOLDOUT, TRAIN, TRAIN, TRAIN]
    assert stages.tolist() == expected


@pytest.mark.parametrize("protocol", ["time", "lastout"])
def test_nothing_gives_nothing(protocol):
    assert assign_stages(np.zeros(0, int), np.zeros(0), protocol=protocol).tolist() == []


@given(
    counts=st.lists(st.integers(1, 7), max_size=8),
    train=st.integers(0, 4),
)
def test_lastout_counts(counts, train):
    associate = np.repeat(np.arange(len(counts)), counts)
    time = np.arange(len(associate), dtype=float)
    stages = assign_stages(associate, time, protocol="lastout", lastout_train=train)
    for number, count in enumerate(counts):
        own = stages[associate == number]
        assert own[0] == FIT
        assert np.count_nonzero(own == HOLDOUT) == (count >= 2)
        assert np.count_nonzero(own == TRAIN) == min(train, max(count - 2, 0))
        assert np.all(np.diff(own) >= 0)
