import math
import re

import numpy as np
import pytest
from prometheus_client.metrics import MetricWrapperBase

import serving.metrics
from components.contract.inference_service import Phase, State
from components.rollout.errors import MetricsError
from components.rollout.metrics import (
    FEEDBACK,
    INSTANCES,
    LATENCY,
    REQUESTS,
    Increments,
    Prometheus,
    observed,
    quantile,
)
from components.rollout.settings import RolloutSettings
from tests.components.rollout.prometheus import Prometheus as Double

CANARY, STABLE = "20261101T000000-bbbbbb", "20261001T000000-aaaaaa"
SETTINGS = RolloutSettings(block_seconds=60, click_lag_seconds=60, completion_lag_seconds=120)


def state(phase: Phase = Phase.OBSERVING, since: float = 600.0, steps=((5, 0.0, 120.0),)) -> State:
    return State(
        id="run",
        phase=phase,
        stable=f"pvc://home/releases/{STABLE}",
        canary=f"pvc://home/releases/{CANARY}",
        stable_revision="r1",
        percent=5,
        started=0.0,
        since=since,
        steps=steps,
    )


@pytest.fixture
def double():
    server = Double()
    yield server
    server.close()


def series(name: str, **labels: str) -> tuple[tuple[str, str], ...]:
    return tuple(sorted({"__name__": name, **labels}.items()))


def test_counts_are_those_seen_whole_blocks_only(double):
    for minute in range(11):
        at = 60.0 * minute
        counters = {
            series(REQUESTS, release=STABLE, method="POST", status="200", pod="a"): 1000 + 100.0 * minute,
            series(REQUESTS, release=STABLE, method="GET", status="503", pod="a"): 50.0 * minute,
            series(FEEDBACK, release=STABLE, event_type="impression", pod="a"): 100.0 * minute,
            series(FEEDBACK, release=STABLE, event_type="view", pod="a"): 10.0 * minute,
            series(FEEDBACK, release="another", event_type="view", pod="a"): 1e6 * minute,
        }
        if minute >= 2:
            # The canary's pod appears with its first event; it restarts in the seventh minute.
            canary = 5.0 * (minute - 1) if minute < 7 else 5.0 * (minute - 6)
            counters |= {
                series(REQUESTS, release=CANARY, method="POST", status="200", pod="b"): canary,
                series(REQUESTS, release=CANARY, method="POST", status="502", pod="b"): 1.0,
                series(INSTANCES, release=CANARY, fallback="none", pod="b"): 2 * canary,
                series(INSTANCES, release=CANARY, fallback="cold_start", pod="b"): canary,
                series(LATENCY, release=CANARY, le="0.1", pod="b"): canary,
                series(LATENCY, release=CANARY, le="+Inf", pod="b"): canary,
                series(FEEDBACK, release=CANARY, event_type="impression", pod="b"): canary,
            }
        double.scrape(at, counters)
    found = Prometheus(double.url).measure(state(), 629.0, SETTINGS)
    # Observed since 120 s: eight whole minutes until 600 s, of 5 requests each, the restart included.
    assert found.canary is not None
    assert found.stable is not None
    assert (found.canary.requests, found.canary.errors) == (40, 0)
    assert (found.canary.instances, found.canary.fallbacks) == (120, 40)
    assert found.canary.p99 == pytest.approx(0.099)
    assert (found.stable.requests, found.stable.errors) == (800, 0)
    assert math.isnan(found.stable.p99)
    # Clicks count a minute later, completions two.
    assert found.clicks.stable_shown.tolist() == [100] * 7
    assert found.clicks.stable.tolist() == [10] * 7
    assert found.clicks.canary_shown.tolist() == [5] * 7
    assert found.clicks.canary.tolist() == [0] * 7
    assert found.completions.stable_shown.tolist() == [100] * 6
    # Looked at later, past blocks are the same.
    again = Prometheus(double.url).measure(state(), 660.0, SETTINGS)
    assert again.clicks.canary_shown[:7].tolist() == [5] * 7


def test_the_first_events_of_a_new_pod_count(double):
    double.scrape(0, {series(REQUESTS, release=STABLE, method="POST", status="200"): 100.0})
    double.scrape(60, {series(REQUESTS, release=CANARY, method="POST", status="200"): 3.0})
    found = Prometheus(double.url).measure(state(steps=((5, 0.0, 0.0),)), 60.0, SETTINGS)
    assert found.canary is not None
    assert found.canary.requests == 3


def test_a_release_without_series_is_none(double):
    double.scrape(0, {series(REQUESTS, release=STABLE, method="POST", status="200"): 1.0})
    found = Prometheus(double.url).measure(state(), 300.0, SETTINGS)
    assert found.canary is None
    assert found.stable is not None


def test_a_counter_that_starts_anew():
    edges = np.array([0.0, 60, 120, 180])
    row = {
        "metric": {"__name__": "c", "release": "r"},
        "values": [[0, "7"], [60, "9"], [120, "4"], [180, "5"]],
    }
    assert Increments([row], edges).of("c", "r").tolist() == [2, 4, 1]


def test_a_pod_that_goes_adds_nothing_more():
    edges = np.array([0.0, 60, 120, 180])
    row = {"metric": {"__name__": "c", "release": "r"}, "values": [[0, "7"], [60, "9"]]}
    assert Increments([row], edges).of("c", "r").tolist() == [2, 0, 0]


def test_blocks_around_a_change_of_traffic_are_left_out():
    edges = 60.0 * np.arange(11)
    steps = ((5, 0.0, 60.0), (25, 300.0, 360.0))
    # Clicks of the first step from 120 until the traffic changes at 300; of the second from 420.
    expected = [False, False, True, True, True, False, False, True, True, True]
    assert observed(state(steps=steps), edges, 60).tolist() == expected
    # While a third share is waited for, only what was before it counts.
    waiting = state(Phase.WAITING, since=540.0, steps=steps)
    assert observed(waiting, edges, 60).tolist() == [*expected[:9], False]


@pytest.mark.parametrize(
    ("below", "expected"),
    [([0, 0, 0], math.nan), ([100, 100, 100], 0.099), ([98, 100, 100], 0.1 + 0.1 / 2), ([0, 0, 10], 0.2)],
)
def test_quantile(below, expected):
    found = quantile(0.99, np.array([0.1, 0.2, np.inf]), np.array(below, float))
    assert found == pytest.approx(expected, nan_ok=True)


def test_prometheus_away_or_strange_is_an_error(double):
    double.status = 503
    with pytest.raises(MetricsError, match="HTTPStatusError"):
        Prometheus(double.url).measure(state(), 300.0, SETTINGS)
    double.status = 200
    double.answer = lambda form: {"status": "error", "error": "too many samples"}
    with pytest.raises(MetricsError, match="too many samples"):
        Prometheus(double.url).measure(state(), 300.0, SETTINGS)
    with pytest.raises(MetricsError, match="ConnectError"):
        Prometheus("http://127.0.0.1:9").measure(state(), 300.0, SETTINGS)
    with pytest.raises(MetricsError, match="0 blocks"):
        Prometheus(double.url).measure(state(), 30.0, SETTINGS)
    with pytest.raises(MetricsError, match="blocks of 60 s"):
        Prometheus(double.url).measure(state(), 60.0 * 20_000, SETTINGS)


def test_names_are_those_that_the_server_exports():
    metrics = [one for one in vars(serving.metrics).values() if isinstance(one, MetricWrapperBase)]
    exported = {one._name: set(one._labelnames) for one in metrics}
    wanted = {
        REQUESTS: {"release", "method", "status"},
        INSTANCES: {"release", "fallback"},
        LATENCY: {"release"},
        FEEDBACK: {"release", "event_type"},
    }
    for name, labels in wanted.items():
        family = re.sub("_(total|bucket)$", "", name)
        assert labels <= exported.get(family, set()), f"{family} lacks {labels}"
