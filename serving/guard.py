"""Keeps a store that is down from slowing every request: after a failure they do without it for a while."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

import structlog

from serving.metrics import STORE_DOWN, STORE_ERRORS
from serving.stores.base import Activity, Store, StoreError

log = structlog.get_logger()


class Guard:
    """Reads of a store that a request can do without (a circuit breaker).

    Parameters
    ----------
    store : Store
    pause : float
        Seconds after a failure in which nothing is asked of the store.
    """

    def __init__(self, store: Store, pause: float = 0.5):
        self.store = store
        self._pause = pause
        self._until = 0.0
        self._lock = threading.Lock()
        self._down = False
        self._forgotten: frozenset[str] = frozenset()

    @property
    def down(self) -> bool:
        """Whether the last attempt failed."""
        return self._down

    def activity(self, associate_ids: Sequence[str | None]) -> tuple[list[Activity], bool]:
        """What the store knows of each associate, and whether it answered.

        While it does not answer, nobody has done anything since the release; who asked to be
        forgotten is remembered.
        """
        asked = [one or "" for one in associate_ids]
        if time.monotonic() >= self._until:
            try:
                found = self.store.activity(asked)
            except StoreError as error:
                self._failed(error)
            else:
                self._answered()
                return found, True
        return [Activity([], {}, one in self._forgotten) for one in asked], False

    def refresh(self) -> None:
        """Ask whether the store is there again, and who was forgotten.

        Raises
        ------
        StoreError
            It is not there.
        """
        try:
            self._forgotten = frozenset(self.store.forgotten())
        except StoreError as error:
            self._failed(error)
            raise
        self._answered()

    def forget(self, associate_id: str) -> None:
        """Remember, from now on, that an associate was forgotten."""
        self._forgotten |= {associate_id}

    def _failed(self, error: StoreError) -> None:
        STORE_ERRORS.inc()
        with self._lock:
            self._until = time.monotonic() + self._pause
            was, self._down = self._down, True
        STORE_DOWN.set(1)
        if not was:
            log.error("store is down", error=str(error))

    def _answered(self) -> None:
        if not self._down:
            return
        with self._lock:
            self._until, self._down = 0.0, False
        STORE_DOWN.set(0)
        log.info("store is back")
