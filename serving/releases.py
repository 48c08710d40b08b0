"""Follows a HOME's pointer: loads what it leads to beside the engine that answers, then changes over."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import structlog

from components.contract.errors import WaymarkError
from components.contract.release import Release, load
from serving.metrics import RELEASES

log = structlog.get_logger()
# A release that was refused is tried again after this many looks: a copy may just have been mended.
_PATIENCE = 30


class Watcher:
    """A thread that looks at ``HOME/current`` and hands on every sound release that it comes to lead to.

    Parameters
    ----------
    home : Path
    current : str
        Name of the release that is served.
    change : callable
        Takes a verified release; returns once it answers. What it raises keeps the old one.
    seconds : float
        Between two looks.
    """

    def __init__(self, home: Path, current: str, change: Callable[[Release], None], seconds: float):
        self._home, self._current, self._change, self._seconds = home, current, change, seconds
        self._refused: tuple[str, int] = ("", 0)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch-releases", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """Look no more; a change under way is finished."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(timeout=60)

    def _run(self) -> None:
        while not self._stopping.wait(self._seconds):
            self.look()

    def look(self) -> None:
        """Change over if the pointer leads elsewhere."""
        try:
            name = (self._home / "current").resolve(strict=True).name
        except OSError as error:
            # Within a swap, or the volume is away: what is served stays.
            log.warning("cannot read the pointer", error=str(error))
            return
        if name == self._current:
            return
        refused, looks = self._refused
        if name == refused and looks:
            self._refused = (name, looks - 1)
            return
        try:
            release = load(self._home)
            self._change(release)
        except WaymarkError as error:
            self._refused = (name, _PATIENCE)
            RELEASES.labels("refused").inc()
            log.error("release refused", refused=name, error=str(error))
        except Exception:
            self._refused = (name, _PATIENCE)
            RELEASES.labels("refused").inc()
            log.exception("release refused", refused=name)
        else:
            self._current, self._refused = release.name, ("", 0)
            RELEASES.labels("loaded").inc()
            log.info("release loaded", loaded=release.name)
