"""A simulated KServe controller in Knative mode: revisions, traffic, status, each with its own delay.

Written after KServe's ksvc reconciler and ``PropagateStatus``, so that what is awkward there is awkward here:
the "latest" target follows the latest *ready* revision; without a percentage it has everything; annotations
of the InferenceService become part of the revision's template unless KServe is told otherwise.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.components.rollout.kube import ApiServer

MODE = "serving.kserve.io/deploymentMode"


@dataclass
class Revision:
    name: str
    uri: str
    ready_at: float | None
    ready: bool = False


@dataclass
class KServe:
    """``start_seconds`` says how long a release takes to be ready, None that it never is."""

    api: ApiServer
    random: random.Random
    start_seconds: Callable[[str], float | None] = lambda uri: 20.0
    lag: float = 3.0
    status_lag: float = 5.0
    annotations_in_template: bool = False
    torn: bool = False
    """Knative's route and configuration report by themselves: traffic may come before revisions."""
    revisions: list[Revision] = field(default_factory=list)
    targets: list[dict[str, Any]] = field(default_factory=list)
    created: Revision | None = None
    latest: Revision | None = None
    applied: Any = None
    seen: Any = None
    due: float = 0.0
    pending: list[tuple[float, dict[str, Any]]] = field(default_factory=list)
    snapshot: dict[str, Any] | None = None

    def tick(self, now: float) -> None:
        """Do what is due by now."""
        with self.api.lock:
            wanted = (self.api.object["spec"], self.api.object["metadata"]["annotations"])
            if wanted != self.seen:
                self.seen, self.due = wanted, now + self.random.uniform(0, self.lag)
            if now >= self.due:
                self._reconcile(now)
            for revision in self.revisions:
                if not revision.ready and revision.ready_at is not None and now >= revision.ready_at:
                    revision.ready = True
            ready = [revision for revision in self.revisions if revision.ready]
            if ready:
                self.latest = ready[-1]
            self._report(now)

    def _predictor(self) -> dict[str, Any]:
        return self.api.object.get("status", {}).get("components", {}).get("predictor", {})

    def _reconcile(self, now: float) -> None:
        spec, annotations = self.seen
        predictor = dict(spec["predictor"])
        percent = predictor.pop("canaryTrafficPercent", None)
        template = [predictor, annotations if self.annotations_in_template else {}]
        if template != self.applied:
            self.applied = template
            uri = predictor["model"]["storageUri"]
            wait = self.start_seconds(uri)
            name = f"{self.api.key[1]}-predictor-{len(self.revisions) + 1:05d}"
            self.created = Revision(name, uri, None if wait is None else now + wait)
            self.revisions.append(self.created)
        rolledout = self._predictor().get("latestRolledoutRevision", "")
        if percent is None or not rolledout:
            self.targets = [{"latestRevision": True, "percent": 100}]
            return
        self.targets = [{"latestRevision": True, "percent": percent}]
        if percent < 100:
            previous = {
                "revisionName": rolledout,
                "latestRevision": False,
                "percent": 100 - percent,
                "tag": "prev",
            }
            self.targets.append(previous)

    def traffic(self) -> list[dict[str, Any]]:
        """The route, resolved to revisions."""
        if self.latest is None:
            return []
        return [{"revisionName": self.latest.name, **target} for target in self.targets]

    def shares(self) -> dict[str, float]:
        """Per cent of the real traffic by storageUri."""
        by_name = {revision.name: revision.uri for revision in self.revisions}
        shares: dict[str, float] = {}
        for target in self.traffic():
            uri = by_name[target["revisionName"]]
            shares[uri] = shares.get(uri, 0) + target["percent"]
        return shares

    def _report(self, now: float) -> None:
        found = {
            "created": self.created.name if self.created else None,
            "ready": self.latest.name if self.latest else None,
            "traffic": self.traffic(),
        }
        if found != self.snapshot:
            before, self.snapshot = self.snapshot, found
            if before and self.torn:
                self._later(now, {**before, "traffic": found["traffic"]})
            self._later(now, found)
        while self.pending and now >= self.pending[0][0]:
            self._propagate(self.pending.pop(0)[1])

    def _later(self, now: float, found: dict[str, Any]) -> None:
        earliest = self.pending[-1][0] if self.pending else now
        self.pending.append((max(earliest, now + self.random.uniform(0, self.status_lag)), found))

    def _propagate(self, found: dict[str, Any]) -> None:
        status = dict(self._predictor())
        status["latestCreatedRevision"] = found["created"]
        total: dict[str, int] = {}
        for target in found["traffic"]:
            total[target["revisionName"]] = total.get(target["revisionName"], 0) + target["percent"]
        for target in found["traffic"]:
            if target["revisionName"] == found["ready"] and target["latestRevision"]:
                if status.get("latestRolledoutRevision") != found["ready"]:
                    if target["percent"] == 100:
                        status["previousRolledoutRevision"] = status.get("latestRolledoutRevision", "")
                        status["latestRolledoutRevision"] = found["ready"]
                elif (
                    found["ready"] == found["created"]
                    and target["percent"] < 100
                    and total[found["ready"]] == 100
                    and status.get("previousRolledoutRevision")
                ):
                    status["latestRolledoutRevision"] = status["previousRolledoutRevision"]
        status |= {"latestReadyRevision": found["ready"], "traffic": found["traffic"]}
        ready = "True" if found["ready"] == found["created"] else "Unknown"
        mode = self.api.object["metadata"]["annotations"].get(MODE, "Standard")
        before = self._predictor().get("latestRolledoutRevision")
        self.api.set_status(
            {
                "deploymentMode": mode,
                "components": {
                    "predictor": {name: value for name, value in status.items() if value not in (None, "")}
                },
                "conditions": [{"type": "PredictorReady", "status": ready}],
            }
        )
        if before != status.get("latestRolledoutRevision"):
            # The route depends on it: reconcile again.
            self.due = 0.0


def json_state(api: ApiServer) -> dict[str, Any]:
    return json.loads(api.object["metadata"]["annotations"]["rollout.waymark.dev/state"])
