"""Appends to the embedded store's log: calls that come together share a commit."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Sequence

from serving.stores.base import Entry, StoredEvent, StoreError
from serving.stores.packing import id_hash
from serving.stores.sqlfile import SQLFile
from serving.stores.statements import END, INSERT, JOINED, VISITS


def insert(sql: sqlite3.Connection, events: Sequence[StoredEvent]) -> dict[tuple[str, str], bool]:
    """Add events to the log and the visits that they make.

    Parameters
    ----------
    sql : sqlite3.Connection
        In a transaction.
    events : sequence of StoredEvent

    Returns
    -------
    dict
        Ids and associates of the new events, and whether each was a first engagement.
    """
    now, (end,) = time.time(), sql.execute(END, ("log",)).fetchone()
    sql.executemany(INSERT, ((id_hash(event.event_id), now, *event, event.associate_id) for event in events))
    sql.execute(VISITS, (end,))
    added = sql.execute(
        f"SELECT event_id, associate_id, v.position IS l.position {JOINED} WHERE l.position > ?", (end,)
    )
    return {(event_id, associate_id): bool(first) for event_id, associate_id, first in added}


class _Call:
    """A call that waits for its commit."""

    def __init__(self, events: Sequence[StoredEvent]):
        self.events = events
        self.added: list[Entry] = []
        self.error: BaseException | None = None
        self.done = False
        # When it is done, or when it is to commit itself and what waits with it.
        self.woken = threading.Event()


class Appender:
    """Adds events; calls that come while another one's commit is written share the next.

    Parameters
    ----------
    file : SQLFile
    """

    def __init__(self, file: SQLFile):
        self._file = file
        self._waiting: list[_Call] = []
        self._led = False
        self._queueing = threading.Lock()

    def __call__(self, events: Sequence[StoredEvent]) -> list[Entry]:
        """Add events, all or none; returns the new ones in the order given."""
        mine = _Call(events)
        with self._queueing:
            self._waiting.append(mine)
            leads, self._led = not self._led, True
        if not leads:
            mine.woken.wait()
        if not mine.done:
            self._lead()
        if mine.error is not None:
            raise mine.error
        return mine.added

    def _lead(self) -> None:
        """Commit all calls that wait, then let the first of those that came meanwhile lead."""
        with self._file.writing:
            with self._queueing:
                calls, self._waiting = self._waiting, []
            self._commit(calls)
        with self._queueing:
            if self._waiting:
                self._waiting[0].woken.set()
            else:
                self._led = False
        for call in calls:
            call.woken.set()

    def _commit(self, calls: Sequence[_Call]) -> None:
        try:
            with self._file.locked_transaction() as sql:
                first = insert(sql, [event for call in calls for event in call.events])
        except StoreError as error:
            for call in calls:
                call.error, call.done = error, True
        except BaseException as error:
            if len(calls) > 1:
                # One call's bad value is not the others' fault.
                for call in calls:
                    self._commit([call])
            else:
                calls[0].error, calls[0].done = error, True
        else:
            for call in calls:
                call.added = [
                    Entry(event, first.pop(name))
                    for event in call.events
                    if (name := (event.event_id, event.associate_id)) in first
                ]
                call.done = True
