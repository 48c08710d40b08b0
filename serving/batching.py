"""Requests that come together are answered together."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, NamedTuple

from serving.payloads import Instance

# Requests of so many instances together are one batch; one that has more by itself is answered in a thread.
_MOST = 16
# Turns of the event loop from a request's bytes to its place here: one reads them, the next runs the task.
_TURNS = 2
Answers = list[dict[str, Any]]


class _Job(NamedTuple):
    instances: Sequence[Instance]
    started: float
    answered: asyncio.Future[Answers]
    context: contextvars.Context


class Batcher:
    """Answers what comes, where it comes: on the event loop, in batches that share what a call costs.

    A thread beside the loop would share the interpreter's lock with it, and hand it over at every array:
    that takes longer than what both could do at once. The loop is held no longer than a batch takes; what is
    larger goes to a thread, so that probes and events are heard meanwhile.

    While several ask, the loop is looked at until it brings nobody new before they are answered: it reads
    their requests one by one. Who asked alone is not kept waiting.

    Parameters
    ----------
    recommend : callable
        ``Service.recommend``: takes instances, ``started`` and ``largest``, gives an answer for each.
    """

    def __init__(self, recommend: Callable[..., Answers]):
        self._recommend = recommend
        self._came: list[_Job] = []
        self._alone = True
        self._large = ThreadPoolExecutor(1, "recommend")

    async def __call__(self, instances: Sequence[Instance], started: float) -> Answers:
        """Answer some instances of a request that came in at ``started`` (``time.monotonic()``).

        Raises
        ------
        Exception
            What ``recommend`` raised for these instances.
        """
        loop = asyncio.get_running_loop()
        # The context holds the request's id, for the log.
        context = contextvars.copy_context()
        if len(instances) > _MOST:
            whole = partial(self._recommend, instances, started=started, largest=len(instances))
            return await loop.run_in_executor(self._large, context.run, whole)
        answered: asyncio.Future[Answers] = loop.create_future()
        if not self._came:
            # After all requests that this turn brings.
            loop.call_soon(self._look, loop, 0, 0)
        self._came.append(_Job(instances, started, answered, context))
        return await answered

    def _look(self, loop: asyncio.AbstractEventLoop, before: int, quiet: int) -> None:
        """Answer a batch of those who came, unless more come still: before, and since, in quiet turns."""
        count = len(self._came)
        quiet = quiet + 1 if count == before else 0
        if quiet < _TURNS and count < _MOST and not (self._alone and count == 1):
            loop.call_soon(self._look, loop, count, quiet)
            return
        self._alone = count == 1
        batch = _first(self._came)
        self._came = self._came[len(batch) :]
        if self._came:
            # Probes and events have their turn between two batches.
            loop.call_soon(self._look, loop, len(self._came), _TURNS)
        self._answer(batch)

    def _answer(self, jobs: list[_Job]) -> None:
        instances = [instance for job in jobs for instance in job.instances]
        # The deadline is that of who waits longest.
        bounds = {
            "started": min(job.started for job in jobs),
            "largest": max(len(job.instances) for job in jobs),
        }
        try:
            answers = iter(jobs[0].context.run(self._recommend, instances, **bounds))
        except Exception as error:
            if len(jobs) > 1:
                # One of them is at fault: the others need not suffer for it.
                for job in jobs:
                    self._answer([job])
            elif not jobs[0].answered.done():
                jobs[0].answered.set_exception(error)
            return
        for job in jobs:
            found = [next(answers) for _ in job.instances]
            # Who waited may have given up.
            if not job.answered.done():
                job.answered.set_result(found)


def _first(jobs: list[_Job]) -> list[_Job]:
    """The first of some jobs, as many as make one batch."""
    size = 0
    for number, job in enumerate(jobs):
        size += len(job.instances)
        if number and size > _MOST:
            return jobs[:number]
    return jobs
