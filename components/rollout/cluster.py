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
from kubernetes import client

from components.contract.errors import ClusterError
from components.contract.inference_service import (
    ANNOTATION,
    GROUP,
    PLURAL,
    VERSION,
    Spec,
    State,
    View,
    state_of,
    view_of,
)
from components.rollout.errors import ConflictError

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
        self._where = (GROUP, VERSION, namespace, PLURAL, name)
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
        return Service(got["metadata"]["resourceVersion"], state_of(got), view_of(got))

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


def _retry_after(error: client.ApiException) -> float:
    try:
        return min(max(float((error.headers or {}).get("Retry-After", 0)), 0.0), _LONGEST_WAIT)
    except ValueError:
        return 0.0


def _said(error: client.ApiException) -> str:
    body = error.body.decode(errors="replace") if isinstance(error.body, bytes) else str(error.body)
    return body[:300]
