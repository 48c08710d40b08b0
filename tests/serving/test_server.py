"""The server as a process, over HTTP."""

import json
import os
import shutil
import socket
import subprocess
import sys

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from components.contract.release import current, load
from serving.engine import Engine
from serving.payloads import Context, Instance
from tests.support.process import ROOT, free_port, wait_until_ready
from tests.support.running import served

pytestmark = pytest.mark.slow
PREDICT = "/v1/models/waymark:predict"


def start(*arguments: str, **environment: str) -> tuple[subprocess.Popen, int]:
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "serving", "--port", str(port), *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
        stderr=subprocess.PIPE,
        text=True,
    )
    return process, port


@pytest.fixture(scope="module")
def home(small_release, tmp_path_factory):
    copy = tmp_path_factory.mktemp("served") / "home"
    shutil.copytree(small_release, copy, symlinks=True)
    return copy


@pytest.fixture(scope="module")
def client(home, tmp_path_factory):
    log = tmp_path_factory.mktemp("log") / "stderr"
    # A busy machine is no reason to leave the ranker out.
    with served(home, "--log-level", "debug", log=log, WAYMARK_SERVING_DEADLINE_MS="60000") as client:
        client.log = log  # type: ignore[attr-defined]
        yield client


@pytest.fixture(scope="module")
def engine(home):
    return Engine(load(home))


def post(client, instance):
    return client.post(PREDICT, json={"instances": [instance]})


def test_health_and_metadata(client):
    assert client.get("/v2/health/live").status_code == 200
    assert client.get("/v1/models/waymark").json() == {"name": "waymark", "ready": True}
    assert client.get("/v2/models/waymark/ready").json()["ready"] is True


def test_v1_equals_the_engine(client, engine):
    associate, now = engine.examples()[0], engine.last_event + 60
    found = post(client, {"associate_id": associate, "context": {"time": now}}).json()["predictions"][0]
    expected = engine.recommend([Instance(associate_id=associate, context=Context(time=now))])[0]
    assert found["release"] == engine.name
    assert [i["page_id"] for i in found["items"]] == [i["page_id"] for i in expected["items"]]
    for ours, theirs in zip(found["items"], expected["items"], strict=True):
        assert ours["score"] == pytest.approx(theirs["score"], abs=1e-5)
        assert (ours["source"], ours["reason"]) == (theirs["source"], theirs["reason"])


def test_v2_equals_v1(client, engine):
    instance = {"associate_id": engine.examples()[1], "limit": 4, "context": {"time": engine.last_event + 60}}
    first = post(client, instance).json()["predictions"][0]
    tensor = {"name": "instances", "shape": [1], "datatype": "BYTES", "data": [json.dumps(instance)]}
    answer = client.post("/v2/models/waymark/infer", json={"inputs": [tensor]})
    assert answer.status_code == 200
    assert answer.json()["id"]
    second = json.loads(answer.json()["outputs"][0]["data"][0])
    assert [i["page_id"] for i in first["items"]] == [i["page_id"] for i in second["items"]]
    assert [i["score"] for i in first["items"]] == pytest.approx(
        [i["score"] for i in second["items"]], abs=1e-5
    )


@pytest.mark.parametrize(
    "kind",
    [
        None,
        "application/x-www-form-urlencoded",
        "application/json",
        "application/json; charset=utf-8",
        "text/plain",
        "application/octet-stream",
    ],
)
def test_any_usual_content_type_will_do(client, kind):
    headers = {"content-type": kind} if kind else {}
    request = client.build_request("POST", PREDICT, content=b'{"instances": [{}]}', headers=headers)
    if kind is None:
        request.headers.pop("content-type", None)
    assert client.send(request).status_code == 200


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        (b"", 400, ""),
        (b"{bad", 400, ""),
        (b"[]", 400, ""),
        (b"\xff\xfe", 400, ""),
        (b'{"instances": [{"limit": NaN}]}', 400, ""),
        (b'{"instances": []}', 400, "instances"),
        (b'{"instances": [{"limit": 1000}]}', 400, "instances[0].limit"),
        (b'{"instances": [{"nope": 1}]}', 400, "instances[0].nope"),
        (json.dumps({"instances": [{}] * 101}).encode(), 413, "instances"),
        (b'{"instances": ' + b"[" * 100_000, 400, ""),
        (b" " * 1_000_001, 413, "body"),
    ],
)
def test_bad_input_is_a_4xx_that_names_the_field(client, body, status, field):
    answer = client.post(PREDICT, content=body)
    assert answer.status_code == status, answer.text
    assert answer.json()["error"].startswith(field)
    assert "Traceback" not in answer.text


def test_a_body_without_a_declared_length_is_bounded_too(client):
    def endless():
        for _ in range(40):
            yield b" " * 50_000

    assert client.post(PREDICT, content=endless()).status_code == 413


@pytest.mark.parametrize(
    "inputs",
    [
        [],
        [{"name": "x", "shape": [1], "datatype": "BYTES", "data": ["{}"]}],
        [{"name": "instances", "shape": [1], "datatype": "INT32", "data": [1]}],
        [{"name": "instances", "shape": [1], "datatype": "BYTES", "data": ["{"]}],
        [{"name": "instances", "shape": [1], "datatype": "BYTES", "data": ['{"limit": NaN}']}],
        [{"name": "instances", "shape": [1], "datatype": "BYTES", "data": [r'{"associate_id": "\ud800"}']}],
        [{"name": "instances", "shape": [3], "datatype": "BYTES", "data": ["{}"]}],
        [{"name": "instances", "shape": [1], "datatype": "BYTES", "data": [7]}],
        [{"name": "instances", "shape": [1], "datatype": "BYTES"}],
        "instances",
    ],
)
def test_bad_v2_input_is_a_4xx_that_names_the_field(client, inputs):
    answer = client.post("/v2/models/waymark/infer", json={"inputs": inputs})
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"].startswith("inputs")


def test_v2_metadata_names_the_tensors(client):
    found = client.get("/v2/models/waymark").json()
    assert found["inputs"] == [{"name": "instances", "datatype": "BYTES", "shape": [-1]}]
    assert found["outputs"] == [{"name": "predictions", "datatype": "BYTES", "shape": [-1]}]


def test_binary_bodies_and_cloud_events_are_refused_plainly(client):
    headers = {"inference-header-content-length": "x", "content-type": "application/octet-stream"}
    assert client.post("/v2/models/waymark/infer", content=b"\x00", headers=headers).status_code == 400
    cloud = {"ce-specversion": "1.0", "ce-id": "1", "ce-source": "x", "ce-type": "y"}
    assert client.post(PREDICT, json={"instances": [{}]}, headers=cloud).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nowhere", 404),
        ("PUT", "/v1/events", 405),
        ("POST", "/v1/models/other:predict", 404),
        ("GET", "/v1/models/other", 404),
        ("POST", "/v2/repository/models/waymark/unload", 403),
        ("DELETE", "/v1/associates/%20", 400),
        ("DELETE", "/v1/associates/" + "x" * 257, 400),
    ],
)
def test_wrong_paths_are_answered_plainly(client, method, path, status):
    answer = client.request(method, path)
    assert answer.status_code == status
    assert set(answer.json()) == {"error"}
    assert client.get("/v2/health/ready").status_code == 200


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
WORDS = st.sampled_from(
    ["associate_id", "page_id", "event_type", "timestamp", "progress", "position", "limit", "context"]
)
VALUES = JSON | st.sampled_from(["view", "P00001", "fuzz", "2026-10-01T00:00:00Z", 1e21, -1e30, 2**63])
ROWS = st.lists(st.dictionaries(WORDS, VALUES, max_size=6) | JSON, max_size=3)
FUZZ = settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])


@FUZZ
@given(
    path=st.sampled_from([PREDICT, "/v2/models/waymark/infer", "/v1/events"]),
    root=st.sampled_from(["instances", "events", "inputs"]),
    rows=ROWS | JSON,
)
def test_no_body_is_a_server_error(client, path, root, rows):
    answer = client.post(path, content=json.dumps({root: rows}))
    assert answer.status_code < 500, answer.text


@FUZZ
@given(path=st.sampled_from([PREDICT, "/v2/models/waymark/infer", "/v1/events"]), body=st.binary(max_size=60))
def test_no_bytes_are_a_server_error(client, path, body):
    assert 400 <= client.post(path, content=body).status_code < 500


def test_events_from_the_future_are_refused(client, engine):
    row = {"associate_id": "A", "page_id": "P", "event_type": "view", "timestamp": "2999-01-01"}
    answer = client.post("/v1/events", json={"events": [row, {**row, "timestamp": 1e21}]})
    assert answer.status_code == 422
    assert ["timestamp" in entry["error"] for entry in answer.json()["rejected"]] == [True, True]


def test_an_id_with_a_slash_can_be_forgotten(client):
    associate = "north/17"
    row = {"associate_id": associate, "page_id": "P", "event_type": "view", "timestamp": 1_700_000_000}
    assert client.post("/v1/events", json={"events": [row]}).json()["new"] == 1
    assert client.delete(f"/v1/associates/{associate}").status_code == 204
    # Events of somebody forgotten are not kept.
    assert client.post("/v1/events", json={"events": [row]}).json()["new"] == 0


def test_events_are_durable_visible_and_idempotent(client, engine, home):
    associate, now = engine.examples()[2], engine.last_event + 60
    instance = {"associate_id": associate, "limit": 50, "context": {"time": now}}
    page = post(client, instance).json()["predictions"][0]["items"][0]["page_id"]
    good = {"associate_id": associate, "page_id": page, "event_type": "view", "timestamp": now - 5}
    rows = [good, {**good, "event_type": "look"}, {"page_id": page}, 7, {**good, "extra": 1}]
    answer = client.post("/v1/events", json={"events": rows})
    assert answer.status_code == 202
    assert (answer.json()["accepted"], answer.json()["new"]) == (1, 1)
    assert [entry["event"] for entry in answer.json()["rejected"]] == [1, 2, 3, 4]
    assert "event_type" in answer.json()["rejected"][0]["error"]
    assert client.post("/v1/events", json={"events": [good]}).json()["new"] == 0
    shown = [item["page_id"] for item in post(client, instance).json()["predictions"][0]["items"]]
    assert page not in shown
    assert client.post("/v1/events", json={"events": [{"page_id": page}]}).status_code == 422
    assert client.post("/v1/events", json={"events": []}).status_code == 400
    assert client.post("/v1/events", content=b"{").status_code == 400

    assert client.delete(f"/v1/associates/{associate}").status_code == 204
    forgotten = post(client, instance).json()["predictions"][0]
    assert forgotten["fallback"] == "cold_start"
    # The tombstone alone still holds the id; deleted rows are overwritten.
    assert (home / "store" / "events.sqlite").read_bytes().count(associate.encode()) == 1


def test_request_ids_go_through_and_logs_hold_no_person(client, engine):
    answer = client.post(
        PREDICT,
        json={"instances": [{"associate_id": engine.examples()[3]}]},
        headers={"x-request-id": "abc-1"},
    )
    assert answer.headers["x-request-id"] == "abc-1"
    log = client.log.read_text()
    lines = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    assert any(line.get("request_id") == "abc-1" for line in lines)
    assert all(line["release"] == engine.name for line in lines)
    assert not any(engine.examples()[3] in json.dumps(line) for line in lines)


def test_metrics_name_release_source_and_fallback(client, engine):
    post(client, {"associate_id": "nobody at all"})
    text = client.get("/metrics").text
    assert f'waymark_instances_total{{fallback="cold_start",release="{engine.name}"}}' in text
    assert "waymark_items_total" in text
    assert "waymark_recommend_seconds_bucket" in text
    for stage in ("history", "candidates", "features", "ranking"):
        assert f'waymark_stage_seconds_count{{stage="{stage}"}}' in text
    assert "waymark_candidates_total" in text
    assert "request_predict_seconds_count" in text
    posted = f'waymark_http_responses_total{{method="POST",release="{engine.name}",status="200"}}'
    assert posted in text


def test_the_home_page_is_self_contained(client):
    answer = client.get("/")
    assert answer.status_code == 200
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "http://" not in answer.text
    assert "https://" not in answer.text
    assert "innerHTML" not in answer.text


def test_without_a_release_it_stops_and_says_why(tmp_path):
    process, _ = start("--home", str(tmp_path))
    _, stderr = process.communicate(timeout=120)
    assert process.returncode == 1
    assert str(tmp_path) in stderr
    assert "pipelines run bootstrap" in stderr
    assert "Traceback" not in stderr


@pytest.mark.parametrize(
    ("environment", "message"),
    [({"WAYMARK_SERVING_MAX_EVENTS": "many"}, "WAYMARK_SERVING_MAX_EVENTS"), ({}, "choose another --port")],
)
def test_what_it_cannot_start_with_is_named(small_release, environment, message):
    with socket.socket() as taken:
        taken.bind(("0.0.0.0", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        process = subprocess.run(
            [sys.executable, "-m", "serving", "--home", str(small_release), "--port", port],
            cwd=ROOT,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            timeout=60,
        )
    assert process.returncode == 1
    assert message in process.stderr
    assert "Traceback" not in process.stderr


def test_a_release_folder_alone_is_served_without_events(small_release):
    port = free_port()
    folder = str(current(small_release).root)
    process = subprocess.Popen(
        [sys.executable, "-m", "serving", "--release", folder, "--host", "127.0.0.1", "--port", str(port)],
        cwd=ROOT,
        stderr=subprocess.DEVNULL,
    )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
            wait_until_ready(client, process)
            assert client.post(PREDICT, json={"instances": [{}]}).status_code == 200
            assert client.post("/v1/events", json={"events": [{}]}).status_code == 404
    finally:
        process.terminate()
        process.wait(timeout=30)


def test_a_corrupt_release_is_refused(small_release, tmp_path):
    copy = tmp_path / "home"
    shutil.copytree(small_release, copy, symlinks=True)
    victim = current(copy).part("transitions") / "transitions.npz"
    victim.write_bytes(victim.read_bytes()[:-1] + b"x")
    process, _ = start("--home", str(copy))
    _, stderr = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "transitions.npz" in stderr
