"""The figures as Markdown."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import Any


def table(head: Iterable[str], rows: Iterable[Iterable[Any]]) -> str:
    """One table; numbers to the right."""
    lines = [list(head), *([_cell(value) for value in row] for row in rows)]
    rule = "|" + "|".join(["---", *["---:"] * (len(lines[0]) - 1)]) + "|"
    text = ["| " + " | ".join(line) + " |" for line in lines]
    return "\n".join([text[0], rule, *text[1:]]) + "\n"


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "NO"
    if isinstance(value, float):
        return f"{value:,.1f}" if value >= 10 else f"{value:.2f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def linear(sizes: list[dict[str, Any]], kind: str) -> list[float]:
    """Time an event at each size, as a multiple of that at the size before.

    Examples
    --------
    >>> runs = [{"events": 10, "preprocess": {"seconds": 1}}, {"events": 100, "preprocess": {"seconds": 20}}]
    >>> linear(runs, "seconds")
    [2.0]
    """
    rates = [row["preprocess"][kind] / row["events"] for row in sizes]
    return [after / before for before, after in pairwise(rates)]


def _run(row: dict[str, Any]) -> list[Any]:
    return [row["seconds"], row["cpu_seconds"], row["peak_mib"]]


def markdown(result: dict[str, Any]) -> str:
    """All tables."""
    machine = result["machine"]
    text = [f"{machine['processor']}, {machine['cores']} cores, Python {machine['python']}\n"]
    head = ["events", "s", "processor s", "MiB", "Polars s", "processor s", "MiB", "ratio", "equal"]
    rows = []
    for row in result["sizes"]:
        ours, theirs = row["preprocess"], row.get("polars")
        ratio = ours["seconds"] / theirs["seconds"] if theirs else ""
        beside = [*_run(theirs), ratio, row["equal"]] if theirs else [""] * 5
        rows.append([row["events"], *_run(ours), *beside])
    text.append(table(head, rows))
    rates = (linear(result["sizes"], kind) for kind in ("seconds", "cpu_seconds"))
    growth = zip(pairwise(result["sizes"]), *rates, strict=True)
    text.append(
        table(
            ["from, to events", "time an event", "processor time an event"],
            [[f"{one['events']:,} to {two['events']:,}", wall, cpu] for (one, two), wall, cpu in growth],
        )
    )
    found = result["elements"]
    text.append(
        table(
            [f"Beam, {found['events']:,} events", "s", "processor s", "MiB", "equal"],
            [
                ["event by event", *_run(found["elementwise"]), found["equal"]],
                ["record batches", *_run(found["preprocess"]), ""],
            ],
        )
    )
    found = result["growth"]
    days = found["daily"]["figures"]
    text.append(
        table(
            [f"a day more, {found['events']:,} events", "s", "processor s", "MiB", "days read", "equal"],
            [
                ["days before", *_run(found["first"]), found["first"]["figures"]["days_read"], ""],
                [
                    f"the day after, state of {found['state_mib']:.0f} MiB",
                    *_run(found["daily"]),
                    days["days_read"],
                    found["equal"],
                ],
            ],
        )
    )
    if "lists" in result:
        found = result["lists"]
        what = f"top {found['size']} of {found['pages']:,} pages, {found['dimensions']} dimensions"
        text.append(
            table(
                [f"{found['associates']:,} associates", "s", "processor s", "MiB", "bytes each", "exact"],
                [
                    [what, *_run(found["lists"]), found["bytes_per_associate"], found["equal"]],
                    ["into Redis", *_run(found["load"]), found["redis_bytes_per_associate"], ""],
                ],
            )
        )
        text.append(f"Loaded {found['load']['figures']['per_second']:,.0f} associates a second.\n")
    return "\n".join(text)
