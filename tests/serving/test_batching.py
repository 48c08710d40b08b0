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
    """Ask two questions, which the thread gets, and for all groups while it answers them."""
    batcher = Batcher(recommend)
    first = asyncio.create_task(batcher(instances("first", "too"), 5.0))
    await asyncio.to_thread(recommend.begun.wait, 10)
    others = [asyncio.create_task(batcher(instances(*group), 9.0 - n)) for n, group in enumerate(groups)]
    await asyncio.sleep(0)
    recommend.go_on.set()
    return await asyncio.gather(first, *others, return_exceptions=True)


def ids(found):
    return [[answer["associate_id"] for answer in answers] for answers in found]


def test_what_came_meanwhile_is_answered_in_batches():
    recommend = Recommender()
    found = run(together(recommend, ["a"], ["b", "c"], ["d"]))
    assert ids(found) == [["first", "too"], ["a"], ["b", "c"], ["d"]]
    # Two at least, or half of those who wait.
    assert recommend.calls == [["first", "too"], ["a", "b", "c"], ["d"]]
    # As old as its oldest request; as large as the largest.
    assert recommend.bounds == [(5.0, 2), (8.0, 2), (7.0, 1)]


def test_a_batch_is_half_of_those_who_wait():
    recommend = Recommender()
    run(together(recommend, *([str(n)] for n in range(7))))
    # The first request counts until the event loop has handed its answers back, which may come later.
    first, second, *_ = recommend.calls
    assert first == ["first", "too"]
    assert second == ["0", "1", "2", "3"]
    assert [name for call in recommend.calls[1:] for name in call] == [str(n) for n in range(7)]


def test_a_large_request_is_no_burden_to_others():
    recommend = Recommender()
    many = [f"m{n}" for n in range(40)]
    found = run(together(recommend, ["a"], many, ["b"]))
    assert ids(found) == [["first", "too"], ["a"], many, ["b"]]
    assert recommend.calls == [["first", "too"], ["a"], many, ["b"]]


def test_one_that_fails_fails_alone():
    recommend = Recommender()
    first, a, broken, b = run(together(recommend, ["a"], ["broken"], ["b"]))
    assert ids([first, a, b]) == [["first", "too"], ["a"], ["b"]]
    assert isinstance(broken, ValueError)


def test_who_gave_up_is_passed_over():
    recommend = Recommender()

    async def ask():
        batcher = Batcher(recommend)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(batcher(instances("first", "too"), 0.0), 0.05)
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


def test_who_is_alone_is_answered_where_it_came():
    threads = []

    def recommend(instances, *, started, largest):
        threads.append(threading.get_ident())
        return [{"associate_id": instance.associate_id} for instance in instances]

    async def ask():
        batcher, here = Batcher(recommend), threading.get_ident()
        await batcher(instances("a"), 0.0)
        await asyncio.gather(batcher(instances("b"), 0.0), batcher(instances("c"), 0.0))
        # Others came just before this one: they may come again while it is answered.
        await batcher(instances("d"), 0.0)
        await batcher(instances("e"), 0.0)
        await batcher(instances("f", "g"), 0.0)
        await batcher(instances("h"), 0.0)
        return [thread == here for thread in threads]

    assert run(ask()) == [True, False, False, True, False, True]


def test_what_fails_alone_says_so():
    def recommend(instances, *, started, largest):
        raise ValueError("broken")

    async def ask():
        await Batcher(recommend)(instances("a"), 0.0)

    with pytest.raises(ValueError, match="broken"):
        run(ask())
