"""Findings from TFDV: what breaks the reviewed schema, and what drifted since the current release."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import polars as pl

from components.validate.findings import Check, Finding, Severity
from components.validate.schemas import SEEN
from components.validate.settings import ValidateSettings
from components.validate.statistics import BIN

# Smaller than any measured drift: TFDV then reports them all, and the settings judge.
_MEASURE = 1e-12
# TFDV lists so many values of a column; and so many rows with a value do not go by chance.
_LISTED, _GONE_ROWS = 1000, 20
_FIXES: dict[Check, str] = {
    "missing": "Add the column, or map the source's own name to it",
    "presence": "Fill it in each row, or leave those rows out",
    "type": "Write it in the contract's type",
    "domain": "Map the source's words to the contract's",
    "new_value": "If it is meant: python -m components.validate schema accept",
    "range": "Check the unit: shares are 0 to 1, ratings 1 to 5, dwell is in seconds",
    "other": "Compare the column with the reviewed schema",
}


def find(
    table: str, path: Path, statistics: Any, baseline: Any | None, reviewed: Any, settings: ValidateSettings
) -> list[Finding]:
    """Check one table's statistics.

    Parameters
    ----------
    table : str
    path : Path
        Its Parquet file: shares outside a domain or range are counted on the rows.
    statistics, baseline : DatasetFeatureStatisticsList
        Of the table, and of the data of the current release where there is one.
    reviewed : Schema
        The schema in force.
    """
    import tensorflow_data_validation as tfdv
    from tensorflow_metadata.proto.v0.anomalies_pb2 import AnomalyInfo

    schema = type(reviewed)()
    schema.CopyFrom(reviewed)
    if baseline is not None:
        _compare(schema, table, settings)
    found = tfdv.validate_statistics(statistics, schema, previous_statistics=baseline)
    findings = []
    for anomaly in found.anomaly_info.values():
        column = anomaly.path.step[0] if anomaly.path.step else ""
        for reason in anomaly.reason:
            check = _check(AnomalyInfo.Type.Name(reason.type))
            if check in ("domain", "range"):
                findings += _outside(table, column, check, path, schema, settings)
            elif check is not None:
                severity: Severity = "warn" if check == "other" else "stop"
                what, far = reason.short_description, reason.description.rstrip(" .")
                rows = f"{column} IS NULL" if check == "presence" else ""
                findings.append(Finding(severity, table, column, check, what, far, _FIXES[check], rows))
    if baseline is not None:
        findings += _drift(table, found, statistics, baseline, settings)
        findings += _gone(table, statistics, baseline, settings)
    return list(dict.fromkeys(findings))


def _check(kind: str) -> Check | None:
    """Sort TFDV's kinds of anomaly into our checks; None for those that are no concern."""
    if kind == "SCHEMA_NEW_COLUMN" or kind.startswith("COMPARATOR_"):
        return None
    if kind == "SCHEMA_MISSING_COLUMN":
        return "missing"
    if kind.startswith("FEATURE_TYPE_LOW_") or kind == "FEATURE_TYPE_NOT_PRESENT":
        return "presence"
    if kind == "ENUM_TYPE_UNEXPECTED_STRING_VALUES":
        return "domain"
    if kind.endswith(("BIG_FLOAT", "SMALL_FLOAT", "BIG_INT", "SMALL_INT", "HAS_NAN", "HAS_INF")):
        return "range"
    if kind == "UNEXPECTED_DATA_TYPE" or "_NOT_" in kind or "_NOW_" in kind or kind.endswith("_EXPECTED"):
        return "type"
    return "other"


def _outside(
    table: str, column: str, check: Check, path: Path, schema: Any, settings: ValidateSettings
) -> list[Finding]:
    """Count the values outside their domain or range: few are worth a warning, many stop the run."""
    rows = pl.scan_parquet(path)
    schema_ = rows.collect_schema()
    if column not in schema_:
        return []
    if isinstance(schema_[column], pl.List):
        rows = rows.select(column).explode(column)
    [feature] = [feature for feature in schema.feature if feature.name == column]
    value = pl.col(column)
    if check == "domain":
        [domain] = [domain for domain in schema.string_domain if domain.name == feature.domain]
        bad = ~value.cast(pl.String).is_in(list(domain.value))
        limits = f"known: {', '.join(domain.value)}"
        if feature.domain.startswith(SEEN):
            check, limits = "new_value", f"the schema knows {len(domain.value)} values"
    else:
        limit = getattr(feature, feature.WhichOneof("domain_info"))
        bad = ~value.cast(pl.Float64).is_between(limit.min, limit.max)
        limits = f"must be within {limit.min:g} and {limit.max:g}"
    counts = rows.select(value.count().alias("all"), bad.sum().alias("bad")).collect()
    total, outside = counts.row(0)
    if not outside:
        return []
    worst = (
        rows.filter(bad).group_by(value.cast(pl.String)).len().sort("len", column, descending=[True, False])
    )
    shown = worst.head(3).collect()[column].to_list()
    share = outside / total
    words = ", ".join("'" + word.replace("'", "''") + "'" for word in shown)
    return [
        Finding(
            "stop" if share > settings.outside_share and check != "new_value" else "warn",
            table,
            column,
            check,
            f"values outside the schema, such as {', '.join(shown)}; {limits}",
            f"{outside:,} of {total:,} values, {share:.1%}, limit {settings.outside_share:.1%}",
            _FIXES[check],
            f"{column} NOT BETWEEN {limit.min:g} AND {limit.max:g}"
            if check == "range"
            else f"{column} IN ({words})",
        )
    ]


def _compare(schema: Any, table: str, settings: ValidateSettings) -> None:
    """Ask TFDV to measure drift of the columns that the settings name."""
    features = {feature.name: feature for feature in schema.feature}
    for name in settings.drift_categories.get(table, []):
        feature = features.get(name) or schema.feature.add(name=name, type="BYTES")
        feature.drift_comparator.infinity_norm.threshold = _MEASURE
    for name in settings.drift_numbers.get(table, []):
        feature = schema.feature.add(name=name + BIN, type="BYTES")
        feature.drift_comparator.jensen_shannon_divergence.threshold = _MEASURE


def _drift(
    table: str, found: Any, statistics: Any, baseline: Any, settings: ValidateSettings
) -> list[Finding]:
    now, before = present(statistics), present(baseline)
    findings = []
    for info in found.drift_skew_info:
        column = info.path.step[0].removesuffix(BIN)
        rows = (now.get(column, 0), before.get(column, 0))
        if min(rows) < settings.drift_rows:
            continue
        # Two samples of one distribution differ by about this much, which is no drift.
        noise = math.sqrt(1 / rows[0] + 1 / rows[1])
        for measured in info.drift_measurements:
            if measured.value <= settings.drift_warn + noise:
                continue
            findings.append(
                Finding(
                    "stop" if measured.value > settings.drift_stop + noise else "warn",
                    table,
                    column,
                    "drift",
                    "its distribution is not the one that the current release was built from",
                    f"drift {measured.value:.2f}, reported above {settings.drift_warn:g}, "
                    f"stops above {settings.drift_stop:g}",
                    "Look for a change at the source; if it is meant, raise validate.drift_stop for one run",
                )
            )
    watched = (*settings.drift_categories.get(table, []), *settings.drift_numbers.get(table, []))
    findings += [
        Finding(
            "warn",
            table,
            column,
            "drift",
            "the current release was built with this column, now it has no value",
            f"{before[column]:,} values before, 0 now",
            "Check the export; recommendations work without it, but less well",
        )
        for column in watched
        if before.get(column, 0) >= settings.drift_rows and not now.get(column, 0)
    ]
    return findings


def _gone(table: str, statistics: Any, baseline: Any, settings: ValidateSettings) -> list[Finding]:
    """Values that many rows had and none has now; renamed, where a new value takes about their place."""
    now, before = _values(statistics), _values(baseline)
    findings = []
    for column in (*settings.drift_categories.get(table, []), "store"):
        counts, old = now.get(column, {}), before.get(column, {})
        if not counts or len(counts) >= _LISTED:
            continue
        new = {value: count for value, count in counts.items() if value not in old and len(old) < _LISTED}
        for value, count in old.items():
            if count < _GONE_ROWS or value in counts:
                continue
            heir = next((word for word, rows in new.items() if 0.5 <= rows / count <= 2), None)
            what = f"'{value}' is gone" + (f" and '{heir}' is new: renamed?" if heir else "")
            far = f"{count:,.0f} rows in the current release's data, 0 now"
            rows = f"{column} = '{heir}'" if heir else ""
            advice = "Map the new name to the old, or acknowledge it and train anew"
            findings.append(
                Finding(
                    "stop" if heir else "warn", table, column, "drift", what, far, advice, rows, None, value
                )
            )
    return findings


def _values(statistics: Any) -> dict[str, dict[str, float]]:
    """Rows of each value of each column of words."""
    return {
        feature.path.step[0]: {
            bucket.label: bucket.sample_count for bucket in feature.string_stats.rank_histogram.buckets
        }
        for feature in statistics.datasets[0].features
        if feature.WhichOneof("stats") == "string_stats"
    }


def present(statistics: Any) -> dict[str, int]:
    """Give the number of rows in which each column has a value."""
    return {
        feature.path.step[0]: int(getattr(feature, feature.WhichOneof("stats")).common_stats.num_non_missing)
        for feature in statistics.datasets[0].features
    }
