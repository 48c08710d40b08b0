"""Requests that come while others are answered wait together and are answered together."""

from __future__ import annotations

import asyncio
import contextvars
import queue
import threading
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from serving.payloads import Instance

# Requests of so many instances together are one batch. A larger one by itself is not cut.
_MOST = 16
Answers = list[dict[str, Any]]


class _Job(NamedTuple):
    instances: Sequence[Instance]
    started: float
    answered: asyncio.Future[Answers]
    context: contextvars.Context


class Batcher:
    """Answers what comes: a request that is alone at once, others together in a thread.

    Off the event loop, which answers liveness probes meanwhile; and in one thread, since more of them
    wait for each other's interpreter lock, while a batch shares what a call costs by itself. Nobody
    waits for others to come: what has queued up since the thread last looked is its next batch, though
    no more than half of all who wait. The event loop reads and writes for one half while the thread answers
    the other; were all in one batch, each would stand idle while the other works.
    Where nobody else comes, to hand a single question over and its answer back would take longer than
    much of the answer, so it is answered where it came.

    Parameters
    ----------
    recommend : callable
        ``Service.recommend``: takes instances, ``started`` and ``largest``, gives an answer for each.
    """

    def __init__(self, recommend: Callable[..., Answers]):
        self._recommend = recommend
        # Of this turn of the event loop; how many the thread has, and reads; whether nobody came beside
        # the last one.
        self._came: list[_Job] = []
        self._under_way = 0
        self._quiet = True
        self._waiting: queue.SimpleQueue[_Job] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="recommend", daemon=True)
        self._thread.start()

    async def __call__(self, instances: Sequence[Instance], started: float) -> Answers:
        """Answer some instances of a request that came in at ``started`` (``time.monotonic()``).

        Raises
        ------
        Exception
            What ``recommend`` raised for these instances.
        """
        loop = asyncio.get_running_loop()
        answered: asyncio.Future[Answers] = loop.create_future()
        if not self._came:
            # After all requests that this turn brings.
            loop.call_soon(self._hand_over)
        # The context holds the request's id, for the log.
        self._came.append(_Job(instances, started, answered, contextvars.copy_context()))
        return await answered

    def _hand_over(self) -> None:
        jobs, self._came = self._came, []
        before, self._quiet = self._quiet, len(jobs) == 1 and not self._under_way
        if before and self._quiet and len(jobs[0].instances) == 1:
            _settle(jobs, self._found(jobs))
            return
        self._under_way += len(jobs)
        for job in jobs:
            self._waiting.put(job)

    def _run(self) -> None:
        following: _Job | None = None
        while True:
            jobs, following = self._take(following or self._waiting.get())
            self._answer(jobs)

    def _take(self, first: _Job) -> tuple[list[_Job], _Job | None]:
        """Jobs that make one batch, and the one after it if that was taken already."""
        jobs, size = [first], len(first.instances)
        half = max(2, (self._under_way + 1) // 2)
        while size < _MOST and len(jobs) < half:
            try:
                job = self._waiting.get_nowait()
            except queue.Empty:
                break
            if size + len(job.instances) > _MOST:
                return jobs, job
            jobs.append(job)
            size += len(job.instances)
        return jobs, None

    def _answer(self, jobs: list[_Job]) -> None:
        found = self._found(jobs)
        if isinstance(found, BaseException) and len(jobs) > 1:
            # One of them is at fault: the others need not suffer for it.
            for job in jobs:
                self._answer([job])
            return
        loop = jobs[0].answered.get_loop()
        # A loop that is closed has nobody who waits.
        if not loop.is_closed():
            loop.call_soon_threadsafe(self._hand_back, jobs, found)

    def _found(self, jobs: list[_Job]) -> list[Answers] | BaseException:
        """The answers to each job, or what went wrong."""
        instances = [instance for job in jobs for instance in job.instances]
        # The deadline is that of who waits longest.
        bounds = {
            "started": min(job.started for job in jobs),
            "largest": max(len(job.instances) for job in jobs),
        }
        try:
            answers = iter(jobs[0].context.run(self._recommend, instances, **bounds))
        except Exception as error:
            return error
        return [[next(answers) for _ in job.instances] for job in jobs]

    def _hand_back(self, jobs: list[_Job], found: list[Answers] | BaseException) -> None:
        self._under_way -= len(jobs)
        _settle(jobs, found)


def _settle(jobs: list[_Job], found: list[Answers] | BaseException) -> None:
    for number, job in enumerate(jobs):
        # Who waited may have given up.
        if job.answered.done():
            continue
        if isinstance(found, BaseException):
            job.answered.set_exception(found)
        else:
            job.answered.set_result(found[number])
