import hashlib

import numpy as np
import pytest
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.testclient import TestClient

from serving import http
from serving.errors import RequestError
from serving.rules.check import warnings
from serving.rules.policy import Policy
from serving.rules.routes import routes
from serving.rules.rules import parse_rules

SCORES = np.array([0.4, 0.3, 0.2, 0.1], np.float32)


class Host:
    """Keeps the document in memory and ranks four pages by fixed scores."""

    def __init__(self, pages, asks, allowed_before):
        self.pages, self.asks, self.allowed_before = pages, asks, allowed_before
        self.document = b"{}"

    def _version(self):
        return hashlib.sha256(self.document).hexdigest()[:16]

    def rules(self):
        return parse_rules(self.document), self._version()

    def set_rules(self, document, expected):
        if expected not in (None, self._version()):
            raise RequestError("If-Match: the rules were changed meanwhile; read them again", 412)
        self.document = document
        return self._version()

    def compile(self, rules):
        return Policy(rules, self.pages)

    def warnings(self, rules):
        return warnings(rules, self.pages, {"role": ["cashier"]})

    def preview(self, instance, policy=None):
        assert instance.explain
        policy = policy or self.compile(self.rules()[0])
        request = self.asks(time=instance.context.time, role=instance.context.role or "")
        allowed = self.allowed_before(self.pages, request)
        rulings = policy(request, [{}])
        rulings.allow(allowed)
        candidates = np.flatnonzero(allowed[0]).astype(np.int32)
        found = rulings.arrange(0, candidates, SCORES[candidates], instance.limit)
        items = [
            {"page_id": f"P{candidates[at]}", "title": f"Page {candidates[at]}", "moves": found.moves[place]}
            for place, at in enumerate(found.order)
        ]
        return {"items": items}


@pytest.fixture
def client(pages_of, asks, allowed_before):
    app = FastAPI()
    app.add_exception_handler(RequestError, http.request_error)
    app.add_exception_handler(RequestValidationError, http.validation_error)
    app.include_router(routes(Host(pages_of([{}] * 4), asks, allowed_before)))
    return TestClient(app)


PIN = {"pins": [{"page": "P3", "from": "2026-01-01T00:00:00Z", "audience": {"roles": ["cashier"]}}]}


def test_rules_are_read_as_they_were_written(client):
    before = client.get("/v1/rules")
    assert (before.status_code, before.json()) == (200, {})
    written = client.put("/v1/rules", json=PIN)
    assert written.status_code == 200
    assert written.json() == {"version": written.headers["etag"].strip('"'), "warnings": []}
    after = client.get("/v1/rules")
    assert after.json() == PIN
    assert after.headers["etag"] == written.headers["etag"] != before.headers["etag"]


def test_of_two_editors_the_second_is_refused(client):
    etag = client.get("/v1/rules").headers["etag"]
    assert client.put("/v1/rules", json=PIN, headers={"if-match": etag}).status_code == 200
    late = client.put("/v1/rules", json={}, headers={"if-match": etag})
    assert late.status_code == 412
    assert late.json()["error"].startswith("If-Match: ")
    assert client.get("/v1/rules").json() == PIN
    assert client.put("/v1/rules", json={}, headers={"if-match": "*"}).status_code == 200


def test_bad_rules_are_refused_and_change_nothing(client):
    bad = client.put("/v1/rules", json={"boosts": [{"pages": {"ids": ["P1"]}, "factor": -1}]})
    assert (bad.status_code, bad.json()["error"].split(": ")[0]) == (400, "boosts[0].factor")
    assert (
        client.put("/v1/rules", content=b"{", headers={"content-type": "application/json"}).status_code == 400
    )
    assert client.get("/v1/rules").json() == {}


def test_unknown_names_are_warnings(client):
    answer = client.put("/v1/rules", json={"pins": [{"page": "P9", "audience": {"roles": ["pilot"]}}]}).json()
    assert answer["warnings"] == ["pins[0].page: no page 'P9'", "pins[0].audience.roles: no role 'pilot'"]


def test_a_preview_shows_what_would_move_and_changes_nothing(client):
    rules = PIN | {"blocks": [{"name": "recall", "pages": {"ids": ["P0"]}}]}
    instance = {"limit": 2, "context": {"role": "cashier", "time": "2026-11-24T08:00:00Z"}}
    answer = client.post("/v1/rules/preview", json={"rules": rules, "instance": instance}).json()
    assert [item["page_id"] for item in answer["before"]["items"]] == ["P0", "P1"]
    assert [item["page_id"] for item in answer["after"]["items"]] == ["P3", "P1"]
    pin = [{"rule": "pins[0]", "effect": "pinned to 1"}]
    assert answer["moves"] == [
        {"page_id": "P3", "title": "Page 3", "before": None, "after": 1, "rules": pin},
        {"page_id": "P0", "title": "Page 0", "before": 1, "after": None, "rules": []},
    ]
    assert answer["warnings"] == []
    assert client.get("/v1/rules").json() == {}
    # Without a time both answers are of now.
    assert client.post("/v1/rules/preview", json={"rules": rules}).status_code == 200


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "rules"),
        ({"rules": {}, "instance": {"limit": 0}}, "instance.limit"),
        ({"rules": {"topics": {"most": 0}}}, "rules.topics.most"),
        ({"rules": {}, "x": 1}, "x"),
    ],
)
def test_a_bad_preview_names_the_field(client, body, field):
    answer = client.post("/v1/rules/preview", json=body)
    assert (answer.status_code, answer.json()["error"].split(": ")[0]) == (400, field)


def test_the_document_is_described(client):
    paths = client.get("/openapi.json").json()["paths"]
    body = paths["/v1/rules"]["put"]["requestBody"]["content"]["application/json"]["schema"]
    assert body == {"$ref": "#/components/schemas/Rules"}
