"""The validation report: one small HTML page that needs nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from typing import Any

import polars as pl

from components.contract import columns as c
from components.contract.report import page
from components.validate.findings import Finding
from components.validate.statistics import BIN, counted

_TOP = 10
_REASONS = 20
_GRADES = {"stop": "pauses", "warn": "warns"}
_WIDTH, _HEIGHT = 240, 56
_TIMES = ("timestamp", "published_at", "updated_at", "hired_at")
_STYLE = """
h3 { font-size: 13px; margin: 0 0 4px; overflow-wrap: anywhere }
.card p { margin: 4px 0; font-size: 13px } td, th { text-align: left; vertical-align: top }
.stop { color: var(--bad); font-weight: 600 } .warn { color: var(--warn); font-weight: 600 }
.known { color: var(--faint) } code { overflow-wrap: anywhere; white-space: pre-wrap }
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(264px, 1fr)); gap: 12px }
.card { border: 1px solid var(--line); border-radius: 6px; padding: 10px 12px }
svg { display: block; width: 100% } rect { fill: var(--main) } .mark { fill: var(--warn) }
.row { display: grid; grid-template-columns: 1fr 90px 44px; gap: 6px; align-items: center; font-size: 12px }
.row span:first-child { overflow: hidden; text-overflow: ellipsis; white-space: nowrap }
.row span:last-child { text-align: right; color: var(--faint) }
"""


def render(
    findings: Sequence[Finding],
    statistics: dict[str, Any],
    baseline: dict[str, Any],
    days: pl.DataFrame,
    *,
    proposals: Mapping[str, Sequence[str]],
    ingested: Mapping[str, Any],
) -> str:
    """Lay out the findings and, below, the distribution of each column.

    Parameters
    ----------
    findings : sequence of Finding
    statistics, baseline : dict
        TFDV statistics of each table, now and when the current release was built.
    days : polars.DataFrame
        ``day`` and ``events``.
    proposals : mapping
        Changes of each table's schema that wait for a person.
    ingested : mapping
        Ingest's report.
    """
    parts = [
        _findings(findings),
        _proposals(proposals),
        _quarantine(ingested),
    ]
    if days.height:
        span = f"{days['day'][0]} to {days['day'][-1]}, {days['events'].sum():,} events"
        # Long logs are drawn by week or month: a bar a day would be thinner than a pixel.
        every = max(1, -(-days.height // 366))
        drawn = days.group_by_dynamic("day", every=f"{every}d").agg(pl.col("events").sum())
        unit = "day" if every == 1 else f"{every} days"
        parts.append(f"<h2>Events by {unit}</h2><p>{span}</p>")
        parts.append(_bars(drawn["events"].to_list(), 1068, 90, f"Events by {unit}"))
    for table, found in statistics.items():
        dataset = found.datasets[0]
        before = {_name(f): f for f in baseline[table].datasets[0].features} if table in baseline else {}
        parts.append(f"<h2>{escape(table.capitalize())}</h2><p>{counted(found):,} rows</p>")
        hours = f"{c.TIMESTAMP}{BIN}"
        shown = (f for f in dataset.features if not _name(f).endswith(BIN) or _name(f) == hours)
        features = sorted(shown, key=_name)
        cards = (_card(f, before.get(_name(f)), dataset.num_examples) for f in features)
        parts.append(f'<div class="cards">{"".join(cards)}</div>')
    if baseline:
        parts.append("<p>Marks beside bars: the share when the current release was built.</p>")
    return page("Validation of the tables", *parts, style=_STYLE)


def _findings(findings: Sequence[Finding]) -> str:
    if not findings:
        return "<p>No findings: the tables keep the contract.</p>"
    rows = "".join(
        f'<tr><td class="{"known" if f.acknowledged else f.severity}">'
        f"{'acknowledged' if f.acknowledged else _GRADES[f.severity]}</td>"
        f"<td>{escape(f.where)}{f'<br>{f.day}' if f.day else ''}</td>"
        f"<td>{escape(f.what)}<br><small>{escape(f.how_far)}</small></td>"
        f"<td>{f'<code>{escape(f.rows)}</code>' if f.rows else ''}</td>"
        f"<td>{escape(f.acknowledged or f.advice)}<br><small>{escape(f.key)}</small></td></tr>"
        for f in findings
    )
    head = "<tr><th></th><th>Where</th><th>What</th><th>Rows</th><th>What to do</th></tr>"
    return f"<table>{head}{rows}</table>"


def _proposals(proposals: Mapping[str, Sequence[str]]) -> str:
    if not proposals:
        return ""
    lines = "\n".join(f"{table}  {line}" for table, found in proposals.items() for line in found)
    text = (
        "Proposed, not in force. To accept: python -m components.validate schema accept --home HOME --by NAME"
    )
    return f"<h2>Changes of the schema</h2><p>{text}</p><pre>{escape(lines)}</pre>"


def _quarantine(ingested: Mapping[str, Any]) -> str:
    reasons = ingested.get("bad_by_reason", [])
    if not reasons:
        return ""
    shown = "".join(
        f"<tr><td>{escape(row['table'])}</td><td>{escape(row['reason'])}</td><td>{row['rows']:,}</td></tr>"
        for row in reasons[:_REASONS]
    )
    more = f"<p>and {len(reasons) - _REASONS} reasons more</p>" if len(reasons) > _REASONS else ""
    text = "Left out by ingest. To look at them: python -m components.ingest inspect"
    head = "<tr><th>Table</th><th>Reason</th><th>Rows</th></tr>"
    return f"<h2>Quarantine</h2><p>{text}</p><table>{head}{shown}</table>{more}"


def _name(feature: Any) -> str:
    return feature.path.step[0]


def _card(feature: Any, before: Any | None, rows: int) -> str:
    kind = feature.WhichOneof("stats")
    numbers = getattr(feature, kind)
    there = numbers.common_stats.num_non_missing
    notes = [f"{there / rows:.1%} present"]
    if not there:
        drawing = ""
    elif kind == "num_stats":
        shown = _time if _name(feature) in _TIMES else _number
        notes.append(f"{shown(numbers.min)} to {shown(numbers.max)}, median {shown(numbers.median)}")
        drawing = _bars(_histogram(numbers), _WIDTH, _HEIGHT, f"Distribution of {_name(feature)}")
    elif kind == "string_stats":
        notes.append(f"{numbers.unique:,} different")
        if _name(feature).endswith(BIN):
            hours = [share for _, share in sorted(_shares(feature).items())]
            drawing = _bars(hours, _WIDTH, _HEIGHT, "Share of each hour of the day")
        else:
            # A column of identifiers has no words worth listing.
            drawing = "" if numbers.unique > there / 2 else _words(feature, before)
    else:
        drawing = ""
    title = _name(feature).replace(BIN, ", hour of the day (UTC)")
    return f'<div class="card"><h3>{escape(title)}</h3>{drawing}<p>{"; ".join(notes)}</p></div>'


def _histogram(numbers: Any) -> list[float]:
    standard = [histogram for histogram in numbers.histograms if histogram.type == 0]
    return [bucket.sample_count for bucket in standard[0].buckets] if standard else []


def _shares(feature: Any) -> dict[str, float]:
    """Share of each word among the words of a column."""
    buckets = feature.string_stats.rank_histogram.buckets
    total = feature.string_stats.common_stats.tot_num_values or 1
    return {bucket.label: bucket.sample_count / total for bucket in buckets}


def _words(feature: Any, before: Any | None) -> str:
    shares = _shares(feature)
    old = _shares(before) if before is not None and before.WhichOneof("stats") == "string_stats" else {}
    rows = []
    for word, share in list(shares.items())[:_TOP]:
        mark = f'<rect class="mark" x="{old[word] * 90:.1f}" width="2" height="10"/>' if word in old else ""
        rows.append(
            f'<div class="row"><span title="{escape(word)}">{escape(word[:60])}</span>'
            '<svg viewBox="0 0 92 10" aria-hidden="true">'
            f'<rect width="{share * 90:.1f}" height="10"/>{mark}</svg>'
            f"<span>{share:.1%}</span></div>"
        )
    return "".join(rows)


def _bars(heights: Iterable[float], width: int, height: int, label: str) -> str:
    values = list(heights)
    if not values:
        return ""
    top, step = max(values) or 1, width / len(values)
    rects = "".join(
        f'<rect x="{place * step:.1f}" y="{height - value / top * height:.1f}" '
        f'width="{step * 0.86:.1f}" height="{value / top * height:.1f}"/>'
        for place, value in enumerate(values)
    )
    named = f'role="img" aria-label="{escape(label)}"'
    return f'<svg viewBox="0 0 {width} {height}" {named}>{rects}</svg>'


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _time(value: float) -> str:
    return datetime.fromtimestamp(value, UTC).date().isoformat()
