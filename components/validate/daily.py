"""Findings about single days: each new day against what the days before let expect of it."""

from __future__ import annotations

import datetime
import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl
from scipy import stats

from components.contract import columns as c
from components.validate import stores
from components.validate.day import Day
from components.validate.expected import Distances, clock_shift, compare, forecast, log_chance_of_none
from components.validate.findings import Check, Finding, Severity
from components.validate.profile import within
from components.validate.settings import ValidateSettings

_LEAST_ROWS = 50
_YEAR = 365.25
_HOURS = "events.hour"
# The settings and the name of each distance.
_NAMES: dict[Distances, tuple[str, str]] = {
    "linf": ("share", "L-infinity"),
    "js": ("shape", "Jensen-Shannon"),
}
_DISTRIBUTION = "Look for a change at the source on that day; if it is meant, acknowledge it"


class Measure(NamedTuple):
    """How a figure's shares are compared, and what its column is called."""

    distance: Distances
    table: str
    column: str
    check: Check
    what: str
    advice: str


def measure(figure: str) -> Measure | None:
    """How to compare a figure; None for counts, which are forecast.

    Examples
    --------
    >>> measure("events.hour|region=North").distance, measure("people.role").table
    ('js', 'associates')
    """
    name, _, group = figure.partition("|")
    kind, _, column = name.partition(".")
    if name == "events.event_type":
        return Measure("linf", "events", column, "drift", "another mix of event types", _DISTRIBUTION)
    if name == "events.hour":
        what = f"events at other hours of the day{f', {group}' if group else ''}"
        return Measure("js", "events", c.TIMESTAMP, "drift", what, "Check clock and zone of the source")
    if name == "events.gap":
        what = "other times between an associate's events"
        return Measure("js", "events", c.TIMESTAMP, "drift", what, "Look for scripts, repeats, cut-off times")
    if kind == "events" and column:
        return Measure("js", "events", column, "drift", "another distribution", "Check the column's unit")
    if kind == "form":
        return Measure("linf", "events", column, "drift", "ids of another form", "Map them to the old ids")
    if kind == "present":
        what, advice = f"filled in more or fewer {group} events", "Check the export of the column"
        return Measure("linf", "events", column, "presence", what, advice)
    if kind == "people":
        what = "another mix of active associates"
        return Measure("linf", "associates", column, "drift", what, _DISTRIBUTION)
    if name == "known":
        what = "more or fewer active associates are in the table"
        return Measure("linf", "associates", c.ASSOCIATE_ID, "stale", what, "Export the associates anew")
    if name == "arrivals":
        what = "another share of rows came late, twice or bad"
        return Measure("linf", "events", "", "arrival", what, "Look at the quarantine, and at the transfer")
    return None


def judge(
    profiles: pl.DataFrame, days: Sequence[datetime.date], events: Path, settings: ValidateSettings
) -> list[Finding]:
    """Judge days by their profiles.

    Parameters
    ----------
    profiles : polars.DataFrame
        Of the days to judge and of those before (:func:`components.validate.profile.profile`).
    days : sequence of datetime.date
    events : Path
        The events table, to name those who flood a day.
    """
    found: list[Finding] = []
    for date in days:
        first = date - datetime.timedelta(days=settings.baseline_days)
        window = profiles.filter(pl.col("day").is_between(first, date))
        before = tuple(sorted(day for day in window["day"].unique() if day < date))
        if len(before) < settings.least_days:
            continue
        figures = window["figure"].unique().to_list()
        # Every test of every day has the same share of the false alarms (Bonferroni).
        tests = sum((measure(figure) is not None) + figure.startswith(_HOURS) for figure in figures) + 2
        tests += 2 * window.filter(pl.col("figure") == "store.people")["key"].n_unique()
        alarms, warnings = settings.false_alarms_per_year, settings.false_warnings_per_year
        chance, doubt = (min(0.5, yearly / _YEAR) / tests for yearly in (alarms, max(alarms, warnings)))
        day = Day(date, before, window, chance, doubt)
        amount, gone = _amount(day, settings)
        found += amount
        if gone:
            continue
        found += _busiest(day, events, settings)
        found += stores.find(day, settings)
        for figure in sorted(figures):
            how = measure(figure)
            if how is not None:
                found += _shares(day, figure, how, settings)
            if figure.startswith(_HOURS):
                found += _clock(day, figure, settings)
    return found


def _amount(day: Day, settings: ValidateSettings) -> tuple[list[Finding], bool]:
    """Too many or too few events; also whether there is none at all."""
    _, counts = day.counts("events")
    there = counts[-1, 0]
    expected = forecast(counts[:-1], day.weekday[:-1], int(day.weekday[-1]))
    usual, sd = float(expected.mean[0]), float(expected.sd[0])
    if usual < settings.day_events:
        return [], there == 0
    if there == 0:
        sure = log_chance_of_none(expected.mean, expected.dispersion)[0] < math.log(day.chance)
        what, far = "no events", f"0 events where {usual:,.0f} are expected of such a day"
        advice = "Ask the source for the day: trends read a gap as no interest"
        gap = Finding(
            "stop", "events", c.TIMESTAMP, "missing_day", what, far, advice, day.condition, day.date
        )
        return [gap] if sure else [], True
    warned, stopped = (float(stats.t.isf(chance, expected.df)) * sd for chance in (day.doubt, day.chance))
    off = math.log1p(there) - float(expected.log[0])
    least = max(math.log(settings.day_warn), warned)
    if abs(off) <= least:
        return [], False
    check: Check = "spike" if off > 0 else "drop"
    what = "far more events than expected" if off > 0 else "far fewer events than expected"
    far = (
        f"{there:,.0f} events where {usual:,.0f} are expected, {math.exp(off):.2f} times; "
        f"chance allows {math.exp(-least):.2f} to {math.exp(least):.2f}, from {len(day.before)} days before"
    )
    advice = "Look for a repeated export or a script" if off > 0 else "Ask the source for the rest of the day"
    severity: Severity = "stop" if abs(off) > max(math.log(settings.day_stop), stopped) else "warn"
    return [
        Finding(severity, "events", c.TIMESTAMP, check, what, far, advice, day.condition, day.date)
    ], False


def _busiest(day: Day, events: Path, settings: ValidateSettings) -> list[Finding]:
    """Associates with far more events than anybody had on a day before: accounts of scripts."""
    _, counts = day.counts("busiest")
    most = counts[:-1].max()
    limit = settings.busiest_factor * most
    if not counts.size or counts[-1, 0] <= max(limit, _LEAST_ROWS):
        return []
    heavy = (
        pl.scan_parquet(events)
        .filter(within(day.date))
        .group_by(c.ASSOCIATE_ID)
        .len("events")
        .sort("events", c.ASSOCIATE_ID, descending=[True, False])
        .collect()
    )
    over = pl.col("events") > limit
    share = heavy.select(pl.col("events").filter(over).sum() / pl.col("events").sum()).item()
    ids = heavy.filter(over)[c.ASSOCIATE_ID]
    named = ", ".join(f"'{name}'" for name in ids.head(5))
    return [
        Finding(
            "stop" if share > settings.flood_share else "warn",
            "events",
            c.ASSOCIATE_ID,
            "flood",
            f"{len(ids)} associate(s) with more events than a person makes",
            f"up to {counts[-1, 0]:,.0f} events; the most of anybody in {len(day.before)} days was "
            f"{most:,.0f}; {share:.1%} of the day's events",
            "Test accounts or scripts? Leave them out of the export",
            f"{day.condition} AND associate_id IN ({named}{', ...' if len(ids) > 5 else ''})",
            day.date,
        )
    ]


def _shares(day: Day, figure: str, how: Measure, settings: ValidateSettings) -> list[Finding]:
    """Compare one figure's shares."""
    keys, counts = day.counts(figure)
    totals = counts.sum(axis=1)
    past = totals[:-1][totals[:-1] > 0]
    if len(past) < settings.least_days or totals[-1] < _LEAST_ROWS:
        return []
    found = compare(counts, day.weekday, how.distance, (day.doubt, day.chance))
    name, label = _NAMES[how.distance]
    warn, stop = (getattr(settings, f"{name}_{grade}") for grade in ("warn", "stop"))
    if found.value <= max(warn, found.limits[0]):
        return []
    shares = counts[-1] / totals[-1]
    change = shares - found.reference
    most = np.argsort(-np.abs(change))[:3]
    moved = ", ".join(f"{keys[k] or 'none'} {found.reference[k]:.1%} to {shares[k]:.1%}" for k in most)
    baseline = f"{'its weekdays' if found.weekly else 'all days'} among the {len(day.before)} days before"
    return [
        Finding(
            "stop" if found.value > max(stop, found.limits[1]) else "warn",
            how.table,
            how.column,
            how.check,
            f"{how.what}: {moved}",
            f"{label} {found.value:.3f} from {baseline}, which differ by {found.usual:.3f}; "
            f"chance allows {found.limits[0]:.3f}, surely {found.limits[1]:.3f}; reported above {warn:g}, "
            f"stops above {stop:g}",
            how.advice,
            f"{day.condition}{_where(figure, keys[int(np.argmax(change))])}",
            day.date,
            figure.partition("|")[2] or ("gap" if figure == "events.gap" else ""),
        )
    ]


def _clock(day: Day, figure: str, settings: ValidateSettings) -> list[Finding]:
    """A clock that is whole hours off, of everybody or of one group."""
    keys, found = day.counts(figure)
    counts = np.zeros((len(found), 24))
    counts[:, [int(key) for key in keys]] = found
    totals = counts.sum(axis=1)
    if (totals[:-1] > 0).sum() < settings.least_days or totals[-1] < _LEAST_ROWS:
        return []
    hours, ratio = clock_shift(counts, day.weekday)
    limit, sure = (math.log(23 / chance) for chance in (day.doubt, day.chance))
    if ratio <= limit:
        return []
    group = figure.partition("|")[2]
    field, _, member = group.partition("=")
    return [
        Finding(
            "stop" if ratio > sure else "warn",
            "events",
            c.TIMESTAMP,
            "clock",
            f"the day looks shifted by {hours:+d} hours{f', {group}' if group else ''}",
            f"e^{ratio:.0f} times likelier than no shift; chance allows e^{limit:.0f}, surely e^{sure:.0f}, "
            f"from {len(day.before)} days before",
            "Check clock and time zone of the source; if summer time began or ended, acknowledge it",
            f"{day.condition} AND {field} = '{member}'" if group else day.condition,
            day.date,
            group,
        )
    ]


def _where(figure: str, key: str) -> str:
    """SQL condition of the rows that there are more of than before; empty where SQL cannot tell."""
    name, _, group = figure.partition("|")
    kind, _, column = name.partition(".")
    value = key.replace("'", "''")
    if name == "events.event_type":
        return f" AND event_type = '{value}'"
    if name == "events.hour":
        field, _, member = group.partition("=")
        person = f" AND {field} = '{member}'" if member else ""
        return f" AND HOUR(timestamp) = {int(key)}{person}"
    if kind == "present":
        return f" AND event_type = '{group}' AND {column} IS {'NULL' if key == 'absent' else 'NOT NULL'}"
    if kind == "form":
        return f" AND {column} LIKE '{value}%'"
    if kind == "people":
        return f" AND {column} = '{value}'"
    if kind == "events" and column in (c.DWELL, c.PROGRESS, c.RATING) and key != "below 0":
        low = float(key)
        return f" AND {column} >= {low:g} AND {column} < {2 * low if low else 2.0**-10:g}"
    return ""
