"""Tell people what happened: a webhook that takes JSON (Slack, Teams and others read ``text``)."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import httpx
import structlog

from components.contract.errors import WaymarkError

log = structlog.get_logger()
WEBHOOK = "WAYMARK_WEBHOOK_URL"
_TRIES = 3


def post(
    body: Mapping[str, Any],
    url: str | None,
    client: httpx.Client | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> bool:
    """Post JSON to the webhook; a failure is logged and breaks nothing.

    Parameters
    ----------
    body : mapping
        Its ``text`` is what people read.
    url : str or None
        A secret, which never appears in the log; without one nothing is posted.
    client : httpx.Client, optional
    sleep : callable
        Waits between tries, 1, 2 and 4 seconds.

    Returns
    -------
    bool
        Whether it was received.
    """
    if not url:
        return False
    for attempt in range(_TRIES):
        try:
            (client or httpx).post(url, json=body, timeout=10).raise_for_status()
            return True
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            # The error's text has the URL.
            log.warning("webhook.failed", attempt=attempt + 1, error=type(error).__name__)
            sleep(2.0**attempt)
    return False


@contextmanager
def told_of_failure(step: str) -> Iterator[None]:
    """Tell the webhook of :data:`WEBHOOK` of an error that a person must read; the error goes on.

    Parameters
    ----------
    step : str
        Which step fails.
    """
    try:
        yield
    except WaymarkError as error:
        post({"text": f"Waymark, {step}: {error}", "step": step}, os.environ.get(WEBHOOK))
        raise
