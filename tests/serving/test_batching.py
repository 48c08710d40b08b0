import asyncio
import threading
import time

import pytest
import structlog

from serving.batching import Batcher
from serving.payloads import Instance
from tests.support.loops import run


class Recommender:
    """Answers with the ids that it is asked for; the first call waits until it is let go."""

    def __init__(self):
        self.calls, self.bounds, self.seen = [], [], []
        self.begun, self.go_on = threading.Event(), threading.Event()

    def __call__(self, instances, *, started, largest):
        self.calls.append([instance.associate_id for instance in instances])
        self.bounds.append((started, largest))
        self.seen.append(structlog.contextvars.get_contextvars().get("request_id"))
        if len(self.calls) == 1:
            self.begun.set()
            assert self.go_on.wait(10)
        if any(instance.associate_id == "broken" for instance in instances):
            raise ValueError("broken")
        return [{"associate_id": instance.associate_id} for instance in instances]


def instances(*names):
    return [Instance(associate_id=name) for name in names]


async def together(recommend, *groups):
    """Ask for a first one alone, and for all groups while it is being answered."""
    batcher = Batcher(recommend)
    first = asyncio.create_task(batcher(instances("first"), 5.0))
    await asyncio.to_thread(recommend.begun.wait, 10)
    others = [asyncio.create_task(batcher(instances(*group), 9.0 - n)) for n, group in enumerate(groups)]
    await asyncio.sleep(0)
    recommend.go_on.set()
    return await asyncio.gather(first, *others, return_exceptions=True)


def ids(found):
    return [[answer["associate_id"] for answer in answers] for answers in found]


def test_what_came_meanwhile_is_one_batch():
    recommend = Recommender()
    found = run(together(recommend, ["a"], ["b", "c"], ["d"]))
    assert ids(found) == [["first"], ["a"], ["b", "c"], ["d"]]
    assert recommend.calls == [["first"], ["a", "b", "c", "d"]]
    # As old as its oldest request; as large as the largest.
    assert recommend.bounds == [(5.0, 1), (7.0, 2)]


def test_a_large_request_is_no_burden_to_others():
    recommend = Recommender()
    many = [f"m{n}" for n in range(40)]
    found = run(together(recommend, ["a"], many, ["b"]))
    assert ids(found) == [["first"], ["a"], many, ["b"]]
    assert recommend.calls == [["first"], ["a"], many, ["b"]]


def test_one_that_fails_fails_alone():
    recommend = Recommender()
    first, a, broken, b = run(together(recommend, ["a"], ["broken"], ["b"]))
    assert ids([first, a, b]) == [["first"], ["a"], ["b"]]
    assert isinstance(broken, ValueError)


def test_who_gave_up_is_passed_over():
    recommend = Recommender()

    async def ask():
        batcher = Batcher(recommend)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(batcher(instances("first"), 0.0), 0.05)
        recommend.go_on.set()
        return await batcher(instances("next"), time.monotonic())

    assert ids([run(ask())]) == [["next"]]


def test_the_log_knows_the_request():
    recommend = Recommender()
    recommend.go_on.set()

    async def ask():
        with structlog.contextvars.bound_contextvars(request_id="r1"):
            await Batcher(recommend)(instances("a"), 0.0)

    run(ask())
    assert recommend.seen == ["r1"]
