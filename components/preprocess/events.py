"""The event log as ingest left it: which row groups hold which days, their rows, and their fingerprints."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from apache_beam.io.filesystems import FileSystems
from numpy.typing import NDArray

from components.contract import columns as c
from components.contract.time import DAY
from components.preprocess.feedback import numbers
from components.preprocess.sessions import MICROSECONDS

DAY_MICROSECONDS = round(DAY * MICROSECONDS)
_TEXTS = (c.ASSOCIATE_ID, c.PAGE_ID, c.EVENT_TYPE)
_NUMBERS = (c.DWELL, c.RATING)
# A worker reads row groups of about as many events at a time.
CHUNK = 1 << 21


class Chunk(NamedTuple):
    """Row groups that hold events of a day; they may hold others too."""

    day: int
    groups: tuple[int, ...]


class Print(NamedTuple):
    """What tells one day's events from others: how many, and the sum of their hashes modulo 2**64."""

    rows: int
    digest: int

    def plus(self, rows: int, digest: int) -> Print:
        """Add other events of the day."""
        return Print(self.rows + rows, (self.digest + digest) % 2**64)


class Groups:
    """The row groups of a log."""

    def __init__(self, path: str) -> None:
        with FileSystems.open(path, compression_type="uncompressed") as file:
            log = pq.ParquetFile(file)
            place = log.schema_arrow.names.index(c.TIMESTAMP)
            unit = log.schema_arrow.field(c.TIMESTAMP).type
            self.rows, self.first, self.last = [], [], []
            for number in range(log.num_row_groups):
                group = log.metadata.row_group(number)
                self.rows.append(group.num_rows)
                if not group.num_rows:
                    # Of no day.
                    self.first.append(0)
                    self.last.append(-1)
                    continue
                found = group.column(place).statistics
                if found is not None and found.has_min_max:
                    ends = pa.array([found.min, found.max], unit)
                else:
                    ends = log.read_row_group(number, columns=[c.TIMESTAMP])[c.TIMESTAMP]
                times = _micros(ends)
                self.first.append(int(times.min()))
                self.last.append(int(times.max()))

    @property
    def total(self) -> int:
        """Events in the log."""
        return sum(self.rows)

    @property
    def span(self) -> list[float]:
        """Epoch seconds of the first and the last event; 0 and 0 for an empty log."""
        ends = [ends for rows, *ends in zip(self.rows, self.first, self.last, strict=True) if rows]
        if not ends:
            return [0.0, 0.0]
        return [min(first for first, _ in ends) / MICROSECONDS, max(last for _, last in ends) / MICROSECONDS]

    def days(self) -> list[int]:
        """Days that may hold events, ascending."""
        ends = zip(self.first, self.last, strict=True)
        spans = ((first // DAY_MICROSECONDS, last // DAY_MICROSECONDS) for first, last in ends)
        return sorted({day for first, last in spans for day in range(first, last + 1)})

    def chunks(self, days: list[int]) -> list[Chunk]:
        """What to read for each of some days, in pieces of bounded size."""
        found = []
        first, last = (np.array(ends, np.int64) // DAY_MICROSECONDS for ends in (self.first, self.last))
        for day in days:
            groups = np.flatnonzero((first <= day) & (day <= last))
            piece = np.cumsum(np.array(self.rows)[groups]) // CHUNK
            found += [Chunk(day, tuple(groups[piece == number].tolist())) for number in np.unique(piece)]
        return found


def _micros(times: pa.Array | pa.ChunkedArray) -> NDArray[np.int64]:
    return times.cast(pa.timestamp("us", "UTC")).cast(pa.int64()).to_numpy()


def read(path: str, groups: tuple[int, ...]) -> pa.Table:
    """Read row groups: texts as dictionaries, ``time`` as epoch microseconds; each column in one piece."""
    with FileSystems.open(path, compression_type="uncompressed") as file:
        log = pq.ParquetFile(file, read_dictionary=list(_TEXTS))
        names = log.schema_arrow.names
        wanted = [name for name in (*_TEXTS, c.TIMESTAMP, *_NUMBERS) if name in names]
        table = log.read_row_groups(list(groups), columns=wanted)
    columns = {name: table[name] for name in table.column_names}
    for name in _TEXTS:
        column = columns[name]
        if not pa.types.is_dictionary(column.type):
            column = column.cast(pa.large_string()).dictionary_encode()
        columns[name] = column.unify_dictionaries()
    columns[c.TIME] = pa.array(_micros(columns.pop(c.TIMESTAMP)))
    return pa.table(columns).combine_chunks()


def coded(events: pa.Table, name: str) -> tuple[pa.Array, NDArray[np.int32]]:
    """The values of a text column, and each row's position among them; null is a value."""
    column = events[name].combine_chunks()
    column = column.chunk(0) if isinstance(column, pa.ChunkedArray) else column
    values = pa.concat_arrays([column.dictionary.cast(pa.large_string()), pa.nulls(1, pa.large_string())])
    return values, pc.fill_null(column.indices.cast(pa.int32()), len(values) - 1).to_numpy()


def text_hashes(values: pa.Array) -> NDArray[np.uint64]:
    """Hash of each text; :func:`hash_probe` tells whether two machines agree on it."""
    return pl.Series(values).hash(seed=0).to_numpy()


def hash_probe() -> list[str]:
    """Hashes of fixed texts: Polars promises the same ones only within a version."""
    return [str(value) for value in text_hashes(pa.array(["", "A17", "é" * 40], pa.large_string()))]


def _mix(state: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Scramble 64 bits in place: the finaliser of SplitMix64 (Steele, Lea and Flood, 2014)."""
    state ^= state >> np.uint64(30)
    state *= np.uint64(0xBF58476D1CE4E5B9)
    state ^= state >> np.uint64(27)
    state *= np.uint64(0x94D049BB133111EB)
    state ^= state >> np.uint64(31)
    return state


def row_hashes(events: pa.Table) -> NDArray[np.uint64]:
    """Hash of each event, by the columns that the dataset depends on.

    Examples
    --------
    >>> events = pa.table({"associate_id": ["a", "p"], "page_id": ["p", "a"], "event_type": ["view", "view"],
    ...                    "time": [0, 0]})
    >>> one, other = row_hashes(events)
    >>> bool(one != other)
    True
    """
    state = np.zeros(len(events), np.uint64)
    for name in _TEXTS:
        if pa.types.is_dictionary(events.schema.field(name).type):
            values, codes = coded(events, name)
            state = _mix(state + text_hashes(values)[codes])
        else:
            state = _mix(state + text_hashes(events[name].combine_chunks()))
    state = _mix(state + events[c.TIME].to_numpy().view(np.uint64))
    for name in _NUMBERS:
        # One pattern of bits for each number: no negative zero, one NaN.
        values = numbers(events, name) + 0.0
        state = _mix(state + np.where(np.isnan(values), np.nan, values).view(np.uint64))
    return state


def fingerprints(path: str, groups: int) -> dict[int, Print]:
    """Fingerprint of each day that has events; one row group is held at a time."""
    found: dict[int, Print] = {}
    for group in range(groups):
        events = read(path, (group,))
        hashes, day = row_hashes(events), events[c.TIME].to_numpy() // DAY_MICROSECONDS
        order = np.argsort(day, kind="stable")
        days, starts, counts = np.unique(day[order], return_index=True, return_counts=True)
        if len(days):
            sums = np.add.reduceat(hashes[order], starts).tolist()
            for number, rows, total in zip(days.tolist(), counts.tolist(), sums, strict=True):
                found[number] = found.get(number, Print(0, 0)).plus(rows, total)
    return found
