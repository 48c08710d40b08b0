import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest
from polars.testing import assert_frame_equal

from components.contract import columns as c
from components.contract.dataset import Dataset
from components.preprocess import events
from components.preprocess.events import DAY_MICROSECONDS, Chunk, Groups, fingerprints, row_hashes
from components.preprocess.step import run
from tests.benchmarks.data.plain import interactions_and_page_days

MIDNIGHT = 20_000 * DAY_MICROSECONDS


def log(size=3000, days=3, seed=1):
    """A log of some days, in no order."""
    draw = np.random.default_rng(seed)
    dwell = np.round(draw.exponential(60, size), 2)
    return pl.DataFrame(
        {
            c.ASSOCIATE_ID: pl.Series(draw.integers(0, 50, size)).cast(pl.String),
            c.PAGE_ID: pl.Series(draw.integers(0, 20, size)).cast(pl.String),
            c.EVENT_TYPE: draw.choice(c.EVENT_TYPES, size),
            c.TIMESTAMP: pl.Series(MIDNIGHT + draw.integers(0, days * DAY_MICROSECONDS, size)).cast(
                pl.Datetime("us", "UTC")
            ),
            c.DWELL: pl.Series(np.where(draw.random(size) < 0.4, dwell, np.nan)).fill_nan(None),
            c.RATING: pl.Series([None] * size, dtype=pl.Float64),
        }
    )


def write(folder, frame, rows=None, statistics=True):
    folder.mkdir(parents=True, exist_ok=True)
    table = frame.to_arrow()
    pq.write_table(table, folder / "events.parquet", row_group_size=rows or 500, write_statistics=statistics)
    pl.DataFrame({c.PAGE_ID: [str(page) for page in range(20)]}).write_parquet(folder / "pages.parquet")
    pl.DataFrame({c.ASSOCIATE_ID: ["0"]}).write_parquet(folder / "associates.parquet")
    return str(folder / "events.parquet")


@pytest.mark.parametrize("statistics", [True, False])
def test_each_day_is_read_from_the_row_groups_that_may_hold_it(tmp_path, statistics):
    frame = log(1500).sort(c.TIMESTAMP)
    groups = Groups(write(tmp_path, frame, 500, statistics))
    assert groups.total == 1500
    assert groups.days() == [20_000, 20_001, 20_002]
    found = groups.chunks([20_000, 20_002])
    assert [chunk.day for chunk in found] == [20_000, 20_002]
    assert found[0].groups[0] == 0
    assert found[1].groups[-1] == 2
    first, last = frame[c.TIMESTAMP].dt.timestamp("us").to_numpy()[[0, -1]]
    assert groups.span == [first / 1e6, last / 1e6]


def test_empty_row_groups_are_of_no_day(tmp_path):
    frame = log(900).sort(c.TIMESTAMP)
    path = write(tmp_path / "tables", frame)
    whole = Groups(path)
    told = fingerprints(path, len(whole.rows))
    table = frame.to_arrow()
    with pq.ParquetWriter(path, table.schema) as writer:
        for part in (table[:0], table[:400], table[:0], table[400:], table[:0]):
            writer.write_table(part)
    groups = Groups(path)
    assert (groups.total, groups.span, groups.days()) == (whole.total, whole.span, whole.days())
    assert fingerprints(path, len(groups.rows)) == told
    figures = run(tmp_path / "tables", tmp_path / "out", {}, tmp_path / "home")
    assert figures["events"] == 900
    assert run(tmp_path / "tables", tmp_path / "out", {}, tmp_path / "home")["days_read"] == 0


def test_a_large_day_is_read_in_pieces(tmp_path, monkeypatch):
    monkeypatch.setattr(events, "CHUNK", 1000)
    groups = Groups(write(tmp_path, log(2500, days=1), 500))
    assert groups.chunks([20_000]) == [Chunk(20_000, (0,)), Chunk(20_000, (1, 2)), Chunk(20_000, (3, 4))]


@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize("chunk", [600, 1 << 21])
def test_neither_order_nor_pieces_change_the_dataset(tmp_path, monkeypatch, ordered, chunk):
    monkeypatch.setattr(events, "CHUNK", chunk)
    frame = log()
    write(tmp_path / "tables", frame.sort(c.TIMESTAMP) if ordered else frame)
    run(tmp_path / "tables", tmp_path / "out", {"preprocess": {"shards": 3}}, tmp_path / "home")
    dataset = Dataset.load(tmp_path / "out")
    interactions, page_days = interactions_and_page_days(tmp_path / "tables")
    assert_frame_equal(dataset.interactions, interactions, check_exact=True)
    assert_frame_equal(dataset.page_days, page_days, check_exact=True)
    # The same rows in another order, and other row groups: no day has changed.
    write(tmp_path / "tables", frame.sort(c.ASSOCIATE_ID), 700)
    figures = run(tmp_path / "tables", tmp_path / "again", {"preprocess": {"shards": 3}}, tmp_path / "home")
    assert figures["days_read"] == 0
    assert Dataset.load(tmp_path / "again").interactions.equals(dataset.interactions)


@pytest.mark.parametrize("column", [c.ASSOCIATE_ID, c.PAGE_ID, c.EVENT_TYPE, c.TIMESTAMP, c.DWELL, c.RATING])
def test_a_change_of_any_column_changes_the_day_and_no_other(tmp_path, column):
    frame = log()
    before = fingerprints(write(tmp_path / "a", frame), 6)
    row = int((frame[c.TIMESTAMP].dt.timestamp("us") // DAY_MICROSECONDS == 20_001).arg_true()[0])
    other = {c.TIMESTAMP: frame[c.TIMESTAMP][row].replace(microsecond=1), c.DWELL: 1.25, c.RATING: 5.0}
    changed = frame[column].to_list()
    changed[row] = other.get(
        column, "7" if column != c.EVENT_TYPE else c.EVENT_TYPES[frame[column][row] == "impression"]
    )
    altered = frame.with_columns(pl.Series(column, changed, frame.schema[column]))
    assert not altered.equals(frame)
    after = fingerprints(write(tmp_path / "b", altered), 6)
    assert [day for day in before if before[day] != after[day]] == [20_001]
    assert {day: told.rows for day, told in before.items()} == {day: told.rows for day, told in after.items()}


def test_absent_columns_count_as_empty(tmp_path):
    frame = log()
    whole = fingerprints(write(tmp_path / "a", frame), 6)
    assert fingerprints(write(tmp_path / "b", frame.drop(c.RATING)), 6) == whole


def test_rows_hash_alike_however_their_texts_are_stored(tmp_path):
    read = events.read(write(tmp_path, log()), (0, 1))
    plain = read.cast(pl.DataFrame(read).cast({c.EVENT_TYPE: pl.String}).to_arrow().schema)
    assert row_hashes(read).tolist() == row_hashes(plain).tolist()
