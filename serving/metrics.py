"""What Prometheus is told, beside KServe's own metrics."""

from __future__ import annotations

from prometheus_client import Counter, Histogram

_BUCKETS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 5)
RESPONSES = Counter("waymark_http_responses", "HTTP answers", ["release", "method", "status"])
INSTANCES = Counter("waymark_instances", "Instances answered", ["release", "fallback"])
ITEMS = Counter("waymark_items", "Pages shown, by the source that has them highest", ["release", "source"])
CANDIDATES = Counter(
    "waymark_candidates", "Pages shortlisted, by the source that has them highest", ["source"]
)
EVENTS = Counter("waymark_events", "Events received", ["outcome"])
FEEDBACK = Counter(
    "waymark_feedback",
    "First impression, view and completion of each answer, by the release that gave it",
    ["release", "event_type"],
)
STAGE = Histogram(
    "waymark_stage_seconds", "Time of one predict call in each stage", ["stage"], buckets=_BUCKETS
)
LATENCY = Histogram(
    "waymark_recommend_seconds", "Time to answer one predict call", ["release"], buckets=_BUCKETS
)
