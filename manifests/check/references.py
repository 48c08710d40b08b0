"""Rules of references: what an object names is there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from manifests.check.objects import Finding, Object, Objects, Pod, matches, title

# Made by others, by name; docs/deployment.md says by whom.
EXTERNAL = {
    ("Secret", "waymark-redis"): "the operator, with kubectl create secret",
    ("Secret", "waymark-tls"): "the operator or cert-manager",
    ("Secret", "mlpipeline-minio-artifact"): "Kubeflow Pipelines, in the namespaces of its profiles",
    ("ConfigMap", "kfp-launcher"): "Kubeflow Pipelines, in the namespaces of its profiles",
}
_PLURALS = {"configmaps": "ConfigMap", "secrets": "Secret", "persistentvolumeclaims": "PersistentVolumeClaim"}


def check(objects: Objects) -> Iterator[Finding]:
    """All rules of references."""
    for pod in objects.pods:
        yield from _pod(objects, pod)
    yield from _workloads(objects)
    yield from _scaling(objects)
    yield from _rbac(objects)
    yield from _routes(objects)


def _missing(objects: Objects, kind: str, name: Any) -> str | None:
    claimed = kind == "PersistentVolumeClaim" and name in objects.claims()
    if claimed or objects.get(kind, name) or (kind, name) in EXTERNAL:
        return None
    return f"there is no {kind} {name}, nor is it declared as made by others"


def _pod(objects: Objects, pod: Pod) -> Iterator[Finding]:
    wanted: list[tuple[str, str, Any, Any]] = []  # field, kind, name, key
    for place, volume in enumerate(pod.spec.get("volumes") or []):
        field = f"{pod.path}.volumes[{place}]"
        for what, key, kind in (
            ("configMap", "name", "ConfigMap"),
            ("secret", "secretName", "Secret"),
            ("persistentVolumeClaim", "claimName", "PersistentVolumeClaim"),
        ):
            if what in volume:
                wanted.append((f"{field}.{what}.{key}", kind, volume[what].get(key), None))
    for field, container in pod.containers:
        for place, variable in enumerate(container.get("env") or []):
            for what, kind in (("configMapKeyRef", "ConfigMap"), ("secretKeyRef", "Secret")):
                ref = (variable.get("valueFrom") or {}).get(what)
                if ref:
                    where = f"{field}.env[{place}].valueFrom.{what}"
                    wanted.append((where, kind, ref.get("name"), ref.get("key")))
        for place, source in enumerate(container.get("envFrom") or []):
            for what, kind in (("configMapRef", "ConfigMap"), ("secretRef", "Secret")):
                if what in source:
                    wanted.append((f"{field}.envFrom[{place}].{what}", kind, source[what].get("name"), None))
    for field, kind, name, key in wanted:
        problem = _missing(objects, kind, name)
        if problem:
            yield Finding(title(pod.owner), field, problem)
        found = objects.get(kind, name)
        if key and found and key not in (found.get("data") or {}):
            yield Finding(title(pod.owner), f"{field}.key", f"{kind} {name} has no key {key}")
    if pod.owner["kind"] != "ServingRuntime":
        yield from _account(objects, pod)


def _account(objects: Objects, pod: Pod) -> Iterator[Finding]:
    name, field = pod.spec.get("serviceAccountName"), f"{pod.path}.serviceAccountName"
    if not name:
        yield Finding(title(pod.owner), field, "is missing: the pod would run as `default`")
        return
    account = objects.get("ServiceAccount", name)
    if account is None:
        yield Finding(title(pod.owner), field, f"there is no ServiceAccount {name}")
        return
    bound = any(
        subject.get("name") == name
        for binding in objects.of("RoleBinding", "ClusterRoleBinding")
        for subject in binding.get("subjects") or []
    )
    mounts = pod.spec.get("automountServiceAccountToken", account.get("automountServiceAccountToken", True))
    if mounts and not bound:
        where = f"{pod.path}.automountServiceAccountToken"
        yield Finding(title(pod.owner), where, "must be false: its account may ask the API for nothing")


def _workloads(objects: Objects) -> Iterator[Finding]:
    for pod in objects.pods:
        selector = (pod.owner.get("spec") or {}).get("selector")
        if pod.owner["kind"] in ("Deployment", "StatefulSet", "DaemonSet") and not matches(
            selector, pod.labels
        ):
            yield Finding(
                title(pod.owner), "spec.selector", f"does not take its own pods, {dict(pod.labels)}"
            )
        for place, spread in enumerate(pod.spec.get("topologySpreadConstraints") or []):
            if not matches(spread.get("labelSelector"), pod.labels):
                where = f"{pod.path}.topologySpreadConstraints[{place}].labelSelector"
                yield Finding(title(pod.owner), where, f"does not take its own pods, {dict(pod.labels)}")
    for item in objects.of("StatefulSet"):
        if not objects.get("Service", item["spec"].get("serviceName", "")):
            yield Finding(
                title(item), "spec.serviceName", f"there is no Service {item['spec'].get('serviceName')}"
            )
    for item in objects.of("Service"):
        selected = [pod for pod in objects.pods if matches({"matchLabels": _selector(item)}, pod.labels)]
        if not selected:
            yield Finding(title(item), "spec.selector", f"takes no pod: {_selector(item)}")
        for place, port in enumerate(item["spec"].get("ports") or []):
            target = port.get("targetPort", port["port"])
            for pod in selected:
                if target not in pod.ports():
                    where = f"spec.ports[{place}].targetPort"
                    yield Finding(title(item), where, f"{title(pod.owner)} has no port {target}")
    for item in objects.of(
        "PodMonitor", "RequestAuthentication", "AuthorizationPolicy", "PodDisruptionBudget"
    ):
        if not any(matches(item["spec"].get("selector"), family) for family in objects.families()):
            yield Finding(title(item), "spec.selector", f"takes no pod: {item['spec'].get('selector')}")
    for item in objects.of("PodMonitor"):
        for place, endpoint in enumerate(item["spec"].get("podMetricsEndpoints") or []):
            for pod in objects.pods:
                port = endpoint.get("portNumber")
                if matches(item["spec"].get("selector"), pod.labels) and port not in pod.ports():
                    where = f"spec.podMetricsEndpoints[{place}].portNumber"
                    yield Finding(title(item), where, f"{title(pod.owner)} has no port {port}")


def _selector(service: Object) -> dict[str, str]:
    return service["spec"].get("selector") or {"": ""}


def _scaling(objects: Objects) -> Iterator[Finding]:
    for item in objects.of("HorizontalPodAutoscaler"):
        spec, target = item["spec"], item["spec"].get("scaleTargetRef") or {}
        found = objects.get(target.get("kind", ""), target.get("name", ""))
        if not found or found["apiVersion"] != target.get("apiVersion"):
            where = f"{target.get('apiVersion')} {target.get('kind')}/{target.get('name')}"
            yield Finding(title(item), "spec.scaleTargetRef", f"there is no {where}")
        elif "replicas" in found["spec"]:
            yield Finding(
                title(found), "spec.replicas", f"belongs to {title(item)}: every apply would reset it"
            )
        if spec.get("minReplicas", 1) > spec.get("maxReplicas", 1):
            yield Finding(
                title(item), "spec.minReplicas", f"{spec['minReplicas']} is more than {spec['maxReplicas']}"
            )


def _rbac(objects: Objects) -> Iterator[Finding]:
    for item in objects.of("RoleBinding", "ClusterRoleBinding"):
        ref = item.get("roleRef") or {}
        if not objects.get(ref.get("kind", ""), ref.get("name", "")):
            yield Finding(title(item), "roleRef", f"there is no {ref.get('kind')} {ref.get('name')}")
        for place, subject in enumerate(item.get("subjects") or []):
            if not objects.get(subject["kind"], subject["name"]):
                where = f"subjects[{place}].name"
                yield Finding(title(item), where, f"there is no {subject['kind']} {subject['name']}")
    for item in objects.of("Role", "ClusterRole"):
        for place, rule in enumerate(item.get("rules") or []):
            field = f"rules[{place}]"
            for what in ("apiGroups", "resources", "verbs"):
                if "*" in (rule.get(what) or []):
                    yield Finding(title(item), f"{field}.{what}", "grants everything: list what is needed")
            if "secrets" in (rule.get("resources") or []) and not rule.get("resourceNames"):
                yield Finding(title(item), f"{field}.resourceNames", "secrets must be granted by name")
            for resource in rule.get("resources") or []:
                for name in rule.get("resourceNames") or []:
                    kind = _PLURALS.get(resource)
                    problem = kind and _missing(objects, kind, name)
                    if problem:
                        yield Finding(title(item), f"{field}.resourceNames", problem)


def _routes(objects: Objects) -> Iterator[Finding]:
    services = objects.services()
    for item in objects.of("Gateway"):
        for place, listener in enumerate(item["spec"].get("listeners") or []):
            for ref in (listener.get("tls") or {}).get("certificateRefs") or []:
                problem = _missing(objects, "Secret", ref.get("name"))
                if problem:
                    yield Finding(title(item), f"spec.listeners[{place}].tls.certificateRefs", problem)
    for item in objects.of("HTTPRoute"):
        for place, parent in enumerate(item["spec"].get("parentRefs") or []):
            gateway = objects.get("Gateway", parent.get("name"))
            sections = [listener["name"] for listener in gateway["spec"]["listeners"]] if gateway else []
            if parent.get("sectionName") not in sections:
                where = f"{parent.get('name')} has no listener {parent.get('sectionName')}"
                yield Finding(title(item), f"spec.parentRefs[{place}]", f"Gateway {where}")
        for number, rule in enumerate(item["spec"].get("rules") or []):
            for place, backend in enumerate(rule.get("backendRefs") or []):
                field = f"spec.rules[{number}].backendRefs[{place}]"
                ports = services.get(backend.get("name"))
                if ports is None:
                    yield Finding(title(item), f"{field}.name", f"there is no Service {backend.get('name')}")
                elif backend.get("port") not in ports:
                    where = f"Service {backend.get('name')} has no port {backend.get('port')}"
                    yield Finding(title(item), f"{field}.port", where)
