"""The portal's interface over the small release."""

import errno
from pathlib import Path

import jsonschema
import polars as pl
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from components.contract.release import current, load
from serving import events, http, portal
from serving.payloads import Instance
from serving.service import Service
from serving.settings import ServingSettings
from serving.stores import open_store
from tests.support.releases import copy_home, next_release

pytestmark = pytest.mark.slow


def client_of(home, release, store) -> tuple[TestClient, Service]:
    settings = ServingSettings(log_features=1.0, deadline_ms=60_000)
    service = Service(release, store, settings)
    app = FastAPI(openapi_url="/openapi.json", docs_url=None)
    http.install(app, settings, lambda: service.engine.name)
    portal.install(app, service, home)
    if store is not None:
        app.include_router(events.routes(service, settings))
    return TestClient(app, raise_server_exceptions=False), service


@pytest.fixture(scope="module")
def home(small_release, tmp_path_factory):
    return copy_home(small_release, tmp_path_factory.mktemp("portal") / "home")


@pytest.fixture(scope="module")
def served(home):
    """A client and the service behind it."""
    client, service = client_of(home, load(home), open_store(str(home / "store" / "events.sqlite")))
    yield client, service
    service.stop()


@pytest.fixture
def client(served):
    return served[0]


def _instance(associate: str) -> Instance:
    return Instance(associate_id=associate, limit=5)


def test_answers_have_the_documented_form(served):
    client, service = served
    associate = service.engine.examples()[0]
    [given] = service.recommend([_instance(associate)])
    service._recorder.stop()
    document = client.get("/openapi.json").json()
    name, page = current(service.engine.release.root.parents[1]).name, given["items"][0]["page_id"]
    for path, address in (
        ("/v1/about", "/v1/about"),
        ("/v1/pages", "/v1/pages?query=a"),
        ("/v1/pages/{page_id}", f"/v1/pages/{page}"),
        ("/v1/associates", "/v1/associates"),
        ("/v1/associates/{associate_id}", f"/v1/associates/{associate}"),
        ("/v1/associates/{associate_id}/answers", f"/v1/associates/{associate}/answers"),
        ("/v1/answers/{request_id}", f"/v1/answers/{given['request_id']}"),
        ("/v1/releases", "/v1/releases"),
        ("/v1/releases/{name}", f"/v1/releases/{name}"),
        ("/v1/findings", "/v1/findings"),
        ("/v1/metrics", "/v1/metrics"),
    ):
        answer = client.get(address)
        assert answer.status_code == 200, (path, answer.text)
        schema = document["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
        jsonschema.validate(answer.json(), schema | {"components": document["components"]})


def test_a_recorded_answer_is_the_answer_that_was_given(served):
    client, service = served
    associate = service.engine.examples()[1]
    service._recorder = type(service._recorder)(service.store)
    [given] = service.recommend([_instance(associate)])
    service._recorder.stop()
    found = client.get(f"/v1/answers/{given['request_id']}").json()
    shown = [(item["page_id"], item["title"], item["reason"], item["source"]) for item in given["items"]]
    assert [(i["page_id"], i["title"], i["reason"], i["source"]) for i in found["items"]] == shown
    assert [item["position"] for item in found["items"]] == [1, 2, 3, 4, 5]
    assert all(item["features"] for item in found["items"])
    assert found["associate_id"] == associate
    listed = client.get(f"/v1/associates/{associate}/answers").json()["answers"]
    assert listed[0]["request_id"] == given["request_id"]
    assert listed[0]["pages"] == [item["title"] for item in given["items"]]


def test_pages_are_found_named_and_opened(served):
    client, service = served
    catalogue = service.engine.catalogue
    title, page_id = catalogue.titles[0], catalogue.page_ids[0]
    found = client.get("/v1/pages", params={"query": title.upper(), "limit": 100}).json()
    assert page_id in [page["page_id"] for page in found["pages"]]
    assert found["total"] >= len(found["pages"])
    named = client.get("/v1/pages", params={"ids": [page_id, "nowhere"], "query": "ignored"}).json()
    assert [page["title"] for page in named["pages"]] == [title]
    detail = client.get(f"/v1/pages/{page_id}").json()
    scores = [page["score"] for page in detail["similar"]]
    assert scores == sorted(scores, reverse=True)
    assert page_id not in [page["page_id"] for page in detail["similar"]]


def test_what_an_associate_did_is_seen_and_forgotten(client):
    row = {"associate_id": "north/17", "page_id": "P00001", "event_type": "view", "timestamp": 1_700_000_000}
    assert client.get("/v1/associates/north/17").json()["known"] is False
    client.post("/v1/events", json={"events": [row, {**row, "event_type": "complete"}]})
    found = client.get("/v1/associates/north/17").json()
    assert (found["known"], found["opened"], found["completed"]) == (True, 1, 1)
    assert found["latest"] == 1_700_000_000
    assert [page["page_id"] for page in found["history"]] == ["P00001"]
    client.delete("/v1/associates/north/17")
    assert client.get("/v1/associates/north/17").json()["known"] is False


def test_who_asked_to_be_forgotten_is_not_listed(client):
    first = client.get("/v1/associates?limit=1").json()["associates"][0]["associate_id"]
    assert client.get("/v1/associates", params={"query": first}).json()["associates"]
    client.delete(f"/v1/associates/{first}")
    assert first not in str(client.get("/v1/associates?limit=100").json())
    assert client.get("/v1/associates", params={"query": first}).json()["associates"] == []


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("/v1/pages/nowhere", 404, "page_id"),
        ("/v1/pages?limit=0", 400, "limit"),
        ("/v1/pages?limit=x", 400, "limit"),
        ("/v1/answers/nothing", 404, "request_id"),
        ("/v1/releases/20260101T000000-abcdef", 404, "no such release"),
        ("/v1/releases/..%2Fcurrent", 404, ""),
        ("/v1/releases/20260101T000000-abcdef/reports/evaluation", 404, "no such release"),
        ("/v1/releases/20260101T000000-abcdef/reports/secrets", 400, "kind"),
    ],
)
def test_what_is_not_there_is_said_plainly(client, path, status, words):
    answer = client.get(path)
    assert (answer.status_code, words in answer.json()["error"]) == (status, True), answer.text


def test_publishing_moves_the_pointer_but_not_for_a_foreign_page(home, client, tmp_path):
    copy = copy_home(home, tmp_path / "home")
    older = current(copy).name
    newer = next_release(copy, reports={"evaluation": "<p>well</p>"}).name
    mine, service = client_of(copy, load(copy), None)
    foreign = mine.post(f"/v1/releases/{older}:publish", headers={"sec-fetch-site": "cross-site"})
    assert foreign.status_code == 403
    assert current(copy).name == newer
    answer = mine.post(f"/v1/releases/{older}:publish", headers={"sec-fetch-site": "same-origin"})
    assert answer.json() == {"release": older, "previous": newer}
    assert current(copy).name == older
    listed = {
        one["name"]: (one["current"], one["serving"]) for one in mine.get("/v1/releases").json()["releases"]
    }
    # Nobody watches the pointer here, so the engine stays.
    assert listed == {newer: (False, True), older: (True, False)}
    assert mine.get(f"/v1/releases/{newer}").json()["reports"] == ["evaluation", "embeddings"]
    report = mine.get(f"/v1/releases/{newer}/reports/evaluation")
    assert report.text == "<p>well</p>"
    assert report.headers["content-security-policy"].startswith("sandbox;")
    service.stop()


def test_a_home_that_is_only_read_keeps_its_release(home, tmp_path, monkeypatch):
    copy = copy_home(home, tmp_path / "home")
    older = current(copy).name
    newer = next_release(copy).name
    client, service = client_of(copy, load(copy), None)

    def read_only(path, *_, **__):
        raise OSError(errno.EROFS, "Read-only file system", str(path))

    monkeypatch.setattr(Path, "symlink_to", read_only)
    answer = client.post(f"/v1/releases/{older}:publish")
    assert (answer.status_code, current(copy).name) == (409, newer)
    assert "components.rollout rollback" in answer.json()["error"]
    assert str(tmp_path) not in answer.text
    service.stop()


def test_what_if_another_release_answered(small_release, tmp_path):
    copy = copy_home(small_release, tmp_path / "home")
    older = load(copy)
    first, service = client_of(None, older, None)
    question = {"associate_id": service.engine.examples()[0], "limit": 5, "context": {"time": 1_790_000_000}}
    before = first.post("/v1/what-if", json={"instance": question}).json()
    service.stop()
    assert before["release"] == older.name
    best = before["items"][0]["page_id"]

    def retire(pages: pl.DataFrame) -> pl.DataFrame:
        return pages.with_columns(retired=(pl.col("page_id") == best) | pl.col("retired").fill_null(False))

    newer = next_release(copy, pages=retire)
    client, service = client_of(copy, load(copy), open_store(str(copy / "store" / "events.sqlite")))
    now = client.post("/v1/what-if", json={"instance": question}).json()
    assert now["release"] == newer.name
    assert best not in [item["page_id"] for item in now["items"]]
    # The release before answers as it did, and says what moved each page.
    again = client.post("/v1/what-if", json={"instance": question, "release": older.name}).json()
    assert [item["page_id"] for item in again["items"]] == [item["page_id"] for item in before["items"]]
    assert [item["contributions"] for item in again["items"]] == [
        item["contributions"] for item in before["items"]
    ]
    # Nothing of it is kept, and the one that answers is the same.
    service._recorder.stop()
    assert client.get(f"/v1/associates/{question['associate_id']}/answers").json()["answers"] == []
    assert service.engine.name == newer.name
    # Rules in force hold for it too, and what happened since is seen.
    told = {"associate_id": question["associate_id"], "page_id": again["items"][1]["page_id"]}
    told |= {"event_type": "view", "timestamp": 1_789_999_000}
    assert client.post("/v1/events", json={"events": [told]}).status_code == 202
    service.set_rules(b'{"blocks": [{"name": "no", "pages": {"ids": ["%s"]}}]}' % best.encode(), None)
    ruled = client.post("/v1/what-if", json={"instance": question, "release": older.name}).json()
    assert not {best, told["page_id"]} & {item["page_id"] for item in ruled["items"]}

    for name, status in (("20200101T000000-abcdef", 404), ("../current", 404), ("x" * 65, 400)):
        answer = client.post("/v1/what-if", json={"instance": question, "release": name})
        assert answer.status_code == status, answer.text
    service.stop()


def test_a_damaged_release_answers_nothing(home, tmp_path):
    copy = copy_home(home, tmp_path / "home")
    older, _ = load(copy), next_release(copy)
    victim = older.root / "ranker" / "weights.npz"
    victim.write_bytes(victim.read_bytes()[:-1] + b"x")
    client, service = client_of(copy, load(copy), None)
    answer = client.post("/v1/what-if", json={"release": older.name})
    assert answer.status_code == 409
    assert str(tmp_path) not in answer.text
    assert client.post("/v1/what-if", json={}).status_code == 200
    service.stop()


def test_without_home_and_store_their_parts_say_so(home):
    client, service = client_of(None, load(home), None)
    about = client.get("/v1/about").json()
    assert (about["home"], about["store"]) == (False, False)
    for path in ("/v1/releases", "/v1/findings", "/v1/answers/x", "/v1/associates/A/answers"):
        answer = client.get(path)
        assert answer.status_code == 404
        assert answer.json()["error"].startswith("this server has")
    assert client.get("/v1/metrics").json()["store_down"] is None
    service.stop()
