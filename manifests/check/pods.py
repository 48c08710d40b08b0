"""Rules of pods: what Pod Security ``restricted`` asks, images, resources, probes, volumes, GPUs."""

from __future__ import annotations

import re
from collections.abc import Iterator

from kubernetes.utils.quantity import parse_quantity

from manifests.check.objects import Finding, Object, Objects, Pod, overridden, title

GPU = "nvidia.com/gpu"
_IMAGE = re.compile(r"(?P<name>[^@]+?)(:(?P<tag>[\w][\w.-]*))?(@sha256:[0-9a-f]{64})?")


def check(objects: Objects) -> Iterator[Finding]:
    """All rules of pods."""
    for pod in objects.pods:
        # What an InferenceService does not change is found at its runtime.
        if pod.owner["kind"] != "InferenceService" or overridden(pod):
            for field, container in pod.containers:
                yield from _container(pod, field, container)
            yield from _volumes(pod)
        if pod.owner["kind"] != "ServingRuntime":
            yield from _whole(pod)


def _container(pod: Pod, field: str, container: Object) -> Iterator[Finding]:
    name = title(pod.owner)
    image = _IMAGE.fullmatch(container.get("image", ""))
    if not image:
        yield Finding(name, f"{field}.image", "is not an image")
    elif "@sha256:" not in image[0] and image["tag"] in (None, "latest"):
        yield Finding(name, f"{field}.image", f"{image[0]} is not pinned: give it a tag other than latest")
    yield from _security(pod, field, container)
    yield from _resources(name, field, container.get("resources") or {})
    if pod.serves and ".initContainers" not in field:
        for probe in ("readinessProbe", "livenessProbe"):
            if probe not in container:
                yield Finding(name, f"{field}.{probe}", "is missing")
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        for how in ("httpGet", "tcpSocket"):
            port = ((container.get(probe) or {}).get(how) or {}).get("port")
            if port is not None and port not in pod.ports():
                yield Finding(name, f"{field}.{probe}.{how}.port", f"{port} is no port of the container")
    seen: set[str] = set()
    for place, variable in enumerate(container.get("env") or []):
        for used in re.findall(r"(?<!\$)\$\((\w+)\)", variable.get("value") or ""):
            if used not in seen:
                where = f"{field}.env[{place}]"
                yield Finding(name, where, f"$({used}) is not defined before it and stays as it stands")
        seen.add(variable["name"])


def _security(pod: Pod, field: str, container: Object) -> Iterator[Finding]:
    """Pod Security ``restricted``, and a root file system that cannot be written."""
    own = container.get("securityContext") or {}
    shared = {} if pod.owner["kind"] == "ServingRuntime" else pod.spec.get("securityContext") or {}
    both = {**shared, **own}
    wanted = {
        "runAsNonRoot": (both.get("runAsNonRoot"), True),
        "seccompProfile.type": ((both.get("seccompProfile") or {}).get("type"), "RuntimeDefault"),
        "allowPrivilegeEscalation": (own.get("allowPrivilegeEscalation"), False),
        "readOnlyRootFilesystem": (own.get("readOnlyRootFilesystem"), True),
        "capabilities.drop": ((own.get("capabilities") or {}).get("drop"), ["ALL"]),
        "capabilities.add": ((own.get("capabilities") or {}).get("add"), None),
        "privileged": (own.get("privileged") or False, False),
    }
    for what, (given, right) in wanted.items():
        if given != right:
            where = f"{field}.securityContext.{what}"
            yield Finding(title(pod.owner), where, f"must be {right}, is {given}")
    if both.get("runAsUser") == 0:
        yield Finding(title(pod.owner), f"{field}.securityContext.runAsUser", "is root")


def _resources(name: str, field: str, resources: Object) -> Iterator[Finding]:
    requests, limits = resources.get("requests") or {}, resources.get("limits") or {}
    for group, what in ((requests, "requests.cpu"), (requests, "requests.memory"), (limits, "limits.memory")):
        if what.split(".")[1] not in group:
            yield Finding(name, f"{field}.resources.{what}", "is missing")
    for what in set(requests) & set(limits):
        try:
            over = parse_quantity(requests[what]) > parse_quantity(limits[what])
        except ValueError as error:
            yield Finding(name, f"{field}.resources.{what}", str(error))
            continue
        if over:
            where = f"{field}.resources.requests.{what}"
            yield Finding(name, where, f"{requests[what]} is more than the limit {limits[what]}")


def _volumes(pod: Pod) -> Iterator[Finding]:
    name = title(pod.owner)
    volumes = {volume["name"] for volume in pod.spec.get("volumes") or []}
    volumes |= {
        claim["metadata"]["name"] for claim in (pod.owner.get("spec") or {}).get("volumeClaimTemplates") or []
    }
    mounted = set()
    for field, container in pod.containers:
        for place, mount in enumerate(container.get("volumeMounts") or []):
            mounted.add(mount["name"])
            if mount["name"] not in volumes:
                where = f"{field}.volumeMounts[{place}].name"
                yield Finding(name, where, f"the pod has no volume {mount['name']}")
    for unused in sorted(volumes - mounted):
        yield Finding(name, f"{pod.path}.volumes", f"nothing mounts {unused}")


def _whole(pod: Pod) -> Iterator[Finding]:
    name, spec = title(pod.owner), pod.spec
    for what in ("hostNetwork", "hostPID", "hostIPC"):
        if spec.get(what):
            yield Finding(name, f"{pod.path}.{what}", "is not allowed by Pod Security `restricted`")
    for place, volume in enumerate(spec.get("volumes") or []):
        if "hostPath" in volume:
            where = f"{pod.path}.volumes[{place}].hostPath"
            yield Finding(name, where, "is not allowed by Pod Security `restricted`")
    asks = any(GPU in (c.get("resources") or {}).get("limits", {}) for _, c in pod.containers)
    tolerates = any(
        term.get("key") == GPU or (not term.get("key") and term.get("operator") == "Exists")
        for term in spec.get("tolerations") or []
    )
    if asks and not tolerates:
        yield Finding(
            name, f"{pod.path}.tolerations", f"a pod with a {GPU} limit must tolerate the taint {GPU}"
        )
    if asks and not spec.get("nodeSelector"):
        yield Finding(
            name, f"{pod.path}.nodeSelector", f"a pod with a {GPU} limit must select nodes with GPUs"
        )
    if tolerates and not asks:
        yield Finding(name, f"{pod.path}.tolerations", f"tolerates {GPU} without a {GPU} limit")
