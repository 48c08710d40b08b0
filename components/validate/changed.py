"""Associates and pages of the current release that are another now, or are gone: by their ids, row by row."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import polars as pl

from components.contract import columns as c
from components.validate.findings import Check, Finding, Severity
from components.validate.settings import ValidateSettings

_COLUMNS = {
    "associates": (c.ASSOCIATE_ID, c.ASSOCIATE_ATTRIBUTES),
    "pages": (c.PAGE_ID, c.PAGE_ATTRIBUTES),
}
_SHOWN = 5


def find(tables: Mapping[str, Path], release: Path, settings: ValidateSettings) -> list[Finding]:
    """Compare the tables with the current release's.

    People change roles and move, pages get another topic: few between two runs. A mapping that broke
    changes many, also where the shares of the values stay much the same.

    Parameters
    ----------
    tables : mapping
        Parquet files.
    release : Path
        The release's folder; without its tables there is nothing to compare.
    """
    found = []
    for table, (key, columns) in _COLUMNS.items():
        file = release / f"{table}.parquet"
        if table not in tables or not file.is_file():
            continue
        before, now = pl.scan_parquet(file), pl.scan_parquet(tables[table])
        shared = [
            name for name in columns if name in before.collect_schema() and name in now.collect_schema()
        ]
        old = before.select(key, *(pl.col(name).cast(pl.String).alias(f"old:{name}") for name in shared))
        new = now.select(key, *(pl.col(name).cast(pl.String) for name in shared), here=pl.lit(True))
        both = old.join(new, on=key, how="left").collect()
        if both.height < settings.drift_rows:
            continue
        gone = both.filter(pl.col("here").is_null())[key]
        # The release also knows associates from events alone; they had no attribute.
        known = both.filter(
            pl.any_horizontal(pl.lit(False), *(pl.col(f"old:{name}").is_not_null() for name in shared))
        )
        lost = known.filter(pl.col("here").is_null())[key] if shared else gone
        found += _graded(table, key, "missing", lost, max(1, known.height), "are gone", settings)
        for name in shared:
            pairs = both.filter(pl.col("here") & pl.col(f"old:{name}").is_not_null())
            moved = pairs.filter(pl.col(name).ne_missing(pl.col(f"old:{name}")))
            if pairs.is_empty() or moved.is_empty():
                continue
            (then, to), _ = max(
                (
                    (pair, rows.height)
                    for pair, rows in moved.partition_by(f"old:{name}", name, as_dict=True).items()
                ),
                key=lambda one: one[1],
            )
            what = f"are another now, most of all '{then}' as '{to}'"
            found += _graded(table, name, "drift", moved[key], pairs.height, what, settings)
    return found


def _graded(
    table: str, column: str, check: Check, ids: pl.Series, total: int, what: str, settings: ValidateSettings
) -> list[Finding]:
    share = len(ids) / total
    if share <= settings.share_warn:
        return []
    severity: Severity = "stop" if share > settings.share_stop else "warn"
    far = (
        f"{len(ids):,} of {total:,}, {share:.1%}; reported above {settings.share_warn:.0%}, "
        f"stops above {settings.share_stop:.0%}"
    )
    shown = ", ".join(f"'{name}'" for name in ids.sort().head(_SHOWN))
    advice = "Look for a change at the source; if it is meant, acknowledge it and train anew"
    text = f"{table} of the current release {what}"
    rows = f"{ids.name} IN ({shown}{', ...' if len(ids) > _SHOWN else ''})"
    return [Finding(severity, table, column, check, text, far, advice, rows, None, "of the release")]
