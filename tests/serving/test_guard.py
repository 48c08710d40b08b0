import pytest

from serving.guard import Guard
from serving.stores.base import Activity, StoreError


class Flaky:
    """A store that answers unless it is told not to."""

    def __init__(self):
        self.down, self.asked = False, 0

    def activity(self, ids):
        self.asked += 1
        if self.down:
            raise StoreError("away")
        return [Activity([("P1", 1.0)], {}, False) for _ in ids]

    def forgotten(self):
        if self.down:
            raise StoreError("away")
        return {"gone"}


def test_a_store_that_is_down_is_asked_once_and_then_left_alone():
    store = Flaky()
    guard = Guard(store, pause=60)
    guard.refresh()
    store.down = True
    assert guard.activity(["ada", "gone", None]) == (
        [Activity([], {}, False), Activity([], {}, True), Activity([], {}, False)],
        False,
    )
    assert guard.down
    for _ in range(5):
        assert guard.activity(["ada"])[1] is False
    assert store.asked == 1


def test_the_first_sign_of_life_ends_it():
    store = Flaky()
    guard = Guard(store, pause=60)
    store.down = True
    guard.activity(["ada"])
    with pytest.raises(StoreError):
        guard.refresh()
    store.down = False
    guard.refresh()
    assert not guard.down
    assert guard.activity(["ada"]) == ([Activity([("P1", 1.0)], {}, False)], True)


def test_after_the_pause_a_request_tries_again():
    store = Flaky()
    guard = Guard(store, pause=0)
    store.down = True
    assert guard.activity(["ada"])[1] is False
    store.down = False
    assert guard.activity(["ada"])[1] is True


def test_who_is_forgotten_now_stays_so_while_the_store_is_away():
    store = Flaky()
    guard = Guard(store, pause=60)
    guard.forget("ada")
    store.down = True
    assert guard.activity(["ada"])[0][0].forgotten
