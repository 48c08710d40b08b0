"""Load from wrk, and what a server says of itself meanwhile."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

import httpx
from prometheus_client.parser import text_string_to_metric_families

from tests.support.fuzz import EVENTS, PREDICT
from tests.support.running import Running

RANKED = "candidates ranked"
# Reports what wrk found as one line of JSON; its own text rounds.
_DONE = """
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
function done(summary, latency, requests)
  local failed = summary.errors
  io.write(string.format(
    '\\n{"requests": %d, "seconds": %f, "errors": %d, "p50_ms": %f, "p99_ms": %f}\\n',
    summary.requests, summary.duration / 1e6,
    failed.connect + failed.read + failed.write + failed.status + failed.timeout,
    latency:percentile(50) / 1e3, latency:percentile(99) / 1e3))
end
"""
# Associates in an order that repeats late; each thread starts elsewhere.
_PREDICT = """
local people = {%s}
local threads = 0
function setup(thread) thread:set("start", threads); threads = threads + 1 end
function init() place = start * 7919 end
function request()
  place = place + 1
  return wrk.format(nil, nil, nil,
    '{"instances": [{"associate_id": "' .. people[place %% #people + 1] .. '", "limit": 10}]}')
end
"""
_EVENTS = """
local people, pages = {%s}, {%s}
local threads = 0
function setup(thread) thread:set("start", threads); threads = threads + 1 end
function init() number = 0; math.randomseed(%d + start) end
function request()
  local rows = {}
  for i = 1, %d do
    number = number + 1
    rows[i] = string.format(
      '{"event_id": "%d-%%d-%%d", "associate_id": "%%s", "page_id": "%%s", ' ..
      '"event_type": "view", "timestamp": %d}',
      start, number, people[math.random(#people)], pages[math.random(#pages)])
  end
  return wrk.format(nil, nil, nil, '{"events": [' .. table.concat(rows, ", ") .. ']}')
end
"""


@dataclass(frozen=True)
class Load:
    """What wrk measured.

    Attributes
    ----------
    rate : float
        Requests a second.
    p50, p99 : float
        Milliseconds.
    errors : int
        Answers other than 2xx, and connections that failed.
    cpu : float
        Milliseconds of the server's processor time for one request.
    """

    rate: float
    p50: float
    p99: float
    errors: int
    cpu: float


def _quoted(names: list[str]) -> str:
    return ", ".join(json.dumps(name) for name in names)


def write_predict(folder: Path, people: list[str]) -> Path:
    """The script that asks for one associate after the other."""
    script = folder / "predict.lua"
    script.write_text(_DONE + _PREDICT % _quoted(people))
    return script


def write_events(
    folder: Path, people: list[str], pages: list[str], *, rows: int, run: int, time: int
) -> Path:
    """The script that posts batches of events nobody has posted before."""
    script = folder / f"events-{run}.lua"
    script.write_text(_DONE + _EVENTS % (_quoted(people), _quoted(pages), run, rows, run, time))
    return script


def drive(server: Running, script: Path, connections: int, seconds: float, path: str = PREDICT) -> Load:
    """Load a server and measure."""
    before = server.cpu()
    command = [
        "wrk",
        "-t",
        "1",
        "-c",
        str(connections),
        "-d",
        f"{seconds:g}s",
        "-s",
        str(script),
        server.url + path,
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout.strip().splitlines()[-1])
    cpu = 1e3 * (server.cpu() - before) / max(found["requests"], 1)
    return Load(found["requests"] / found["seconds"], found["p50_ms"], found["p99_ms"], found["errors"], cpu)


def scrape(server: Running) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """All samples of a server's metrics, by name and labels."""
    text = httpx.get(f"{server.url}/metrics", timeout=30).text
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def stages(server: Running, script: Path, seconds: float) -> dict[str, float]:
    """Mean milliseconds of one request in each stage, at one connection; also candidates a request."""
    before, load = scrape(server), drive(server, script, 1, seconds)
    after = scrape(server)

    def grown(name: str, **labels: str) -> float:
        key = (name, tuple(sorted(labels.items())))
        return after.get(key, 0.0) - before.get(key, 0.0)

    def mean(name: str, **labels: str) -> float:
        return 1e3 * grown(f"{name}_sum", **labels) / max(grown(f"{name}_count", **labels), 1)

    found = {
        dict(labels)["stage"]: mean("waymark_stage_seconds", **dict(labels))
        for name, labels in after
        if name == "waymark_stage_seconds_count"
    }
    release = next(
        dict(labels)["release"] for name, labels in after if name == "waymark_recommend_seconds_count"
    )
    whole, http = (
        mean("waymark_recommend_seconds", release=release),
        mean("waymark_http_seconds", scope="recommend"),
    )
    found["threads, queue, reading the instances"] = whole - sum(found.values())
    found["gate, routing, writing the answer"] = http - whole
    found["network, server loop, client"] = load.p50 - http
    requests = max(grown("waymark_recommend_seconds_count", release=release), 1)
    shortlisted = sum(
        grown(*key[:1], **dict(key[1])) for key in after if key[0] == "waymark_candidates_total"
    )
    return found | {RANKED: shortlisted / requests}


def new_events(server: Running) -> float:
    """How many events the server has stored so far."""
    return scrape(server).get(("waymark_events_total", (("outcome", "new"),)), 0.0)


__all__ = [
    "EVENTS",
    "PREDICT",
    "RANKED",
    "Load",
    "drive",
    "new_events",
    "scrape",
    "stages",
    "write_events",
    "write_predict",
]
