"""The comparison as one self-contained HTML page."""

from __future__ import annotations

from html import escape
from typing import Any

import matplotlib as mpl

from components.contract.report import PICTURES, page, table
from components.evaluate.report import bars
from tests.benchmarks.quality.speed import PEERS

TITLES = {
    "catalogue": "Over the whole catalogue",
    "rankers": "Rankers on the same examples, features and candidates",
}
_HEAD = ["", "HR@10", "95 %", "NDCG@10", "95 %", "Waymark's lead, NDCG@10", "95 %", "seconds", "peak MiB"]


def _interval(ends: list[float]) -> str:
    return f"{ends[0]:.3f} to {ends[1]:.3f}"


def ordered(rows: dict[str, dict[str, Any]]) -> list[tuple[str, dict[str, Any]]]:
    """Best NDCG@10 first."""
    return sorted(rows.items(), key=lambda item: -item[1]["ndcg"])


def cells(name: str, row: dict[str, Any]) -> list[Any]:
    """One line of a table."""
    ahead = [row["ndcg_lead"], _interval(row["ndcg_lead_interval"])] if "ndcg_lead" in row else ["", ""]
    return [
        name.replace("_", " "),
        row["hr"],
        _interval(row["hr_interval"]),
        row["ndcg"],
        _interval(row["ndcg_interval"]),
        *ahead,
        str(row.get("seconds", "")),
        row.get("peak_mib", ""),
    ]


def _bars(waymark: dict[str, Any], rows: dict[str, dict[str, Any]]) -> str:
    shown = {name.replace("_", " "): row for name, row in ordered({"Waymark": waymark, **rows})}
    return bars(shown, "Waymark", "NDCG@10 of each, best first; the table below has the numbers")


def _speed(found: dict[str, Any]) -> str:
    head = [
        "",
        "examples/s",
        "Waymark's is times",
        "lowest to highest turn",
        "in CPU time",
        "lowest to highest turn",
    ]
    lines: list[list[Any]] = [["Waymark", found["waymark_examples_per_second"], "", "", "", ""]]
    for name, peer in found["peers"].items():
        line: list[Any] = [PEERS[name], peer["examples_per_second"]]
        for ratio in ("ratio", "cpu_ratio"):
            low, high = peer[f"{ratio}_range"]
            line += [f"{peer[ratio]:.2f}", f"{low} to {high}"]
        lines.append(line)
    note = f"{found['rows']} examples a pass, {found['turns']} turns each, {found['threads']} threads."
    return f"<h2>Speed of training the DeepFM</h2><p>{note}</p>{table(head, lines, 0)}"


@mpl.rc_context(PICTURES)
def render(found: dict[str, Any]) -> str:
    """The page; no script, no outside reference."""
    title = f"Peers beside Waymark, {found['protocol']}"
    machine = found["machine"]
    note = (
        f"{found['waymark']['requests']} requests, {found['pages']} pages; {machine['processor']}, "
        f"{machine['cores']} cores, {machine['memory_mib']} MiB. Intervals are 95 %, by bootstrap over "
        "associates; a lead's draws the same associates for both."
    )
    parts = [f"<p>{escape(note)}</p>"]
    for group, heading in TITLES.items():
        rows = found[group]
        lines = [cells("Waymark", found["waymark"]), *(cells(*item) for item in ordered(rows))]
        parts.append(f"<h2>{heading}</h2>{_bars(found['waymark'], rows)}{table(_HEAD, lines, 0)}")
    steps = [[name, str(cost["seconds"]), cost["peak_mib"]] for name, cost in found["steps"].items()]
    parts.append(f"<h2>Waymark's steps</h2>{table(['', 'seconds', 'peak MiB'], steps)}")
    if "speed" in found:
        parts.append(_speed(found["speed"]))
    return page(title, *parts)
