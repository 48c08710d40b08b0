"""The KServe model: V1 and V2 in, the engine's answers out."""

from __future__ import annotations

import time
from typing import Any

import orjson
import structlog
from kserve import InferOutput, InferRequest, InferResponse, Model, ModelServer

from serving.auth import only_own
from serving.batching import Batcher
from serving.bodies import read_json
from serving.errors import RequestError
from serving.ids import new_id
from serving.metrics import AnswerMetrics, recommend_seconds
from serving.payloads import parse_instances
from serving.service import Service
from serving.settings import ServingSettings
from serving.wire import BoundedProtocol

log = structlog.get_logger()
NAME = "waymark"
# V2 tensors: the same JSON as V1, an element for each instance.
_INPUTS = [{"name": "instances", "datatype": "BYTES", "shape": [-1]}]
_OUTPUTS = [{"name": "predictions", "datatype": "BYTES", "shape": [-1]}]


class Recommender(Model):
    """Recommends pages.

    Parameters
    ----------
    service : Service
    settings : ServingSettings
    """

    def __init__(self, service: Service, settings: ServingSettings):
        super().__init__(NAME)
        self._settings = settings
        self._metrics = AnswerMetrics()
        self._recommend = Batcher(service.recommend)
        self.ready = False

    def load(self) -> bool:
        """Become ready: the service has answered a request of its own."""
        self.ready = True
        return self.ready

    def get_input_types(self) -> list[dict[str, Any]]:
        """Inputs of the V2 protocol, for its metadata."""
        return _INPUTS

    def get_output_types(self) -> list[dict[str, Any]]:
        """Outputs of the V2 protocol, for its metadata."""
        return _OUTPUTS

    async def predict(
        self, payload: dict[str, Any] | InferRequest, headers: dict[str, str] | None = None, *_: Any
    ) -> dict[str, Any] | InferResponse:
        """Answer a V1 body or a V2 request.

        Raises
        ------
        RequestError
            Names the field at fault.
        """
        started = time.monotonic()
        v2 = isinstance(payload, InferRequest)
        instances = parse_instances(_from_v2(payload) if v2 else payload, self._settings)
        only_own([instance.associate_id for instance in instances], "instances")
        answers = await self._recommend(instances, started)
        # The release that answered: another may be current by now.
        recommend_seconds(answers[0]["release"]).observe(time.monotonic() - started)
        self._metrics.add(answers)
        log.debug("predicted", instances=len(answers))
        return _to_v2(payload, answers) if v2 else {"predictions": answers}


class Server(ModelServer):
    """KServe's server at an address of choice (its own is always 0.0.0.0), without its access log.

    Parameters
    ----------
    host : str
    port : int
    """

    def __init__(self, host: str, port: int):
        super().__init__(http_port=port, workers=1, enable_grpc=False, enable_latency_logging=False)
        self._host = host

    async def _serve(self) -> None:
        self._rest_server.config.host = self._host
        self._rest_server.config.http = BoundedProtocol
        # KServe's middleware names each request by walking all routes, for a log that is off.
        self._rest_server._add_middlewares = lambda app: None
        await super()._serve()


def _from_v2(request: InferRequest) -> dict[str, Any]:
    """Instances of a V2 request: a BYTES tensor ``instances``, each element one instance as JSON."""
    tensors = {tensor.name: tensor for tensor in request.inputs}
    if set(tensors) != {"instances"} or tensors["instances"].datatype != "BYTES":
        raise RequestError(
            'inputs: one BYTES tensor named "instances" is expected, an instance as JSON in each element'
        )
    try:
        elements = tensors["instances"].as_numpy().ravel().tolist()
    except (ValueError, TypeError) as error:
        raise RequestError("inputs.instances: its data does not fill its shape") from error
    instances = []
    for i, element in enumerate(elements):
        try:
            instances.append(read_json(element.encode() if isinstance(element, str) else bytes(element)))
        except RequestError as error:
            raise RequestError(f"inputs.instances[{i}]: {str(error).removeprefix('body: ')}") from error
        except (TypeError, UnicodeEncodeError) as error:
            raise RequestError(f"inputs.instances[{i}]: not JSON") from error
    return {"instances": instances}


def _to_v2(request: InferRequest, answers: list[dict[str, Any]]) -> InferResponse:
    data = [orjson.dumps(answer).decode() for answer in answers]
    tensor = InferOutput("predictions", [len(answers)], "BYTES", data)
    return InferResponse(request.id or new_id(), NAME, [tensor])
