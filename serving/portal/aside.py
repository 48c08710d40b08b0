"""A past release, loaded beside the one that answers for as long as operators ask about it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from components.contract.errors import WaymarkError
from components.contract.release import Release
from serving.engine import Engine
from serving.errors import RequestError
from serving.payloads import Instance
from serving.rules.rules import Rules

# An operator changes the question and asks again: the release stays for that.
_IDLE_SECONDS = 60.0
_PATIENCE_SECONDS = 8.0


class Aside:
    """Answers by one other release at a time; it is let go of when nobody asks for a while.

    Parameters
    ----------
    load : callable
        Makes an engine of a release.
    idle : float
        Seconds after the last question.
    patience : float
        Seconds to wait while another release is being loaded.
    """

    def __init__(
        self,
        load: Callable[[Release], Engine],
        idle: float = _IDLE_SECONDS,
        patience: float = _PATIENCE_SECONDS,
    ):
        self._load, self._idle, self._patience = load, idle, patience
        self._lock = threading.Lock()
        self._engine: Engine | None = None
        self._timer: threading.Timer | None = None
        self._asked = 0

    def answer(self, release: Release, instance: Instance, rules: Rules) -> dict[str, Any]:
        """Answer one question by a release; nothing is recorded.

        Parameters
        ----------
        release : Release
            Its files are verified before they are used.
        instance : Instance
        rules : Rules
            Those in force.

        Raises
        ------
        RequestError
            409: the release is damaged or of another version. 503: another one is being loaded.
        """
        if not self._lock.acquire(timeout=self._patience):
            raise RequestError("another release is being loaded; try again", 503, {"Retry-After": "5"})
        try:
            engine = self._of(release)
            return engine.answer([instance], policy=engine.compile(rules)).answers[0]
        finally:
            self._lock.release()

    def _of(self, release: Release) -> Engine:
        if self._timer is not None:
            self._timer.cancel()
        if self._engine is None or self._engine.name != release.name:
            # The last one goes first: there are never two.
            self._engine = None
            try:
                release.verify()
                self._engine = self._load(release)
            except WaymarkError as error:
                problem = f"release {release.name} cannot be loaded: it is damaged, or of another version"
                raise RequestError(problem, 409) from error
        # By number: a timer that held the engine would keep it.
        self._asked += 1
        self._timer = threading.Timer(self._idle, self._let_go, [self._asked])
        self._timer.daemon = True
        self._timer.start()
        return self._engine

    def _let_go(self, asked: int) -> None:
        with self._lock:
            if self._asked == asked:
                self._engine = None
