"""An SQLite file in WAL mode: one writer at a time, readers that wait for nobody."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from serving.stores.base import StoreError


class SQLFile:
    """Connections to one file.

    Parameters
    ----------
    path : Path
        Made with its folder when missing.
    seconds : float
        How long a writer waits for those of other processes.

    Raises
    ------
    StoreError
        The file cannot be opened, or is no database.
    """

    def __init__(self, path: Path, seconds: float):
        self._path, self._seconds = path, seconds
        self.writing = threading.Lock()
        # Each reader takes a connection that no other thread uses.
        self._idle: list[sqlite3.Connection] = []
        with explained(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._writer = self._connect()
            # Ids are random, so an append touches many pages: moving them into the database less often
            # makes appends three times as fast.
            self._writer.execute("PRAGMA wal_autocheckpoint=8000")
            self._writer.execute("PRAGMA cache_size=-32768")

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self._path, check_same_thread=False, isolation_level=None, timeout=self._seconds
        )
        connection.execute("PRAGMA journal_mode=WAL")
        # FULL: a commit is on disk when it returns.
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA secure_delete=ON")
        return connection

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Give the writing connection; what is done in the block is committed whole."""
        with self.writing, self.locked_transaction() as sql:
            yield sql

    @contextmanager
    def locked_transaction(self) -> Iterator[sqlite3.Connection]:
        """As :meth:`transaction`, for one who holds ``writing``."""
        with explained(self._path), _atomic(self._writer, "IMMEDIATE") as sql:
            yield sql

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Give a connection that sees one state of the file throughout the block."""
        with explained(self._path):
            try:
                connection = self._idle.pop()
            except IndexError:
                connection = self._connect()
            with _atomic(connection, "DEFERRED") as sql:
                yield sql
            self._idle.append(connection)

    def empty_log(self) -> None:
        """Move what the write-ahead log holds into the file, and overwrite it."""
        with self.writing, explained(self._path):
            self._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def close(self) -> None:
        """Close all connections."""
        with self.writing:
            self._writer.close()
            while self._idle:
                self._idle.pop().close()


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Raise what the file or its disk is the cause of as a StoreError."""
    try:
        yield
    except (sqlite3.OperationalError, OSError) as error:
        raise StoreError(f"store {path}: {error}") from error
    except sqlite3.DatabaseError as error:
        # The class itself stands for a file that is damaged; its other children are our own mistakes.
        if type(error) is not sqlite3.DatabaseError:
            raise
        raise StoreError(f"store {path}: {error}") from error


@contextmanager
def _atomic(connection: sqlite3.Connection, kind: str) -> Iterator[sqlite3.Connection]:
    connection.execute(f"BEGIN {kind}")
    try:
        yield connection
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
