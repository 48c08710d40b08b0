"""The measurements over one store."""

from __future__ import annotations

import contextlib
import statistics
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tests.benchmarks.server import load as l
from tests.benchmarks.server.prepare import people_and_pages
from tests.support.redis import RedisServer
from tests.support.running import Running, running, serving

_ROWS = 100


@contextlib.contextmanager
def opened(kind: str, folder: Path) -> Iterator[str]:
    """The address of an empty store, ``embedded`` or ``redis``."""
    if kind == "embedded":
        yield str(folder / "events.sqlite")
        return
    server = RedisServer(folder)
    server.start()
    try:
        yield server.url
    finally:
        server.kill()


def measure(home: Path, kind: str, *, seconds: float, rounds: int, people: int, tell: Any) -> dict[str, Any]:
    """Everything over one store: both servers run side by side, and are driven in turns.

    Parameters
    ----------
    home : Path
        With a release. It is only read.
    kind : {"embedded", "redis"}
    seconds : float
        Of each run of wrk.
    rounds : int
        Runs of each server at each number of connections; the median counts.
    people : int
        Associates that are asked for.
    tell : callable
        Takes a line of progress.
    """
    with tempfile.TemporaryDirectory() as name, opened(kind, Path(name)) as address:
        folder = Path(name)
        associates, pages = people_and_pages(home, people)
        predict = l.write_predict(folder, associates)
        empty = running(["-m", "tests.benchmarks.server.empty"], folder / "empty.log")
        ours = serving(home, folder / "serving.log", "--store", address, "--log-level", "warning")
        with empty as base, ours as server:
            found: dict[str, Any] = {"seconds_to_ready": server.seconds, "rss_mb_ready": server.rss() / 1e6}
            tell(f"{kind}: ready after {server.seconds:.1f} s")
            for one in (base, server):
                l.drive(one, predict, 1, seconds)
            for connections in (1, 8):
                found[f"connections_{connections}"] = _compare(
                    base, server, predict, connections, seconds, rounds
                )
                tell(f"{kind}, {connections} connections: {found[f'connections_{connections}']}")
            found["stages_ms"] = l.stages(server, predict, seconds)
            found["candidates"] = found["stages_ms"].pop(l.RANKED)
            found["floor_ms"] = found["connections_1"]["empty"]["p50"] + found["stages_ms"]["ranking"]
            found["times_the_floor"] = found["connections_1"]["waymark"]["p50"] / found["floor_ms"]
            found["events"] = _events(server, folder, associates, pages, seconds)
            tell(f"{kind}, events: {found['events']}")
            found["visible_ms"] = _visible(server, associates[: min(30, len(associates))])
            found["rss_mb"] = server.rss(peak=True) / 1e6
    return found


def _compare(
    base: Running, server: Running, script: Path, connections: int, seconds: float, rounds: int
) -> dict[str, Any]:
    runs: dict[str, list[l.Load]] = {"empty": [], "waymark": []}
    for _ in range(rounds):
        for name, one in (("empty", base), ("waymark", server)):
            runs[name].append(l.drive(one, script, connections, seconds))
    found: dict[str, Any] = {
        name: {
            field: statistics.median(asdict(run)[field] for run in loads)
            for field in ("rate", "p50", "p99", "errors", "cpu")
        }
        for name, loads in runs.items()
    }
    found["ratio"] = found["waymark"]["rate"] / found["empty"]["rate"]
    found["ratio_cpu"] = found["empty"]["cpu"] / found["waymark"]["cpu"]
    return found


def _events(
    server: Running, folder: Path, people: list[str], pages: list[str], seconds: float
) -> dict[str, float]:
    """Rows a second that are durable, in batches, at one connection and at four."""
    found = {}
    for run, connections in enumerate((1, 4)):
        script = l.write_events(folder, people, pages, rows=_ROWS, run=run, time=int(time.time()))
        before, began = l.new_events(server), time.monotonic()
        load = l.drive(server, script, connections, seconds, l.EVENTS)
        taken = time.monotonic() - began
        found[f"rows_per_second_{connections}"] = (l.new_events(server) - before) / taken
        found[f"p99_ms_{connections}"], found[f"errors_{connections}"] = load.p99, load.errors
    return found


def _visible(server: Running, people: list[str]) -> dict[str, float]:
    """Milliseconds from posting a view of the first page until an answer no longer has it."""
    found = []
    with server.client() as client:

        def ask(associate: str) -> list[str]:
            """Pages that leave the list once they are opened: those without a date."""
            instance = {"associate_id": associate, "limit": 10}
            answer = client.post(l.PREDICT, json={"instances": [instance]}).raise_for_status().json()
            return [item["page_id"] for item in answer["predictions"][0]["items"] if "due" not in item]

        for associate in people:
            free = ask(associate)
            if not free:
                continue
            page = free[0]
            row = {
                "associate_id": associate,
                "page_id": page,
                "event_type": "view",
                "timestamp": time.time() - 1,
            }
            began = time.perf_counter()
            client.post(l.EVENTS, json={"events": [row]}).raise_for_status()
            while page in ask(associate):
                if time.perf_counter() - began > 5:
                    raise AssertionError("an event is not visible after 5 s")
            found.append(1e3 * (time.perf_counter() - began))
    return {"median": statistics.median(found), "max": max(found)}
