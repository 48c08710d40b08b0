import orjson
import pytest
from prometheus_client import REGISTRY

from components.contract import columns as c
from serving.feedback import FeedbackCounter
from serving.stores.base import StoredEvent

RELEASE = "20261124T120000-00abcd"


def event(kind, answer, release=RELEASE):
    row = {c.REQUEST_ID: answer, c.RELEASE: release}
    kept = {name: value for name, value in row.items() if value is not None}
    return StoredEvent("e", "A", "P", kind, 1.0, orjson.dumps(kept).decode())


def counted(kind, release=RELEASE):
    return REGISTRY.get_sample_value("waymark_feedback_total", {"release": release, "event_type": kind}) or 0


@pytest.fixture
def change():
    """How much each count has grown."""
    before = {kind: counted(kind) for kind in (c.IMPRESSION, c.VIEW, c.COMPLETE)}
    return lambda kind: counted(kind) - before[kind]


def test_the_first_of_each_kind_counts(change):
    counter = FeedbackCounter()
    counter.add(
        [event(c.IMPRESSION, "q1"), event(c.IMPRESSION, "q1"), event(c.VIEW, "q1"), event(c.VIEW, "q2")]
    )
    counter.add([event(c.VIEW, "q1"), event(c.COMPLETE, "q2")])
    assert [change(kind) for kind in (c.IMPRESSION, c.VIEW, c.COMPLETE)] == [1, 2, 1]


def test_what_names_no_answer_or_no_release_is_left_out(change):
    FeedbackCounter().add(
        [event(c.VIEW, None), event(c.VIEW, "q3", None), event(c.VIEW, "q4", "my own"), event(c.RATE, "q5")]
    )
    assert change(c.VIEW) == 0
    assert counted(c.VIEW, "my own") == 0


def test_memory_is_bounded(change):
    counter = FeedbackCounter(remembered=2)
    counter.add([event(c.VIEW, f"m{number}") for number in (1, 2, 3)])
    counter.add([event(c.VIEW, "m3"), event(c.VIEW, "m1")])
    assert change(c.VIEW) == 4
