"""Which releases the cluster serves, or would go back to: these are never deleted."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import structlog
import urllib3
from kubernetes import client

from components.contract.errors import ClusterError
from components.contract.inference_service import (
    FINAL,
    GROUP,
    PLURAL,
    VERSION,
    Target,
    connect,
    state_of,
    view_of,
)
from components.contract.release import is_name
from components.contract.settings import section

log = structlog.get_logger()


def served(settings: Mapping[str, Any] | None, api: client.ApiClient | None = None) -> set[str] | None:
    """Names of the releases that the cluster needs.

    These are, of every InferenceService in the namespace, the release of its ``storageUri`` and the stable
    and the canary one of its last rollout: a rollback by hand goes back to them.

    Parameters
    ----------
    settings : mapping or None
        The pipeline's; of the section ``rollout``, ``storage`` and ``namespace`` are read.
    api : kubernetes.client.ApiClient, optional

    Returns
    -------
    set of str or None
        Empty where there is no cluster: no ``rollout.storage``, and no pod around this process. None when it
        cannot be known: the API does not answer, or a service is between two revisions and its status does
        not say which release the older one serves.
    """
    target = section(settings, "rollout", Target)
    if not target.storage and "KUBERNETES_SERVICE_HOST" not in os.environ:
        return set()
    try:
        with api or connect() as opened:
            listed = client.CustomObjectsApi(opened).list_namespaced_custom_object(
                GROUP, VERSION, target.namespace, PLURAL, _request_timeout=(5, 30)
            )
        return {name for service in listed["items"] for name in _needed(service, target.service)}
    except (ClusterError, client.ApiException, urllib3.exceptions.HTTPError) as error:
        if isinstance(error, client.ApiException) and error.status == 404:
            # KServe is not installed: nothing is served.
            return set()
        said = f"{error.status} {error.reason}" if isinstance(error, client.ApiException) else str(error)
        log.warning("release.served_unknown", namespace=target.namespace, reason=said)
        return None


def _needed(service: Mapping[str, Any], ours: str) -> set[str]:
    view, state = view_of(service), state_of(service)
    uris = [view.uri or "", *((state.stable, state.canary) if state else ())]
    names = {name for uri in uris if is_name(name := uri.rstrip("/").rpartition("/")[2])}
    name = service["metadata"]["name"]
    if name != ours and not names:
        # A model of somebody else.
        return set()
    moving = state is not None and state.phase not in FINAL and view.uri in (state.stable, state.canary)
    # Outside Knative there are no revisions to see, and no rollouts: readiness is all that is told.
    at_rest = view.whole if view.mode == "Knative" else view.ready_now
    if (view.uri or view.ready) and not (moving or at_rest):
        raise ClusterError(
            f"{name} is between two revisions; its status does not say what the older one serves"
        )
    return names
