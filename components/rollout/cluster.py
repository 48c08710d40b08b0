"""The InferenceService over the Kubernetes API: read it, and patch it if nobody else has.

State and traffic change in one merge patch with the ``resourceVersion`` that was read, so there is no moment
between the two, and two writers cannot both succeed.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import structlog
import urllib3
from kubernetes import client, config
from pydantic import ValidationError

from components.rollout.errors import ClusterError, ConflictError
from components.rollout.state import Spec, State, View

ANNOTATION = "rollout.waymark.dev/state"
MODE = "serving.kserve.io/deploymentMode"
# Names of before KServe 0.16.
_MODES = {"Serverless": "Knative", "RawDeployment": "Standard"}
_GROUP, _VERSION, _PLURAL = "serving.kserve.io", "v1beta1", "inferenceservices"
_LONGEST_WAIT = 60.0
T = TypeVar("T")
log = structlog.get_logger()


@dataclass(frozen=True)
class Service:
    """The InferenceService as it was read."""

    version: str
    """``resourceVersion``, the lock of the next patch."""
    state: State | None
    view: View


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
    # Trying again is decided here: urllib3 would do it unseen, and not for patches.
    settings.retries = False
    return client.ApiClient(settings)


class Cluster:
    """One InferenceService.

    Parameters
    ----------
    api : kubernetes.client.ApiClient
    namespace, name : str
    patience : float
        Seconds to go on trying while the API server cannot be reached or is overloaded.
    clock, sleep : callable
        Seconds; tests give their own.
    """

    def __init__(
        self,
        api: client.ApiClient,
        namespace: str,
        name: str,
        *,
        patience: float = 1800,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ):
        self._api = client.CustomObjectsApi(api)
        self._where = (_GROUP, _VERSION, namespace, _PLURAL, name)
        self.name = f"{namespace}/{name}"
        self._patience, self._clock, self._sleep = patience, clock, sleep

    def read(self) -> Service:
        """Read spec, status and the rollout's state.

        Raises
        ------
        ClusterError
            It cannot be read, or its annotation is not ours to understand.
        """
        got = self._try(
            lambda: self._api.get_namespaced_custom_object(*self._where, _request_timeout=(5, 30))
        )
        metadata = got["metadata"]
        text = metadata.get("annotations", {}).get(ANNOTATION)
        try:
            state = State.model_validate_json(text) if text else None
        except ValidationError as error:
            raise ClusterError(
                f"annotation {ANNOTATION} of {self.name} is of another version or was edited; nothing is "
                f"touched until it is mended or removed: {error.errors()[0]['msg']}"
            ) from error
        seen = _map(_map(_map(got.get("status")).get("components")).get("predictor"))
        return Service(metadata["resourceVersion"], state, _view(got, seen))

    def write(self, service: Service, state: State, spec: Spec | None, dry_run: bool = False) -> None:
        """Write a state and, with it, a change of traffic.

        Parameters
        ----------
        service : Service
            As it was read; if it changed since, nothing is written.
        state : State
        spec : Spec or None
            None leaves the traffic alone.
        dry_run : bool
            Let the API server check the patch without keeping it.

        Raises
        ------
        ConflictError
            It changed.
        ClusterError
            It cannot be written.
        """
        body: dict[str, Any] = {
            "metadata": {
                "resourceVersion": service.version,
                "annotations": {ANNOTATION: state.model_dump_json()},
            }
        }
        if spec is not None:
            model = {"storageUri": spec.uri}
            # null removes a field in a merge patch.
            body["spec"] = {"predictor": {"canaryTrafficPercent": spec.percent, "model": model}}
        options: dict[str, Any] = {"dry_run": "All"} if dry_run else {}
        self._try(
            lambda: self._api.patch_namespaced_custom_object(
                *self._where,
                body,
                field_manager="waymark-rollout",
                field_validation="Strict",
                _request_timeout=(5, 30),
                **options,
            )
        )

    def _try(self, call: Callable[[], T]) -> T:
        """Call until it succeeds, fails for good, or patience ends. The waits grow and are random."""
        until, longest = self._clock() + self._patience, 1.0
        while True:
            try:
                return call()
            except client.ApiException as error:
                if error.status == 409:
                    raise ConflictError(f"{self.name} was changed by somebody else") from error
                if error.status != 429 and error.status < 500:
                    raise ClusterError(
                        f"{self.name}: {error.status} {error.reason}: {_said(error)}"
                    ) from error
                problem, asked = f"{error.status} {error.reason}", _retry_after(error)
            except urllib3.exceptions.HTTPError as error:
                # The patch may have been made: the next try then meets a conflict, and all is read anew.
                problem, asked = f"{type(error).__name__}", 0.0
            if self._clock() >= until:
                raise ClusterError(f"{self.name}: the API server fails for {self._patience:.0f} s: {problem}")
            wait = max(asked, random.uniform(0, longest))
            log.warning("rollout.api_failed", problem=problem, wait=round(wait, 1))
            self._sleep(wait)
            longest = min(longest * 2, _LONGEST_WAIT)


def _map(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _view(got: dict[str, Any], seen: dict[str, Any]) -> View:
    predictor, status = got["spec"]["predictor"], _map(got.get("status"))
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
        failed=conditions.get("PredictorReady") == "False",
    )


def _retry_after(error: client.ApiException) -> float:
    try:
        return min(max(float((error.headers or {}).get("Retry-After", 0)), 0.0), _LONGEST_WAIT)
    except ValueError:
        return 0.0


def _said(error: client.ApiException) -> str:
    body = error.body.decode(errors="replace") if isinstance(error.body, bytes) else str(error.body)
    return body[:300]
