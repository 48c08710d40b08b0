"""A double of Prometheus' range queries over HTTP, scraping releases that answer simulated people."""

from __future__ import annotations

import json
import re
import threading
from collections import defaultdict
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

import numpy as np

from components.rollout.metrics import FEEDBACK, INSTANCES, LATENCY, REQUESTS, release_of
from tests.components.rollout.world import World

LOOKBACK = 300.0
BOUNDS = ("0.01", "0.05", "0.1", "0.5", "1.0", "+Inf")


class Prometheus:
    """Keeps samples by series; answers ``query_range`` for one selector."""

    def __init__(self) -> None:
        self.samples: dict[tuple[tuple[str, str], ...], list[tuple[float, float]]] = defaultdict(list)
        self.status = 200
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_: Any) -> None:
                pass

            def do_POST(self) -> None:
                form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
                body = json.dumps(outer.answer({name: value[0] for name, value in form.items()})).encode()
                self.send_response(outer.status if self.path == "/api/v1/query_range" else 404)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.005}, daemon=True
        ).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def scrape(self, at: float, counters: dict[tuple[tuple[str, str], ...], float]) -> None:
        for labels, value in counters.items():
            self.samples[labels].append((at, value))

    def answer(self, form: dict[str, str]) -> dict[str, Any]:
        """Points at start, start + step, ...: each the last sample of the five minutes before."""
        wanted = re.findall(r'(\w+)(=~|=)"([^"]*)"', form["query"])
        start, end, step = (float(form[name]) for name in ("start", "end", "step"))
        times = start + step * np.arange(int((end - start) / step + 1e-9) + 1)
        rows = []
        for series, samples in self.samples.items():
            labels = dict(series)
            if not all(re.fullmatch(pattern, labels.get(name, "")) for name, _, pattern in wanted):
                continue
            known = np.array([at for at, _ in samples])
            values = []
            for at in times:
                i = int(np.searchsorted(known, at, side="right")) - 1
                if i >= 0 and at - known[i] <= LOOKBACK:
                    values.append([at, str(samples[i][1])])
            if values:
                rows.append({"metric": labels, "values": values})
        return {"status": "success", "data": {"resultType": "matrix", "result": rows}}


@dataclass
class Quality:
    """What people meet at a release."""

    errors: float = 0.001
    slow: float = 0.0
    fallbacks: float = 0.1
    clicks: float = 0.1
    completions: float = 0.5


class People:
    """Ask whatever release KServe's traffic leads to, click a minute later, complete two minutes later."""

    def __init__(
        self, world: World, prometheus: Prometheus, quality: dict[str, Quality], a_second: float = 20
    ):
        self.world, self.prometheus, self.quality, self.rate = world, prometheus, quality, a_second
        self.draw = np.random.default_rng(5)
        self.counters: dict[tuple[tuple[str, str], ...], float] = defaultdict(float)
        self.later: list[tuple[float, str, str, int]] = []
        self.last = world.now
        world.each = self.tick

    def count(self, name: str, n: int, **labels: str) -> None:
        if n:
            self.counters[tuple(sorted({"__name__": name, **labels}.items()))] += n

    def tick(self) -> None:
        now, seconds = self.world.now, self.world.now - self.last
        self.last = now
        for uri, share in self.world.kserve.shares().items():
            release, quality = release_of(uri), self.quality[uri]
            asked = int(self.draw.poisson(self.rate * seconds * share / 100))
            failed = int(self.draw.binomial(asked, quality.errors))
            self.count(REQUESTS, failed, release=release, method="POST", status="500")
            self.count(REQUESTS, asked - failed, release=release, method="POST", status="200")
            self.count(REQUESTS, 1, release=release, method="GET", status="503")
            fallback = int(self.draw.binomial(asked, quality.fallbacks))
            self.count(INSTANCES, fallback, release=release, fallback="cold_start")
            self.count(INSTANCES, asked - fallback, release=release, fallback="none")
            slow = int(self.draw.binomial(asked, quality.slow))
            for bound in BOUNDS:
                self.count(LATENCY, asked if float(bound) >= 1 else asked - slow, release=release, le=bound)
            self.count(FEEDBACK, asked, release=release, event_type="impression")
            clicked = int(self.draw.binomial(asked, quality.clicks))
            self.later.append((now + 60, release, "view", clicked))
            done = int(self.draw.binomial(clicked, quality.completions))
            self.later.append((now + 120, release, "complete", done))
        for _, release, kind, n in [row for row in self.later if row[0] <= now]:
            self.count(FEEDBACK, n, release=release, event_type=kind)
        self.later = [row for row in self.later if row[0] > now]
        if round(now) % 15 == 0:
            self.prometheus.scrape(now, dict(self.counters))
