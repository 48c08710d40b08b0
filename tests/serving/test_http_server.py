"""The edge of the real server: large bodies, memory, logs, tokens."""

import json
import shutil
import time

import jwt
import pytest

from components.contract.release import load
from serving.engine import Engine
from tests.support.running import serving

pytestmark = pytest.mark.slow
PREDICT, INFER, EVENTS = "/v1/models/waymark:predict", "/v2/models/waymark/infer", "/v1/events"
SECRET = "a secret of thirty-two bytes or more"
MIB = 2**20


@pytest.fixture(scope="module")
def home(small_release, tmp_path_factory):
    copy = tmp_path_factory.mktemp("edge") / "home"
    shutil.copytree(small_release, copy, symlinks=True)
    return copy


@pytest.fixture(scope="module")
def server(home):
    with serving(home, home.parent / "log", "--log-level", "debug") as found:
        yield found


@pytest.fixture(scope="module")
def client(server):
    with server.client() as found:
        yield found


@pytest.fixture(scope="module")
def associates(home):
    return Engine(load(home)).examples(20)


def chunks(size, byte=b" "):
    for _ in range(size // 65536):
        yield byte * 65536


def post_raw(server, head, size, byte=b" "):
    """Send a body of any size and read the status line, whatever the server does meanwhile."""
    import socket
    import threading

    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=60) as wire:
        wire.sendall(head)

        def send():
            try:
                for part in chunks(size, byte):
                    wire.sendall(b"%x\r\n%s\r\n" % (len(part), part) if b"chunked" in head else part)
            except OSError:
                pass  # It may hang up on us.

        sender = threading.Thread(target=send, daemon=True)
        sender.start()
        answer = wire.recv(4096)
    sender.join(timeout=60)
    return int(answer.split()[1])


@pytest.mark.parametrize("path", [PREDICT, INFER, EVENTS])
@pytest.mark.parametrize("length", [b"content-length: 104857600", b"transfer-encoding: chunked"])
def test_a_hundred_megabytes_are_refused_and_take_no_memory(server, client, path, length):
    client.post(PREDICT, json={"instances": [{}]})
    before = server.rss(peak=True)
    head = b"POST %s HTTP/1.1\r\nhost: x\r\n%s\r\n\r\n" % (path.encode(), length)
    assert post_raw(server, head, 100 * MIB) == 413
    assert server.rss(peak=True) - before < 16 * MIB
    assert client.post(PREDICT, json={"instances": [{}]}).status_code == 200


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        (PREDICT, json.dumps({"instances": [{}] * 10_000}), 413),
        (EVENTS, json.dumps({"events": [{}] * 10_000}), 413),
        (PREDICT, '{"instances": ' + "[" * 400_000, 400),
        (PREDICT, '{"instances": ' + "[" * 500 + "]" * 500 + "}", 400),
        (INFER, '{"inputs": ' + "[" * 900 + "]" * 900 + "}", 400),
        (EVENTS, '{"events": [' + '{"page_id":' * 500 + "1" + "}" * 500 + "]}", 400),
        (PREDICT, '{"instances": [{"limit": 5, "limit": 6}]}', 400),
        (EVENTS, '{"events": [{"page_id": "P1", "page_id": "P2"}]}', 400),
        (INFER, '{"inputs": [], "inputs": []}', 400),
        (PREDICT, '{"instances": [{"limit": 1' + "0" * 400 + "}]}", 400),
        (PREDICT, '{"instances": [{"limit": 1e30}]}', 400),
        (PREDICT, '{"instances": [{"context": {"time": Infinity}}]}', 400),
        (EVENTS, '{"events": [{"timestamp": NaN}]}', 400),
        (PREDICT, b'{"instances": [{"associate_id": "\xc3\x28"}]}', 400),
    ],
)
def test_what_is_not_a_request_is_a_4xx_and_takes_no_memory(server, client, path, body, status):
    before = server.rss(peak=True)
    for _ in range(5):
        answer = client.post(path, content=body, headers={"content-type": ""})
        assert answer.status_code == status, answer.text
        assert set(answer.json()) == {"error"}
    assert server.rss(peak=True) - before < 32 * MIB


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/v1/models/waymark:explain", 404),
        ("GET", "/v2/models/waymark/versions/1", 404),
        ("GET", "/v2/models/waymark/versions/1/ready", 404),
        ("POST", "/v2/models/waymark/versions/1/infer", 404),
        ("POST", "/v2/repository/models/waymark/load", 403),
        ("POST", "/v2/repository/models/waymark/unload", 403),
    ],
)
def test_what_kserve_offers_beside_is_closed(client, method, path, status):
    answer = client.request(method, path, json={} if method == "POST" else None)
    assert (answer.status_code, set(answer.json())) == (status, {"error"})


def test_the_document_describes_all_routes_that_are_open(client):
    found = client.get("/openapi.json").json()
    assert found["openapi"] == "3.1.0"
    described = {path for path in found["paths"] if not path.startswith("/v1/models/{")}
    assert {
        PREDICT,
        INFER,
        EVENTS,
        "/v1/associates/{associate_id}",
        "/metrics",
        "/v2/health/ready",
    } <= described
    schema = found["paths"][PREDICT]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert schema["properties"]["instances"]["maxItems"] == 100
    text = json.dumps(found)
    assert "kserve" not in text.lower()
    for name in {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}:
        assert name in found["components"]["schemas"]


def test_no_log_names_an_associate(server, client, associates):
    """All that a front end does, and all that it does wrong, at the level that says most."""
    one, other = associates[7], associates[8]
    row = {"associate_id": one, "page_id": "P00001", "event_type": "view", "timestamp": 1_700_000_000}
    instance = {"associate_id": one, "explain": True, "carousels": True, "history": ["P00002"]}
    assert client.post(PREDICT, json={"instances": [instance]}).status_code == 200
    assert client.post(PREDICT, json={"instances": [{**instance, "limit": one}]}).status_code == 400
    tensor = {"name": "instances", "shape": [1], "datatype": "BYTES", "data": [json.dumps(instance)]}
    assert client.post(INFER, json={"inputs": [tensor]}).status_code == 200
    assert client.post(INFER, json={"inputs": [{**tensor, "shape": [one]}]}).status_code == 400
    assert client.post(EVENTS, json={"events": [row, {**row, "event_type": one}]}).status_code == 202
    assert client.post(EVENTS, json={"events": [{one: 1}]}).status_code == 422
    assert client.get(f"/v1/associates/{one}").status_code in (200, 404)
    assert client.get(f"/nowhere/{one}").status_code == 404
    assert client.post(f"/v1/models/{one}:predict", json={}).status_code == 404
    assert client.get(f"/v2/models/{one}/ready").status_code == 404
    assert client.delete(f"/v1/associates/{other}", headers={"x-request-id": "gone-1"}).status_code == 204
    log = server.log.read_text()
    assert "gone-1" in log
    assert '"level": "debug"' in log
    assert one not in log
    assert other not in log


def test_tokens(home, associates):
    issued = {"iss": "https://issuer.example", "aud": "waymark", "exp": time.time() + 600}

    def headers(scope, **claims):
        return {
            "authorization": "Bearer " + jwt.encode({**issued, "scope": scope, **claims}, SECRET, "HS256")
        }

    environment = {
        "WAYMARK_SERVING_JWT_SECRET": SECRET,
        "WAYMARK_SERVING_JWT_ISSUER": issued["iss"],
        "WAYMARK_SERVING_JWT_AUDIENCE": issued["aud"],
    }
    me, other = associates[10], associates[11]
    mine = headers("recommend events forget", associate_id=me)
    service = headers("recommend events forget service")
    with serving(home, home.parent / "tokens.log", **environment) as server, server.client() as client:

        def ask(token, associate, path=PREDICT):
            instance = {"associate_id": associate}
            tensor = {"name": "instances", "shape": [1], "datatype": "BYTES", "data": [json.dumps(instance)]}
            body = {"instances": [instance]} if path == PREDICT else {"inputs": [tensor]}
            return client.post(path, json=body, headers=token).status_code

        def tell(token, associate):
            row = {
                "associate_id": associate,
                "page_id": "P1",
                "event_type": "view",
                "timestamp": 1_700_000_000,
            }
            return client.post(EVENTS, json={"events": [row]}, headers=token).status_code

        for path in (PREDICT, INFER):
            assert [ask({}, me, path), ask(mine, me, path), ask(mine, other, path)] == [401, 200, 403]
            assert [ask(service, other, path), ask(mine, None, path)] == [200, 200]
        assert [tell({}, me), tell(mine, me), tell(mine, other), tell(service, other)] == [401, 202, 403, 202]
        assert tell(headers("recommend", associate_id=me), me) == 403
        assert client.delete(f"/v1/associates/{other}", headers=mine).status_code == 403
        assert client.get(f"/v1/associates/{other}", headers=mine).status_code == 403
        assert client.put("/v1/rules", json={}, headers=mine).status_code == 403
        assert client.post("/v2/repository/models/waymark/unload", headers=mine).status_code == 403
        refused = client.post(PREDICT, json={"instances": [{}]})
        assert refused.headers["www-authenticate"] == 'Bearer realm="waymark"'
        for path in (
            "/v2/health/live",
            "/v2/health/ready",
            "/metrics",
            "/openapi.json",
            "/v1/models/waymark",
        ):
            assert client.get(path).status_code == 200
        assert (
            client.get("/openapi.json").json()["components"]["securitySchemes"]["token"]["scheme"] == "bearer"
        )
        assert client.delete(f"/v1/associates/{me}", headers=mine).status_code == 204
    log = (home.parent / "tokens.log").read_text()
    assert mine["authorization"][-20:] not in log
    assert SECRET not in log
