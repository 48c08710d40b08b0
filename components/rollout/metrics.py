"""What Prometheus knows of two releases. Raw counters are read and subtracted here.

``increase()`` would extrapolate counts to the ends of its window; the sequential tests need those that were
really seen.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import httpx
import numpy as np
from numpy.typing import NDArray

from components.contract.columns import COMPLETE, IMPRESSION, VIEW
from components.contract.inference_service import State
from components.rollout.comparison import Measures, Outcome, Served
from components.rollout.errors import MetricsError
from components.rollout.settings import RolloutSettings

# As serving/metrics.py exports them, all with the label release.
REQUESTS = "waymark_http_responses_total"
INSTANCES = "waymark_instances_total"
LATENCY = "waymark_recommend_seconds_bucket"
FEEDBACK = "waymark_feedback_total"
# Prometheus answers at most 11,000 points a series.
_MOST_BLOCKS = 10_000
Labels = Mapping[str, str]


def release_of(uri: str) -> str:
    """Name of the release at a ``storageUri``, as the server reports it.

    Examples
    --------
    >>> release_of("pvc://waymark-home/releases/20261030T120000-ab12cd")
    '20261030T120000-ab12cd'
    """
    return uri.rstrip("/").rsplit("/", 1)[-1]


class Prometheus:
    """Reads counters over Prometheus' HTTP API.

    Parameters
    ----------
    url : str
    client : httpx.Client, optional
    """

    def __init__(self, url: str, client: httpx.Client | None = None):
        self._url = url.rstrip("/")
        self._client = client or httpx.Client(timeout=30)

    def measure(self, state: State, at: float, settings: RolloutSettings) -> Measures:
        """Measure a rollout from its start until now, by blocks of time.

        Parameters
        ----------
        state : State
            At least one step has been observed.
        at : float
            Time, epoch seconds.
        settings : RolloutSettings

        Raises
        ------
        MetricsError
            Prometheus cannot be reached or answers something else.
        """
        blocks = int((at - state.started) // settings.block_seconds)
        if not 1 <= blocks <= _MOST_BLOCKS:
            raise MetricsError(
                f"{blocks} blocks of {settings.block_seconds:.0f} s: between 1 and {_MOST_BLOCKS}"
            )
        # The same blocks at every look; the one that is not over is left out.
        edges = np.asarray(state.started + settings.block_seconds * np.arange(blocks + 1), np.float64)
        canary, stable = release_of(state.canary), release_of(state.stable)
        names = "|".join((REQUESTS, INSTANCES, LATENCY, FEEDBACK))
        rows = self._range(f'{{__name__=~"{names}",release=~"{canary}|{stable}"}}', edges)
        counts = Increments(rows, edges)
        step = edges[:-1] >= state.steps[-1][2]
        return Measures(
            counts.served(canary, step),
            counts.served(stable, step),
            *(
                counts.outcome(canary, stable, kind, observed(state, edges, lag))
                for kind, lag in (
                    (VIEW, settings.click_lag_seconds),
                    (COMPLETE, settings.completion_lag_seconds),
                )
            ),
        )

    def _range(self, query: str, edges: NDArray[np.float64]) -> list[dict[str, Any]]:
        asked = {"query": query, "start": edges[0], "end": edges[-1], "step": edges[1] - edges[0]}
        try:
            answer = (
                self._client.post(f"{self._url}/api/v1/query_range", data=asked).raise_for_status().json()
            )
            if answer["status"] != "success":
                raise MetricsError(f"Prometheus answers {str(answer)[:200]}")
            return answer["data"]["result"]
        except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
            raise MetricsError(f"Prometheus at {self._url}: {type(error).__name__}: {error}") from error


def observed(state: State, edges: NDArray[np.float64], lag: float) -> NDArray[np.bool_]:
    """Blocks in which both releases' events belong to the impressions of the same step.

    Right after a change of traffic they do not: impressions move at once, clicks ``lag`` seconds later.
    """
    inside = np.zeros(len(edges) - 1, bool)
    ends = [changed for _, changed, _ in state.steps[1:]]
    ends.append(math.inf if state.phase == "observing" else state.since)
    for (_, _, shown), end in zip(state.steps, ends, strict=True):
        inside |= (edges[:-1] >= shown + lag) & (edges[1:] <= end)
    return inside


class Increments:
    """By how much each counter rose in each block.

    Parameters
    ----------
    rows : list of dict
        Result of a range query: ``metric`` (labels) and ``values`` ([time, text] pairs).
    edges : array, (blocks + 1,)
        Times that were asked for.
    """

    def __init__(self, rows: list[dict[str, Any]], edges: NDArray[np.float64]):
        self._labels: list[Labels] = [row["metric"] for row in rows]
        # A series that is not there at the start belongs to a later pod, and counts from 0.
        level = np.zeros((len(rows), len(edges)))
        for series, row in zip(level, rows, strict=True):
            times, values = np.array(row["values"], float).T
            last = np.searchsorted(times, edges + (edges[1] - edges[0]) / 2, side="right") - 1
            series[:] = np.where(last >= 0, values[np.maximum(last, 0)], 0)
        rise = np.diff(level, axis=1)
        # A counter that falls was started anew.
        self._rise = np.where(rise < 0, level[:, 1:], rise)

    def of(
        self, name: str, release: str, keep: Callable[[Labels], bool] = lambda _: True
    ) -> NDArray[np.float64]:
        """Sum over the series of a release, by block."""
        rows = [
            i
            for i, labels in enumerate(self._labels)
            if labels["__name__"] == name and labels["release"] == release and keep(labels)
        ]
        return self._rise[rows].sum(axis=0)

    def served(self, release: str, blocks: NDArray[np.bool_]) -> Served | None:
        """What a release answered in some blocks; None without any series of it."""
        if not any(row["release"] == release and row["__name__"] == REQUESTS for row in self._labels):
            return None

        def total(name: str, keep: Callable[[Labels], bool] = lambda _: True) -> float:
            return float(self.of(name, release, keep)[blocks].sum())

        # Health checks and scrapes are GETs.
        requests = total(REQUESTS, lambda row: row["method"] == "POST")
        errors = total(REQUESTS, lambda row: row["method"] == "POST" and row["status"].startswith("5"))
        fallbacks = total(INSTANCES, lambda row: row["fallback"] != "none")
        bounds = sorted({row["le"] for row in self._labels if row["__name__"] == LATENCY}, key=float)
        below = [total(LATENCY, lambda row, le=le: row["le"] == le) for le in bounds]  # type: ignore[misc]
        p99 = quantile(0.99, np.array(bounds, float), np.array(below))
        return Served(requests, errors, total(INSTANCES), fallbacks, p99)

    def outcome(self, canary: str, stable: str, kind: str, blocks: NDArray[np.bool_]) -> Outcome:
        """Impressions and events of a kind of both releases, in some blocks."""
        return Outcome(
            *(
                self.of(FEEDBACK, release, lambda row, event=event: row["event_type"] == event)[blocks]  # type: ignore[misc]
                for event in (IMPRESSION, kind)
                for release in (canary, stable)
            )
        )


def quantile(q: float, bounds: NDArray[np.float64], below: NDArray[np.float64]) -> float:
    """Quantile of a histogram, linear inside a bucket; NaN when it is empty.

    Parameters
    ----------
    q : float
    bounds : array, (buckets,)
        Upper bounds, rising; the last is infinite.
    below : array, (buckets,)
        Observations up to each bound.

    Examples
    --------
    >>> quantile(0.5, np.array([0.1, 0.2, np.inf]), np.array([4.0, 8.0, 10.0]))
    0.125
    """
    if not len(below) or not below[-1]:
        return math.nan
    finite = np.isfinite(bounds)
    # Beyond the last finite bound nothing is known but that.
    return float(np.interp(q * below[-1], [0, *below[finite]], [0, *bounds[finite]]))
