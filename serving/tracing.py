"""Traces by OpenTelemetry: a span for each request, its stages and its calls to the store.

Off unless the environment names a collector, by ``OTEL_EXPORTER_OTLP_ENDPOINT`` or
``OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`` (OTLP over HTTP); then the other ``OTEL_`` variables of the SDK
hold too, the sampler's say. Spans name no associate.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

import structlog

from serving.metrics import STAGE

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span, Tracer

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_STAGES = ("history", "rules", "candidates", "features", "ranking", "answer")
_TIMERS = {name: STAGE.labels(name) for name in _STAGES}
TRACE_HEADERS = ("traceparent", "tracestate")
_tracer: Tracer | None = None


def wanted() -> bool:
    """Whether the environment names a collector."""
    off = os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true"
    return not off and any(os.environ.get(name) for name in _ENDPOINTS)


def start() -> Callable[[], None]:
    """Send traces from now on, if a collector is named; gives what ends it and sends what is left."""
    global _tracer
    if not wanted():
        return lambda: None
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    name = os.environ.get("OTEL_SERVICE_NAME", "waymark")
    provider = TracerProvider(resource=Resource.create({"service.name": name}))
    # Sends from a thread of its own; what does not fit its queue is dropped.
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    use(provider)
    return provider.shutdown


def use(provider: TracerProvider | None) -> None:
    """Make spans by this provider from now on; None makes none."""
    global _tracer
    _tracer = None if provider is None else provider.get_tracer("waymark.serving")


def request(
    name: str, request_id: str, headers: Mapping[bytes, bytes]
) -> AbstractContextManager[Span | None]:
    """The span of a request, child of the one that W3C's ``traceparent`` among its headers names.

    Parameters
    ----------
    name : str
        Method and scope: no path, which may hold an associate's id.
    request_id : str
    headers : mapping of bytes to bytes
    """
    return contextlib.nullcontext() if _tracer is None else _request(_tracer, name, request_id, headers)


@contextlib.contextmanager
def _request(tracer: Tracer, name: str, request_id: str, headers: Mapping[bytes, bytes]) -> Iterator[Span]:
    from opentelemetry.trace import SpanKind, format_trace_id
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    carrier = {
        key: headers[key.encode()].decode("latin-1") for key in TRACE_HEADERS if key.encode() in headers
    }
    parent = TraceContextTextMapPropagator().extract(carrier)
    kept = {"waymark.request_id": request_id}
    with tracer.start_as_current_span(
        name, parent, SpanKind.SERVER, kept, record_exception=False, set_status_on_exception=False
    ) as span:
        trace = format_trace_id(span.get_span_context().trace_id)
        with structlog.contextvars.bound_contextvars(trace_id=trace):
            yield span


def answered(span: Span, status: int) -> None:
    """Note the status of a request's answer."""
    from opentelemetry.trace import StatusCode

    span.set_attribute("http.response.status_code", status)
    if status >= 500:
        span.set_status(StatusCode.ERROR)


def stage(name: str) -> AbstractContextManager[object]:
    """Time a stage of answering for the metrics, and as a span where the request has one.

    Requests that are answered together share their stages, which are in the trace of the first.
    """
    timer = _TIMERS[name].time()
    return timer if _tracer is None else _both(_tracer, name, timer)


def within(name: str) -> AbstractContextManager[object]:
    """A span of something that a request does; none where there is no request."""
    return contextlib.nullcontext() if _tracer is None else _child(_tracer, name)


@contextlib.contextmanager
def _child(tracer: Tracer, name: str) -> Iterator[None]:
    from opentelemetry.trace import StatusCode, get_current_span

    if not get_current_span().is_recording():
        yield
        return
    with tracer.start_as_current_span(name, record_exception=False, set_status_on_exception=False) as span:
        try:
            yield
        except Exception:
            span.set_status(StatusCode.ERROR)
            raise


@contextlib.contextmanager
def _both(tracer: Tracer, name: str, timer: AbstractContextManager[object]) -> Iterator[None]:
    with timer, _child(tracer, name):
        yield
