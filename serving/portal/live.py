"""Prometheus' counters of this process, for the operator's page."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from prometheus_client import Histogram

from serving import metrics
from serving.portal.models import Distribution, LiveMetrics
from serving.service import Service


def _samples(metric: Any, suffix: str = "") -> Iterator[tuple[dict[str, str], float]]:
    for family in metric.collect():
        for sample in family.samples:
            if sample.name == family.name + suffix:
                yield sample.labels, sample.value


def _by(metric: Any, label: str) -> dict[str, float]:
    """A counter, summed over all labels but one."""
    found: dict[str, float] = {}
    for labels, value in _samples(metric, "_total"):
        found[labels[label]] = found.get(labels[label], 0) + value
    return found


def _sum(metric: Any, suffix: str = "") -> float:
    return sum(value for _, value in _samples(metric, suffix))


def _distribution(metric: Histogram) -> Distribution:
    """A histogram, summed over all labels."""
    found: dict[float, float] = {}
    for labels, value in _samples(metric, "_bucket"):
        bound = float(labels["le"])
        found[bound] = found.get(bound, 0) + value
    bounds = sorted(bound for bound in found if bound != float("inf"))
    return Distribution(
        bounds=bounds,
        counts=[found[bound] for bound in bounds],
        count=_sum(metric, "_count"),
        sum=_sum(metric, "_sum"),
    )


def _means(metric: Histogram, label: str) -> dict[str, float]:
    sums = {labels[label]: value for labels, value in _samples(metric, "_sum")}
    return {
        labels[label]: round(sums[labels[label]] / count, 6)
        for labels, count in _samples(metric, "_count")
        if count
    }


def collect(service: Service) -> LiveMetrics:
    """The counters now."""
    engine, store = service.engine, service.store is not None
    now, read = time.time(), _sum(metrics.LOG_READ)
    return LiveMetrics(
        time=now,
        release=engine.name,
        release_created=engine.release.manifest.created.timestamp(),
        release_last_event=engine.last_event,
        in_flight=_sum(metrics.IN_FLIGHT),
        responses=_by(metrics.RESPONSES, "status"),
        instances=_by(metrics.INSTANCES, "fallback"),
        items=_by(metrics.ITEMS, "source"),
        events=_by(metrics.EVENTS, "outcome"),
        feedback=_by(metrics.FEEDBACK, "event_type"),
        answers=_by(metrics.ANSWERS, "outcome"),
        recommend=_distribution(metrics.LATENCY),
        top_score=_distribution(metrics.TOP_SCORE),
        stages=_means(metrics.STAGE, "stage"),
        pages_shown=_sum(metrics.PAGES_SHOWN),
        store_down=bool(_sum(metrics.STORE_DOWN)) if store else None,
        store_errors=_sum(metrics.STORE_ERRORS, "_total"),
        log_age_seconds=max(now - read, 0) if store and read else None,
    )
