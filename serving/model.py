"""The KServe model: V1 and V2 in, the engine's answers out."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from uuid import uuid4

import structlog
from kserve import InferOutput, InferRequest, InferResponse, Model
from prometheus_client import Counter, Histogram

from serving.engine import Engine
from serving.errors import RequestError
from serving.payloads import parse_instances
from serving.settings import ServingSettings

log = structlog.get_logger()
NAME = "waymark"
INSTANCES = Counter("waymark_instances", "Instances answered", ["release", "fallback"])
ITEMS = Counter("waymark_items", "Pages shown, by the source that has them highest", ["release", "source"])
LATENCY = Histogram(
    "waymark_recommend_seconds",
    "Time to answer one predict call",
    ["release"],
    buckets=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 5),
)


class Recommender(Model):
    """Recommends pages from one release.

    Parameters
    ----------
    engine : Engine
    settings : ServingSettings
    """

    def __init__(self, engine: Engine, settings: ServingSettings):
        super().__init__(NAME)
        self._engine = engine
        self._settings = settings
        self.ready = False

    def load(self) -> bool:
        """Become ready once a real request has been answered."""
        self._engine.warm_up()
        self.ready = True
        return self.ready

    async def predict(
        self, payload: dict[str, Any] | InferRequest, headers: dict[str, str] | None = None, *_: Any
    ) -> dict[str, Any] | InferResponse:
        """Answer a V1 body or a V2 request.

        Raises
        ------
        RequestError
            Names the field at fault.
        """
        v2 = isinstance(payload, InferRequest)
        instances = parse_instances(_from_v2(payload) if v2 else payload, self._settings)
        try:
            with LATENCY.labels(self._engine.name).time():
                # A thread keeps the event loop free to answer liveness probes.
                answers = await asyncio.to_thread(self._engine.recommend, instances)
        except Exception as error:
            log.exception("predict failed")
            raise RequestError("internal error; the log has it under the request's id", 500) from error
        for answer in answers:
            INSTANCES.labels(self._engine.name, answer["fallback"] or "none").inc()
            for item in answer["items"]:
                ITEMS.labels(self._engine.name, item["source"]).inc()
        log.info("predicted", instances=len(answers), release=self._engine.name)
        return _to_v2(payload, answers) if v2 else {"predictions": answers}


def _from_v2(request: InferRequest) -> dict[str, Any]:
    """Instances of a V2 request: a BYTES tensor ``instances``, each element one instance as JSON."""
    tensors = {tensor.name: tensor for tensor in request.inputs}
    if set(tensors) != {"instances"} or tensors["instances"].datatype != "BYTES":
        raise RequestError(
            'inputs: one BYTES tensor named "instances" is expected, an instance as JSON in each element'
        )
    instances = []
    for i, element in enumerate(tensors["instances"].as_numpy().ravel().tolist()):
        try:
            instances.append(json.loads(element, parse_constant=_no_constant))
        except (ValueError, RecursionError) as error:
            raise RequestError(f"inputs.instances[{i}]: not JSON") from error
    return {"instances": instances}


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def _to_v2(request: InferRequest, answers: list[dict[str, Any]]) -> InferResponse:
    tensor = InferOutput("predictions", [len(answers)], "BYTES", [json.dumps(answer) for answer in answers])
    return InferResponse(request.id or uuid4().hex, NAME, [tensor])
