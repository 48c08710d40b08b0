"""The gate before an application of a few routes; tests/serving/test_edge.py has it before the real one."""

import asyncio
import json
import threading
import time

import httpx
import pytest
from fastapi import FastAPI, Request
from prometheus_client import REGISTRY
from starlette.responses import JSONResponse, Response

from components.contract.errors import WaymarkError
from serving.bodies import MOST_DEEP, read_json
from serving.errors import RequestError
from serving.gate import PAYLOAD
from serving.http import install
from serving.settings import ServingSettings
from serving.stores.base import StoreError
from tests.support import loops


def application(**settings):
    app = FastAPI()

    @app.post("/v1/events")
    async def events(request: Request):
        return JSONResponse({"payload": request.scope[PAYLOAD], "body": (await request.body()).decode()})

    @app.post("/slow")
    async def slow():
        await asyncio.sleep(30)

    @app.post("/broken/{name}")
    async def broken(name: str):
        raise {"store": StoreError, "value": ValueError, "late": TimeoutError, "own": RequestError}[name](
            "of associate A17"
        )

    @app.get("/page")
    async def page():
        return Response("x", headers={"Content-Security-Policy": "default-src 'self'"})

    install(app, ServingSettings(**settings), lambda: "R1")
    return app


def client(**settings):
    transport = httpx.ASGITransport(application(**settings), raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://test")


async def ask(method, path, *, settings=None, **more):
    async with client(**(settings or {})) as http:
        return await http.request(method, path, **more)


def call(*positional, **named):
    return loops.run(ask(*positional, **named))


@pytest.mark.parametrize(
    ("body", "status", "error"),
    [
        (b"{}", 200, None),
        (b"", 200, None),
        (b'{"a": "\\u003a:\\"", "b": {"a": 1}}', 200, None),
        (b'{"a": 1, "a": 1}', 400, "body: a field is named twice"),
        (b'{"a": "\\u003a", "b": 1, "b": 1}', 400, "body: a field is named twice"),
        (b'{"a": 1, "\\u0061": 1}', 400, "body: a field is named twice"),
        (b'[{"a": {"b": 1, "b": [":"]}}]', 400, "body: a field is named twice"),
        (b"{", 400, "body: not JSON"),
        (b"[NaN]", 400, "body: not JSON"),
        (b"[Infinity]", 400, "body: not JSON"),
        (b"[1e999]", 400, "body: not JSON"),
        (b'["\xff"]', 400, "body: not JSON"),
        (b'["\\ud800"]', 400, "body: not JSON"),
        (b"[" * MOST_DEEP + b"]" * MOST_DEEP, 200, None),
        (
            b"[" * (MOST_DEEP + 1) + b"]" * (MOST_DEEP + 1),
            400,
            f"body: nested deeper than {MOST_DEEP} levels",
        ),
        (b'{"a":' * 40 + b"1" + b"}" * 40, 400, f"body: nested deeper than {MOST_DEEP} levels"),
        (b"[" * 2000 + b"]" * 2000, 400, "body: not JSON"),
        (b"[" + b"[]," * 500 + b"1]", 200, None),
        (b" " * 5001, 413, "body: larger than 5000 bytes"),
    ],
)
def test_bodies(body, status, error):
    answer = call("POST", "/v1/events", content=body, settings={"max_body_bytes": 5000})
    assert answer.status_code == status
    if error:
        assert answer.json() == {"error": error}
    else:
        assert answer.json() == {"payload": json.loads(body) if body else None, "body": body.decode()}


def test_the_content_type_does_not_matter():
    for kind in ("text/plain", "application/x-www-form-urlencoded", "x" * 300):
        assert call("POST", "/v1/events", content=b"[1]", headers={"content-type": kind}).json()[
            "payload"
        ] == [1]


def test_json_agrees_with_the_standard_library():
    for text in ('{"a": [1, -2.5, true, null, "\\"\\u00e4:"]}', "1", '"x"', "[{}]"):
        assert read_json(text.encode()) == json.loads(text)


def test_every_answer_is_safe_to_show():
    for method, path in (("POST", "/v1/events"), ("GET", "/nowhere"), ("POST", "/broken/value")):
        headers = call(method, path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cache-control"] == "no-store"
        assert headers["content-security-policy"].startswith("default-src 'none'")
    assert call("GET", "/page").headers.get_list("content-security-policy") == ["default-src 'self'"]


@pytest.mark.parametrize("given", ["abc-1", "00-4bf92f3577b34da6-01"])
def test_a_request_keeps_its_id(given):
    assert call("POST", "/v1/events", headers={"x-request-id": given}).headers["x-request-id"] == given


@pytest.mark.parametrize("given", ["", "a b", 'a"', "x" * 65, "\u00e4"])
def test_an_id_that_would_spoil_the_log_is_replaced(given):
    found = call("POST", "/v1/events", headers={"x-request-id": given.encode("latin-1")}).headers[
        "x-request-id"
    ]
    assert found != given
    assert len(found) == 32


def test_failures_are_plain(capfd):
    answer = call("POST", "/broken/value", headers={"x-request-id": "abc-1"})
    assert (answer.status_code, set(answer.json())) == (500, {"error"})
    assert "A17" not in answer.text
    logged = "".join(capfd.readouterr())
    assert "abc-1" in logged
    assert "ValueError" in logged
    assert "test_http.py" in logged
    assert "A17" not in logged
    assert call("POST", "/broken/late").status_code == 500
    assert call("POST", "/broken/own").json() == {"error": "of associate A17"}


def test_a_store_that_is_away_is_said_so():
    answer = call("POST", "/broken/store")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert "A17" not in answer.text


def test_what_takes_too_long_is_given_up():
    began = time.monotonic()
    answer = call("POST", "/slow", settings={"request_timeout_seconds": 0.2})
    assert time.monotonic() - began < 10
    assert answer.status_code == 504
    assert answer.json() == {"error": "no answer within 0.2 seconds"}


def test_a_body_that_does_not_come_is_given_up():
    async def slow_body():
        yield b"["
        await asyncio.sleep(30)

    answer = call("POST", "/v1/events", content=slow_body(), settings={"request_timeout_seconds": 0.2})
    assert answer.status_code == 504


def test_too_many_at_once_are_refused_but_health_is_not():
    async def run():
        async with client(max_in_flight=2, request_timeout_seconds=1) as http:
            waiting = [asyncio.create_task(http.post("/slow")) for _ in range(2)]
            await asyncio.sleep(0.1)
            refused, health = await http.post("/v1/events"), await http.get("/v2/health/live")
            await asyncio.gather(*waiting)
            return refused, health, await http.post("/v1/events")

    refused, health, later = loops.run(run())
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
    assert health.status_code == 404  # This application has no such route: the gate let it through.
    assert later.status_code == 200


def test_a_client_that_leaves_is_no_error():
    async def run():
        async def receive():
            return {"type": "http.disconnect"}

        sent = []

        async def send(message):
            sent.append(message)

        scope = {"type": "http", "method": "POST", "path": "/v1/events", "headers": [], "query_string": b""}
        await application()({**scope, "raw_path": b"/v1/events"}, receive, send)
        return sent

    assert loops.run(run()) == []


def test_pages_of_other_origins_may_not_call_unless_a_setting_says_so():
    preflight = {"origin": "https://shop.example", "access-control-request-method": "POST"}
    assert "access-control-allow-origin" not in call("OPTIONS", "/v1/events", headers=preflight).headers
    settings = {
        "cors_origins": "https://shop.example, http://localhost:3000",
        "jwt_secret": "s" * 32,
        "jwt_issuer": "i",
        "jwt_audience": "a",
    }
    asked = call("OPTIONS", "/v1/events", headers=preflight, settings=settings)
    assert (asked.status_code, asked.headers["access-control-allow-origin"]) == (200, "https://shop.example")
    assert "DELETE" in asked.headers["access-control-allow-methods"]
    # A browser may read the refusal as well.
    refused = call("POST", "/v1/events", headers={"origin": "https://shop.example"}, settings=settings)
    assert (refused.status_code, refused.headers["access-control-allow-origin"]) == (
        401,
        "https://shop.example",
    )
    other = {**preflight, "origin": "https://evil.example"}
    assert (
        "access-control-allow-origin"
        not in call("OPTIONS", "/v1/events", headers=other, settings=settings).headers
    )


@pytest.mark.parametrize("origins", ["*", "shop.example", "https://shop.example/path", "https://a b"])
def test_origins_that_are_none_are_named(origins):
    with pytest.raises(WaymarkError, match="WAYMARK_SERVING_CORS_ORIGINS"):
        application(cors_origins=origins)


def test_answers_are_counted_by_what_they_are():
    def value(name, **labels):
        return REGISTRY.get_sample_value(name, labels) or 0

    posted = {"release": "R1", "method": "POST", "status": "200"}
    before = (
        value("waymark_http_responses_total", **posted),
        value("waymark_http_seconds_count", scope="events"),
    )
    call("POST", "/v1/events")
    after = (
        value("waymark_http_responses_total", **posted),
        value("waymark_http_seconds_count", scope="events"),
    )
    assert (after[0] - before[0], after[1] - before[1]) == (1, 1)
    assert value("waymark_http_in_flight") == 0


def test_many_requests_share_nothing():
    """Each answer carries the id of its own request, also when they overlap."""

    async def run():
        async with client() as http:
            return await asyncio.gather(
                *(http.post("/v1/events", json=[i], headers={"x-request-id": f"r{i}"}) for i in range(50))
            )

    for i, answer in enumerate(loops.run(run())):
        assert (answer.headers["x-request-id"], answer.json()["payload"]) == (f"r{i}", [i])
    assert threading.active_count() < 50
