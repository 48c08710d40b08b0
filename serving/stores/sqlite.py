"""The embedded store: one SQLite file in WAL mode, for the processes of one machine."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import structlog

from components.contract.time import DAY
from serving.stores import claims
from serving.stores.appending import Appender, insert
from serving.stores.base import Activity, Answer, Entry, StoredEvent
from serving.stores.settings import StoreSettings
from serving.stores.sqlfile import SQLFile
from serving.stores.statements import (
    ANSWER,
    END,
    ENTRY,
    ERASE,
    OLD_EVENTS,
    SCHEMA,
    TABLES,
)

log = structlog.get_logger()
_CHUNK = 5000
# The table of the first layout.
_OLD = "events"


class SQLiteStore:
    """See :class:`serving.stores.base.Store`.

    Parameters
    ----------
    path : Path or str
        The database file; it and its folder are made when missing.
    settings : StoreSettings, optional
        From the environment when absent.

    Raises
    ------
    StoreError
        The file cannot be opened or is no store.
    """

    def __init__(self, path: Path | str, settings: StoreSettings | None = None):
        self._settings = settings or StoreSettings()
        self._file = SQLFile(Path(path), self._settings.write_timeout_ms / 1e3)
        self._append = Appender(self._file)
        # Without the lock where nothing is to do: a server must start though others write without a pause.
        with self._file.reading() as sql:
            tables = _tables(sql)
        # The schema is made in one transaction, so its last table stands for all of it.
        if "releases" not in tables or _OLD in tables:
            with self._file.transaction() as sql:
                for statement in SCHEMA.split(";\n"):
                    sql.execute(statement)
                self._migrate(sql)

    def _migrate(self, sql: sqlite3.Connection) -> None:
        """Take over the events of the first layout, one table of rows by id, whole or not at all."""
        if _OLD not in _tables(sql):
            return
        moved, rows = 0, sql.execute(OLD_EVENTS)
        while some := rows.fetchmany(_CHUNK):
            moved += len(insert(sql, [StoredEvent(*row) for row in some]))
        sql.execute(f"DROP TABLE {_OLD}")
        log.info("store migrated", events=moved)

    def append(self, events: Sequence[StoredEvent]) -> list[Entry]:
        """See :class:`serving.stores.base.Store`."""
        return self._append(events)

    def activity(self, associate_ids: Sequence[str]) -> list[Activity]:
        """See :class:`serving.stores.base.Store`."""
        found = {associate_id: Activity([], {}, False) for associate_id in associate_ids}
        with self._file.reading() as sql:
            for marks, part in _parts(list(found)):
                rows = sql.execute(
                    "SELECT associate_id, page_id, time, completed FROM visits "
                    f"WHERE associate_id IN ({marks}) ORDER BY time, page_id",
                    part,
                )
                for associate_id, page_id, visited, completed in rows:
                    found[associate_id].visits.append((page_id, visited))
                    if completed is not None:
                        found[associate_id].completions[page_id] = completed
                gone = sql.execute(
                    f"SELECT associate_id FROM forgotten WHERE associate_id IN ({marks})", part
                )
                found |= {associate_id: Activity([], {}, True) for (associate_id,) in gone}
        return [found[associate_id] for associate_id in associate_ids]

    def read(self, after: str, limit: int) -> tuple[list[Entry], str]:
        """See :class:`serving.stores.base.Store`."""
        query = f"SELECT {ENTRY} WHERE l.position > ? AND row IS NOT NULL ORDER BY l.position LIMIT ?"
        with self._file.reading() as sql:
            rows = sql.execute(query, (int(after or 0), limit)).fetchall()
            # Past what was trimmed at the end, too.
            reached = rows[-1][0] if len(rows) == limit else sql.execute(END, ("log",)).fetchone()[0]
        return _entries(rows), str(reached)

    def end(self) -> str:
        """See :class:`serving.stores.base.Store`."""
        with self._file.reading() as sql:
            return str(sql.execute(END, ("log",)).fetchone()[0])

    def trim(self, before: float) -> int:
        """See :class:`serving.stores.base.Store`; in short transactions, so that no writer waits long."""
        deleted, now = 0, time.time()
        drained = "position <= (SELECT settled FROM claims WHERE log = '{0}') AND arrived < ?"
        some = "position IN (SELECT position FROM {0} WHERE {1} ORDER BY position LIMIT {2})"
        erase = f"{ERASE} WHERE " + some.format("log", drained.format("log") + " AND row IS NOT NULL", _CHUNK)
        delete = "DELETE FROM answers WHERE " + some.format("answers", drained.format("answers"), _CHUNK)
        for statement in (erase, delete):
            count = _CHUNK
            while count == _CHUNK:
                with self._file.transaction() as sql:
                    count = sql.execute(statement, (before,)).rowcount
                    deleted += count
        with self._file.transaction() as sql:
            sql.execute(
                "DELETE FROM log WHERE row IS NULL AND position < "
                "(SELECT position FROM log WHERE arrived >= ? ORDER BY position LIMIT 1)",
                (now - self._settings.id_days * DAY,),
            )
            sql.execute("DELETE FROM visits WHERE touched < ?", (now - self._settings.activity_days * DAY,))
            sql.execute("DELETE FROM documents WHERE until <= ?", (now,))
            _delete_lists(sql, now)
        return deleted

    def forget(self, associate_id: str) -> None:
        """See :class:`serving.stores.base.Store`; deleted bytes are overwritten."""
        with self._file.transaction() as sql:
            sql.execute("INSERT INTO forgotten VALUES (?) ON CONFLICT DO NOTHING", (associate_id,))
            sql.execute(f"{ERASE} WHERE associate_id = ?", (associate_id,))
            for table in ("visits", "answers", "lists"):
                sql.execute(f"DELETE FROM {table} WHERE associate_id = ?", (associate_id,))
        self._file.empty_log()

    def forgotten(self) -> set[str]:
        """See :class:`serving.stores.base.Store`."""
        with self._file.reading() as sql:
            return {row[0] for row in sql.execute("SELECT associate_id FROM forgotten")}

    def claim(self, limit: int) -> tuple[list[Entry], str]:
        """See :class:`serving.stores.base.Store`."""
        query = (
            f"SELECT {ENTRY} WHERE l.position > ? AND l.position <= ? AND row IS NOT NULL ORDER BY l.position"
        )
        rows, name = claims.claim(self._file, "log", "row IS NOT NULL", query, limit)
        return _entries(rows), name

    def settle(self, claim: str) -> None:
        """See :class:`serving.stores.base.Store`."""
        claims.settle(self._file, "log", claim)

    def record(self, answers: Sequence[Answer]) -> None:
        """See :class:`serving.stores.base.Store`."""
        now = time.time()
        with self._file.transaction() as sql:
            sql.executemany(
                "INSERT INTO answers (arrived, request_id, associate_id, time, body) SELECT ?, ?, ?, ?, ? "
                "WHERE NOT EXISTS (SELECT 1 FROM forgotten WHERE associate_id = ?) "
                "ON CONFLICT (request_id) DO NOTHING",
                ((now, *answer, answer.associate_id) for answer in answers),
            )

    def claim_answers(self, limit: int) -> tuple[list[Answer], str]:
        """See :class:`serving.stores.base.Store`."""
        query = f"SELECT {ANSWER} WHERE position > ? AND position <= ? ORDER BY position"
        rows, name = claims.claim(self._file, "answers", "TRUE", query, limit)
        return [Answer(*row) for row in rows], name

    def settle_answers(self, claim: str) -> None:
        """See :class:`serving.stores.base.Store`."""
        claims.settle(self._file, "answers", claim)

    def answer(self, request_id: str) -> Answer | None:
        """See :class:`serving.stores.base.Store`."""
        with self._file.reading() as sql:
            row = sql.execute(f"SELECT {ANSWER} WHERE request_id = ?", (request_id,)).fetchone()
        return Answer(*row) if row else None

    def recent_answers(self, associate_id: str, limit: int) -> list[Answer]:
        """See :class:`serving.stores.base.Store`."""
        query = f"SELECT {ANSWER} WHERE associate_id = ? ORDER BY position DESC LIMIT ?"
        with self._file.reading() as sql:
            return [Answer(*row) for row in sql.execute(query, (associate_id, limit))]

    def put(self, key: str, value: bytes, *, seconds: float | None = None) -> None:
        """See :class:`serving.stores.base.Store`."""
        until = None if seconds is None else time.time() + seconds
        with self._file.transaction() as sql:
            sql.execute("REPLACE INTO documents VALUES (?, ?, ?)", (key, value, until))

    def put_if(self, key: str, value: bytes, expected: bytes | None) -> bool:
        """See :class:`serving.stores.base.Store`."""
        with self._file.transaction() as sql:
            if _document(sql, key) != expected:
                return False
            sql.execute("REPLACE INTO documents VALUES (?, ?, NULL)", (key, value))
            return True

    def get(self, key: str) -> bytes | None:
        """See :class:`serving.stores.base.Store`."""
        with self._file.reading() as sql:
            return _document(sql, key)

    def put_lists(self, release: str, lists: Mapping[str, bytes]) -> None:
        """See :class:`serving.stores.base.Store`."""
        with self._file.transaction() as sql:
            _delete_lists(sql, time.time())
            sql.execute("REPLACE INTO releases VALUES (?, NULL)", (release,))
            sql.executemany(
                "REPLACE INTO lists SELECT ?, ?, ? "
                "WHERE NOT EXISTS (SELECT 1 FROM forgotten WHERE associate_id = ?)",
                ((release, associate_id, value, associate_id) for associate_id, value in lists.items()),
            )

    def lists(self, release: str, associate_ids: Sequence[str]) -> list[bytes | None]:
        """See :class:`serving.stores.base.Store`."""
        found: dict[str, bytes] = {}
        with self._file.reading() as sql:
            for marks, part in _parts(list(set(associate_ids))):
                found |= sql.execute(
                    "SELECT associate_id, value FROM lists JOIN releases USING (release) "
                    f"WHERE release = ? AND ifnull(until, ?) >= ? AND associate_id IN ({marks})",
                    (release, now := time.time(), now, *part),
                )
        return [found.get(associate_id) for associate_id in associate_ids]

    def retire_lists(self, release: str, seconds: float) -> None:
        """See :class:`serving.stores.base.Store`."""
        with self._file.transaction() as sql:
            sql.execute("UPDATE releases SET until = ? WHERE release = ?", (time.time() + seconds, release))
            _delete_lists(sql, time.time())

    def ping(self) -> None:
        """See :class:`serving.stores.base.Store`."""
        with self._file.reading() as sql:
            sql.execute("SELECT 1 FROM claims").fetchone()

    def close(self) -> None:
        """See :class:`serving.stores.base.Store`."""
        self._file.close()


def _tables(sql: sqlite3.Connection) -> set[str]:
    return {name for (name,) in sql.execute(TABLES)}


def _parts(ids: Sequence[str]) -> Iterator[tuple[str, Sequence[str]]]:
    """Placeholders and ids, as many at a time as a statement may hold."""
    for at in range(0, len(ids), _CHUNK):
        part = ids[at : at + _CHUNK]
        yield ",".join("?" * len(part)), part


def _entries(rows: Sequence[tuple[Any, ...]]) -> list[Entry]:
    return [Entry(StoredEvent(*event), bool(first)) for _, *event, first in rows]


def _document(sql: sqlite3.Connection, key: str) -> bytes | None:
    row = sql.execute(
        "SELECT value FROM documents WHERE key = ? AND ifnull(until > ?, TRUE)", (key, time.time())
    ).fetchone()
    return row[0] if row else None


def _delete_lists(sql: sqlite3.Connection, now: float) -> None:
    gone = "SELECT release FROM releases WHERE until <= ?"
    sql.execute(f"DELETE FROM lists WHERE release IN ({gone})", (now,))
    sql.execute("DELETE FROM releases WHERE until <= ?", (now,))
