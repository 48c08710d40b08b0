"""Records what was answered, off the request's path, so that clicks can be joined to what was shown."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence

import structlog

from serving.errors import located
from serving.metrics import ANSWERS
from serving.stores.base import Answer, Store, StoreError

log = structlog.get_logger()
_BATCH = 500
_PAUSE = 0.5
# Redis serves nobody while it syncs what was written: better once a second.
_GATHER = 1.0


class Recorder:
    """A thread that writes answers to the store in batches.

    When the store is away for long, the oldest answers that wait are dropped, and counted: an
    answer matters more than its record.

    Parameters
    ----------
    store : Store
    waiting : int
        Most batches of answers that wait.
    """

    def __init__(self, store: Store, waiting: int = 10_000):
        self._store = store
        self._queue: queue.Queue[Sequence[Answer]] = queue.Queue(waiting)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="record-answers", daemon=True)
        self._thread.start()

    def add(self, answers: Callable[[], Sequence[Answer]], count: int = 1) -> None:
        """Make and take the records of one call's answers.

        They are made at once, since what they are made of, with all candidates and their features, is
        a hundred times as large as they are: while it waited, each request would work in fresh memory.
        ``count`` is how many there are, for the metric, should they not come to be.
        """
        try:
            made = answers()
        except Exception as error:
            log.error("an answer could not be recorded", **located(error))
            ANSWERS.labels("dropped").inc(count)
            return
        while True:
            try:
                self._queue.put_nowait(made)
                return
            except queue.Full:
                try:
                    ANSWERS.labels("dropped").inc(len(self._queue.get_nowait()))
                except queue.Empty:
                    continue

    def stop(self) -> None:
        """Write what waits, then end."""
        self._stopping.set()
        self._thread.join(timeout=5)

    def _run(self) -> None:
        while not (self._stopping.is_set() and self._queue.empty()):
            answers = self._take()
            while answers:
                try:
                    self._store.record(answers)
                except StoreError:
                    if self._stopping.is_set():
                        ANSWERS.labels("dropped").inc(len(answers))
                        return
                    time.sleep(_PAUSE)
                else:
                    ANSWERS.labels("recorded").inc(len(answers))
                    break

    def _take(self) -> list[Answer]:
        found: list[Answer] = []
        try:
            found.extend(self._queue.get(timeout=_PAUSE))
            # Many answers share a write.
            self._stopping.wait(_GATHER)
            while len(found) < _BATCH:
                found.extend(self._queue.get_nowait())
        except queue.Empty:
            pass
        return found
