"""Roll the current release out, to its end."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import structlog

from components.contract.errors import ReleaseError
from components.contract.inference_service import Phase, State, connect
from components.contract.notify import WEBHOOK
from components.contract.release import current, publish
from components.contract.settings import section
from components.rollout.cluster import Cluster
from components.rollout.driver import Rollout
from components.rollout.errors import RolloutError
from components.rollout.machine import Start
from components.rollout.metrics import Prometheus, release_of
from components.rollout.notify import message, notify
from components.rollout.settings import RolloutSettings

log = structlog.get_logger()


def make_rollout(settings: RolloutSettings) -> Rollout:
    """A rollout on the cluster that this process can reach.

    The URL of the webhook is a secret: it comes from the environment, ``WAYMARK_WEBHOOK_URL``.
    """
    cluster = Cluster(connect(), settings.namespace, settings.service, patience=settings.api_patience_seconds)
    return Rollout(
        cluster,
        Prometheus(settings.prometheus),
        settings,
        tell=lambda state: notify(os.environ.get(WEBHOOK), state, cluster.name),
    )


def run(
    home: Path | str,
    *,
    kind: str,
    run_id: str,
    settings: Mapping[str, Any] | None = None,
    rollout: Rollout | None = None,
) -> dict[str, float | int | str]:
    """Put HOME's current release before a share of the traffic, watch it, and promote it.

    Run again with the same ``run_id`` it goes on where it stopped. If the release is taken back, HOME's
    pointer goes back too: the next run is compared with the release that people get.

    Parameters
    ----------
    home : Path or str
        Folder of the releases.
    kind : {"daily", "weekly", "monthly"}
        Pipeline that it ends; one that ``rollout.kinds`` lacks rolls nothing out.
    run_id : str
        Pipeline run.
    settings : mapping, optional
        The section ``rollout`` is read; without its ``storage`` nothing is rolled out.
    rollout : Rollout, optional
        Tests give their own.

    Returns
    -------
    dict
        ``release``; ``phase``: promoted, skipped (by the settings), served (it has all traffic already)
        or superseded (a newer run released while this one waited for its turn); ``steps`` observed;
        ``seconds``.

    Raises
    ------
    RolloutError
        The release was taken back, or the rollout is held or refused; the message says why.
    """
    chosen = section(settings, "rollout", RolloutSettings)
    release = current(home)
    if release is None:
        raise ReleaseError(f"{home} holds no release to roll out; run the bootstrap pipeline first")
    if not chosen.storage or kind not in chosen.kinds:
        why = f"rollout.kinds lacks {kind}" if chosen.storage else "rollout.storage is empty"
        return _spared(release.name, "skipped", f"settings.{why}")
    started = time.perf_counter()
    rollout = rollout or make_rollout(chosen)
    uri = f"{chosen.storage.rstrip('/')}/releases/{release.name}"
    found = rollout.await_turn(run_id, uri)
    if found.state is None or found.state.id != run_id:
        if (now := current(home)) is None or now.name != release.name:
            return _spared(release.name, "superseded", "a newer run has released")
        if found.view.whole and found.view.uri == uri:
            return _spared(release.name, "served", "it has all traffic already")
    rollout.act(Start(run_id, uri))
    state = rollout.drive()
    if state.phase is not Phase.PROMOTED:
        if state.phase is Phase.ROLLED_BACK:
            _point_back(home, state)
        raise RolloutError(message(state, f"{chosen.namespace}/{chosen.service}"))
    return {
        "release": release_of(state.canary),
        "phase": state.phase.value,
        "steps": len(state.steps),
        "seconds": time.perf_counter() - started,
    }


def _spared(release: str, phase: str, reason: str) -> dict[str, float | int | str]:
    log.info("rollout.not_needed", release=release, phase=phase, reason=reason)
    return {"release": release, "phase": phase, "steps": 0, "seconds": 0.0}


def _point_back(home: Path | str, state: State) -> None:
    """Make the stable release current again, where HOME has it and nothing newer was released since."""
    now = current(home)
    if now is not None and now.name == release_of(state.canary):
        try:
            publish(home, release_of(state.stable))
        except ReleaseError as error:
            log.warning("rollout.pointer_stays", release=now.name, reason=str(error))
