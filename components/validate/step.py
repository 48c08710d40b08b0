"""The validate step: schema, drift, each new day, what is missing; what breaks trust pauses retraining."""

from __future__ import annotations

import datetime
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet as pq
import structlog

from components.contract.errors import DataError
from components.contract.files import atomic_file, atomic_folder
from components.contract.notify import told_of_failure
from components.contract.settings import section
from components.validate import acknowledge, arrivals, changed, daily, profile, schemas, volume
from components.validate.findings import Finding, regrade
from components.validate.settings import ValidateSettings

_logger = structlog.get_logger()
_NEEDED = ("events", "pages")
# Days that are judged singly: all since the last good run, of a first run a week.
_FIRST_DAYS, _MOST_DAYS = 7, 14


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
        Folder with ``events.parquet``, ``pages.parquet`` and, where known, ``associates.parquet``
        and ``report.json``.
    home : path
        HOME of the releases: the statistics of its current one are a baseline for drift. Its folder
        ``validation`` keeps the reviewed schema, profiles of the days found good, acknowledgements
        and the findings of the last run.
    statistics_out : path
        Folder of statistics to write, for the release to keep.
    report_out : path
        HTML file to write.
    settings : mapping or None
        The pipeline's settings; section ``validate``. ``run_date``, where it is a day, is the day of
        the run.

    Returns
    -------
    dict
        Rows of each table, numbers of findings that warn, stop and are acknowledged, days judged, and
        whether there was a baseline.

    Raises
    ------
    DataError
        A finding stops the run and nobody has acknowledged it; the message lists all that do and
        goes to the webhook, if there is one. Statistics and report are there.
    """
    # Here, for they load TensorFlow: seconds that whoever only reads this module should not wait.
    from components.validate import anomalies, report, statistics

    chosen = section(settings, "validate", ValidateSettings)
    chosen = chosen.model_copy(update={"date": chosen.date or _day((settings or {}).get("run_date"))})
    folder, home = Path(tables), Path(home)
    paths = {name: folder / f"{name}.parquet" for name in schemas.TABLES}
    found: list[Finding] = [_absent(name, paths[name]) for name in _NEEDED if not paths[name].is_file()]
    paths = {name: path for name, path in paths.items() if path.is_file()}
    rows = {name: pq.read_metadata(path).num_rows for name, path in paths.items()}
    filled = {name: path for name, path in paths.items() if rows[name]}
    found += [_empty(name) for name in _NEEDED if rows.get(name) == 0]
    days = volume.daily_events(filled["events"]) if "events" in filled else volume.NO_DAYS

    before, damaged = _baseline(home)
    found += damaged
    reviewed = {name: schemas.read(name, home) for name in filled}
    profiles = pl.DataFrame(schema=profile.SCHEMA)
    judged: list[datetime.date] = []
    ingested = arrivals.report(folder)
    if days.height:
        profiles, judged = _profiles(filled, home, days, ingested, chosen)
        found += daily.judge(profiles, judged, filled["events"], chosen)
    with tempfile.TemporaryDirectory() as scratch:
        newest = _newest(filled, judged, Path(scratch), chosen)
        since = (
            datetime.datetime.combine(days["day"][-1], datetime.time(), datetime.UTC) if days.height else None
        )
        since = since and since - datetime.timedelta(days=2 * chosen.baseline_days)
        now = statistics.generate({**filled, **newest}, chosen.drift_numbers, since)
        # In a long log, a column that its newest day lacks would pass.
        for name, path in newest.items():
            alone = anomalies.find("events", path, now.pop(name), None, reviewed["events"], chosen)
            found += [replace(finding, day=judged[-1]) for finding in alone]
    for name in filled:
        found += anomalies.find(name, paths[name], now[name], before.get(name), reviewed[name], chosen)
    found += changed.find(filled, home / "current", chosen)
    counts = [{name: statistics.counted(one) for name, one in both.items()} for both in (now, before)]
    found += volume.against({**rows, **counts[0]}, counts[1], chosen)
    found += arrivals.quarantined(ingested, chosen)
    if days.height:
        found += volume.find(filled, chosen, first=profile.kept(home).is_empty())
    found = _once(found)

    run_day = chosen.date or (days["day"][-1] if days.height else None)
    found = acknowledge.apply(regrade(found, chosen.severity), acknowledge.acknowledged(home), run_day)
    found = regrade(found, {})
    categories = {name: (*chosen.drift_categories.get(name, []), "store") for name in filled}
    proposals = schemas.review(home, now, categories)
    stops = [finding for finding in found if finding.stops]
    acknowledge.save(home, found, run_day)
    with atomic_folder(statistics_out) as aside:
        statistics.save(now, aside)
    with atomic_file(report_out) as file:
        text = report.render(found, now, before, days, proposals=proposals, ingested=ingested)
        file.write_text(text, encoding="utf-8")
    for finding in found:
        _logger.warning(
            "finding", severity=finding.severity, finding=str(finding), acknowledged=finding.acknowledged
        )
    if stops:
        listed = "\n".join(f"- {finding}" for finding in stops)
        with told_of_failure("validate"):
            raise DataError(
                f"validation paused this run:\n{listed}\nThe report is at {report_out}. Mend the source and "
                "run again, or take a finding as it is: python -m components.validate acknowledge KEY "
                f"--home {home} --by NAME --reason WHY"
            )
    schemas.begin(home)
    profile.keep(home, profiles, 2 * chosen.baseline_days)
    return {
        **{f"{name}_rows": count for name, count in rows.items()},
        "findings_warn": sum(not finding.acknowledged for finding in found),
        "findings_stop": 0,
        "findings_acknowledged": sum(bool(finding.acknowledged) for finding in found),
        "days_judged": len(judged),
        "baseline": int(bool(before)),
    }


def _day(text: Any) -> datetime.date | None:
    """The run's date, where the pipeline was given a day and did not take the moment."""
    try:
        return datetime.datetime.strptime(text, "%Y-%m-%d").date() if isinstance(text, str) else None
    except ValueError:
        return None


def _once(findings: list[Finding]) -> list[Finding]:
    """Leave out what is said of the whole log where it is said of a day too."""
    dated = {finding.key for finding in findings if finding.day}
    return [finding for finding in findings if finding.day or finding.key not in dated]


def _profiles(
    filled: Mapping[str, Path],
    home: Path,
    days: pl.DataFrame,
    ingested: Mapping[str, Any],
    chosen: ValidateSettings,
) -> tuple[pl.DataFrame, list[datetime.date]]:
    """Profiles of the whole days that matter, kept ones as they were seen, and the days to judge."""
    first: datetime.date = days["day"][0]
    # The day of the run, and the last of a log whose run's day is unknown, may not be over.
    end = (chosen.date or days["day"][-1]) - datetime.timedelta(days=1)
    kept = profile.kept(home)
    have = set(kept["day"])
    span = min(_MOST_DAYS, (end - max(have)).days) if have else _FIRST_DAYS
    judged = [end - datetime.timedelta(days=back) for back in reversed(range(max(0, span)))]
    judged = [day for day in judged if day >= first]
    start = max(first, end - datetime.timedelta(days=chosen.baseline_days + len(judged)))
    wanted = [start + datetime.timedelta(days=i) for i in range((end - start).days + 1)]
    fresh = profile.profile(
        filled["events"], filled.get("associates"), [day for day in wanted if day not in have]
    )
    profiles = pl.concat([kept, fresh])
    if judged:
        profiles = pl.concat([profiles, arrivals.count(ingested, days, kept, end)])
    return profiles, judged


def _newest(
    filled: Mapping[str, Path], judged: list[datetime.date], scratch: Path, chosen: ValidateSettings
) -> dict[str, Path]:
    """The events of the newest whole day in a file of their own, where they are enough to judge."""
    if not judged:
        return {}
    rows = pl.scan_parquet(filled["events"]).filter(profile.within(judged[-1])).collect()
    if rows.height < chosen.drift_rows:
        return {}
    path = scratch / "newest.parquet"
    rows.write_parquet(path)
    return {"newest": path}


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
