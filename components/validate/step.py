"""The validate step: statistics, schema, drift and volume; what breaks the contract stops the run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import structlog

from components.contract.errors import DataError
from components.contract.files import atomic_file, atomic_folder
from components.contract.notify import told_of_failure
from components.contract.settings import section
from components.validate import volume
from components.validate.findings import Finding, regrade
from components.validate.settings import ValidateSettings

_logger = structlog.get_logger()
_TABLES = ("events", "pages", "associates")
_NEEDED = ("events", "pages")


def run(
    tables: Path | str,
    home: Path | str,
    statistics_out: Path | str,
    report_out: Path | str,
    settings: Mapping[str, Any] | None = None,
) -> dict[str, float | int | str]:
    """Check the tables that ingest wrote.

    Parameters
    ----------
    tables : path
        Folder with ``events.parquet``, ``pages.parquet`` and, where known, ``associates.parquet``.
    home : path
        HOME of the releases: the statistics of its current one are the baseline for drift. Without
        a release, nothing is compared.
    statistics_out : path
        Folder of statistics to write, for the release to keep.
    report_out : path
        HTML file to write.
    settings : mapping or None
        The pipeline's settings; section ``validate``.

    Returns
    -------
    dict
        Rows of each table, numbers of findings that warn and stop, and whether there was a baseline.

    Raises
    ------
    DataError
        A finding stops the run; the message lists all that do and goes to the webhook, if there is one.
        Statistics and report are there.
    """
    # Here, for they load TensorFlow: seconds that whoever only reads this module should not wait.
    from components.validate import anomalies, report, statistics

    chosen = section(settings, "validate", ValidateSettings)
    paths = {name: Path(tables) / f"{name}.parquet" for name in _TABLES}
    found: list[Finding] = [_absent(name, paths[name]) for name in _NEEDED if not paths[name].is_file()]
    paths = {name: path for name, path in paths.items() if path.is_file()}
    rows = {name: pq.read_metadata(path).num_rows for name, path in paths.items()}
    filled = {name: path for name, path in paths.items() if rows[name]}
    found += [_empty(name) for name in _NEEDED if rows.get(name) == 0]

    now = statistics.generate(filled, chosen.drift_numbers)
    before, damaged = _baseline(Path(home))
    found += damaged
    for name in filled:
        found += anomalies.find(name, paths[name], now[name], before.get(name), chosen)
    days = volume.daily_events(filled["events"]) if "events" in filled else volume.NO_DAYS
    if "events" in filled:
        found += volume.find(filled, chosen)
    found += volume.against(rows, {name: before[name].datasets[0].num_examples for name in before}, chosen)
    found = regrade(found, chosen.severity)

    with atomic_folder(statistics_out) as folder:
        statistics.save(now, folder)
    with atomic_file(report_out) as file:
        file.write_text(report.render(found, now, before, days), encoding="utf-8")
    stops = [finding for finding in found if finding.severity == "stop"]
    for finding in found:
        _logger.warning("finding", severity=finding.severity, finding=str(finding))
    if stops:
        listed = "\n".join(f"- {finding}" for finding in stops)
        with told_of_failure("validate"):
            raise DataError(f"validation stopped the run:\n{listed}\nThe report is at {report_out}.")
    return {
        **{f"{name}_rows": count for name, count in rows.items()},
        "findings_warn": len(found),
        "findings_stop": 0,
        "baseline": int(bool(before)),
    }


def _baseline(home: Path) -> tuple[dict[str, Any], list[Finding]]:
    """Read the current release's statistics; none before the first release."""
    from google.protobuf.message import DecodeError

    from components.validate import statistics

    folder = home / "current" / "statistics"
    try:
        return statistics.load(folder), []
    except DecodeError as error:
        what, advice = (
            "the current release's statistics cannot be read",
            "Drift was not checked; build a release",
        )
        return {}, [Finding("warn", "statistics", "", "baseline", what, f"{folder}: {error}", advice)]


def _absent(table: str, path: Path) -> Finding:
    what, advice = "the table is missing", "Give validate the folder that ingest wrote"
    return Finding("stop", table, "", "missing", what, f"no file {path}", advice)


def _empty(table: str) -> Finding:
    advice = "Check the source and its time range; severity {'empty': 'warn'} lets an empty log through"
    return Finding("stop", table, "", "empty", "the table is empty", "0 rows", advice)
