"""The contract tables: events, pages, associates; their columns, their types, and what makes a row bad.

:func:`check` takes rows as some file or request gave them, in whatever types, and parts them into
typed rows and bad rows with a reason. All checks are column expressions.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import polars as pl

from components.contract import columns as c
from components.contract.errors import DataError

TableName = Literal["events", "pages", "associates"]
Kind = Literal["id", "word", "text", "time", "number", "count", "flag", "list"]
INSTANT = pl.Datetime("us", "UTC")
_TYPES: dict[Kind, Any] = {
    "id": pl.String,
    "word": pl.String,
    "text": pl.String,
    "time": INSTANT,
    "number": pl.Float64,
    "count": pl.Int32,
    "flag": pl.Boolean,
    "list": pl.List(pl.String),
}


@dataclass(frozen=True)
class Table:
    """What one table of the contract holds.

    Attributes
    ----------
    kinds : dict
        Kind of each column: ``id`` and ``word`` are trimmed, ``text`` keeps its spaces.
    required : tuple of str
        Columns that must be there, and hold a value in each row.
    key : str or None
        The column whose values must be unique.
    bounds : dict
        Smallest and largest number allowed; None leaves an end open.
    extras : bool
        Whether unknown columns are kept.
    """

    kinds: dict[str, Kind]
    required: tuple[str, ...]
    key: str | None = None
    bounds: dict[str, tuple[float, float | None]] = field(default_factory=dict)
    extras: bool = True

    @property
    def schema(self) -> pl.Schema:
        """Polars types of the table's own columns."""
        return pl.Schema({name: _TYPES[kind] for name, kind in self.kinds.items()})


TABLES: dict[TableName, Table] = {
    "events": Table(
        kinds={
            c.EVENT_ID: "id",
            c.ASSOCIATE_ID: "id",
            c.PAGE_ID: "id",
            c.EVENT_TYPE: "word",
            c.TIMESTAMP: "time",
            c.DWELL: "number",
            c.PROGRESS: "number",
            c.RATING: "number",
            c.REQUEST_ID: "id",
            c.POSITION: "count",
            c.RELEASE: "id",
        },
        required=(c.ASSOCIATE_ID, c.PAGE_ID, c.EVENT_TYPE, c.TIMESTAMP),
        bounds={c.DWELL: (0, None), c.PROGRESS: (0, 1), c.RATING: (1, 5), c.POSITION: (0, 2**31 - 1)},
        extras=False,
    ),
    "pages": Table(
        kinds={
            c.PAGE_ID: "id",
            "title": "word",
            "body": "text",
            "topic": "word",
            "format": "word",
            "duration_seconds": "number",
            "published_at": "time",
            "updated_at": "time",
            "retired": "flag",
            "roles": "list",
            "mandatory_for": "list",
            "due_days": "number",
            "prerequisites": "list",
            "recertify_days": "number",
            c.LOCALE: "list",
        },
        required=(c.PAGE_ID,),
        key=c.PAGE_ID,
        bounds={"duration_seconds": (0, None), "due_days": (0, None), "recertify_days": (0, None)},
    ),
    "associates": Table(
        kinds={
            c.ASSOCIATE_ID: "id",
            "role": "word",
            "department": "word",
            "store": "word",
            "region": "word",
            "shift": "word",
            "hired_at": "time",
            c.LOCALE: "word",
        },
        required=(c.ASSOCIATE_ID,),
        key=c.ASSOCIATE_ID,
    ),
}
BAD_SCHEMA = pl.Schema({"table": pl.String, "column": pl.String, "reason": pl.String, "row": pl.String})
# As in requests: an id that no request may hold could never be asked for. Characters as in a regular
# expression's brackets.
LONGEST_ID, CONTROL = 256, r"\x00-\x1f\x7f"
_ASKED_FOR = (c.ASSOCIATE_ID, c.PAGE_ID)
_SHOWN = 80
_ROW_SHOWN = 2000
_ISO = (
    r"^(\d{4}-\d{2}-\d{2})(?:[Tt ](\d{2}):(\d{2})(?::(\d{2})(?:[.,](\d{1,9}))?)?)?"
    r"\s*(?:[Zz]|UTC|([+-])(\d{2}):?(\d{2})?)?$"
)
_ITEM = r"\"[^\"]*\"|'[^']*'|[^\[\]\s,|\"'][^\[\],|]*"


@dataclass(frozen=True)
class Checked:
    """Rows of one table after their checks.

    Attributes
    ----------
    rows : polars.DataFrame
        Good rows in the table's types; all its columns, then the extra ones.
    bad : polars.DataFrame
        ``BAD_SCHEMA``: the row as JSON, the column at fault and the reason.
    cut : int
        How many body texts were longer than the limit and lost their end.
    """

    rows: pl.DataFrame
    bad: pl.DataFrame
    cut: int = 0


def empty(table: TableName) -> pl.DataFrame:
    """A table without rows, in the contract's types."""
    return pl.DataFrame(schema=TABLES[table].schema)


def bad_rows(table: str, column: str, reasons: list[str], rows: list[str]) -> pl.DataFrame:
    """Quarantine entries for rows that could not even be parsed."""
    shown = [row[:_ROW_SHOWN] for row in rows]
    return pl.DataFrame(
        {"table": [table] * len(rows), "column": [column] * len(rows), "reason": reasons, "row": shown},
        schema=BAD_SCHEMA,
    )


def check(
    table: TableName,
    raw: pl.DataFrame,
    *,
    where: str = "the input",
    known_pages: pl.Series | None = None,
    taken: pl.Series | None = None,
    max_body_bytes: int = 1_000_000,
    required_present: bool = True,
) -> Checked:
    """Type the rows of one table and part the bad ones from the good.

    Parameters
    ----------
    table : {"events", "pages", "associates"}
    raw : polars.DataFrame
        Columns in any type that a reader gave: text, numbers, lists, dates.
    where : str
        Names the input in messages.
    known_pages : polars.Series, optional
        Events of other pages are bad.
    taken : polars.Series, optional
        Keys that earlier rows hold already; a row that repeats one is bad.
    max_body_bytes : int
        Longer body texts are cut, at a character's edge.
    required_present : bool
        Whether a missing required column is an error; False makes each row bad instead (JSON
        Lines, where a batch may lack a key that others have).

    Raises
    ------
    DataError
        A required column is missing.

    Examples
    --------
    >>> raw = pl.DataFrame({"associate_id": [7, 8], "page_id": ["P1 ", "P2"], "event_type": ["view", "look"],
    ...                     "timestamp": ["2026-09-01T08:00:00+02:00", "1788242400"]})
    >>> found = check("events", raw)
    >>> found.rows.select("associate_id", "page_id", pl.col("timestamp").dt.epoch("s")).rows()
    [('7', 'P1', 1788242400)]
    >>> found.bad["reason"].to_list()  # doctest: +ELLIPSIS
    ["event_type: unknown type, must be one of impression, view, ... (found 'look')"]
    """
    spec = TABLES[table]
    missing = [name for name in spec.required if name not in raw.columns]
    if missing and required_present:
        raise DataError(
            f"{table}: required column {missing[0]!r} is missing in {where} "
            f"(found: {', '.join(raw.columns)}). Rename or add the column."
        )
    cut = 0
    if "body" in spec.kinds and raw.schema.get("body") == pl.String:
        body, cut = _cut(raw["body"], max_body_bytes)
        raw = raw.with_columns(body)
    typed = raw.select(
        *(_coerce(name, kind, raw.schema.get(name)) for name, kind in spec.kinds.items()),
        *(_extra(name, raw.schema[name]) for name in raw.columns if spec.extras and name not in spec.kinds),
    )
    if c.EVENT_ID in typed.columns:
        typed = typed.with_columns(pl.col(c.EVENT_ID).fill_null(content_id()))

    given = raw.rename({name: f"raw:{name}" for name in raw.columns})
    both = typed.hstack(given)
    problems = _problems(spec, raw.schema, known_pages)
    both = both.with_columns(
        pl.coalesce(
            *(pl.when(bad).then(pl.lit(i, pl.Int16)) for i, (_, _, bad) in enumerate(problems))
        ).alias("problem")
    )
    if spec.key is not None:
        problems.append((spec.key, "already used by an earlier row", pl.lit(False)))
        good = pl.col("problem").is_null()
        again = good & (good.cast(pl.Int32).cum_sum().over(spec.key) > 1)
        if taken is not None:
            again = again | (good & pl.col(spec.key).is_in(taken.implode()))
        both = both.with_columns(
            pl.when(again).then(pl.lit(len(problems) - 1, pl.Int16)).otherwise("problem").alias("problem")
        )
    rows = both.filter(pl.col("problem").is_null()).select(typed.columns)
    if "retired" in rows.columns:
        # Only now: an unreadable flag must not pass for an absent one.
        rows = rows.with_columns(pl.col("retired").fill_null(False))
    return Checked(rows, _bad(table, both.filter(pl.col("problem").is_not_null()), problems, raw.schema), cut)


def content_id() -> pl.Expr:
    """Event id from an event's content: equal events get equal ids.

    Two seeded 64-bit hashes. Polars keeps them stable within one of its versions, which is pinned.
    """
    content = pl.struct(
        pl.col(c.ASSOCIATE_ID),
        pl.col(c.PAGE_ID),
        pl.col(c.EVENT_TYPE),
        pl.col(c.TIMESTAMP).dt.epoch("us"),
        *(pl.col(name) for name in (c.DWELL, c.PROGRESS, c.RATING, c.REQUEST_ID, c.POSITION, c.RELEASE)),
    )
    return pl.format("{}-{}", content.hash(1), content.hash(2))


def _problems(
    spec: Table, schema: pl.Schema, known_pages: pl.Series | None
) -> list[tuple[str, str, pl.Expr]]:
    """Column, message and condition of each check, in the order in which a row reports them."""
    found: list[tuple[str, str, pl.Expr]] = []
    for name, kind in spec.kinds.items():
        value = pl.col(name)
        if name in schema:
            unread = value.is_null() & _given(f"raw:{name}", schema[name])
            messages: dict[Kind, str] = {
                "time": "no time; give ISO 8601, or seconds, milliseconds, micro- or nanoseconds since 1970",
                "number": "no finite number",
                "count": "no whole number of 0 or more",
                "flag": "no truth value; give true or false",
                "list": "no list; give a list, or text such as a|b",
            }
            found.append((name, messages.get(kind, "no text"), unread))
        if name in spec.required:
            found.append((name, "empty", value.is_null()))
        if name in _ASKED_FOR:
            found.append((name, "control characters", value.str.contains(f"[{CONTROL}]")))
            found.append((name, f"longer than {LONGEST_ID} characters", value.str.len_chars() > LONGEST_ID))
    for name, (low, high) in spec.bounds.items():
        outside = pl.col(name) < low
        if high is not None:
            outside = outside | (pl.col(name) > high)
        limits = f"at least {low:g}" if high is None else f"within {low:g} and {high:g}"
        found.append((name, f"must be {limits}", outside))
    if c.EVENT_TYPE in spec.kinds:
        known = pl.col(c.EVENT_TYPE).is_in(c.EVENT_TYPES)
        found.append((c.EVENT_TYPE, f"unknown type, must be one of {', '.join(c.EVENT_TYPES)}", ~known))
        before = pl.col(c.TIMESTAMP).dt.year() < 1970
        found.append((c.TIMESTAMP, "before 1970", before))
    if known_pages is not None:
        absent = ~pl.col(c.PAGE_ID).is_in(known_pages.implode())
        found.append((c.PAGE_ID, "not in the pages table", absent))
    return found


def _bad(
    table: str, rows: pl.DataFrame, problems: list[tuple[str, str, pl.Expr]], schema: pl.Schema
) -> pl.DataFrame:
    """Quarantine entries of the rows whose ``problem`` is set."""
    if rows.is_empty():
        return pl.DataFrame(schema=BAD_SCHEMA)
    column = pl.Series("column", [name for name, _, _ in problems]).gather(rows["problem"])
    text = pl.Series("text", [message for _, message, _ in problems]).gather(rows["problem"])
    # Columns named by position: an extra column of the input may be called anything.
    names = list(schema)
    cells = [_shown(f"raw:{name}", schema[name]).str.slice(0, _ROW_SHOWN) for name in names]
    shown = rows.select(cell.alias(f"{i}") for i, cell in enumerate(cells)).hstack([column, text])
    at_fault = (pl.when(pl.col("column") == name).then(pl.col(f"{i}")) for i, name in enumerate(names))
    found = pl.coalesce(*at_fault, pl.lit(None)).str.slice(0, _SHOWN)
    row = pl.struct(pl.col(f"{i}").alias(name) for i, name in enumerate(names))
    return shown.select(
        pl.lit(table).alias("table"),
        "column",
        pl.when(found.is_null())
        .then(pl.format("{}: {}", "column", "text"))
        .otherwise(pl.format("{}: {} (found '{}')", "column", "text", found))
        .alias("reason"),
        row.struct.json_encode().alias("row"),
    )


def _shown(name: str, dtype: pl.DataType) -> pl.Expr:
    """A column as text for people."""
    if dtype.is_nested():
        return pl.when(pl.col(name).is_not_null()).then(
            pl.struct(pl.col(name).alias("v")).struct.json_encode()
        )
    return pl.col(name).cast(pl.String, strict=False)


def _given(name: str, dtype: pl.DataType) -> pl.Expr:
    """Whether a raw value is there: neither null, nor NaN, nor blank text."""
    value = pl.col(name)
    if dtype.is_float():
        return value.is_not_null() & value.is_not_nan()
    if dtype == pl.String:
        return value.is_not_null() & ~value.str.strip_chars().is_in(["", "NaN", "nan"])
    return value.is_not_null()


def _coerce(name: str, kind: Kind, dtype: pl.DataType | None) -> pl.Expr:
    """Expression that reads column ``name`` as ``kind``; null where it cannot."""
    if dtype is None or dtype == pl.Null:
        return pl.lit(None, _TYPES[kind]).alias(name)
    if kind == "list":
        return _list(name, dtype).alias(name)
    if kind == "time":
        return _instant(name, dtype).alias(name)
    if dtype.is_nested():
        return pl.lit(None, _TYPES[kind]).alias(name)
    if kind in ("number", "count"):
        number = pl.col(name)
        if dtype == pl.String:
            number = number.str.strip_chars()
        number = number.cast(pl.Float64, strict=False)
        number = pl.when(number.is_finite()).then(number)
        if kind == "count":
            number = pl.when(number == number.floor()).then(number).cast(pl.Int32, strict=False)
        return number.alias(name)
    if kind == "flag":
        truth = word(name, dtype).str.to_lowercase()
        return (
            pl.when(truth.is_in(["true", "yes", "1", "t", "y"]))
            .then(True)
            .when(truth.is_in(["false", "no", "0", "f", "n"]))
            .then(False)
            .alias(name)
        )
    if kind == "text" and dtype == pl.String:
        return pl.when(pl.col(name).str.strip_chars() != "").then(pl.col(name)).alias(name)
    trimmed = word(name, dtype)
    return (trimmed.str.to_lowercase() if name == c.EVENT_TYPE else trimmed).alias(name)


def word(name: str, dtype: pl.DataType) -> pl.Expr:
    """Trimmed text; whole floats lose their '.0' (a reader's way to hold numeric ids beside nulls)."""
    value = pl.col(name)
    text = value.cast(pl.String, strict=False)
    if dtype.is_float():
        whole = (value == value.floor()) & (value.abs() < 2**53)
        text = pl.when(whole).then(value.cast(pl.Int64, strict=False).cast(pl.String)).otherwise(text)
    text = text.str.strip_chars()
    return pl.when(~text.is_in(["", "NaN", "nan"])).then(text)


def _list(name: str, dtype: pl.DataType) -> pl.Expr:
    value = pl.col(name)
    if isinstance(dtype, pl.List | pl.Array):
        if dtype.inner.is_nested():
            return pl.lit(None, _TYPES["list"])
        items = value.cast(pl.List(pl.String), strict=False)
    elif dtype == pl.Struct:
        return pl.lit(None, _TYPES["list"])
    else:
        items = word(name, dtype).str.extract_all(_ITEM)
    cleaned = items.list.eval(pl.element().str.strip_chars(" \t\r\n\"'"))
    return cleaned.list.eval(pl.element().filter(pl.element() != ""))


def _instant(name: str, dtype: pl.DataType) -> pl.Expr:
    """A point in time, from dates, numbers since 1970 (unit told by their size) or ISO 8601 text.

    Numbers below 1e11 are seconds, below 1e14 milliseconds, below 1e17 microseconds, the rest
    nanoseconds: so each unit covers 1973 to 5138. Text without a zone is UTC.
    """
    value = pl.col(name)
    if isinstance(dtype, pl.Datetime):
        stamp = value.cast(pl.Datetime("us", dtype.time_zone))
        zoned = stamp.dt.replace_time_zone("UTC") if dtype.time_zone is None else stamp
        return zoned.dt.convert_time_zone("UTC")
    if dtype == pl.Date:
        return value.cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
    if dtype.is_numeric():
        return _from_number(value.cast(pl.Float64))
    if dtype != pl.String:
        return pl.lit(None, INSTANT)
    text = value.str.strip_chars()
    parts = text.str.extract_groups(_ISO)

    def number(group: int) -> pl.Expr:
        return parts.struct.field(str(group)).cast(pl.Int64, strict=False).fill_null(0)

    day = parts.struct.field("1").str.to_date("%Y-%m-%d", strict=False).cast(pl.Int64)
    hours, minutes, seconds = number(2), number(3), number(4)
    micros = parts.struct.field("5").str.pad_end(9, "0").str.slice(0, 6).cast(pl.Int64).fill_null(0)
    offset = (number(7) * 60 + number(8)) * pl.when(parts.struct.field("6") == "-").then(-1).otherwise(1)
    valid = (hours < 24) & (minutes < 60) & (seconds < 61) & (offset.abs() < 24 * 60)
    total = (((day * 24 + hours) * 60 + minutes - offset) * 60 + seconds) * 1_000_000 + micros
    iso = pl.when(valid).then(total).cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
    return pl.coalesce(iso, _from_number(text.cast(pl.Float64, strict=False)))


def _from_number(number: pl.Expr) -> pl.Expr:
    size = number.abs()
    scale = (
        pl.when(size < 1e11).then(1e6).when(size < 1e14).then(1e3).when(size < 1e17).then(1.0).otherwise(1e-3)
    )
    micros = pl.when(number.is_finite()).then(number * scale).round(0).cast(pl.Int64, strict=False)
    return micros.cast(pl.Datetime("us")).dt.replace_time_zone("UTC")


def _extra(name: str, dtype: pl.DataType) -> pl.Expr:
    return pl.col(name).fill_nan(None) if dtype.is_float() else pl.col(name)


def _cut(body: pl.Series, limit: int) -> tuple[pl.Series, int]:
    """Cut texts of more than ``limit`` bytes at a character's edge; the few that are, one by one."""
    long = (body.str.len_bytes() > limit).fill_null(False).arg_true()
    if long.is_empty():
        return body, 0
    texts = [text.encode()[:limit].decode(errors="ignore") for text in body.gather(long)]
    return body.scatter(long, texts), len(texts)
