"""The InferenceService: where it is, what it shows, and what is kept on it of a rollout.

``rollout`` changes it; ``release`` reads it, so as not to delete what it serves.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal

from kubernetes import client, config
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from components.contract.errors import ClusterError
from components.contract.settings import StepSettings

ANNOTATION = "rollout.waymark.dev/state"
MODE = "serving.kserve.io/deploymentMode"
GROUP, VERSION, PLURAL = "serving.kserve.io", "v1beta1", "inferenceservices"
# Names of before KServe 0.16.
_MODES = {"Serverless": "Knative", "RawDeployment": "Standard"}


class Target(StepSettings):
    """Which service the releases go to; the first part of the settings' section ``rollout``."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    service: str = Field("waymark", description="Name of the InferenceService")
    namespace: str = Field("waymark", description="Its namespace")
    storage: str = Field(
        "",
        description="Where the InferenceService finds HOME, like pvc://waymark-home; "
        "empty: no release is rolled out",
    )


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
    ready_now: bool | None = None
    """``PredictorReady``; None while it is unknown."""

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


def connect() -> client.ApiClient:
    """A client with the pod's service account, or else the kubeconfig's current context.

    Raises
    ------
    ClusterError
        There is neither.
    """
    settings = client.Configuration()
    try:
        config.load_incluster_config(settings)
    except config.ConfigException:
        try:
            config.load_kube_config(client_configuration=settings)
        except config.ConfigException as error:
            raise ClusterError(f"neither in a cluster nor a kubeconfig: {error}") from error
    # Trying again is the caller's affair: urllib3 would do it unseen, and not for patches.
    settings.retries = False
    return client.ApiClient(settings)


def state_of(got: Mapping[str, Any]) -> State | None:
    """The state of the last rollout, from an InferenceService as the API gives it.

    Raises
    ------
    ClusterError
        The annotation is not ours to understand.
    """
    metadata = got["metadata"]
    text = metadata.get("annotations", {}).get(ANNOTATION)
    try:
        return State.model_validate_json(text) if text else None
    except ValidationError as error:
        raise ClusterError(
            f"annotation {ANNOTATION} of {metadata.get('namespace')}/{metadata.get('name')} is of another "
            f"version or was edited; nothing is touched until it is mended or removed: "
            f"{error.errors()[0]['msg']}"
        ) from error


def view_of(got: Mapping[str, Any]) -> View:
    """What an InferenceService says of itself, as the API gives it."""
    predictor, status = got["spec"]["predictor"], _map(got.get("status"))
    seen = _map(_map(status.get("components")).get("predictor"))
    # The explicit annotation is asked for: a default may change with KServe's configuration.
    stated = got["metadata"].get("annotations", {}).get(MODE)
    modes = {_MODES.get(mode, mode) for mode in (stated, status.get("deploymentMode") or stated)}
    ready = seen.get("latestReadyRevision")
    targets = [target for target in seen.get("traffic") or () if target.get("percent") is not None]
    # A route by names alone follows the ready revision where it is named, but as the previous one.
    named = [one for one in targets if one.get("revisionName") == ready and one.get("tag") != "prev"]
    following = [one for one in targets if one.get("latestRevision")] or named
    traffic: dict[str, int] = {}
    for target in targets:
        name = target.get("revisionName", "")
        traffic[name] = traffic.get(name, 0) + target["percent"]
    conditions = {row["type"]: row["status"] for row in status.get("conditions") or ()}
    return View(
        mode=modes.pop() if len(modes) == 1 else " against ".join(sorted(map(str, modes))),
        uri=_map(predictor.get("model")).get("storageUri"),
        percent=predictor.get("canaryTrafficPercent"),
        generation=got["metadata"].get("generation"),
        created=seen.get("latestCreatedRevision", ready),
        ready=ready,
        previous=seen.get("previousRolledoutRevision"),
        traffic=traffic,
        latest=sum(target["percent"] for target in following) if targets else None,
        ready_now={"True": True, "False": False}.get(conditions.get("PredictorReady", "")),
    )


def _map(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
