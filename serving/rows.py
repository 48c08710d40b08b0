"""Reads event rows one by one, by the same rules as tables of a file.

Requests hold few rows, for which column expressions cost more than they save. What is plainly good
is read here; whatever is not is handed to the contract's own check, so that both say the same.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import polars as pl

from components.contract import columns as c
from components.contract.tables import LONGEST_ID, TABLES, check, content_id
from serving.stores.base import StoredEvent

_TABLE = TABLES["events"]
_FIELDS = _TABLE.kinds.keys()
_LATE = f"{c.TIMESTAMP}: more than a day in the future"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TYPES = frozenset(c.EVENT_TYPES)
_TIME = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,6})?(?:Z|[+-][0-9]{2}:[0-9]{2})?"
)


class _Doubtful(Exception):
    """Not plainly good: the contract's check decides."""


def read_rows(rows: Sequence[Any], latest: float) -> list[StoredEvent | str]:
    """Read event rows.

    Parameters
    ----------
    rows : sequence
        Parsed JSON of any kind.
    latest : float
        Events after this (epoch seconds) are bad.

    Returns
    -------
    list
        For each row its event, or what is wrong with it.
    """
    found: list[dict[str, Any] | str | None] = []
    doubtful: dict[int, dict[str, str | None]] = {}
    for place, row in enumerate(rows):
        problem = _shape(row)
        if problem is not None:
            found.append(problem)
            continue
        try:
            values = {name: read(row[name]) for name, read in _READERS if row.get(name) is not None}
            if not values.keys() >= _REQUIRED:
                raise _Doubtful
            found.append(values)
        except _Doubtful:
            found.append(None)
            doubtful[place] = {name: _text(row.get(name)) for name in _FIELDS}
    for place, answer in _check(doubtful, latest):
        found[place] = answer
    _identify([one for one in found if isinstance(one, dict) and c.EVENT_ID not in one])
    return [_event(one, latest) if isinstance(one, dict) else str(one) for one in found]


def _shape(row: Any) -> str | None:
    if not isinstance(row, dict):
        return "an object is expected"
    if not row.keys() <= _FIELDS:
        return f"{min(row.keys() - _FIELDS)[:100]}: unknown field"
    for name, value in row.items():
        if isinstance(value, str):
            if len(value) > LONGEST_ID:
                return f"{name}: longer than {LONGEST_ID} characters"
        elif isinstance(value, dict | list | bool):
            return f"{name}: text or a number is expected"
    return None


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _identifier(value: Any) -> str:
    if type(value) is int:
        return str(value)
    # Printable text has no white space but the blank, so any reader trims it alike.
    plain = type(value) is str and value.isprintable() and value not in ("", "NaN", "nan")
    if plain and value[0] != " " != value[-1]:
        return value
    raise _Doubtful


def _event_type(value: Any) -> str:
    if value not in _TYPES:
        raise _Doubtful
    return value


def _time(value: Any) -> datetime:
    if type(value) is str:
        if _TIME.fullmatch(value):
            try:
                read = datetime.fromisoformat(value)
                read = read.replace(tzinfo=UTC) if read.tzinfo is None else read.astimezone(UTC)
            except (ValueError, OverflowError) as error:
                raise _Doubtful from error
            if read.year >= 1970:
                return read
    elif type(value) in (int, float):
        # Within these bounds no rounding is in doubt, but that of a half.
        micros = value * 1e6 if 0 <= value < 9e9 else value * 1e3 if 1e11 <= value < 9e12 else 0.5
        if abs(round(micros) - micros) < 0.5:
            return _EPOCH + timedelta(microseconds=round(micros))
    raise _Doubtful


def _number(low: float, high: float) -> Callable[[Any], float]:
    def read(value: Any) -> float:
        if type(value) in (int, float) and low <= value <= high:
            return float(value)
        raise _Doubtful

    return read


def _position(value: Any) -> int:
    if type(value) is int and 0 <= value < 2**31:
        return value
    raise _Doubtful


def _reader(name: str) -> Callable[[Any], Any]:
    if name in (c.EVENT_TYPE, c.TIMESTAMP, c.POSITION):
        return {c.EVENT_TYPE: _event_type, c.TIMESTAMP: _time, c.POSITION: _position}[name]
    if name in _TABLE.bounds:
        low, high = _TABLE.bounds[name]
        return _number(low, 1e300 if high is None else high)
    return _identifier


_READERS = [(name, _reader(name)) for name in _TABLE.kinds]
_REQUIRED = frozenset(_TABLE.required)


def _check(
    doubtful: dict[int, dict[str, str | None]], latest: float
) -> list[tuple[int, dict[str, Any] | str]]:
    """Let the contract decide; by place, the row's values or what is wrong with it."""
    if not doubtful:
        return []
    raw = [{"place": place, **row} for place, row in doubtful.items()]
    schema = {"place": pl.Int64, **dict.fromkeys(_FIELDS, pl.String)}
    judged = check("events", pl.DataFrame(raw, schema=schema), where="the request", required_present=False)
    bad = {int(orjson.loads(row["row"])["place"]): row["reason"] for row in judged.bad.iter_rows(named=True)}
    good = [place for place in doubtful if place not in bad]
    # Before they become Python's dates, which end with the year 9999.
    late = judged.rows[c.TIMESTAMP].dt.epoch("us") / 1e6 > latest
    values = (
        {name: value for name, value in row.items() if value is not None}
        for row in judged.rows.filter(~late).iter_rows(named=True)
    )
    found = [_LATE if is_late else next(values) for is_late in late]
    return [*bad.items(), *zip(good, found, strict=True)]


def _identify(rows: list[dict[str, Any]]) -> None:
    """Give events without an id one from their content."""
    if rows:
        ids = pl.DataFrame(rows, schema=_TABLE.schema).select(content_id())
        for row, event_id in zip(rows, ids.to_series(), strict=True):
            row[c.EVENT_ID] = event_id


def _event(row: dict[str, Any], latest: float) -> StoredEvent | str:
    seconds = row[c.TIMESTAMP].timestamp()
    if seconds > latest:
        return _LATE
    return StoredEvent(
        row[c.EVENT_ID],
        row[c.ASSOCIATE_ID],
        row[c.PAGE_ID],
        row[c.EVENT_TYPE],
        seconds,
        orjson.dumps(row).decode(),
    )
