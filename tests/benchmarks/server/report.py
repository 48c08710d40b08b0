"""The measurements as Markdown."""

from __future__ import annotations

from typing import Any


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def render(found: dict[str, Any]) -> str:
    """Tables of all stores side by side."""
    stores: dict[str, dict[str, Any]] = found["stores"]
    names = list(stores)
    rows: list[list[str]] = []

    def add(title: str, value: Any) -> None:
        rows.append([title, *(value(stores[name]) for name in names)])

    for connections in (1, 8):
        at = f"connections_{connections}"
        where = f"{connections} connection{'s' * (connections > 1)}"
        add(
            f"p50, p99 at {where}, ms",
            lambda s, at=at: f"{s[at]['waymark']['p50']:.2f}, {s[at]['waymark']['p99']:.2f}",
        )
        add("the same, empty", lambda s, at=at: f"{s[at]['empty']['p50']:.2f}, {s[at]['empty']['p99']:.2f}")
        add(
            "requests a second (empty)",
            lambda s, at=at: f"{s[at]['waymark']['rate']:,.0f} ({s[at]['empty']['rate']:,.0f})",
        )
        add("share of the empty server's", lambda s, at=at: f"{s[at]['ratio']:.0%}")
        add("the same by processor time", lambda s, at=at: f"{s[at]['ratio_cpu']:.0%}")
        add("failed requests", lambda s, at=at: f"{s[at]['waymark']['errors']:.0f}")
    add("candidates ranked a request", lambda s: f"{s['candidates']:.0f}")
    add("floor (empty + ranking), ms", lambda s: f"{s['floor_ms']:.2f}")
    add("p50 over the floor", lambda s: f"{s['times_the_floor']:.1f}")
    for connections in (1, 4):
        add(
            f"events in batches of 100, {connections} at once, rows/s",
            lambda s, key=f"rows_per_second_{connections}": f"{s['events'][key]:,.0f}",
        )
    add(
        "event visible after, median and most, ms",
        lambda s: f"{s['visible_ms']['median']:.1f}, {s['visible_ms']['max']:.1f}",
    )
    add("from exec to ready, s", lambda s: f"{s['seconds_to_ready']:.1f}")
    add("memory when ready, at most, MB", lambda s: f"{s['rss_mb_ready']:.0f}, {s['rss_mb']:.0f}")
    stages = list(dict.fromkeys(stage for name in names for stage in stores[name]["stages_ms"]))
    where = [
        [stage, *(f"{stores[name]['stages_ms'].get(stage, 0):.2f}" for name in names)] for stage in stages
    ]
    machine = ", ".join(f"{key} {value}" for key, value in found["machine"].items())
    return (
        f"{machine}; load before: {found['load_before']}\n\n"
        + _table(["", *names], rows)
        + "\nWhere the time of a request goes at one connection, means in ms (the last: from the median)\n\n"
        + _table(["stage", *names], where)
    )
