"""The Beam pipeline over the event log: read, divide among shards, work on each shard, add up feedback.

Every element is a record batch, a file name or an array, never a row. Events wait in files between
the two halves, one for each batch and shard, so that what passes through ``GroupByKey`` is names, and a
worker holds one batch or one shard at a time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import apache_beam as beam
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.ipc
import pyarrow.parquet as pq
from apache_beam.io.filesystems import FileSystems
from apache_beam.options.pipeline_options import PipelineOptions
from numpy.typing import NDArray

from components.contract import columns as c
from components.contract.shell import quoted_executable
from components.preprocess import feedback, sessions
from components.preprocess.feedback import AddCells, Cells

BATCH = 1 << 17
# What DirectRunner stands for here. By that name, Beam would first try to download another runner.
_LOCAL = "apache_beam.runners.portability.fn_api_runner.FnApiRunner"
# Days whose feedback one worker sums.
_BLOCK_DAYS = 64
_DAY = 86_400 * sessions.MICROSECONDS
_COLUMNS = (c.ASSOCIATE_ID, c.PAGE_ID, c.EVENT_TYPE, c.TIMESTAMP, c.DWELL, c.RATING)
_EVENTS, _TIMES, _ASSOCIATES, _INTERACTIONS, _CELLS = "events", "times", "associates", "interactions", "cells"


def _write(folder: str, name: str, arrays: dict[str, pa.Array | NDArray[np.generic]]) -> str:
    """Write one table for a later stage; a retried bundle writes the same name again."""
    path = FileSystems.join(folder, f"{name}.arrow")
    table = pa.table(arrays)
    with FileSystems.create(path) as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)
    return path


def _read(path: str) -> pa.Table:
    with FileSystems.open(path) as file:
        return pa.ipc.open_file(pa.py_buffer(file.read())).read_all()


class _Read(beam.DoFn):
    """Read one row group of the log as record batches with a name each."""

    def __init__(self, path: str) -> None:
        self._path = path

    def process(self, group: int) -> Iterator[tuple[str, pa.RecordBatch]]:
        with FileSystems.open(self._path) as file:
            log = pq.ParquetFile(file)
            names = [name for name in _COLUMNS if name in log.schema_arrow.names]
            batches = log.iter_batches(BATCH, row_groups=[group], columns=names)
            for number, batch in enumerate(batches):
                yield f"{group:06d}-{number:06d}", batch


def _numbers(batch: pa.RecordBatch, name: str) -> NDArray[np.float64]:
    """Give a column as floats; NaN where it is null or absent."""
    if name not in batch.schema.names:
        return np.full(batch.num_rows, np.nan)
    return batch[name].cast(pa.float64()).to_numpy(zero_copy_only=False)


class _Divide(beam.DoFn):
    """Number the pages of a batch, write its engagements to a file per shard, sum its feedback."""

    def __init__(self, pages: pa.Array, shards: int, work: str) -> None:
        self._pages, self._shards, self._work = pages, shards, work

    def process(self, named: tuple[str, pa.RecordBatch]) -> Iterator[beam.pvalue.TaggedOutput[str, Any]]:
        name, batch = named
        page = pc.index_in(batch[c.PAGE_ID], value_set=self._pages)
        batch, page = batch.filter(page.is_valid()), page.drop_null().to_numpy()
        time = batch[c.TIMESTAMP].cast(pa.timestamp("us", "UTC")).cast(pa.int64()).to_numpy()
        kind = batch[c.EVENT_TYPE].cast(pa.string())
        used = pc.is_in(kind, value_set=pa.array(c.ENGAGEMENTS)).to_numpy(zero_copy_only=False)
        associate = batch[c.ASSOCIATE_ID].filter(pa.array(used))
        for shard in self._spill(name, associate, page[used], time[used]):
            yield beam.pvalue.TaggedOutput(_EVENTS, shard)
        cells = feedback.add_up(time // _DAY * len(self._pages) + page, self._values(batch, kind))
        for block in feedback.by_block(cells, _BLOCK_DAYS * len(self._pages)):
            yield beam.pvalue.TaggedOutput(_CELLS, block)

    def _spill(
        self, name: str, associate: pa.Array, page: NDArray[np.int32], time: NDArray[np.int64]
    ) -> Iterator[tuple[int, str]]:
        # Any hash will do: the result does not depend on which shard an associate is in.
        shard = (pl.Series(associate).hash(seed=0) % self._shards).to_numpy()
        order = np.argsort(shard, kind="stable")
        bounds = np.searchsorted(shard[order], np.arange(self._shards + 1))
        for number in np.flatnonzero(np.diff(bounds)):
            rows = order[bounds[number] : bounds[number + 1]]
            arrays = {c.ASSOCIATE_ID: associate.take(pa.array(rows)), c.PAGE: page[rows], c.TIME: time[rows]}
            yield int(number), _write(self._work, f"{_EVENTS}-{number:04d}-{name}", arrays)

    @staticmethod
    def _values(batch: pa.RecordBatch, kind: pa.Array) -> NDArray[np.int64]:
        """Give what each event adds to the sums of its cell, shape (events, SUMS)."""
        dwell, rating = _numbers(batch, c.DWELL), _numbers(batch, c.RATING)
        values = {
            "events": np.ones(batch.num_rows),
            "dwell_sum": feedback.millionths(dwell),
            "dwell_count": np.isfinite(dwell),
            "rating_sum": feedback.millionths(rating),
            "rating_count": np.isfinite(rating),
        }
        for column, event_type in (
            ("impressions", c.IMPRESSION),
            ("views", c.VIEW),
            ("completions", c.COMPLETE),
            ("skips", c.SKIP),
        ):
            values[column] = pc.equal(kind, event_type).fill_null(False).to_numpy(zero_copy_only=False)
        return np.column_stack([values[column].astype(np.int64) for column in feedback.SUMS])


class _Shard(beam.DoFn):
    """Find the first engagements and sessions of a shard's associates."""

    def __init__(self, gap: int, work: str) -> None:
        self._gap, self._work = gap, work

    def process(self, shard: tuple[int, Iterable[str]]) -> None:
        number, paths = shard
        events = pa.concat_tables([_read(path) for path in sorted(paths)])
        # Numbered in the order of their ids, as the dataset sorts its rows.
        associate = pl.Series(values=events[c.ASSOCIATE_ID])
        ids = associate.unique().sort()
        row = ids.search_sorted(associate).to_numpy().astype(np.int32)
        page, time = events[c.PAGE].to_numpy(), events[c.TIME].to_numpy()
        found = sessions.first_engagements(row, page, time, self._gap)
        name = f"{number:04d}"
        _write(
            self._work, f"{_ASSOCIATES}-{name}", {c.ASSOCIATE_ID: ids.to_arrow(), "sessions": found.sessions}
        )
        columns = (c.ASSOCIATE, c.PAGE, c.TIME, c.ORDINAL, c.SESSION)
        _write(self._work, f"{_INTERACTIONS}-{name}", {column: getattr(found, column) for column in columns})
        _write(self._work, f"{_TIMES}-{name}", {c.TIME: time})


def _write_cells(block: tuple[int, Cells], work: str) -> None:
    number, cells = block
    sums = {column: cells.sums[:, place] for place, column in enumerate(feedback.SUMS)}
    _write(work, f"{_CELLS}-{number:+07d}", {"code": cells.code, **sums})


def process(
    events: str, pages: pl.Series, work: str, *, gap: int, shards: int, runner: str, options: list[str]
) -> None:
    """Run the pipeline; its result is files under ``work``, for :func:`collect`.

    Parameters
    ----------
    events : str
        Parquet file of the event log.
    pages : polars.Series of str
        Page ids in the order of the catalogue; events of other pages are left out.
    work : str
        Folder or URI that all workers reach.
    gap : int
        Microseconds without engagement after which a new session starts.
    shards : int
        Groups of associates.
    runner : str
        Beam runner, with its ``options``.
    """
    with FileSystems.open(events) as file:
        groups = pq.ParquetFile(file).num_row_groups
    catalogue = pages.to_arrow().cast(pa.string())
    chosen = _LOCAL if runner == "DirectRunner" else runner
    with quoted_executable(), beam.Pipeline(runner=chosen, options=PipelineOptions(options)) as pipeline:
        divided = (
            pipeline
            | "row groups" >> beam.Create(range(groups))
            | "spread" >> beam.Reshuffle()
            | "read" >> beam.ParDo(_Read(events))
            | "divide" >> beam.ParDo(_Divide(catalogue, shards, work)).with_outputs(_EVENTS, _CELLS)
        )
        _ = divided[_EVENTS] | "gather shards" >> beam.GroupByKey() | "shard" >> beam.ParDo(_Shard(gap, work))
        _ = (
            divided[_CELLS]
            | "add feedback" >> beam.CombinePerKey(AddCells())
            | "write feedback" >> beam.Map(_write_cells, work)
        )


def collect(work: str, kind: str) -> list[pl.DataFrame]:
    """Read the results of one kind: ``associates``, ``interactions``, ``times`` or ``cells``.

    Shards come in the same order for each kind.
    """
    [match] = FileSystems.match([FileSystems.join(work, f"{kind}-*.arrow")])
    paths = sorted(file.path for file in match.metadata_list)
    return [pl.DataFrame(_read(path)) for path in paths]
