from datetime import UTC, datetime, timedelta

import polars as pl
import pyarrow as pa

from components.validate.statistics import bins, counted, examples, generate


def test_every_kind_of_column_takes_tfdvs_form():
    frame = pl.DataFrame(
        {
            "event_id": ["e1", "e2"],
            "event_type": ["view", None],
            "timestamp": [datetime(1970, 1, 1, 5, tzinfo=UTC), None],
            "retired": [True, None],
            "position": pl.Series([3, None], dtype=pl.Int32),
            "roles": [["a", "b"], None],
            "nothing": [None, None],
            "odd": [{"a": 1}, None],
        }
    )
    batch = examples(pa.table(frame.to_arrow()).combine_chunks().to_batches()[0], ["timestamp", "absent"])
    assert batch.to_pydict() == {
        "event_type": [["view"], None],
        "timestamp": [[18_000], None],
        "retired": [[1], None],
        "position": [[3.0], None],
        "roles": [["a", "b"], None],
        "timestamp_bin": [["05"], None],
    }
    assert all(pa.types.is_list(field.type) for field in batch.schema)


def test_bins_do_not_move_with_the_largest_value():
    short = bins(pl.Series([3.0, 60.0]))
    assert bins(pl.Series([3.0, 60.0, 1e9]))[:2].to_list() == short.to_list() == ["2", "32"]


def test_bins_of_the_smallest_and_the_largest_numbers():
    assert bins(pl.Series([1e-9, 2.0**60])).to_list() == ["0", f"{2**40:g}"]


def test_large_tables_are_sampled_evenly_and_old_row_groups_left_out(tmp_path):
    start = datetime(2026, 1, 1, tzinfo=UTC)
    times = pl.Series([start + timedelta(hours=hour) for hour in range(1000)], dtype=pl.Datetime("us", "UTC"))
    rows = pl.DataFrame({"timestamp": times, "kind": ["a", "b", "b", "b"] * 250})
    rows.write_parquet(tmp_path / "events.parquet", row_group_size=100)
    whole = generate({"events": tmp_path / "events.parquet"}, {})["events"]
    some = generate({"events": tmp_path / "events.parquet"}, {}, most=334)["events"]
    late = generate({"events": tmp_path / "events.parquet"}, {}, since=start + timedelta(hours=850))["events"]
    assert [counted(one) for one in (whole, some, late)] == [1000, 1000, 200]
    assert [one.datasets[0].num_examples for one in (whole, some, late)] == [1000, 334, 200]
    kinds = next(f for f in some.datasets[0].features if f.path.step[0] == "kind").string_stats
    assert {b.label for b in kinds.rank_histogram.buckets} == {"a", "b"}
