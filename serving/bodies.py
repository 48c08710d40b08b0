"""Reads a request's JSON as strictly as the REST contract has it."""

from __future__ import annotations

import json
from typing import Any

import orjson

from serving.errors import RequestError

MOST_DEEP = 32


def read_json(body: bytes) -> Any:
    """Parse JSON that any two readers would take for the same.

    Parameters
    ----------
    body : bytes
        UTF-8.

    Raises
    ------
    RequestError
        Not JSON (RFC 8259: no NaN, no infinity, valid UTF-8), nested deeper than ``MOST_DEEP``, or
        an object names a field twice.

    Examples
    --------
    >>> read_json(b'{"a": [1, "x:y"]}')
    {'a': [1, 'x:y']}
    >>> read_json(b'{"a": 1, "a": 2}')
    Traceback (most recent call last):
    serving.errors.RequestError: body: a field is named twice
    """
    try:
        payload = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise RequestError("body: not JSON") from error
    if body.count(b"[") + body.count(b"{") > MOST_DEEP:
        _check_depth(payload)
    # orjson keeps the last of two fields of one name. Then colons are missing when it writes the
    # document anew, unless others were escaped before: counting is fast, and nearly always enough.
    if b"\\" in body or body.count(b":") != orjson.dumps(payload).count(b":"):
        json.loads(body, object_pairs_hook=_unique)
    return payload


def _check_depth(payload: Any) -> None:
    level, depth = [payload], 0
    while level := [one for one in level if isinstance(one, dict | list)]:
        depth += 1
        if depth > MOST_DEEP:
            raise RequestError(f"body: nested deeper than {MOST_DEEP} levels")
        level = [child for one in level for child in (one.values() if isinstance(one, dict) else one)]


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise RequestError("body: a field is named twice")
    return found
