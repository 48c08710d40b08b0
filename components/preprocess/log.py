"""The Beam pipeline over the event log: summarise days, then put each group of associates together.

Every element is a few names or numbers, never a row: events are read, and results written, by the
workers themselves, as record batches. A worker holds one piece of a day, or one group of associates
over all days, at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import apache_beam as beam
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
from apache_beam.io.filesystems import FileSystems
from apache_beam.options.pipeline_options import PipelineOptions
from numpy.typing import NDArray

from components.contract import columns as c
from components.contract.shell import quoted_executable
from components.preprocess import events, feedback, parts
from components.preprocess.completions import Completions, last_of_each
from components.preprocess.events import Chunk
from components.preprocess.sessions import merge, summarise

# What DirectRunner stands for here. By that name, Beam would first try to download another runner.
_LOCAL = "apache_beam.runners.portability.fn_api_runner.FnApiRunner"
_ASSOCIATES, _INTERACTIONS, _COMPLETIONS = "associates", "interactions", "completions"


class _Summarise(beam.DoFn):
    """Turn a piece of a day into a part."""

    def __init__(
        self, path: str, numbered: Sequence[str], known: NDArray[np.bool_], folder: str, gap: int, shards: int
    ) -> None:
        self._path, self._folder, self._gap, self._shards = path, folder, gap, shards
        self._numbered, self._known = pa.array(numbered, pa.large_string()), known

    def process(self, named: tuple[str, Chunk]) -> Iterator[int]:
        name, chunk = named
        read = events.read(self._path, chunk.groups)
        rows = read.filter(pa.array(read[c.TIME].to_numpy() // events.DAY_MICROSECONDS == chunk.day))
        digest = int(events.row_hashes(rows).sum(dtype=np.uint64))

        values, codes = events.coded(rows, c.PAGE_ID)
        numbers = pc.fill_null(pc.index_in(values, value_set=self._numbered), -1).to_numpy()
        # The last, which -1 means, is no page.
        numbers = np.where(np.append(self._known, False)[numbers], numbers, np.int32(-1))
        page = numbers[codes]
        unknown = values.filter(pa.array((numbers < 0) & (np.bincount(codes, minlength=len(values)) > 0)))
        total = len(rows)
        rows, page = rows.filter(pa.array(page >= 0)), page[page >= 0]

        sums = feedback.add_up(rows, page, len(self._numbered))
        kinds, kind = events.coded(rows, c.EVENT_TYPE)
        used = pc.is_in(kinds, value_set=pa.array(c.ENGAGEMENTS, pa.large_string())).to_numpy(False)[kind]
        time = rows[c.TIME].to_numpy()[used]
        ids, associate, bounds = self._numbers(rows.filter(pa.array(used)))
        page = page[used]
        found = summarise(associate, page, time, self._gap)
        ended = pc.equal(kinds, c.COMPLETE).fill_null(False).to_numpy(False)[kind][used]
        done = last_of_each(Completions(associate[ended], page[ended], time[ended]))
        parts.write_shards(self._folder, name, ids, bounds, found, done)
        ends = (int(time.min()), int(time.max())) if len(time) else (0, 0)
        left_out = sorted(text for text in unknown.to_pylist() if text is not None)
        part = parts.Part(name, chunk.day, total, digest, left_out, len(time), *ends)
        parts.write_day(self._folder, part, sums, time)
        yield total

    def _numbers(self, rows: pa.Table) -> tuple[pa.Array, NDArray[np.int32], NDArray[np.int64]]:
        """Ids of the associates by group, each row's among them, and where each group begins."""
        values, codes = events.coded(rows, c.ASSOCIATE_ID)
        there = np.flatnonzero(np.bincount(codes, minlength=len(values)))
        ids = values.take(pa.array(there))
        shard = (events.text_hashes(ids) % np.uint64(self._shards)).astype(np.int64)
        order = np.argsort(shard, kind="stable")
        number = np.zeros(len(values), np.int32)
        number[there[order]] = np.arange(len(order))
        bounds = np.searchsorted(shard[order], np.arange(self._shards + 1))
        return ids.take(pa.array(order)), number[codes], bounds


class _Merge(beam.DoFn):
    """Put the summaries of a group of associates together."""

    def __init__(
        self, folder: str, names: Sequence[str], row: NDArray[np.int32], gap: int, work: str
    ) -> None:
        self._folder, self._names, self._row, self._gap, self._work = folder, names, row, gap, work

    def process(self, shard: int, summarised: int) -> None:
        ids, summary, done = parts.read_shard(self._folder, self._names, shard)
        found = merge(summary._replace(page=self._row[summary.page]), self._gap)
        known = pa.record_batch({c.ASSOCIATE_ID: ids.to_arrow(), "sessions": found.sessions})
        self._write(_ASSOCIATES, shard, known)
        columns = (c.ASSOCIATE, c.PAGE, c.TIME, c.ORDINAL, c.SESSION)
        table = pa.record_batch({column: getattr(found, column) for column in columns})
        self._write(_INTERACTIONS, shard, table)
        last = last_of_each(done._replace(page=self._row[done.page]))
        self._write(_COMPLETIONS, shard, pa.record_batch(last._asdict()))

    def _write(self, kind: str, shard: int, batch: pa.RecordBatch) -> None:
        parts.write_batches(FileSystems.join(self._work, f"{kind}-{shard:04d}.arrow"), [batch])


def process(
    path: str,
    chunks: Sequence[tuple[str, Chunk]],
    reused: Sequence[str],
    *,
    numbered: Sequence[str],
    row: NDArray[np.int32],
    folder: str,
    work: str,
    gap: int,
    shards: int,
    runner: str,
    options: list[str],
) -> None:
    """Run the pipeline; its result is parts under ``folder``, and files under ``work`` for :func:`collect`.

    Parameters
    ----------
    path : str
        Parquet file of the event log.
    chunks : sequence of (str, Chunk)
        What to summarise, and the names that the parts get.
    reused : sequence of str
        Parts that are there already and count too.
    numbered : sequence of str
        Page ids by the number that parts call them.
    row : array of int32, shape (len(numbered),)
        Row of each in the catalogue; -1 for one that it lacks, whose events are left out.
    folder, work : str
        Folders or URIs that all workers reach.
    gap : int
        Microseconds without engagement after which a new session starts.
    shards : int
        Groups of associates.
    runner : str
        Beam runner, with its ``options``.
    """
    chosen = _LOCAL if runner == "DirectRunner" else runner
    names = [*reused, *(name for name, _ in chunks)]
    one = _Summarise(path, numbered, row >= 0, folder, gap, shards)
    with quoted_executable(), beam.Pipeline(runner=chosen, options=PipelineOptions(options)) as pipeline:
        summarised = (
            pipeline
            | "pieces of days" >> beam.Create(list(chunks))
            | "spread days" >> beam.Reshuffle()
            | "summarise" >> beam.ParDo(one)
            | "count" >> beam.CombineGlobally(sum)
        )
        _ = (
            pipeline
            | "groups of associates" >> beam.Create(range(shards))
            | "spread groups" >> beam.Reshuffle()
            # The count makes it wait for the summaries.
            | "merge"
            >> beam.ParDo(_Merge(folder, names, row, gap, work), beam.pvalue.AsSingleton(summarised))
        )


def collect(work: str, kind: str) -> Iterator[pl.DataFrame]:
    """Read one kind of results, one group after another: associates, interactions or completions."""
    [match] = FileSystems.match([FileSystems.join(work, f"{kind}-*.arrow")])
    for path in sorted(file.path for file in match.metadata_list):
        yield pl.DataFrame(parts.read_batch(path))
