"""Trend counters that follow the store's log: what anybody does moves them, whoever took the event."""

from __future__ import annotations

import io
import threading
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from components.contract.requests import Requests
from components.contract.time import DAY
from components.contract.trends import SEGMENTS, Openings, TrendCounters
from serving.catalogue import Catalogue
from serving.stores.base import Entry, Store

_BATCH = 5000
# A checkpoint serves restarts and further pods; it need not outlive the release by much.
_KEPT_SECONDS = 7 * DAY


class LiveTrends:
    """The release's counters, moved by every first engagement since.

    A process starts from the newest checkpoint that any process of the release has left in the store,
    or from the release itself, and reads the log from there.

    Parameters
    ----------
    release : str
        Its name; checkpoints go by it.
    counters : TrendCounters
        The release's.
    catalogue : Catalogue
    store : Store, optional
    """

    def __init__(
        self, release: str, counters: TrendCounters, catalogue: Catalogue, store: Store | None = None
    ):
        self._counters, self._catalogue, self._store = counters, catalogue, store
        self._key = f"trends:{release}"
        self._reading, self._counting = threading.Lock(), threading.Lock()
        self._position = self._saved = ""
        self._restored = False
        self._shape = {name: values.shape for name, values in counters.counts.items()}

    def at(self, requests: Requests) -> tuple[dict[str, NDArray[np.float32]], NDArray[np.float64]]:
        """Decayed counts for each request, (B, P) by trend, and when each page was first opened, (P,)."""
        with self._counting:
            return self._counters.at(requests), self._counters.first_opened.copy()

    def catch_up(self) -> int:
        """Count what was appended since the last time; returns how many entries were read.

        Raises
        ------
        StoreError
            The store does not answer; the next call goes on from where this one came to.
        """
        if self._store is None:
            return 0
        read = 0
        # One reader at a time: an entry must not count twice.
        with self._reading:
            if not self._restored:
                self._restore(self._store.get(self._key))
            while True:
                entries, self._position = self._store.read(self._position, _BATCH)
                self._count(entries)
                read += len(entries)
                if len(entries) < _BATCH:
                    return read

    def _restore(self, kept: bytes | None) -> None:
        """Start from a checkpoint, if there is one for these pages and groups."""
        if kept is not None:
            position, _, packed = kept.partition(b"\n")
            counters = TrendCounters.load(io.BytesIO(packed))
            if {name: values.shape for name, values in counters.counts.items()} == self._shape:
                with self._counting:
                    self._counters, self._position = counters, position.decode()
        self._restored = True

    def checkpoint(self) -> None:
        """Leave the counters in the store if they moved since the last time."""
        if self._store is None or self._position == self._saved:
            return
        buffer = io.BytesIO()
        with self._reading:
            position = self._position
            self._counters.write(buffer)
        self._store.put(self._key, position.encode() + b"\n" + buffer.getvalue(), seconds=_KEPT_SECONDS)
        self._saved = position

    def _count(self, entries: Sequence[Entry]) -> None:
        """Count first engagements; those that the release holds already do not count twice."""
        known: dict[str, set[int]] = {}
        rows, pages, times = [], [], []
        for event, first in entries:
            page = self._catalogue.page_row.get(event.page_id)
            if not first or page is None:
                continue
            row = self._catalogue.find(event.associate_id)
            if event.associate_id not in known:
                known[event.associate_id] = set(self._catalogue.past(row).page.tolist())
            if page not in known[event.associate_id]:
                rows.append(row)
                pages.append(page)
                times.append(event.time)
        if not rows:
            return
        attributes = {
            name: np.array([self._catalogue.attribute(name, row) for row in rows], np.str_)
            for name in SEGMENTS
        }
        with self._counting:
            self._counters.add(Openings(np.array(times), np.array(pages, np.int32), attributes))
