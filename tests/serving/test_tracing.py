"""Spans as a real collector gets them: OTLP over HTTP."""

import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from serving import tracing
from tests.support.process import free_port
from tests.support.running import serving

PREDICT = "/v1/models/waymark:predict"
TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@contextmanager
def collector():
    """A collector's URL, and the bodies that were posted to it."""
    bodies = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            assert self.path == "/v1/traces"
            assert self.headers["content-type"] == "application/x-protobuf"
            bodies.append(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", bodies
    finally:
        server.shutdown()
        server.server_close()


def spans_of(bodies):
    """(service, span) of each span sent."""
    for body in bodies:
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            named = {one.key: one.value.string_value for one in resource.resource.attributes}
            for scope in resource.scope_spans:
                for span in scope.spans:
                    yield named["service.name"], span


@pytest.mark.slow
def test_a_request_its_stages_and_the_store_are_one_trace(small_release, tmp_path):
    with collector() as (url, bodies):
        environment = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": url,
            "OTEL_SERVICE_NAME": "academy",
            "WAYMARK_SERVING_DEADLINE_MS": "60000",
        }
        store = ["--store", str(tmp_path / "events.sqlite"), "--log-level", "debug"]
        with (
            serving(small_release, tmp_path / "log", *store, **environment) as server,
            server.client() as client,
        ):
            headers = {"traceparent": f"00-{TRACE}-{PARENT}-01", "x-request-id": "mine"}
            client.post(PREDICT, json={"instances": [{"associate_id": "A-secret"}]}, headers=headers)
            client.post(PREDICT, json={"instances": []}, headers={"x-request-id": "bad"})
            client.delete("/v1/associates/A-secret", headers={"x-request-id": "gone"})
    found = list(spans_of(bodies))
    assert {service for service, _ in found} == {"academy"}
    requests = {
        one.value.string_value: span
        for _, span in found
        for one in span.attributes
        if one.key == "waymark.request_id"
    }
    mine = requests["mine"]
    assert (mine.name, mine.trace_id.hex(), mine.parent_span_id.hex()) == ("POST recommend", TRACE, PARENT)
    assert {a.key: a.value.int_value for a in mine.attributes}["http.response.status_code"] == 200
    children = {span.name for _, span in found if span.parent_span_id == mine.span_id}
    assert children == {"history", "rules", "candidates", "features", "ranking", "answer"}
    history = next(span for _, span in found if span.name == "history" and span.trace_id == mine.trace_id)
    assert [span.name for _, span in found if span.parent_span_id == history.span_id] == ["store activity"]
    for span in (span for _, span in found if span.parent_span_id == mine.span_id):
        assert mine.start_time_unix_nano <= span.start_time_unix_nano <= span.end_time_unix_nano
        assert span.end_time_unix_nano <= mine.end_time_unix_nano
    bad = requests["bad"]
    assert {a.key: a.value.int_value for a in bad.attributes}["http.response.status_code"] == 400
    assert not bad.parent_span_id
    assert requests["gone"].name == "DELETE forget"
    # What the server does by itself, such as following the store's log, is in no trace.
    assert {span.name for _, span in found if not span.parent_span_id} <= {
        "POST recommend", "DELETE forget", "GET open",
    }  # fmt: skip
    assert not any(b"A-secret" in body for body in bodies)
    assert f'"trace_id": "{TRACE}"' in (tmp_path / "log").read_text()


@pytest.mark.slow
def test_a_collector_that_is_away_costs_no_answer(small_release, tmp_path):
    nobody = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{free_port()}",
        "OTEL_BSP_SCHEDULE_DELAY": "50",
    }
    with serving(small_release, tmp_path / "log", **nobody) as server, server.client() as client:
        for _ in range(5):
            assert client.post(PREDICT, json={"instances": [{}]}).status_code == 200
            time.sleep(0.1)


@pytest.fixture
def exported():
    """Spans of this process, as they end."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracing.use(provider)
    yield exporter.get_finished_spans
    tracing.use(None)


def test_off_unless_the_environment_names_a_collector(monkeypatch):
    for name in ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_SDK_DISABLED"):
        monkeypatch.delenv(name, raising=False)
    assert not tracing.wanted()
    tracing.start()()
    with (
        tracing.request("POST recommend", "1", {}) as span,
        tracing.stage("history"),
        tracing.within("store"),
    ):
        assert span is None
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://collector:4318/v1/traces")
    assert tracing.wanted()
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    assert not tracing.wanted()


def test_a_malformed_parent_starts_a_new_trace(exported):
    for given in (b"", b"00-zz-zz-01", b"\xff", b"00-" + b"0" * 32 + b"-" + b"0" * 16 + b"-01"):
        with tracing.request("POST recommend", "1", {b"traceparent": given}):
            pass
    assert [span.parent for span in exported()] == [None] * 4


def test_an_error_in_a_stage_leaves_nothing_of_its_text(exported):
    with tracing.request("POST recommend", "1", {}) as span:
        with pytest.raises(ValueError, match="A17"), tracing.stage("ranking"):
            raise ValueError("A17")
        tracing.answered(span, 500)
    stage, request = exported()
    assert (stage.name, request.name) == ("ranking", "POST recommend")
    assert "A17" not in stage.to_json()
    assert [one.status.status_code.name for one in (stage, request)] == ["ERROR", "ERROR"]


def test_without_a_request_there_is_no_span(exported):
    with tracing.within("store read"), tracing.stage("history"):
        pass
    assert exported() == ()
