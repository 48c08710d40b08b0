"""The objects of one build, and the pods that they lead to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

Object = dict[str, Any]

STEP_PODS = {"workflows.argoproj.io/workflow": "any"}
GATEWAY_LABEL = "gateway.networking.k8s.io/gateway-name"
# Of Knative's queue-proxy: requests, the same over TLS, metrics for the autoscaler.
QUEUE_PROXY_PORTS = (8012, 8112, 9090)
MODE = "serving.kserve.io/deploymentMode"


class Finding(NamedTuple):
    """Something wrong: in which object, at which field, and what."""

    object: str
    field: str
    message: str

    def __str__(self) -> str:
        return f"{self.object}: {self.field}: {self.message}"


@dataclass(frozen=True)
class Pod:
    """The pod template of an object.

    Attributes
    ----------
    owner : dict
        The object that it stands in.
    path : str
        Field of its spec there.
    labels : mapping of str to str
    spec : dict
    serves : bool
        Whether it runs for good; a job ends.
    """

    owner: Object
    path: str
    labels: Mapping[str, str]
    spec: Object
    serves: bool = True

    @property
    def containers(self) -> Iterator[tuple[str, Object]]:
        """Each container with its field."""
        for name in ("initContainers", "containers"):
            for place, container in enumerate(self.spec.get(name) or []):
                yield f"{self.path}.{name}[{place}]", container

    def ports(self) -> dict[str | int, int]:
        """Ports of the containers by name and by number."""
        found: dict[str | int, int] = {}
        for _, container in self.containers:
            for port in container.get("ports") or []:
                found[port["containerPort"]] = port["containerPort"]
                if "name" in port:
                    found[port["name"]] = port["containerPort"]
        return found


def title(item: Object) -> str:
    """Kind and name, as findings show them."""
    return f"{item.get('kind')}/{(item.get('metadata') or {}).get('name')}"


def mode_of(item: Object) -> str | None:
    """How KServe deploys an InferenceService, Knative or Standard; None of what is none."""
    return (item["metadata"].get("annotations") or {}).get(MODE)


def matches(selector: Mapping[str, Any] | None, labels: Mapping[str, str]) -> bool:
    """Whether a label selector takes these labels; an empty one takes all, none at all takes none.

    >>> matches({"matchLabels": {"app": "a"}}, {"app": "a", "tier": "b"})
    True
    >>> matches({"matchExpressions": [{"key": "app", "operator": "In", "values": ["b"]}]}, {"app": "a"})
    False
    """
    if selector is None:
        return False
    if any(labels.get(key) != value for key, value in (selector.get("matchLabels") or {}).items()):
        return False
    for term in selector.get("matchExpressions") or []:
        value, values = labels.get(term["key"]), term.get("values") or []
        holds = {
            "In": value in values,
            "NotIn": value not in values,
            "Exists": value is not None,
            "DoesNotExist": value is None,
        }
        if not holds.get(term["operator"], False):
            return False
    return True


class Objects:
    """The objects of one build.

    Parameters
    ----------
    items : list of dict
    """

    def __init__(self, items: list[Object]):
        self.items = items
        self._by_name = {(item["kind"], item["metadata"]["name"]): item for item in items}
        self.pods = [pod for item in items for pod in self._pods(item)]

    def of(self, *kinds: str) -> Iterator[Object]:
        """All objects of these kinds."""
        return (item for item in self.items if item["kind"] in kinds)

    def get(self, kind: str, name: str) -> Object | None:
        """An object by kind and name."""
        return self._by_name.get((kind, name))

    def families(self) -> list[Mapping[str, str]]:
        """Labels of the pods that will run here, those of others' making among them."""
        gateways = [{GATEWAY_LABEL: gateway["metadata"]["name"]} for gateway in self.of("Gateway")]
        own = [pod.labels for pod in self.pods if pod.owner["kind"] != "ServingRuntime"]
        return [*own, STEP_PODS, *gateways]

    def claims(self) -> set[str]:
        """Names of all claims, with those that StatefulSets make."""
        found = {item["metadata"]["name"] for item in self.of("PersistentVolumeClaim")}
        for item in self.of("StatefulSet"):
            for claim in item["spec"].get("volumeClaimTemplates") or []:
                name = f"{claim['metadata']['name']}-{item['metadata']['name']}"
                found |= {f"{name}-{number}" for number in range(item["spec"].get("replicas", 1))}
        return found

    def services(self) -> dict[str, set[int]]:
        """Ports of each Service, with those that KServe makes of an InferenceService."""
        found = {
            item["metadata"]["name"]: {port["port"] for port in item["spec"].get("ports") or []}
            for item in self.of("Service")
        }
        for item in self.of("InferenceService"):
            name = item["metadata"]["name"]
            found |= {name: {80}, f"{name}-predictor": {80}}
        return found

    def _pods(self, item: Object) -> Iterator[Pod]:
        kind, spec = item["kind"], item.get("spec") or {}
        if kind in ("Deployment", "StatefulSet", "DaemonSet", "Job"):
            yield _template(item, spec, "spec", kind != "Job")
        elif kind == "CronJob":
            yield _template(item, spec["jobTemplate"]["spec"], "spec.jobTemplate.spec", False)
        elif kind == "ServingRuntime":
            yield Pod(item, "spec", {}, spec)
        elif kind == "InferenceService":
            yield self._predictor(item)

    def _predictor(self, item: Object) -> Pod:
        """The pod that KServe makes: the runtime's, with what the model says on top."""
        predictor = item["spec"]["predictor"]
        model = predictor.get("model") or {}
        runtime = self.get("ServingRuntime", model.get("runtime", "")) or {"spec": {}}
        containers = [dict(container) for container in runtime["spec"].get("containers") or []]
        overrides = {name: value for name, value in model.items() if name in _CONTAINER_FIELDS}
        if containers:
            overrides["args"] = [*(containers[0].get("args") or []), *(model.get("args") or [])]
            containers[0] |= overrides
        name = item["metadata"]["name"]
        labels = {
            **(item["metadata"].get("labels") or {}),
            **(predictor.get("labels") or {}),
            "serving.kserve.io/inferenceservice": name,
            "component": "predictor",
        }
        spec = {**runtime["spec"], **predictor, "containers": containers}
        spec["volumes"] = [*(runtime["spec"].get("volumes") or []), *(predictor.get("volumes") or [])]
        return Pod(item, "spec.predictor", labels, spec)


_CONTAINER_FIELDS = (
    "command",
    "env",
    "envFrom",
    "image",
    "lifecycle",
    "livenessProbe",
    "ports",
    "readinessProbe",
    "resources",
    "securityContext",
    "startupProbe",
    "volumeMounts",
)


def overridden(pod: Pod) -> bool:
    """Whether an InferenceService changes the container of its runtime."""
    model = pod.owner["spec"]["predictor"].get("model") or {}
    return any(name in model for name in _CONTAINER_FIELDS)


def _template(item: Object, spec: Object, path: str, serves: bool) -> Pod:
    template = spec["template"]
    labels = (template.get("metadata") or {}).get("labels") or {}
    return Pod(item, f"{path}.template.spec", labels, template["spec"], serves)
