"""What happened since the release: events and who asked to be forgotten, durable in SQLite."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from components.contract.columns import ENGAGEMENTS

_SCHEMA = """
CREATE TABLE IF NOT EXISTS events (
    event_id TEXT PRIMARY KEY, associate_id TEXT NOT NULL, page_id TEXT NOT NULL,
    event_type TEXT NOT NULL, time REAL NOT NULL, row TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS by_associate ON events (associate_id, time);
CREATE TABLE IF NOT EXISTS forgotten (associate_id TEXT PRIMARY KEY) WITHOUT ROWID;
"""


class StoredEvent(NamedTuple):
    """One event; ``row`` is the whole row as JSON, ``time`` epoch seconds."""

    event_id: str
    associate_id: str
    page_id: str
    event_type: str
    time: float
    row: str


class Store(Protocol):
    """Keeps events. What ``append`` returned is on disk."""

    def append(self, events: Sequence[StoredEvent]) -> list[StoredEvent]:
        """Add events; those whose id is known already are skipped. Returns the new ones."""

    def visits(self, associate_id: str) -> list[tuple[str, float]]:
        """Pages that an associate engaged with and when, oldest first."""

    def engagements(self) -> Iterator[StoredEvent]:
        """All engagements, oldest first."""

    def forget(self, associate_id: str) -> None:
        """Delete an associate's events and remember that the associate is not to be known."""

    def forgotten(self) -> set[str]:
        """Associates who asked to be forgotten."""


def _connect(path: Path | str) -> sqlite3.Connection:
    connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=10)
    connection.execute("PRAGMA journal_mode=WAL")
    # FULL: a commit is on disk when it returns.
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA secure_delete=ON")
    return connection


class SQLiteStore:
    """One file in WAL mode, for one or more processes of one machine.

    Parameters
    ----------
    path : Path or str
        The database file; it and its folder are made when missing.
    """

    def __init__(self, path: Path | str):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        # In WAL mode readers do not wait for a writer's disk.
        self._writing, self._reading = threading.Lock(), threading.Lock()
        self._writer, self._reader = _connect(path), _connect(path)
        self._writer.executescript(_SCHEMA)

    def append(self, events: Sequence[StoredEvent]) -> list[StoredEvent]:
        """Add events in one transaction; see :class:`Store`."""
        added = []
        with self._writing:
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                for event in events:
                    cursor = self._writer.execute(
                        "INSERT OR IGNORE INTO events SELECT ?,?,?,?,?,? "
                        "WHERE NOT EXISTS (SELECT 1 FROM forgotten WHERE associate_id = ?)",
                        (*event, event.associate_id),
                    )
                    if cursor.rowcount:
                        added.append(event)
                self._writer.execute("COMMIT")
            except BaseException:
                self._writer.execute("ROLLBACK")
                raise
        return added

    def visits(self, associate_id: str) -> list[tuple[str, float]]:
        """See :class:`Store`."""
        marks = ",".join("?" * len(ENGAGEMENTS))
        query = (
            f"SELECT page_id, time FROM events WHERE associate_id = ? AND event_type IN ({marks}) "
            "ORDER BY time, page_id"
        )
        with self._reading:
            return self._reader.execute(query, (associate_id, *ENGAGEMENTS)).fetchall()

    def engagements(self) -> Iterator[StoredEvent]:
        """See :class:`Store`."""
        marks = ",".join("?" * len(ENGAGEMENTS))
        query = f"SELECT * FROM events WHERE event_type IN ({marks}) ORDER BY time, event_id"
        with self._reading:
            rows = self._reader.execute(query, ENGAGEMENTS).fetchall()
        return (StoredEvent(*row) for row in rows)

    def forget(self, associate_id: str) -> None:
        """See :class:`Store`."""
        with self._writing:
            self._writer.execute("BEGIN IMMEDIATE")
            self._writer.execute("DELETE FROM events WHERE associate_id = ?", (associate_id,))
            self._writer.execute("INSERT OR IGNORE INTO forgotten VALUES (?)", (associate_id,))
            self._writer.execute("COMMIT")
            self._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def forgotten(self) -> set[str]:
        """See :class:`Store`."""
        with self._reading:
            return {row[0] for row in self._reader.execute("SELECT associate_id FROM forgotten")}
