"""Rules of InferenceServices that KServe's schema leaves open."""

from __future__ import annotations

import re
from collections.abc import Iterator

from manifests.check.objects import MODE, Finding, Object, Objects, mode_of, title

# What each mode scales by; the webhook refuses others.
METRICS = {"Knative": ("concurrency", "rps"), "Standard": ("cpu", "memory")}
_SCHEMES = ("pvc", "s3", "gs", "hdfs", "webhdfs", "https", "oci")
_RELEASE = re.compile(r"(?P<claim>[a-z0-9-]+)/releases/[\w-]+/?")


def check(objects: Objects) -> Iterator[Finding]:
    """All rules of InferenceServices."""
    for item in objects.of("InferenceService"):
        yield from _predictor(item)
        yield from _runtime(objects, item)
        yield from _storage(objects, item)


def _predictor(item: Object) -> Iterator[Finding]:
    name, predictor = title(item), item["spec"]["predictor"]
    mode = mode_of(item)
    if mode not in METRICS:
        where = f"metadata.annotations.{MODE}"
        yield Finding(name, where, f"must be {' or '.join(METRICS)}, is {mode}")
        return
    canary = predictor.get("canaryTrafficPercent")
    if canary is not None and not (isinstance(canary, int) and 0 <= canary <= 100):
        yield Finding(name, "spec.predictor.canaryTrafficPercent", f"{canary} is not in 0 to 100")
    if mode == "Standard":
        for field in ("canaryTrafficPercent", "containerConcurrency"):
            if field in predictor:
                yield Finding(name, f"spec.predictor.{field}", "is ignored without Knative")
    low, high = predictor.get("minReplicas", 1), predictor.get("maxReplicas", 0)
    if low < 0 or (high and low > high):
        yield Finding(name, "spec.predictor.minReplicas", f"{low} is not in 0 to maxReplicas ({high})")
    if not high:
        yield Finding(name, "spec.predictor.maxReplicas", "is missing: nothing bounds the number of pods")
    if not 1 <= predictor.get("timeout", 0) <= 600:
        yield Finding(
            name, "spec.predictor.timeout", f"{predictor.get('timeout')} is not in 1 to 600 seconds"
        )
    if mode == "Knative" and not 1 <= predictor.get("containerConcurrency", 0) <= 1000:
        given = predictor.get("containerConcurrency")
        yield Finding(name, "spec.predictor.containerConcurrency", f"{given} is not in 1 to 1000")
    metric = predictor.get("scaleMetric")
    if metric not in METRICS[mode]:
        where = f"{metric} is none of {', '.join(METRICS[mode])}, which {mode} mode scales by"
        yield Finding(name, "spec.predictor.scaleMetric", where)


def _runtime(objects: Objects, item: Object) -> Iterator[Finding]:
    model = item["spec"]["predictor"].get("model") or {}
    runtime = objects.get("ServingRuntime", model.get("runtime", ""))
    if runtime is None:
        where = f"there is no ServingRuntime {model.get('runtime')}"
        yield Finding(title(item), "spec.predictor.model.runtime", where)
        return
    wanted = model.get("modelFormat") or {}
    formats = [
        (one.get("name"), one.get("version")) for one in runtime["spec"].get("supportedModelFormats") or []
    ]
    if (wanted.get("name"), wanted.get("version")) not in formats:
        where = f"{wanted} is no format of {title(runtime)}: {formats}"
        yield Finding(title(item), "spec.predictor.model.modelFormat", where)
    protocol = model.get("protocolVersion")
    if protocol not in (runtime["spec"].get("protocolVersions") or []):
        where = f"{protocol} is no protocol of {title(runtime)}"
        yield Finding(title(item), "spec.predictor.model.protocolVersion", where)


def _storage(objects: Objects, item: Object) -> Iterator[Finding]:
    uri = (item["spec"]["predictor"].get("model") or {}).get("storageUri")
    field = "spec.predictor.model.storageUri"
    if uri is None:
        return  # the rollout gives it
    scheme, _, rest = uri.partition("://")
    if scheme not in _SCHEMES:
        yield Finding(title(item), field, f"{uri}: its scheme is none of {', '.join(_SCHEMES)}")
    elif scheme == "pvc":
        release = _RELEASE.fullmatch(rest)
        if not release:
            # `current` moves: pods of one revision would serve different releases.
            yield Finding(title(item), field, f"{uri} is not pvc://CLAIM/releases/NAME")
        elif not objects.get("PersistentVolumeClaim", release["claim"]):
            yield Finding(title(item), field, f"there is no PersistentVolumeClaim {release['claim']}")
