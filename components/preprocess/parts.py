"""Parts: what preprocess keeps of a day's events, in two files that any filesystem of Beam may hold.

``NAME.shards.arrow`` has one record batch for each group of associates, of one row of lists: who they
are, their first engagements, sessions and last completions, so that a worker reads its group's alone.
``NAME.day.arrow`` has what concerns the day as a whole: feedback sums of each page, and the times of all
engagements. Pages are numbered by the state's own list, which only grows.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.ipc
from apache_beam.io.filesystems import FileSystems
from numpy.typing import NDArray

from components.contract import columns as c
from components.preprocess.completions import Completions
from components.preprocess.feedback import SUMS
from components.preprocess.sessions import Summary

_OPTIONS = pa.ipc.IpcWriteOptions(compression="lz4")
KINDS = ("shards", "day")
_NUMBERS = (c.ASSOCIATE, "owner", "completer")
# The fields of a Summary, and of Completions.
_SUMMARY = {
    c.ASSOCIATE: np.int32,
    c.PAGE: np.int32,
    c.TIME: np.int64,
    "owner": np.int32,
    "start": np.int64,
    "end": np.int64,
}
_COMPLETIONS = {"completer": np.int32, "completed": np.int32, "completed_at": np.int64}
_LISTS = _SUMMARY | _COMPLETIONS


@dataclass(frozen=True)
class Part:
    """What is known of a part without reading it.

    Attributes
    ----------
    name : str
        Of its files, without their endings.
    day : int
        Days since the epoch.
    rows : int
        Events read, those of unknown pages included.
    digest : int
        Sum of the rows' hashes; of several parts of a day, it adds up modulo 2**64.
    unknown : list of str
        Pages that events named and the catalogue did not: left out.
    engagements : int
    first, last : int
        Times of the first and last engagement, epoch microseconds; 0 without any.
    """

    name: str
    day: int
    rows: int
    digest: int
    unknown: list[str]
    engagements: int
    first: int
    last: int


def path_of(folder: str, name: str, kind: str) -> str:
    """Where a part's file of one of ``KINDS`` lies."""
    return FileSystems.join(folder, f"{name}.{kind}.arrow")


def write_batches(path: str, batches: Iterable[pa.RecordBatch]) -> None:
    """Write record batches as one Arrow file."""
    batches = list(batches)
    with (
        FileSystems.create(path, compression_type="uncompressed") as file,
        pa.ipc.new_file(file, batches[0].schema, options=_OPTIONS) as writer,
    ):
        for batch in batches:
            writer.write_batch(batch)


def read_batch(path: str, number: int = 0) -> pa.RecordBatch:
    """Read one record batch, and no other, of an Arrow file."""
    with FileSystems.open(path, compression_type="uncompressed") as file:
        return pa.ipc.open_file(file).get_batch(number)


def _row(values: Mapping[str, NDArray[Any] | pa.Array]) -> pa.RecordBatch:
    """One row of lists."""

    def column(value: NDArray[Any] | pa.Array) -> pa.Array:
        array = value if isinstance(value, pa.Array) else pa.array(value)
        return pa.LargeListArray.from_arrays(pa.array([0, len(array)], pa.int64()), array)

    return pa.record_batch({name: column(value) for name, value in values.items()})


def write_shards(
    folder: str,
    name: str,
    ids: pa.Array,
    bounds: NDArray[np.int64],
    found: Summary,
    done: Completions,
) -> None:
    """Write a summary and completions by groups of associates.

    Parameters
    ----------
    folder, name : str
    ids : array of text, shape (associates,)
        In the order of their numbers in ``found`` and ``done``.
    bounds : array of int64, shape (groups + 1,)
        Numbers at which the groups begin.
    found : Summary
    done : Completions
        Sorted by associate.
    """
    firsts = np.searchsorted(found.associate, bounds)
    sessions = np.searchsorted(found.owner, bounds)
    completed = np.searchsorted(done.associate, bounds)
    batches = []
    for group in range(len(bounds) - 1):
        low, high = bounds[group : group + 2]
        first, session, last = (slice(*starts[group : group + 2]) for starts in (firsts, sessions, completed))
        batches.append(
            _row(
                {
                    c.ASSOCIATE_ID: ids.slice(low, high - low),
                    c.ASSOCIATE: found.associate[first] - np.int32(low),
                    c.PAGE: found.page[first],
                    c.TIME: found.time[first],
                    "owner": found.owner[session] - np.int32(low),
                    "start": found.start[session],
                    "end": found.end[session],
                    "completer": done.associate[last] - np.int32(low),
                    "completed": done.page[last],
                    "completed_at": done.time[last],
                }
            )
        )
    write_batches(path_of(folder, name, "shards"), batches)


def read_shard(folder: str, names: Iterable[str], group: int) -> tuple[pl.Series, Summary, Completions]:
    """Read what all parts say of a group, its associates numbered in the order of their ids."""
    rows = [read_batch(path_of(folder, name, "shards"), group) for name in names]
    ids = [row[c.ASSOCIATE_ID].values for row in rows]
    named = pa.chunked_array(ids, pa.large_string())
    every = pl.Series(c.ASSOCIATE_ID, named)
    known = every.unique().sort()
    number = known.search_sorted(every).to_numpy().astype(np.int32)
    offsets = np.cumsum([0, *map(len, ids)])
    columns: dict[str, list[NDArray[Any]]] = {name: [np.empty(0, kind)] for name, kind in _LISTS.items()}
    for row, offset in zip(rows, offsets, strict=False):
        for name in _LISTS:
            values = row[name].values.to_numpy()
            columns[name].append(number[offset + values] if name in _NUMBERS else values)
    whole = {name: np.concatenate(values) for name, values in columns.items()}
    summary, done = ([whole[name] for name in names] for names in (_SUMMARY, _COMPLETIONS))
    return known, Summary(*summary), Completions(*done)


def write_day(
    folder: str, part: Part, sums: Mapping[str, NDArray[np.int64]], times: NDArray[np.int64]
) -> None:
    """Write the feedback of the pages that have any, and the times of engagements, sorted."""
    page = np.flatnonzero(sums["events"])
    cells = {name: sums[name][page] for name in SUMS}
    batch = _row({c.PAGE: page.astype(np.int32), **cells, c.TIME: np.sort(times)})
    schema = batch.schema.with_metadata({"part": json.dumps(asdict(part))})
    write_batches(path_of(folder, part.name, "day"), [batch.replace_schema_metadata(schema.metadata)])


def read_part(folder: str, name: str) -> Part:
    """Read what a part says of itself."""
    with FileSystems.open(path_of(folder, name, "day"), compression_type="uncompressed") as file:
        return Part(**json.loads(pa.ipc.open_file(file).schema.metadata[b"part"]))


def no_cells() -> pl.DataFrame:
    """What :func:`read_cells` gives of nothing."""
    return pl.DataFrame(schema={c.PAGE: pl.Int32, **dict.fromkeys(SUMS, pl.Int64), "day": pl.Int64})


def read_cells(folder: str, part: Part) -> pl.DataFrame:
    """Feedback sums by page and day: columns ``page`` (the state's number), ``day`` and ``SUMS``."""
    row = read_batch(path_of(folder, part.name, "day"))
    columns = {name: row[name].values for name in (c.PAGE, *SUMS)}
    return pl.DataFrame(columns).with_columns(pl.lit(part.day, pl.Int64).alias("day"))


def read_times(folder: str, part: Part) -> NDArray[np.int64]:
    """Times of a part's engagements, epoch microseconds, ascending."""
    return read_batch(path_of(folder, part.name, "day"))[c.TIME].values.to_numpy()
