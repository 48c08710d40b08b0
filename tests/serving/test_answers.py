import threading
import time

from prometheus_client import REGISTRY

from serving.answers import Recorder
from serving.stores.base import Answer, StoreError


class Kept:
    """A store that keeps answers, unless it is away."""

    def __init__(self):
        self.answers, self.away = [], threading.Event()

    def record(self, answers):
        if self.away.is_set():
            raise StoreError("away")
        self.answers += answers


def answer(number):
    return lambda: [Answer(f"r{number}", "ada", float(number), "{}")]


def test_answers_are_written_in_order_and_before_it_stops():
    store = Kept()
    recorder = Recorder(store)
    for number in range(450):
        recorder.add(answer(number))
    recorder.stop()
    assert [one.request_id for one in store.answers] == [f"r{number}" for number in range(450)]


def test_an_absent_store_loses_nothing_that_fits():
    store = Kept()
    store.away.set()
    recorder = Recorder(store)
    recorder.add(answer(1))
    time.sleep(0.3)
    assert store.answers == []
    recorder.add(answer(2))
    store.away.clear()
    deadline = time.monotonic() + 10
    while len(store.answers) < 2 and time.monotonic() < deadline:
        time.sleep(0.02)
    recorder.stop()
    assert [one.request_id for one in store.answers] == ["r1", "r2"]


def test_what_does_not_fit_is_dropped_oldest_first():
    store = Kept()
    store.away.set()
    recorder = Recorder(store, waiting=3)
    recorder.add(answer(0))
    time.sleep(0.3)
    for number in range(1, 7):
        recorder.add(answer(number))
    store.away.clear()
    recorder.stop()
    assert [one.request_id for one in store.answers] == ["r0", "r4", "r5", "r6"]


def test_a_record_that_cannot_be_made_stops_nothing():
    def dropped():
        return REGISTRY.get_sample_value("waymark_answers_total", {"outcome": "dropped"}) or 0

    store, before = Kept(), dropped()
    recorder = Recorder(store)
    recorder.add(lambda: [][0], 3)
    recorder.add(answer(1))
    recorder.stop()
    assert [one.request_id for one in store.answers] == ["r1"]
    assert dropped() - before == 3
