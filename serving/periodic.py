"""Work that comes round in a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable

import structlog

from serving.errors import located

log = structlog.get_logger()


class Periodic:
    """Calls a function every so often until it is stopped; what it raises is logged, and ends nothing.

    Parameters
    ----------
    name : str
        Of the thread.
    seconds : float
        Between two calls; the first comes after as many.
    work : callable
    """

    def __init__(self, name: str, seconds: float, work: Callable[[], object]):
        self._name, self._seconds, self._work = name, seconds, work
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def stop(self, patience: float = 60) -> None:
        """Call no more; a call under way may take ``patience`` seconds to end."""
        self._stopping.set()
        self._thread.join(timeout=patience)

    def _run(self) -> None:
        while not self._stopping.wait(self._seconds):
            try:
                self._work()
            except Exception as error:
                log.error(f"{self._name} failed", **located(error))
