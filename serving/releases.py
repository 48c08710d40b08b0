"""Follows a HOME's pointer: loads what it leads to beside the engine that answers, then changes over."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import structlog

from components.contract.errors import WaymarkError
from components.contract.release import Release, load
from serving.errors import located
from serving.metrics import RELEASES

log = structlog.get_logger()
# A release that was refused is tried again after this many looks: a copy may just have been mended.
_PATIENCE = 30


class Watcher:
    """Looks at ``HOME/current`` and hands on every sound release that it comes to lead to.

    Parameters
    ----------
    home : Path
    current : str
        Name of the release that is served.
    change : callable
        Takes a verified release; returns once it answers. What it raises keeps the old one.
    """

    def __init__(self, home: Path, current: str, change: Callable[[Release], None]):
        self._home, self._current, self._change = home, current, change
        self._refused: tuple[str, int] = ("", 0)

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
        except Exception as error:
            self._refused = (name, _PATIENCE)
            RELEASES.labels("refused").inc()
            log.error("release refused", refused=name, **located(error))
        else:
            self._current, self._refused = release.name, ("", 0)
            RELEASES.labels("loaded").inc()
            log.info("release loaded", loaded=release.name)
