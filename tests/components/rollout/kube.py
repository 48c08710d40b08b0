"""A double of the API server: real HTTP, one kind of object, the rules that matter to a writer."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal
from urllib.parse import parse_qs, urlsplit

from kubernetes import client
from pydantic import BaseModel, ConfigDict, StrictInt, ValidationError

PATH = re.compile(r"/apis/serving\.kserve\.io/v1beta1/namespaces/([^/]+)/inferenceservices/([^/]+)")

LIST = "/apis/serving.kserve.io/v1beta1/namespaces/{}/inferenceservices"


class Closed(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Model(Closed):
    modelFormat: dict[str, str]
    runtime: str
    storageUri: str


class Predictor(Closed):
    canaryTrafficPercent: StrictInt | None = None
    minReplicas: StrictInt = 1
    model: Model


class Spec(Closed):
    predictor: Predictor


def merge(target: Any, patch: Any) -> Any:
    """RFC 7396."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merge(result.get(name), value)
    return result


class Fault(BaseModel):
    """What goes wrong with one request."""

    kind: Literal["status", "close_before", "close_after"]
    status: int = 503
    retry_after: str | None = None


class ApiServer:
    """Keeps one InferenceService, beside ``others`` in lists; ``faults`` is asked before every request."""

    def __init__(self, name: str, uri: str, mode: str | None = "Knative", namespace: str = "waymark"):
        self.key = (namespace, name)
        self.lock = threading.RLock()
        self.faults: Callable[[str], Fault | None] = lambda method: None
        self.requests: list[tuple[str, int]] = []
        self.history: list[dict[str, Any]] = []
        self.others: list[dict[str, Any]] = []
        annotations = {"serving.kserve.io/deploymentMode": mode} if mode else {}
        model = {"modelFormat": {"name": "waymark"}, "runtime": "waymark", "storageUri": uri}
        self.object: dict[str, Any] = {
            "apiVersion": "serving.kserve.io/v1beta1",
            "kind": "InferenceService",
            "metadata": {
                "name": name,
                "namespace": namespace,
                "uid": "b1a6",
                "resourceVersion": "1",
                "generation": 1,
                "annotations": annotations,
            },
            "spec": {"predictor": {"minReplicas": 1, "model": model}},
        }
        handler = type("Handler", (_Handler,), {"api": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.005}, daemon=True
        ).start()

    def configuration(self) -> client.Configuration:
        """Where it is."""
        made = client.Configuration()
        made.host, made.retries = self.url, False
        return made

    def meet(self, method: str, call: Callable[[], Any]) -> Any:
        """Faults are met here, at the server."""
        return call()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def keep(self, changed: dict[str, Any]) -> None:
        """Keep a new version of the object, if it is one."""
        if changed == self.object:
            return
        metadata = dict(changed["metadata"])
        metadata["resourceVersion"] = str(int(self.object["metadata"]["resourceVersion"]) + 1)
        metadata["generation"] = self.object["metadata"]["generation"] + (
            changed["spec"] != self.object["spec"]
        )
        # Versions are never altered in place: whoever holds one keeps it.
        self.object = {**changed, "metadata": metadata}

    def set_status(self, status: dict[str, Any]) -> None:
        """The status subresource, for the controller."""
        with self.lock:
            self.keep({**self.object, "status": status})

    def edit(self, patch: dict[str, Any]) -> None:
        """Somebody else's kubectl."""
        with self.lock:
            self.keep(merge(self.object, patch))

    def patch(self, body: dict[str, Any], query: dict[str, list[str]]) -> tuple[int, dict[str, Any]]:
        """A merge patch, as the API server handles one."""
        version = body.get("metadata", {}).get("resourceVersion")
        if version is not None and version != self.object["metadata"]["resourceVersion"]:
            return 409, _status(
                409, "Conflict", "the object has been modified; please apply your changes to it"
            )
        body = {name: value for name, value in body.items() if name != "status"}
        changed = merge(self.object, body)
        for name in ("name", "namespace", "uid", "generation", "resourceVersion"):
            changed["metadata"][name] = self.object["metadata"][name]
        try:
            Spec.model_validate(changed["spec"])
        except ValidationError as error:
            found = error.errors()[0]
            unknown = found["type"] == "extra_forbidden"
            if not unknown or query.get("fieldValidation") == ["Strict"]:
                code = 400 if unknown else 422
                return code, _status(code, "Invalid", f"{'.'.join(map(str, found['loc']))}: {found['msg']}")
        if any(not isinstance(value, str) for value in changed["metadata"].get("annotations", {}).values()):
            return 422, _status(422, "Invalid", "metadata.annotations: strings are expected")
        if query.get("dryRun") == ["All"]:
            return 200, changed
        self.history.append({"body": body, "spec": changed["spec"]})
        self.keep(changed)
        return 200, self.object


def _status(code: int, reason: str, message: str) -> dict[str, Any]:
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "reason": reason,
        "message": message,
        "code": code,
    }


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    api: ApiServer
    # The answer's head and body leave in two writes; without this each would wait for the other's ACK.
    disable_nagle_algorithm = True
    wbufsize = -1

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        self._serve("GET")

    def do_PATCH(self) -> None:
        self._serve("PATCH")

    def _serve(self, method: str) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        fault = self.api.faults(method)
        if fault is not None and fault.kind == "close_before":
            self.close_connection = True
            return
        if fault is not None and fault.kind == "status":
            extra = {"Retry-After": fault.retry_after} if fault.retry_after else {}
            self._answer(fault.status, _status(fault.status, "Fault", "injected"), extra)
            return
        with self.api.lock:
            code, answer = self._handle(method, body)
            answer = json.dumps(answer).encode()
        if fault is not None and fault.kind == "close_after":
            self.close_connection = True
            return
        self._answer(code, answer, {})

    def _handle(self, method: str, body: bytes) -> tuple[int, dict[str, Any]]:
        where = urlsplit(self.path)
        if method == "GET" and where.path == LIST.format(self.api.key[0]):
            return 200, {"kind": "InferenceServiceList", "items": [self.api.object, *self.api.others]}
        found = PATH.fullmatch(where.path)
        if not found or found.groups() != self.api.key:
            return 404, _status(404, "NotFound", f"{where.path} not found")
        if method == "GET":
            return 200, self.api.object
        if self.headers.get("Content-Type") != "application/merge-patch+json":
            return 415, _status(415, "UnsupportedMediaType", str(self.headers.get("Content-Type")))
        return self.api.patch(json.loads(body), parse_qs(where.query))

    def _answer(self, code: int, answer: dict[str, Any] | bytes, extra: dict[str, str]) -> None:
        raw = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        self.api.requests.append((self.command, code))
        self.send_response(code)
        for name, value in {
            "Content-Type": "application/json",
            "Content-Length": str(len(raw)),
            **extra,
        }.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(raw)
