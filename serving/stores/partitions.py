"""The folder that a store is drained into: Parquet files by date, one a claim, and tombstones.

``events/date=YYYY-MM-DD/CLAIM.parquet`` holds rows of the data contract, ``impressions/...`` one row
for each page of an answer, ``quarantine/CLAIM.parquet`` what fits neither, ``tombstones.parquet`` who is
forgotten. A claim that is written again replaces its own files.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import polars as pl

from components.contract import columns as c
from components.contract.files import atomic_file
from components.contract.tables import INSTANT, TABLES, bad_rows, check
from serving.stores.base import Answer, Entry

_IMPRESSIONS: dict[str, Any] = {
    c.REQUEST_ID: pl.String,
    c.RELEASE: pl.String,
    c.ASSOCIATE_ID: pl.String,
    c.PAGE_ID: pl.String,
    c.POSITION: pl.Int32,
    "score": pl.Float64,
    "propensity": pl.Float64,
    "source": pl.String,
    "fallback": pl.String,
    c.TIMESTAMP: INSTANT,
    "features": pl.String,
}
_OPTIONAL = (c.DWELL, c.PROGRESS, c.RATING, c.REQUEST_ID, c.POSITION, c.RELEASE)
_TOMBSTONES = "tombstones.parquet"


def event_rows(entries: Sequence[Entry]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Rows of the data contract, and those that break it with their reason."""
    events = [entry.event for entry in entries]
    given = [_object(event.row) for event in events]
    raw = pl.DataFrame(
        {
            c.EVENT_ID: [event.event_id for event in events],
            c.ASSOCIATE_ID: [event.associate_id for event in events],
            c.PAGE_ID: [event.page_id for event in events],
            c.EVENT_TYPE: [event.event_type for event in events],
            c.TIMESTAMP: [round(event.time * 1e6) for event in events],
            **{name: [_text(row.get(name)) for row in given] for name in _OPTIONAL},
        },
        schema=TABLES["events"].schema | dict.fromkeys(_OPTIONAL, pl.String) | {c.TIMESTAMP: pl.Int64},
    )
    found = check("events", raw.with_columns(pl.from_epoch(c.TIMESTAMP, "us").cast(INSTANT)))
    return found.rows, _owned(found.bad)


def impression_rows(answers: Sequence[Answer]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """One row for each page of each answer, and the answers that cannot be read.

    Positions that an answer does not give are its items' places, from 0.
    """
    rows: list[dict[str, Any]] = []
    bad = []
    for answer in answers:
        body = _object(answer.body)
        items = body.get("items")
        if not isinstance(items, list):
            bad.append(orjson.dumps({c.ASSOCIATE_ID: answer.associate_id, "body": answer.body}).decode())
            continue
        shared = {
            c.REQUEST_ID: answer.request_id,
            c.RELEASE: _text(body.get("release")),
            c.ASSOCIATE_ID: answer.associate_id or None,
            "fallback": _text(body.get("fallback")),
            c.TIMESTAMP: datetime.fromtimestamp(answer.time, UTC),
        }
        for place, item in enumerate(items):
            if not isinstance(item, dict) or c.PAGE_ID not in item:
                continue
            features = item.get("features")
            rows.append(
                {
                    **shared,
                    c.PAGE_ID: _text(item[c.PAGE_ID]),
                    c.POSITION: item.get(c.POSITION, place),
                    "score": item.get("score"),
                    "propensity": item.get("propensity"),
                    "source": _text(item.get("source")),
                    "features": None if features is None else orjson.dumps(features).decode(),
                }
            )
    frame = pl.DataFrame(rows, schema=_IMPRESSIONS, strict=False)
    return frame, _owned(bad_rows("answers", "body", ["body: no JSON with items"] * len(bad), bad))


def _object(text: str) -> dict[str, Any]:
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _owned(bad: pl.DataFrame) -> pl.DataFrame:
    """Say whose a bad row is, so that it goes when they are forgotten."""
    owner = pl.col("row").str.json_path_match(f"$.{c.ASSOCIATE_ID}").alias(c.ASSOCIATE_ID)
    return bad.with_columns(owner)


def write(folder: Path, table: str, rows: pl.DataFrame, bad: pl.DataFrame, claim: str) -> None:
    """Write the rows of a claim by the date of their timestamps; all of it is on disk at the end."""
    day = pl.col(c.TIMESTAMP).dt.date().alias("date")
    for (date,), part in rows.group_by(day, maintain_order=True):
        with atomic_file(folder / table / f"date={date}" / f"{claim}.parquet") as aside:
            part.write_parquet(aside, compression="zstd")
    if not bad.is_empty():
        with atomic_file(folder / "quarantine" / f"{table}-{claim}.parquet") as aside:
            bad.write_parquet(aside, compression="zstd")


def _files(folder: Path) -> Iterator[Path]:
    for table in ("events", "impressions", "quarantine"):
        yield from (path for path in sorted(folder.glob(f"{table}/**/*.parquet")) if path.name[0] != ".")


def sweep(folder: Path) -> None:
    """Delete what was written aside by a drain that was killed."""
    for path in [*folder.glob("**/.*.parquet.*")]:
        path.unlink(missing_ok=True)


def bury(folder: Path, forgotten: Iterable[str], now: float) -> int:
    """Delete the rows of people who were forgotten since the last time, then note them as tombstones.

    Parameters
    ----------
    folder : Path
    forgotten : iterable of str
        All who are.
    now : float
        Epoch seconds.

    Returns
    -------
    int
        Rows deleted.
    """
    path = folder / _TOMBSTONES
    schema: dict[str, Any] = {c.ASSOCIATE_ID: pl.String, "forgotten_at": INSTANT}
    known = pl.read_parquet(path) if path.exists() else pl.DataFrame(schema=schema)
    new = sorted(set(forgotten) - set(known[c.ASSOCIATE_ID]))
    if not new:
        return 0
    # The tombstones come last: a drain that is killed before begins again.
    deleted = sum(_delete(file, new) for file in _files(folder))
    when = datetime.fromtimestamp(now, UTC)
    added = pl.DataFrame({c.ASSOCIATE_ID: new, "forgotten_at": [when] * len(new)}, schema=schema)
    with atomic_file(path) as aside:
        pl.concat([known, added]).write_parquet(aside)
    return deleted


def _delete(file: Path, associate_ids: list[str]) -> int:
    theirs = pl.col(c.ASSOCIATE_ID).is_in(associate_ids).fill_null(False)
    count = int(pl.scan_parquet(file).select(theirs.sum()).collect().item())
    if count:
        rest = pl.read_parquet(file, hive_partitioning=False).filter(~theirs)
        if rest.is_empty():
            file.unlink()
        else:
            with atomic_file(file) as aside:
                rest.write_parquet(aside, compression="zstd")
    return count
