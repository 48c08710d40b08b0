"""Tells people how a rollout ended."""

from __future__ import annotations

import time
from collections.abc import Callable

import httpx
import structlog

from components.contract.inference_service import Phase, State
from components.contract.notify import post

log = structlog.get_logger()


def message(state: State, service: str) -> str:
    """One sentence for people."""
    what = {
        Phase.PROMOTED: f"{state.canary} has all traffic of {service}",
        Phase.ROLLED_BACK: f"{state.canary} was taken back, {state.stable} has all traffic of {service}",
        Phase.HELD: f"the rollout of {state.canary} on {service} is held and waits for a person",
    }
    return what.get(state.phase, f"{service}: {state.phase}") + (f": {state.reason}" if state.reason else "")


def notify(
    url: str | None,
    state: State,
    service: str,
    client: httpx.Client | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> bool:
    """Post a state; a failure is logged and breaks nothing.

    Returns
    -------
    bool
        Whether it was received.
    """
    text = message(state, service)
    log.info("rollout.ended", phase=state.phase, message=text)
    body = {"text": text, "service": service, "rollout": state.model_dump(mode="json")}
    return post(body, url, client, sleep)
