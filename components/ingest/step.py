"""Read the contract tables, part good rows from bad ones, write both and a report."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import polars as pl
import structlog
from pydantic import Field

from components.contract import columns as c
from components.contract.errors import DataError
from components.contract.files import atomic_file, atomic_folder
from components.contract.settings import StepSettings, section
from components.contract.tables import BAD_SCHEMA, TABLES, TableName, bad_rows, check, empty, word
from components.contract.time import DAY
from components.ingest.feedback import shown, tombstones
from components.ingest.reading import batches, locate

log = structlog.get_logger()
_LOG_ROWS = 1_000_000


class IngestSettings(StepSettings):
    """Settings of the ingest step."""

    max_bad_share: float = Field(0.2, ge=0, le=1, description="Share of bad rows above which a run stops")
    max_body_bytes: int = Field(1_000_000, gt=0, description="Longer page texts are cut")
    feedback: str | None = Field(
        None,
        description="Folder or URI that a store was drained into: events and impressions are read beside "
        "the data's, rows of people in tombstones.* are dropped. HOME/feedback where absent",
    )


@dataclass
class _Tally:
    """What happened to the rows of one table."""

    read: int = 0
    kept: int = 0
    duplicates: int = 0
    forgotten: int = 0
    shown: int = 0
    cut: int = 0
    bad: list[pl.DataFrame] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)

    @property
    def quarantined(self) -> pl.DataFrame:
        return pl.concat([pl.DataFrame(schema=BAD_SCHEMA), *self.bad])

    def figures(self) -> dict[str, Any]:
        return {
            "read": self.read,
            "kept": self.kept,
            "bad": self.quarantined.height,
            "duplicates": self.duplicates,
            "forgotten": self.forgotten,
            "shown": self.shown,
            "bodies_cut": self.cut,
        }


def run(
    data: str | Path,
    tables_out: str | Path,
    quarantine_out: str | Path,
    settings: Mapping[str, Any] | None = None,
    home: str | Path | None = None,
) -> dict[str, float | int | str]:
    """Write typed tables and a quarantine.

    Parameters
    ----------
    data : str or Path
        Folder or URI that holds ``events.*``, ``pages.*`` and perhaps ``associates.*``
        (see :func:`components.ingest.reading.locate`).
    tables_out : str or Path
        Folder for ``events.parquet`` (sorted by time, then id; each ``event_id`` once),
        ``pages.parquet``, ``associates.parquet`` and ``report.json`` (counts, bad rows by reason,
        hashes of the input files, span).
    quarantine_out : str or Path
        Folder for ``quarantine.parquet``: table, column, reason and the row as JSON. It is
        written also when the run stops.
    settings : mapping, optional
        Section ``ingest``: :class:`IngestSettings`.
    home : str or Path, optional
        HOME of the releases: what a store was drained into lies in its folder ``feedback``, if there.

    Returns
    -------
    dict
        Key figures: rows kept and bad of each table, duplicates, impressions made of answers, bodies
        cut, days spanned.

    Raises
    ------
    DataError
        A table or required column is missing, a file cannot be read, too many rows of a table are
        bad, or no event is left. The message names the file or column and what to do.
    """
    chosen = section(settings, "ingest", IngestSettings)
    feedback = chosen.feedback
    if feedback is None and home and (Path(home) / "feedback").is_dir():
        feedback = str(Path(home) / "feedback")
    tallies: dict[TableName, _Tally] = {"pages": _Tally(), "associates": _Tally(), "events": _Tally()}
    with tempfile.TemporaryDirectory(prefix="waymark-ingest-") as name, atomic_folder(tables_out) as aside:
        sources = _Sources(data, feedback, Path(name))
        try:
            forgotten = tombstones(sources.drained("tombstones", tallies["events"]))
            pages = _small_table("pages", sources, tallies["pages"], chosen, forgotten)
            associates = _small_table("associates", sources, tallies["associates"], chosen, forgotten)
            first, last = _events(
                sources, tallies["events"], chosen, forgotten, pages[c.PAGE_ID], aside / "events.parquet"
            )
        finally:
            quarantine = pl.concat([tally.quarantined for tally in tallies.values()])
            with atomic_file(Path(quarantine_out) / "quarantine.parquet") as file:
                quarantine.write_parquet(file, compression="zstd")
        for table, frame in (("pages", pages), ("associates", associates)):
            frame.write_parquet(aside / f"{table}.parquet", compression="zstd")
        report = {
            "tables": {table: tally.figures() for table, tally in tallies.items()},
            "bad_by_reason": _by_reason(quarantine).to_dicts(),
            "files": {name: digest for tally in tallies.values() for name, digest in tally.files.items()},
            "span": {"first": first, "last": last},
        }
        (aside / "report.json").write_bytes(orjson.dumps(report, option=orjson.OPT_INDENT_2))
    figures: dict[str, float | int | str] = {}
    for table, tally in tallies.items():
        figures |= {table: tally.kept, f"{table}_bad": tally.quarantined.height}
    figures |= {
        "events_duplicate": tallies["events"].duplicates,
        "impressions_shown": tallies["events"].shown,
        "bodies_cut": tallies["pages"].cut,
        "days": round((last - first) / DAY, 3),
    }
    log.info("ingested", **figures)
    return figures


@dataclass(frozen=True)
class _Sources:
    """Where the tables lie, and a folder for copies and parts."""

    data: str | Path
    feedback: str | None
    scratch: Path

    def drained(self, name: str, tally: _Tally) -> list[tuple[str, Path]]:
        """Files of the feedback folder."""
        if self.feedback is None:
            return []
        copies = self.scratch / "feedback"
        copies.mkdir(exist_ok=True)
        try:
            return _hashed(locate(self.feedback, name, copies), tally)
        except DataError as error:
            raise DataError(f"settings.ingest.feedback: {error}") from error

    def files(self, table: TableName, tally: _Tally) -> list[tuple[str, Path]]:
        """Files of a table, in the data and, of events, drained from a store."""
        files = _hashed(locate(self.data, table, self.scratch), tally)
        if not files and table != "associates":
            raise DataError(
                f"{table}: no {table}.parquet, .csv, .jsonl, .ndjson or .json and no folder {table}/ in "
                f"{self.data}. Put the table there."
            )
        return files + (self.drained(table, tally) if table == "events" else [])


def _hashed(files: list[tuple[str, Path]], tally: _Tally) -> list[tuple[str, Path]]:
    for name, path in files:
        with path.open("rb") as handle:
            tally.files[name] = hashlib.file_digest(handle, "sha256").hexdigest()
    return files


def _checked(
    table: TableName,
    files: list[tuple[str, Path]],
    tally: _Tally,
    chosen: IngestSettings,
    forgotten: pl.Series,
    known_pages: pl.Series | None = None,
) -> Iterator[pl.DataFrame]:
    """Check the rows of the files batch by batch; a generator, so that one batch is held at a time."""
    taken: list[pl.Series] = []
    key = TABLES[table].key
    for name, path in files:
        before = tally.read
        for number, batch in enumerate(batches(name, path)):
            if batch.broken:
                reasons = [f"line: {batch.complaint}"] * len(batch.broken)
                tally.bad.append(bad_rows(table, "line", reasons, batch.broken))
                tally.read += len(batch.broken)
            if batch.rows.width == 0:
                continue
            raw = batch.rows.rename(str.strip)
            if c.ASSOCIATE_ID in raw.columns and not forgotten.is_empty():
                # Before the checks: a forgotten person's rows do not go to quarantine either.
                person = word(c.ASSOCIATE_ID, raw.schema[c.ASSOCIATE_ID])
                raw = raw.filter(~person.is_in(forgotten.implode()).fill_null(False))
                tally.forgotten += batch.rows.height - raw.height
            found = check(
                table,
                raw,
                where=name,
                known_pages=known_pages,
                taken=pl.concat(taken) if taken else None,
                max_body_bytes=chosen.max_body_bytes,
                required_present=number == 0,
            )
            if key is not None:
                taken.append(found.rows[key])
            tally.read += batch.rows.height
            tally.cut += found.cut
            tally.bad.append(found.bad)
            yield found.rows
        # A line a million rows: a log of years has thousands of small parts.
        if tally.read // _LOG_ROWS > before // _LOG_ROWS or name == files[-1][0]:
            log.info("read", table=table, rows=tally.read, file=name)


def _stop_if_bad(table: TableName, tally: _Tally, chosen: IngestSettings) -> None:
    """Stop past the allowed share of bad rows, and say which column is the worst."""
    bad = tally.quarantined
    if bad.height <= chosen.max_bad_share * tally.read:
        return
    worst, count = bad["column"].value_counts(sort=True).row(0)
    example = bad.filter(pl.col("column") == worst).row(0, named=True)
    raise DataError(
        f"{table}: {bad.height:,} of {tally.read:,} rows are bad ({bad.height / tally.read:.0%}, allowed "
        f"{chosen.max_bad_share:.0%}). The worst column is {worst!r}: {count:,} rows, for example "
        f"{example['reason']} in {example['row'][:300]}. Correct the column, or raise "
        "settings.ingest.max_bad_share; all bad rows are in the quarantine."
    )


def _small_table(
    table: TableName,
    sources: _Sources,
    tally: _Tally,
    chosen: IngestSettings,
    forgotten: pl.Series,
) -> pl.DataFrame:
    """Pages or associates, whole, sorted by key."""
    files = sources.files(table, tally)
    parts = list(_checked(table, files, tally, chosen, forgotten))
    _stop_if_bad(table, tally, chosen)
    try:
        found = pl.concat([empty(table), *parts], how="diagonal_relaxed")
    except pl.exceptions.PolarsError as error:
        raise DataError(
            f"{table}: an extra column has types in different files that do not go together: {error}. "
            "Write it in one type."
        ) from error
    if table == "pages" and found.is_empty():
        raise DataError(f"pages: {files[0][0]} holds no rows. Write at least one page.")
    tally.kept = found.height
    return found.sort(TABLES[table].key or [])


def _events(
    sources: _Sources,
    tally: _Tally,
    chosen: IngestSettings,
    forgotten: pl.Series,
    known_pages: pl.Series,
    target: Path,
) -> tuple[float, float]:
    """Write all events, each id once, in time order; gives the times of the first and the last.

    Batches wait on disk, typed, until all are checked.
    """
    files = sources.files("events", tally)
    parts = []
    for number, rows in enumerate(_checked("events", files, tally, chosen, forgotten, known_pages)):
        parts.append(sources.scratch / f"checked-{number}.parquet")
        rows.write_parquet(parts[-1], compression="lz4")
    _stop_if_bad("events", tally, chosen)
    # Ties are broken by every column: which of two events with one id stays must not depend on file order.
    order = list(dict.fromkeys((c.TIMESTAMP, c.EVENT_ID, *TABLES["events"].kinds)))
    frame = pl.concat([empty("events").lazy(), *map(pl.scan_parquet, parts)])
    given = sources.scratch / "shown.parquet"
    files_shown = sources.drained("impressions", tally)
    shown(files_shown, frame, forgotten, known_pages).sink_parquet(given, compression="lz4")
    tally.shown = pl.scan_parquet(given).select(pl.len()).collect().item()
    tally.read += tally.shown
    once = (
        pl.concat([frame, pl.scan_parquet(given)])
        .sort(order)
        .unique(c.EVENT_ID, keep="first", maintain_order=True)
    )
    once.sink_parquet(target, compression="zstd", engine="streaming")
    time = pl.col(c.TIMESTAMP)
    spans = pl.scan_parquet(target).select(rows=pl.len(), first=time.min(), last=time.max())
    rows, first, last = spans.collect().row(0)
    tally.kept = rows
    tally.duplicates = tally.read - tally.forgotten - tally.quarantined.height - rows
    if rows == 0:
        raise DataError(
            f"events: no event is left of the {tally.read:,} rows of {len(files)} file(s) "
            f"({tally.quarantined.height:,} bad, {tally.forgotten:,} of forgotten associates). "
            "A model needs at least one event: check that the log is the right one."
        )
    return first.timestamp(), last.timestamp()


def _by_reason(quarantine: pl.DataFrame) -> pl.DataFrame:
    """Count bad rows by table, column and message, whatever the value was."""
    message = pl.col("reason").str.replace(r" \(found '[\s\S]*$", "")
    counts = quarantine.group_by("table", "column", message).agg(rows=pl.len())
    return counts.sort("rows", "reason", descending=[True, False])
