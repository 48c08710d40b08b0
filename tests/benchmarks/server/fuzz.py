"""Sends the server what nobody would, in numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.support.fuzz import follow_document, send_anything
from tests.support.running import serving

_BATCH = 1000
# Of each operation, in one run of schemathesis.
_EXAMPLES = 60


def fuzz(home: Path, folder: Path, requests: int, tell: Any) -> dict[str, Any]:
    """Three of four requests as bodies of predict, infer and events; the others after the OpenAPI document.

    Returns
    -------
    dict
        Requests sent, answers by status, and the text of each failure.
    """
    statuses: dict[str, int] = {}
    failures: list[str] = []
    sent = followed = 0
    store = ["--store", str(folder / "events.sqlite"), "--log-level", "warning"]
    with serving(home, folder / "log", *store) as server:
        with server.client() as client:
            while sent < requests * 3 // 4 and not failures:
                try:
                    found = send_anything(client, min(_BATCH, requests), start=sent)
                except AssertionError as error:
                    failures.append(str(error)[:5000])
                    break
                sent += sum(found.values())
                for status, count in found.items():
                    statuses[str(status)] = statuses.get(str(status), 0) + count
                tell(f"fuzzing: {sent:,} bodies, {statuses}")
        while followed < requests - sent and len(failures) < 3:
            count, failed = follow_document(server.url, min(_EXAMPLES, requests), followed, folder)
            followed += count
            if failed:
                failures.append(failed)
            tell(f"fuzzing: {followed:,} requests after the document")
        log = (folder / "log").read_text()
        if "request failed" in log:
            failures.append(log[-5000:])
        memory = server.rss(peak=True) / 1e6
    return {
        "bodies": sent,
        "after_the_document": followed,
        "statuses": statuses,
        "rss_mb": round(memory),
        "failures": failures,
    }
