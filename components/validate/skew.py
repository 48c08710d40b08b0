"""Training-serving skew: features as serving logged them against features as training computes them."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from components.contract import columns as c
from components.contract.errors import DataError
from components.validate import statistics
from components.validate.findings import Finding, Severity
from components.validate.settings import ValidateSettings

# What identifies a row, as far as both tables have it; and what is no feature.
KEYS = (c.REQUEST_ID, c.ASSOCIATE_ID, c.PAGE_ID)
_OTHER = (c.TIMESTAMP, c.RELEASE, c.POSITION, "date", "score", "propensity", "source", "fallback", "label")
_FEATURES = "features"
_MEASURE = 1e-12
_ADVICE = "The same code must compute it in both: compare the releases, the time and the missing values"
_SHOWN = 5


def read(path: Path) -> pl.LazyFrame:
    """Read a table of features: a Parquet file, or a folder of them, perhaps by ``date=``.

    A column ``features`` (a struct, or JSON text of numbers and words by name) is spread out.

    Raises
    ------
    DataError
        There is no Parquet file.
    """
    if path.is_dir() and not any(path.rglob("*.parquet")):
        raise DataError(f"{path}: no Parquet file in the folder")
    rows = pl.scan_parquet(path / "**/*.parquet" if path.is_dir() else path, missing_columns="insert")
    kind = rows.collect_schema().get(_FEATURES)
    if kind == pl.String:
        # Later batches may hold names that the first rows lack: all are looked at.
        held = rows.filter(pl.col(_FEATURES).is_not_null()).collect()
        spread = pl.DataFrame({_FEATURES: held[_FEATURES].str.json_decode(infer_schema_length=None)})
        rows = pl.concat([held.drop(_FEATURES), spread], how="horizontal").lazy()
        kind = spread.schema[_FEATURES]
    return rows.unnest(_FEATURES) if isinstance(kind, pl.Struct) else rows


def find(serving: Path, training: Path, settings: ValidateSettings) -> list[Finding]:
    """Compare two tables of features.

    Where both name the rows (``request_id``, ``page_id``, ...), features of the same row must be equal.
    The distributions are compared by TFDV besides: numbers by Jensen-Shannon over fixed bins, words by
    L-infinity. They only ought to agree where both tables hold rows of one kind, such as what was
    shown; a table of all candidates has another distribution than one of the ten best.

    Parameters
    ----------
    serving, training : Path
        See :func:`read`.

    Raises
    ------
    DataError
        They have no feature in common.
    """
    logged, computed = read(serving), read(training)
    left, right = logged.collect_schema(), computed.collect_schema()
    names = [
        name
        for name in left
        if name in right and name not in (*KEYS, *_OTHER) and _kind(left[name]) and _kind(right[name])
    ]
    if not names:
        raise DataError(
            f"skew: no feature is in both {serving} ({', '.join(left)}) and {training} ({', '.join(right)})"
        )
    found = [
        _finding("warn", name, "logged by serving, not known to training", "0 rows in training", "")
        for name in left
        if name not in right and name not in (*KEYS, *_OTHER) and _kind(left[name]) and name != _FEATURES
    ]
    keys = [key for key in KEYS if key in left and key in right]
    if c.PAGE_ID in keys and len(keys) > 1:
        found += _matched(logged, computed, keys, names, settings)
    return found + _distributions(logged, computed, names, settings)


def _kind(dtype: pl.DataType) -> str:
    if dtype.is_numeric() or dtype == pl.Boolean:
        return "number"
    return "word" if dtype in (pl.String, pl.Categorical) else ""


def _finding(severity: Severity, name: str, what: str, far: str, rows: str) -> Finding:
    return Finding(severity, "features", name, "skew", what, far, _ADVICE, rows)


def _matched(
    logged: pl.LazyFrame,
    computed: pl.LazyFrame,
    keys: Sequence[str],
    names: Sequence[str],
    settings: ValidateSettings,
) -> list[Finding]:
    """Features that are unequal in one and the same row."""
    other = computed.select(*keys, *(pl.col(name).alias(f"training:{name}") for name in names))
    # A key that comes twice would be compared with itself crosswise.
    rows = logged.select(*keys, *names).unique(keys).join(other.unique(keys), on=list(keys)).collect()
    if rows.is_empty():
        return []
    found = []
    for name in names:
        here, there = pl.col(name), pl.col(f"training:{name}")
        if _kind(rows.schema[name]) == "number" and _kind(rows.schema[f"training:{name}"]) == "number":
            here, there = here.cast(pl.Float64), there.cast(pl.Float64)
            apart = (here - there).abs() > settings.skew_tolerance * pl.max_horizontal(
                here.abs(), there.abs(), 1.0
            )
            unequal = (
                pl.when(here.is_null() | there.is_null())
                .then(here.is_null() != there.is_null())
                .otherwise(apart)
            )
        else:
            unequal = here.cast(pl.String).ne_missing(there.cast(pl.String))
        wrong = rows.filter(unequal)
        share = wrong.height / rows.height
        if not wrong.height:
            continue
        first = wrong.sort(keys).head(_SHOWN)
        pair = first.select(here.alias("serving"), there.alias("training")).row(0)
        ids = ", ".join("/".join(map(str, row)) for row in first.select(keys).rows())
        found.append(
            _finding(
                "stop" if share > settings.skew_rows else "warn",
                name,
                f"differs in the same row, such as {pair[0]} served, {pair[1]} in training",
                f"{wrong.height:,} of {rows.height:,} rows, {share:.1%}; stops over {settings.skew_rows:.0%}",
                f"{'/'.join(keys)} {ids}",
            )
        )
    return found


def _distributions(
    logged: pl.LazyFrame, computed: pl.LazyFrame, names: Sequence[str], settings: ValidateSettings
) -> list[Finding]:
    import tensorflow_data_validation as tfdv
    from tensorflow_metadata.proto.v0.schema_pb2 import Schema

    left, right = logged.collect_schema(), computed.collect_schema()
    numbers = [name for name in names if _kind(left[name]) == _kind(right[name]) == "number"]
    with tempfile.TemporaryDirectory() as scratch:
        paths = {"serving": Path(scratch) / "serving.parquet", "training": Path(scratch) / "training.parquet"}
        for rows, path in ((logged, paths["serving"]), (computed, paths["training"])):
            rows.select(
                pl.col(name).cast(pl.Float64 if name in numbers else pl.String) for name in names
            ).sink_parquet(path)
        found = statistics.generate(paths, dict.fromkeys(paths, numbers))
    if len(found) < 2:
        return []
    schema = Schema()
    for name in names:
        if name in numbers:
            feature = schema.feature.add(name=name + statistics.BIN, type="BYTES")
            feature.skew_comparator.jensen_shannon_divergence.threshold = _MEASURE
        else:
            schema.feature.add(name=name, type="BYTES").skew_comparator.infinity_norm.threshold = _MEASURE
    measured = tfdv.validate_statistics(found["training"], schema, serving_statistics=found["serving"])
    findings = []
    for info in measured.drift_skew_info:
        name = info.path.step[0].removesuffix(statistics.BIN)
        for value in (measurement.value for measurement in info.skew_measurements):
            rows = min(one.datasets[0].num_examples for one in found.values())
            if rows < settings.drift_rows or value <= settings.skew_warn + 1 / rows**0.5:
                continue
            findings.append(
                _finding(
                    "stop" if value > settings.skew_stop + 1 / rows**0.5 else "warn",
                    name,
                    "its distribution in serving is not that of training",
                    f"{'Jensen-Shannon' if name in numbers else 'L-infinity'} {value:.3f}, reported over "
                    f"{settings.skew_warn:g}, stops over {settings.skew_stop:g} (and noise of {rows:,} rows)",
                    "",
                )
            )
    return findings
