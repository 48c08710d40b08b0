"""TFDV statistics of the tables, by Beam on record batches."""

from __future__ import annotations

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
    """Read one row group as batches in TFDV's form."""

    def __init__(self, path: str, binned: Sequence[str]) -> None:
        self._path, self._binned = path, tuple(binned)

    def process(self, group: int) -> Iterator[pa.RecordBatch]:
        table = pq.ParquetFile(self._path)
        names = [name for name in table.schema_arrow.names if name not in _LEFT_OUT]
        for batch in table.iter_batches(_BATCH, row_groups=[group], columns=names):
            yield examples(batch, self._binned)


def _write(statistics: Any, path: str) -> None:
    Path(path).write_bytes(statistics.SerializeToString())


def generate(tables: Mapping[str, Path], binned: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Compute the statistics of each table that has rows.

    Parameters
    ----------
    tables : mapping
        Parquet file of each table.
    binned : mapping
        Columns of each table that also get bins.

    Returns
    -------
    dict
        ``DatasetFeatureStatisticsList`` of each table.
    """
    import tensorflow_data_validation as tfdv

    options = tfdv.StatsOptions(num_top_values=20, num_histogram_buckets=20)
    with tempfile.TemporaryDirectory() as folder:
        with beam.Pipeline(runner=_LOCAL) as pipeline:
            for table, path in tables.items():
                _ = (
                    pipeline
                    | f"{table} row groups" >> beam.Create(range(pq.ParquetFile(path).num_row_groups))
                    | f"read {table}" >> beam.ParDo(_Read(str(path), binned.get(table, ())))
                    | f"statistics of {table}" >> tfdv.GenerateStatistics(options)
                    | f"write {table}" >> beam.Map(_write, f"{folder}/{table}{_SUFFIX}")
                )
        return load(folder)


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
