import json

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from components.contract.errors import DataError
from components.validate.__main__ import app
from components.validate.settings import ValidateSettings
from components.validate.skew import find, read

ROWS = 2000


def features(seed=0):
    random = np.random.default_rng(seed)
    return pl.DataFrame(
        {
            "request_id": [f"R{i // 10}" for i in range(ROWS)],
            "page_id": [f"P{i % 10}" for i in range(ROWS)],
            "popularity": random.exponential(3, ROWS),
            "age_days": random.exponential(90, ROWS),
            "role": random.choice(["clerk", "baker", "driver"], ROWS, p=[0.5, 0.3, 0.2]),
        }
    )


def logged(rows, folder):
    """As the drain writes impressions: by date, the features as JSON text."""
    part = folder / "date=2026-03-02"
    part.mkdir(parents=True)
    names = [name for name in rows.columns if name not in ("request_id", "page_id")]
    text = pl.struct(names).struct.json_encode().alias("features")
    rows.select("request_id", "page_id", pl.lit(0.5).alias("score"), text).write_parquet(
        part / "claim.parquet"
    )
    return folder


def compare(tmp_path, serving, training):
    training.write_parquet(tmp_path / "training.parquet")
    found = find(logged(serving, tmp_path / "impressions"), tmp_path / "training.parquet", ValidateSettings())
    return {(one.column, one.severity, one.what.split(",")[0]) for one in found}, found


def test_logged_features_are_spread_out(tmp_path):
    rows = features()
    spread = read(logged(rows, tmp_path / "impressions")).collect()
    assert spread["popularity"].to_list() == pytest.approx(rows["popularity"].to_list())
    assert spread["role"].to_list() == rows["role"].to_list()


def test_equal_features_are_no_skew(tmp_path):
    assert compare(tmp_path, features(), features().sample(fraction=1, shuffle=True, seed=1))[0] == set()


def test_rows_that_differ_are_counted_and_named(tmp_path):
    training = features()
    wrong = pl.int_range(pl.len()) < 100
    serving = training.with_columns(
        pl.when(wrong).then(pl.col("age_days") + 1).otherwise("age_days").alias("age_days"),
        pl.when(pl.int_range(pl.len()) == 7).then(pl.lit("cook")).otherwise("role").alias("role"),
    )
    seen, found = compare(tmp_path, serving, training)
    assert seen == {
        ("age_days", "stop", "differs in the same row"),
        ("role", "warn", "differs in the same row"),
    }
    ages = next(one for one in found if one.column == "age_days")
    assert ages.how_far.startswith("100 of 2,000 rows, 5.0%")
    assert "R0/P0" in ages.rows


def test_other_distributions_are_skew_where_rows_have_no_name(tmp_path):
    training = features(1).drop("request_id", "page_id")
    serving = features(2).with_columns(pl.col("age_days") / 7, pl.lit("clerk").alias("role"))
    seen, _ = compare(tmp_path, serving, training)
    assert seen == {
        ("age_days", "stop", "its distribution in serving is not that of training"),
        ("role", "stop", "its distribution in serving is not that of training"),
    }


def test_a_feature_that_training_lacks_is_named(tmp_path):
    seen, _ = compare(tmp_path, features(), features().drop("popularity"))
    assert seen == {("popularity", "warn", "logged by serving")}


def test_tables_without_a_common_feature_are_refused(tmp_path):
    with pytest.raises(DataError, match="no feature is in both"):
        compare(tmp_path, features(), pl.DataFrame({"other": [1.0]}))


def test_the_command_line_says_what_stops(tmp_path):
    serving = logged(features().with_columns(pl.col("age_days") * 86_400), tmp_path / "impressions")
    features().write_parquet(tmp_path / "training.parquet")
    words = ["skew", "--serving", str(serving), "--training", str(tmp_path / "training.parquet"), "--json"]
    found = CliRunner().invoke(app, words)
    assert found.exit_code == 3
    rows = json.loads(found.stdout)
    assert {row["key"] for row in rows} == {"skew:features.age_days"}
