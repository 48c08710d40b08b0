import asyncio
import threading

import pytest
import structlog

from serving.batching import Batcher
from serving.payloads import Instance
from tests.support.loops import run


class Recommender:
    """Answers with the ids that it is asked for."""

    def __init__(self):
        self.calls, self.bounds, self.seen, self.threads = [], [], [], []

    def __call__(self, instances, *, started, largest):
        self.calls.append([instance.associate_id for instance in instances])
        self.bounds.append((started, largest))
        self.seen.append(structlog.contextvars.get_contextvars().get("request_id"))
        self.threads.append(threading.current_thread().name)
        if any(instance.associate_id == "broken" for instance in instances):
            raise ValueError("broken")
        return [{"associate_id": instance.associate_id} for instance in instances]


def instances(*names):
    return [Instance(associate_id=name) for name in names]


async def together(recommend, *groups):
    """Ask for all groups in one turn of the loop."""
    batcher = Batcher(recommend)
    asked = (batcher(instances(*group), 9.0 - n) for n, group in enumerate(groups))
    return await asyncio.gather(*asked, return_exceptions=True)


def ids(found):
    return [[answer["associate_id"] for answer in answers] for answers in found]


def test_what_comes_together_is_one_batch():
    recommend = Recommender()
    assert ids(run(together(recommend, ["a"], ["b", "c"], ["d"]))) == [["a"], ["b", "c"], ["d"]]
    assert recommend.calls == [["a", "b", "c", "d"]]
    # As old as its oldest request; as large as the largest.
    assert recommend.bounds == [(7.0, 2)]


def test_batches_have_sixteen_instances_at_most():
    recommend = Recommender()
    groups = [[f"{n}{letter}" for letter in "abcde"] for n in range(5)]
    assert ids(run(together(recommend, *groups))) == groups
    assert [len(call) for call in recommend.calls] == [15, 10]


def test_a_large_request_is_no_burden_to_others():
    recommend = Recommender()
    many = [f"m{n}" for n in range(17)]
    assert ids(run(together(recommend, ["a"], many, ["b"]))) == [["a"], many, ["b"]]
    assert sorted(recommend.calls, key=len) == [["a", "b"], many]
    by_size = {len(call): thread for call, thread in zip(recommend.calls, recommend.threads, strict=True)}
    assert by_size[17].startswith("recommend")
    assert not by_size[2].startswith("recommend")


def test_one_that_fails_fails_alone():
    a, broken, b = run(together(Recommender(), ["a"], ["broken"], ["b"]))
    assert ids([a, b]) == [["a"], ["b"]]
    assert isinstance(broken, ValueError)


def test_who_gave_up_is_passed_over():
    async def ask():
        batcher = Batcher(Recommender())
        one = asyncio.create_task(batcher(instances("one"), 0.0))
        other = asyncio.create_task(batcher(instances("other"), 0.0))
        await asyncio.sleep(0)
        one.cancel()
        return await other

    assert ids([run(ask())]) == [["other"]]


@pytest.mark.parametrize("names", [["a"], [f"m{n}" for n in range(17)]])
def test_the_log_knows_the_request(names):
    recommend = Recommender()

    async def ask():
        with structlog.contextvars.bound_contextvars(request_id="r1"):
            await Batcher(recommend)(instances(*names), 0.0)

    run(ask())
    assert recommend.seen == ["r1"]


def test_while_several_ask_those_who_are_about_to_come_are_waited_for():
    recommend = Recommender()

    async def late(batcher, turns):
        for _ in range(turns):
            await asyncio.sleep(0)
        await batcher(instances(f"after {turns}"), 0.0)

    async def ask():
        batcher = Batcher(recommend)
        # Nobody else asked lately: whoever comes first is answered at once.
        await asyncio.gather(late(batcher, 0), late(batcher, 2))
        await asyncio.gather(late(batcher, 0), late(batcher, 0))
        await asyncio.gather(late(batcher, 0), late(batcher, 2), late(batcher, 4), late(batcher, 9))

    run(ask())
    assert recommend.calls == [
        ["after 0"],
        ["after 2"],
        ["after 0", "after 0"],
        ["after 0", "after 2", "after 4"],
        ["after 9"],
    ]


def test_others_have_their_turn_between_two_batches():
    recommend, heard = Recommender(), []

    async def listen():
        while len(heard) < 100:
            heard.append(len(recommend.calls))
            await asyncio.sleep(0)

    async def ask():
        await asyncio.gather(listen(), together(recommend, *([f"{n}"] for n in range(40))))

    run(ask())
    assert [len(call) for call in recommend.calls] == [16, 16, 8]
    assert {0, 1, 2, 3} == set(heard)


def test_what_fails_alone_says_so():
    def recommend(instances, *, started, largest):
        raise ValueError("broken")

    async def ask():
        await Batcher(recommend)(instances("a"), 0.0)

    with pytest.raises(ValueError, match="broken"):
        run(ask())
