"""What of the embedded store's logs is to be drained: one claim at a time, of each of them."""

from __future__ import annotations

import time
from typing import Any
from uuid import uuid4

from serving.stores.sqlfile import SQLFile


def claim(file: SQLFile, log: str, there: str, query: str, limit: int) -> tuple[list[Any], str]:
    """Rows that are to be drained, and the claim's name; see :meth:`serving.stores.base.Store.claim`.

    Parameters
    ----------
    file : SQLFile
    log : str
        The table.
    there : str
        Which of its rows count.
    query : str
        Reads rows after one position and up to another.
    limit : int
        Of a new claim; one that is not settled yet comes again as it was.
    """
    with file.transaction() as sql:
        settled, reached, name = sql.execute(
            "SELECT settled, reached, name FROM claims WHERE log = ?", (log,)
        ).fetchone()
        if not name:
            (reached,) = sql.execute(
                f"SELECT max(position) FROM (SELECT position FROM {log} WHERE position > ? AND {there} "
                "ORDER BY position LIMIT ?)",
                (settled, limit),
            ).fetchone()
            if reached is None:
                return [], ""
            # Random: a file restored from a copy gives its positions out again.
            name = f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}-{uuid4().hex[:12]}"
            sql.execute("UPDATE claims SET reached = ?, name = ? WHERE log = ?", (reached, name, log))
        return sql.execute(query, (settled, reached)).fetchall(), name


def settle(file: SQLFile, log: str, name: str) -> None:
    """The rows of a claim are safe elsewhere; one that is settled already is passed over."""
    with file.transaction() as sql:
        sql.execute(
            "UPDATE claims SET settled = reached, name = '' WHERE log = ? AND name = ? AND name != ''",
            (log, name),
        )
