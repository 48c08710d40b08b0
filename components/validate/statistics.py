"""TFDV statistics of the tables, by Beam on record batches."""

from __future__ import annotations

import datetime
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from components.contract import columns as c

# Identifiers without repeats: their distribution says nothing and costs the most.
_LEFT_OUT = (c.EVENT_ID, c.REQUEST_ID)
_BATCH = 1 << 16
_SUFFIX = ".pb"
# Named in full: as DirectRunner, Beam would first try to download another runner.
_LOCAL = "apache_beam.runners.portability.fn_api_runner.FnApiRunner"
BIN = "_bin"


def examples(batch: pa.RecordBatch, binned: Sequence[str] = ()) -> pa.RecordBatch:
    """Put a batch into TFDV's form: each column a list per row, missing where the value is null.

    Numbers become floats; times and truth values whole numbers. A body gives its length only: texts
    of megabytes have no distribution.

    Parameters
    ----------
    batch : pyarrow.RecordBatch
    binned : sequence of str
        Columns that also get a ``_bin``. TFDV's own bins follow each data set's range, so that one
        long dwell time moves them all and reads as drift; these stay.

    Examples
    --------
    >>> batch = pa.record_batch({"progress": pa.array([None, 1]), "body": pa.array(["abc", ""])})
    >>> examples(batch).to_pydict()
    {'progress': [None, [1.0]], 'body_characters': [[3], [0]]}
    """
    frame = pl.DataFrame(batch)
    shaped: dict[str, pl.Series] = {}
    for name, dtype in frame.schema.items():
        column = frame[name]
        if name in _LEFT_OUT or dtype == pl.Null:
            continue
        if name == "body" and dtype == pl.String:
            shaped["body_characters"] = column.str.len_chars().cast(pl.Int64)
        elif dtype.is_temporal():
            shaped[name] = column.cast(pl.Datetime("us")).dt.epoch("s")
        elif dtype == pl.Boolean:
            shaped[name] = column.cast(pl.Int64)
        elif dtype.is_numeric():
            shaped[name] = column.cast(pl.Float64)
        elif dtype in (pl.String, pl.List(pl.String)):
            shaped[name] = column
        elif dtype in (pl.Categorical, pl.Enum):
            shaped[name] = column.cast(pl.String)
    for name in binned:
        if name in shaped and (frame.schema[name].is_temporal() or frame.schema[name].is_numeric()):
            shaped[name + BIN] = bins(frame[name])
    return pa.RecordBatch.from_pydict({name: _as_list(column) for name, column in shaped.items()})


def bins(column: pl.Series) -> pl.Series:
    """Name the bin of each value: the hour of a time, the power of two at or below a number.

    Examples
    --------
    >>> bins(pl.Series([0.75, 0.0, None, 5, 4, -3])).to_list()
    ['0.5', '0', None, '4', '4', 'below 0']
    """
    if column.dtype.is_temporal():
        return column.cast(pl.Datetime("us")).dt.strftime("%H")
    value = column.cast(pl.Float64)
    powers = np.exp2(np.arange(-10, 41))
    names = pl.Series(["0", *(f"{power:g}" for power in powers)])
    place = np.searchsorted(powers, value.fill_null(0).to_numpy(), side="right")
    frame = pl.DataFrame({"value": value, "name": names.gather(place)})
    word = pl.when(pl.col("value") < 0).then(pl.lit("below 0")).otherwise("name")
    return frame.select(pl.when(pl.col("value").is_not_null()).then(word).alias("bin"))["bin"]


def _as_list(column: pl.Series) -> pa.Array:
    values = column.to_arrow()
    if pa.types.is_large_list(values.type) or pa.types.is_list(values.type):
        return values.cast(pa.list_(pa.large_string()))
    if pa.types.is_string(values.type) or pa.types.is_string_view(values.type):
        values = values.cast(pa.large_string())
    there = column.is_not_null().to_numpy()
    ends = np.concatenate([[0], np.cumsum(there)]).astype(np.int32)
    offsets = pa.array(ends, mask=np.append(~there, False))
    return pa.ListArray.from_arrays(offsets, values.drop_null())


class _Read(beam.DoFn):
    """Read one row group as batches in TFDV's form, of its rows each ``step``-th."""

    def __init__(self, path: str, binned: Sequence[str], step: int) -> None:
        self._path, self._binned, self._step = path, tuple(binned), step

    def process(self, group: int) -> Iterator[pa.RecordBatch]:
        table = pq.ParquetFile(self._path)
        names = [name for name in table.schema_arrow.names if name not in _LEFT_OUT]
        for batch in table.iter_batches(_BATCH, row_groups=[group], columns=names):
            if self._step > 1:
                # Alternate starts, so that rows in pairs are not always cut in the same way.
                batch = batch.take(np.arange(group % self._step, batch.num_rows, self._step))
            yield examples(batch, self._binned)


def _groups(path: Path, since: datetime.datetime | None) -> list[int]:
    """Row groups to read: all, but for those whose last timestamp is known to be before ``since``."""
    meta = pq.read_metadata(path)
    groups = range(meta.num_row_groups)
    names = meta.schema.to_arrow_schema().names
    if since is None or c.TIMESTAMP not in names:
        return list(groups)
    place = names.index(c.TIMESTAMP)
    ends = [meta.row_group(group).column(place).statistics for group in groups]
    return [
        group
        for group, end in zip(groups, ends, strict=True)
        if end is None or not isinstance(end.max, datetime.datetime) or end.max >= since
    ]


def _write(statistics: Any, path: str) -> None:
    Path(path).write_bytes(statistics.SerializeToString())


def generate(
    tables: Mapping[str, Path],
    binned: Mapping[str, Sequence[str]],
    since: datetime.datetime | None = None,
    most: int = 2_000_000,
) -> dict[str, Any]:
    """Compute the statistics of each table that has rows.

    Parameters
    ----------
    tables : mapping
        Parquet file of each table.
    binned : mapping
        Columns of each table that also get bins.
    since : datetime.datetime, optional
        Row groups of events that end before are left out, so that a log of years costs no more each
        day than one of weeks.
    most : int
        Of larger tables each second, third, ... row is taken, evenly over the table: a share is then
        known to within 0.1 %.

    Returns
    -------
    dict
        ``DatasetFeatureStatisticsList`` of each table; :func:`counted` gives its rows.
    """
    import tensorflow_data_validation as tfdv

    options = tfdv.StatsOptions(num_top_values=20, num_histogram_buckets=20)
    rows = {}
    with tempfile.TemporaryDirectory() as folder:
        with beam.Pipeline(runner=_LOCAL) as pipeline:
            for table, path in tables.items():
                groups = _groups(path, since)
                meta = pq.read_metadata(path)
                rows[table] = sum(meta.row_group(group).num_rows for group in groups)
                reader = _Read(str(path), binned.get(table, ()), -(-rows[table] // most))
                _ = (
                    pipeline
                    | f"{table} row groups" >> beam.Create(groups)
                    | f"read {table}" >> beam.ParDo(reader)
                    | f"statistics of {table}" >> tfdv.GenerateStatistics(options)
                    | f"write {table}" >> beam.Map(_write, f"{folder}/{table}{_SUFFIX}")
                )
        found = load(folder)
    for table, one in found.items():
        one.datasets[0].weighted_num_examples = rows[table]
    return found


def counted(statistics: Any) -> int:
    """Number of rows that statistics stand for."""
    dataset = statistics.datasets[0]
    return int(dataset.weighted_num_examples or dataset.num_examples)


def load(folder: Path | str) -> dict[str, Any]:
    """Read the statistics of each table in a folder that :func:`save` wrote.

    Raises
    ------
    google.protobuf.message.DecodeError
        A file is damaged.
    """
    from tensorflow_metadata.proto.v0.statistics_pb2 import DatasetFeatureStatisticsList

    return {
        path.stem: DatasetFeatureStatisticsList.FromString(path.read_bytes())
        for path in sorted(Path(folder).glob(f"*{_SUFFIX}"))
    }


def save(statistics: Mapping[str, Any], folder: Path) -> None:
    """Write the statistics of each table, in the form in which a release keeps them."""
    for table, found in statistics.items():
        _write(found, str(folder / f"{table}{_SUFFIX}"))
