"""Requests that nobody would send, and the server's answers to them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import httpx
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from components.contract import columns as c

PREDICT, INFER, EVENTS = "/v1/models/waymark:predict", "/v2/models/waymark/infer", "/v1/events"
# By design the schemas are wider than what is accepted: dates that are too late, rules that name no
# page, V2's texts that are no JSON. So that all which fits a schema is accepted is not among the checks.
_CHECKS = [
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "unsupported_method",
]

_TEXT = st.text(max_size=12) | st.sampled_from(
    ["A000001", "P00001", "view", "complete", "2026-10-01T00:00:00Z", "9999-12-31T23:59:59-14:00", "nan"]
)
_NAME = st.text(st.characters(min_codepoint=33), min_size=1, max_size=12)
_NUMBER = (
    st.integers()
    | st.floats()
    | st.sampled_from([1e21, -1e30, 2**31, 2**63, 1.7e9, 1_795_507_200, 253_402_300_800, 1e16, -0.0, 5e-324])
)
_JSON = st.recursive(
    st.none() | st.booleans() | _NUMBER | _TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXT, inner, max_size=3),
    max_leaves=6,
)


def _usually(usual: st.SearchStrategy, other: st.SearchStrategy = _JSON) -> st.SearchStrategy:
    """Nineteen times of twenty as usual."""
    return st.integers(0, 19).flatmap(lambda number: usual if number else other)


def _mostly(
    needed: Mapping[str, st.SearchStrategy] | None = None, **fields: st.SearchStrategy
) -> st.SearchStrategy:
    """Objects whose fields are mostly of the right kind; those that are not needed may be absent."""
    return st.fixed_dictionaries(
        {name: _usually(usual) for name, usual in (needed or {}).items()},
        optional={name: _usually(usual) for name, usual in fields.items()},
    )


_CONTEXT = _mostly(
    time=st.floats(0, 4e9) | st.integers(0, 5 * 10**12) | st.just("2026-10-01T00:00:00Z"),
    **dict.fromkeys(("role", "department", "store", "region", "shift", "locale"), _NAME),
)
_PAGES = st.lists(_NAME | st.integers(1, 80).map(lambda number: f"P{number:05d}"), max_size=5)
_INSTANCE = _mostly(
    associate_id=_NAME | st.integers(1, 150).map(lambda number: f"A{number:06d}"),
    limit=st.integers(-1, 101),
    context=_CONTEXT,
    exclude=_PAGES,
    history=_PAGES | st.lists(_mostly(page_id=_NAME, time=_NUMBER), max_size=3),
    explain=st.booleans(),
    carousels=st.booleans(),
)
_EVENT = _mostly(
    {
        c.ASSOCIATE_ID: _NAME,
        c.PAGE_ID: _NAME,
        c.EVENT_TYPE: st.sampled_from(c.EVENT_TYPES),
        c.TIMESTAMP: st.floats(0, 1.7e9) | st.integers(0, 10**10) | st.datetimes().map(str) | _TEXT,
    },
    **{
        c.EVENT_ID: _NAME,
        c.DWELL: st.floats(0, 1e4) | _NUMBER,
        c.PROGRESS: st.floats(0, 1),
        c.RATING: st.integers(1, 6),
        c.REQUEST_ID: _NAME,
        c.POSITION: st.integers(0, 9),
        c.RELEASE: _NAME,
    },
)
_TENSOR = _mostly(
    {
        "name": st.just("instances"),
        "datatype": st.just("BYTES"),
        "shape": st.just([1]),
        "data": st.tuples(_INSTANCE.map(json.dumps)),
    },
    parameters=st.dictionaries(_NAME, st.integers(), max_size=2),
)


def _body(path: str) -> st.SearchStrategy[bytes]:
    root, rows = {
        PREDICT: ("instances", _INSTANCE),
        EVENTS: ("events", _EVENT),
        INFER: ("inputs", _TENSOR),
    }[path]
    most = 1 if path == INFER else 4
    usual = st.lists(_usually(rows), min_size=1, max_size=most).map(lambda found: {root: found})
    other = st.dictionaries(st.just(root) | _TEXT, _JSON, max_size=2) | _JSON
    whole = _usually(usual, other).map(lambda found: json.dumps(found).encode())
    cut = st.tuples(whole, st.integers(1, 40)).map(lambda pair: pair[0][: -pair[1]])
    return _usually(whole, cut | st.binary(max_size=60))


_HEADERS = st.fixed_dictionaries(
    {},
    optional={
        "content-type": st.sampled_from(
            ["", "application/json", "text/plain", "application/cloudevents+json", "x"]
        ),
        "x-request-id": st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=80),
        "ce-specversion": st.just("1.0"),
        "inference-header-content-length": st.sampled_from(["0", "-1", "x"]),
        "authorization": st.sampled_from(["Bearer x", "x"]),
    },
)
_REQUESTS = st.sampled_from([PREDICT, EVENTS, PREDICT, EVENTS, INFER]).flatmap(
    lambda path: st.tuples(st.just(path), _body(path), _HEADERS)
)


def send_anything(client: httpx.Client, examples: int, start: int = 0) -> Counter[int]:
    """Post generated bodies to predict, infer and events; how many answers had which status.

    Raises
    ------
    AssertionError
        An answer is a 5xx, or no JSON, or a refusal that does not say why.
    """
    statuses: Counter[int] = Counter()

    @seed(start)
    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate, Phase.shrink],
    )
    @given(_REQUESTS)
    def send(request: tuple[str, bytes, dict[str, str]]) -> None:
        path, body, headers = request
        answer = client.post(path, content=body, headers=headers)
        statuses[answer.status_code] += 1
        assert answer.status_code < 500, (request, answer.text)
        assert answer.status_code in (200, 202, 400, 413, 422), (request, answer.text)
        assert "error" in answer.json() or answer.status_code in (200, 202, 422), (request, answer.text)

    send()
    return statuses


# Rows of events are judged one by one: where one is good, the answer is 202 and lists the others. In a
# query, a value where a list is expected is a list of one.
_CONFIGURATION = """
# A body that is too large is refused with 413, whatever is in it.
[checks]
negative_data_rejection.expected-statuses = ["4xx"]

[[operations]]
include-name = "POST /v1/events"
checks.negative_data_rejection.expected-statuses = ["202", "4xx"]

[[operations]]
include-name = "GET /v1/pages"
checks.negative_data_rejection.expected-statuses = ["200", "4xx"]
"""


def follow_document(url: str, examples: int, start: int, report: Path) -> tuple[int, str]:
    """Let schemathesis send what the OpenAPI document describes, and what it forbids.

    Parameters
    ----------
    url : str
        Of the server.
    examples : int
        Most requests for each operation.
    start : int
        Seed.
    report : Path
        Folder for what it writes.

    Returns
    -------
    requests : int
    failures : str
        Its report of them; empty if all is well.
    """
    (report / "schemathesis.toml").write_text(_CONFIGURATION)
    command = [
        Path(sys.executable).with_name("schemathesis"),
        "run", f"{url}/openapi.json", "--checks", ",".join(_CHECKS), "--phases", "fuzzing", "--no-color",
        "--max-examples", str(examples), "--seed", str(start), "--continue-on-failure", "--no-shrink",
        "--warnings", "off", "--request-timeout", "120", "--suppress-health-check", "all",
    ]  # fmt: skip
    done = subprocess.run([*map(str, command)], cwd=report, capture_output=True, text=True)
    found = re.search(r"([\d,]+) generated", done.stdout)
    assert found, done.stdout[-3000:] + done.stderr[-3000:]
    said = "\n".join(line[:500] for line in done.stdout.splitlines() if line.strip())
    return int(found[1].replace(",", "")), said if done.returncode else ""
