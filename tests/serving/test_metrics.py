import re
from pathlib import Path

import pytest
from prometheus_client import REGISTRY
from prometheus_client.metrics import MetricWrapperBase

from serving import metrics
from serving.stores import StoreError, open_store
from tests.support.process import free_port

DOCUMENT = Path(__file__).parents[2] / "docs" / "metrics.md"
# Whatever else would have a value for each person, page or request.
LOW = {
    "release",
    "method",
    "status",
    "scope",
    "fallback",
    "source",
    "stage",
    "outcome",
    "event_type",
    "operation",
}


def declared():
    return [value for value in vars(metrics).values() if isinstance(value, MetricWrapperBase)]


def value(name, **labels):
    return REGISTRY.get_sample_value(name, labels) or 0


def test_the_document_lists_all_metrics_as_they_are():
    found = re.findall(
        r"^\| `(waymark_\w+)` \| (\w+) \| (.+) \| (.+) \|$", DOCUMENT.read_text(), re.MULTILINE
    )
    expected = [
        (
            metric._name + ("_total" if metric._type == "counter" else ""),
            metric._type,
            ", ".join(f"`{label}`" for label in metric._labelnames) or "-",
            metric._documentation,
        )
        for metric in declared()
    ]
    assert found == expected


def test_labels_have_few_values():
    assert {label for metric in declared() for label in metric._labelnames} <= LOW
    labels = re.findall(r"^\| (`[^|]+`) \|", DOCUMENT.read_text().split("## Labels")[1], re.MULTILINE)
    assert {label for line in labels for label in re.findall(r"`(\w+)`", line)} == LOW


def test_every_expression_of_the_document_is_of_metrics_there_are():
    names = {sample for metric in declared() for sample in _samples(metric)}
    used = set(re.findall(r"waymark_\w+", DOCUMENT.read_text().split("## Questions")[1]))
    assert used
    assert used <= names


def _samples(metric):
    if metric._type == "counter":
        return [metric._name + "_total"]
    if metric._type == "histogram":
        return [metric._name + ending for ending in ("_bucket", "_sum", "_count")]
    return [metric._name]


def answer(release, fallback, *items):
    shown = [{"page_id": page, "source": source, "score": score} for page, source, score in items]
    return {"release": release, "fallback": fallback, "items": shown}


def test_answers_are_counted():
    counted = metrics.AnswerMetrics()
    cold = {"release": "M1", "fallback": "cold_start"}
    counted.add(
        [
            answer("M1", None, ("P1", "ease", 0.4), ("P2", "ease", 0.3)),
            answer("M1", "cold_start", ("P1", "trend_1d", 0.04)),
            answer("M1", "cold_start"),
        ]
    )
    assert value("waymark_instances_total", **cold) == 2
    assert value("waymark_instances_total", release="M1", fallback="none") == 1
    assert value("waymark_items_total", release="M1", source="ease") == 2
    assert value("waymark_items_total", release="M1", source="trend_1d") == 1
    assert value("waymark_top_score_count", release="M1") == 2
    assert value("waymark_top_score_bucket", release="M1", le="0.05") == 1
    assert value("waymark_pages_shown") == 2
    counted.add([answer("M2", None, ("P9", "ease", 0.4))])
    assert value("waymark_pages_shown") == 1


def test_the_release_that_answers_is_the_only_one_with_an_age():
    metrics.release_loaded("M1", 10.0, 5.0, 80, 7, 7)
    metrics.release_loaded("M2", 20.0, 6.0, 90, 8, 6)
    assert REGISTRY.get_sample_value("waymark_release_created_timestamp_seconds", {"release": "M1"}) is None
    assert value("waymark_release_created_timestamp_seconds", release="M2") == 20
    assert (value("waymark_release_last_event_timestamp_seconds"), value("waymark_pages")) == (6, 90)
    assert (value("waymark_associates"), value("waymark_listed_associates")) == (8, 6)


def test_calls_to_the_store_are_timed(tmp_path):
    store = metrics.timed(open_store(str(tmp_path / "events.sqlite")))
    before = value("waymark_store_seconds_count", operation="put", outcome="ok")
    store.put("a", b"1")
    store.put("b", b"2", seconds=60)
    assert store.get("a") == b"1"
    assert value("waymark_store_seconds_count", operation="put", outcome="ok") - before == 2
    failed = value("waymark_store_seconds_count", operation="ping", outcome="error")
    nobody_listens = metrics.timed(open_store(f"redis://127.0.0.1:{free_port()}/0"))
    with pytest.raises(StoreError):
        nobody_listens.ping()
    assert value("waymark_store_seconds_count", operation="ping", outcome="error") - failed == 1
