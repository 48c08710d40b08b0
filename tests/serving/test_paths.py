"""Ids in paths are what was sent."""

from types import SimpleNamespace

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from serving import events, http
from serving.paths import PathId
from serving.settings import ServingSettings

# What the data contract trims from ids, so that no event has it at an end.
SPACE = ["%09", "%0A", "%0B", "%0C", "%0D", "%0D%0A", "%C2%85", "%C2%A0", "%E2%80%A8"]


@pytest.fixture(scope="module")
def told():
    """A client, and the ids that its server was told to forget or to find."""
    settings, ids = ServingSettings(), []
    app = FastAPI(openapi_url=None, docs_url=None)
    http.install(app, settings, lambda: "none")
    app.include_router(events.routes(SimpleNamespace(forget=ids.append), settings))

    @app.get("/v1/associates/{associate_id:id}")
    def associate(associate_id: PathId) -> None:
        ids.append(associate_id)

    return TestClient(app), ids


@pytest.mark.parametrize("method", ["GET", "DELETE"])
@pytest.mark.parametrize("around", [*("A1" + s for s in SPACE), *(s + "A1" for s in SPACE), "A1%0C%20"])
def test_white_space_around_an_id_is_no_part_of_it(told, method, around):
    client, ids = told
    ids.clear()
    answer = client.request(method, f"/v1/associates/{around}")
    assert (answer.status_code, ids) == (400, [])
    assert answer.json()["error"].startswith("associate_id: ")


@pytest.mark.parametrize("method", ["GET", "DELETE"])
@pytest.mark.parametrize(("sent", "read"), [("A1", "A1"), ("%20A1%20", "A1"), ("north/17", "north/17")])
def test_blanks_are_trimmed(told, method, sent, read):
    client, ids = told
    ids.clear()
    assert client.request(method, f"/v1/associates/{sent}").status_code in (200, 204)
    assert ids == [read]


@pytest.mark.parametrize(("sent", "read"), [("A%00", "A\0"), ("%1FA", "\x1fA"), ("A%0AB", "A\nB")])
def test_what_older_stores_hold_can_be_forgotten(told, sent, read):
    client, ids = told
    ids.clear()
    assert client.delete(f"/v1/associates/{sent}").status_code == 204
    assert ids == [read]
    assert client.get(f"/v1/associates/{sent}").status_code == 400


@pytest.mark.parametrize("wrong", ["%20", "%0C", "x" * 257])
def test_no_id(told, wrong):
    client, _ = told
    answer = client.delete(f"/v1/associates/{wrong}")
    assert answer.status_code == 400
    assert answer.json()["error"].startswith("associate_id: ")
