"""One InferenceService of a real API server, as the simulated KServe and the tests handle the double's."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from kubernetes import client
from urllib3.exceptions import ProtocolError

from components.contract.inference_service import GROUP, PLURAL, VERSION
from tests.components.rollout.kube import Fault
from tests.support.control_plane import ControlPlane


class RealApi:
    """Stands where :class:`tests.components.rollout.kube.ApiServer` stands.

    Parameters
    ----------
    plane : ControlPlane
    token : str
        With which the rollout comes in; ``edit`` and ``set_status`` are an administrator's.
    service : dict
        The InferenceService; it is made here.
    """

    def __init__(self, plane: ControlPlane, token: str, service: dict[str, Any]):
        metadata = service["metadata"]
        self.key = (metadata["namespace"], metadata["name"])
        self.lock = threading.RLock()
        self.specs: list[tuple[str, int | None]] = []
        self.faults: Callable[[str], Fault | None] = lambda method: None
        self._plane, self._token = plane, token
        self._api = client.CustomObjectsApi(plane.client())
        self.where = (GROUP, VERSION, self.key[0], PLURAL, self.key[1])
        self._api.create_namespaced_custom_object(*self.where[:4], service)

    @property
    def object(self) -> dict[str, Any]:
        """As it is now; what is noted of it is each change of what the rollout sets."""
        found: dict[str, Any] = self._api.get_namespaced_custom_object(*self.where)
        found["metadata"].setdefault("annotations", {})
        predictor = found["spec"]["predictor"]
        spec = (predictor["model"]["storageUri"], predictor.get("canaryTrafficPercent"))
        if self.specs[-1:] != [spec]:
            self.specs.append(spec)
        return found

    def set_status(self, status: dict[str, Any]) -> None:
        """The status subresource, for the controller."""
        self._api.patch_namespaced_custom_object_status(*self.where, {"status": status})

    def edit(self, patch: dict[str, Any]) -> None:
        """Somebody else's kubectl."""
        self._api.patch_namespaced_custom_object(*self.where, patch)

    def configuration(self) -> client.Configuration:
        """Address and identity of the rollout."""
        return self._plane.configuration(self._token)

    def meet(self, method: str, call: Callable[[], Any]) -> Any:
        """Let a request of the rollout meet a fault of ``faults``, on its way there or back."""
        fault = self.faults(method)
        if fault is None:
            return call()
        if fault.kind == "status":
            refused = client.ApiException(fault.status, "injected")
            refused.headers = {"Retry-After": fault.retry_after} if fault.retry_after else {}
            raise refused
        if fault.kind == "close_after":
            call()
        raise ProtocolError("closed")

    def close(self) -> None:
        self._api.delete_namespaced_custom_object(*self.where)
        self._api.api_client.close()
