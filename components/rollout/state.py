"""What is kept of a rollout, and what the cluster shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict


class Phase(StrEnum):
    """Where a rollout is. A service without a state has none: it is idle."""

    WAITING = "waiting"  # for the canary to be ready and to have its share
    OBSERVING = "observing"  # the canary beside the stable release
    PROMOTING = "promoting"  # for the canary to have all traffic
    PROMOTED = "promoted"
    RESTORING = "restoring"  # the canary has no traffic; for a revision of the stable release to be ready
    SETTLING = "settling"  # for that revision to have all traffic
    ROLLED_BACK = "rolled_back"
    HELD = "held"  # nothing is touched until a person decides


FINAL = {Phase.PROMOTED, Phase.ROLLED_BACK, Phase.HELD}


class State(BaseModel):
    """What is kept of a rollout, in an annotation of the InferenceService."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: Literal[1] = 1
    id: str
    phase: Phase
    stable: str
    """``storageUri`` of the release that has the traffic."""
    canary: str
    """``storageUri`` of the release that is tried."""
    stable_revision: str
    canary_revision: str | None = None
    """The newest ready one when the canary was taken back: it must not pass for a stable one."""
    previous_revision: str | None = None
    """The one before the stable one: KServe must not give it traffic."""
    percent: int | None
    """``canaryTrafficPercent`` as it was last set."""
    generation: int | None = None
    """``metadata.generation`` of the last change made here; another one is somebody else's."""
    started: float
    since: float
    """Times in epoch seconds; ``since`` is the beginning of the phase."""
    steps: tuple[tuple[int, float, float], ...] = ()
    """Each percentage so far, when it was set and since when it was seen."""
    reason: str = ""
    notified: bool = False


@dataclass(frozen=True)
class View:
    """What the InferenceService says: its spec, and in its status what KServe made of it."""

    mode: str | None
    uri: str | None
    percent: int | None
    generation: int | None = None
    created: str | None = None
    ready: str | None = None
    previous: str | None = None
    """Revisions: the newest, the newest that is ready, and the one that had all traffic before the last."""
    traffic: Mapping[str, int] = field(default_factory=dict)
    """Per cent by revision."""
    latest: int | None = None
    """Per cent of the traffic target that follows the latest ready revision."""
    failed: bool = False

    @property
    def settled(self) -> bool:
        """Whether the newest revision is ready."""
        return self.created is not None and self.created == self.ready

    @property
    def whole(self) -> bool:
        """Whether one ready revision has all traffic and no canary is set: a clean state."""
        return self.settled and self.percent is None and self.traffic.get(self.ready or "") == 100


@dataclass(frozen=True)
class Spec:
    """What the InferenceService shall say."""

    uri: str
    percent: int | None
