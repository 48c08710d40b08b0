"""Stores that are missing from a day, or flood it."""

from __future__ import annotations

import math

import numpy as np
from scipy import stats

from components.validate.day import Day
from components.validate.expected import forecast, log_chance_of_none
from components.validate.findings import Check, Finding, Severity
from components.validate.settings import ValidateSettings

_NAMED = 5


def find(day: Day, settings: ValidateSettings) -> list[Finding]:
    """Compare each store's people and events with what its days before let expect.

    A store is missing where nobody of it was active and the chance of that is below the day's share
    of false alarms; small stores can be quiet for a day. A store floods where it has
    ``flood_factor`` times its usual events and chance does not give that.
    """
    names, people = day.counts("store.people")
    if not names:
        return []
    same, events = day.counts("store.events")
    events = events[:, [same.index(name) for name in names]]
    weekday, today = day.weekday[:-1], int(day.weekday[-1])
    expected = forecast(people[:-1], weekday, today)
    chance = log_chance_of_none(expected.mean, expected.dispersion)
    missing = (people[-1] == 0) & (chance < math.log(day.doubt))
    lost = [
        (
            names[k],
            f"0 people where {expected.mean[k]:,.0f} are expected",
            expected.mean[k] / expected.mean.sum(),
        )
        for k in np.flatnonzero(missing)
    ]
    expected = forecast(events[:-1], weekday, today)
    off = np.log1p(events[-1]) - expected.log
    sure = off > stats.t.isf(day.doubt, expected.df) * expected.sd
    # A store that opened today has no usual amount.
    known = (people[:-1] > 0).any(axis=0)
    loud = [
        (
            names[k],
            f"{events[-1, k]:,.0f} events where {expected.mean[k]:,.0f} are expected",
            events[-1, k] / events[-1].sum(),
        )
        for k in np.flatnonzero(sure & known & (off > math.log(settings.flood_factor)))
    ]
    ask = "Ask for the store's export; if it closed, acknowledge that"
    check = "A shared login or a repeated upload? Check the store's export"
    return [
        *_findings(day, "missing_store", "nobody of the store was active", ask, lost, settings),
        *_findings(day, "flood", "the store floods the log", check, loud, settings),
    ]


def _findings(
    day: Day,
    check: Check,
    what: str,
    advice: str,
    found: list[tuple[str, str, float]],
    settings: ValidateSettings,
) -> list[Finding]:
    """A finding for each store, one for them all where they are many; graded by their share of the day."""
    total = sum(share for _, _, share in found)
    severity: Severity = "stop" if total > settings.flood_share else "warn"

    def make(text: str, far: str, share: float, rows: str, subject: str) -> Finding:
        measured = f"{far}; {share:.1%} of the day's"
        condition = f"{day.condition} AND store {rows}"
        return Finding(
            severity, "associates", "store", check, text, measured, advice, condition, day.date, subject
        )

    if len(found) > _NAMED:
        listed = ", ".join(f"'{name}'" for name, _, _ in found[:_NAMED])
        text = f"{len(found)} stores, such as {found[0][0]}: {what}"
        return [make(text, f"{found[0][1]} in {found[0][0]}", total, f"IN ({listed}, ...)", "many")]
    return [make(what, far, share, f"= '{name}'", name) for name, far, share in found]
