"""Rules of the namespace: what is in it, what may be reached, when jobs run, what alerts say."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any
from zoneinfo import available_timezones

import orjson
import promql_parser
from croniter import croniter
from prometheus_client import REGISTRY

from manifests.check.build import MANIFESTS
from manifests.check.objects import (
    GATEWAY_LABEL,
    QUEUE_PROXY_PORTS,
    Finding,
    Object,
    Objects,
    matches,
    mode_of,
    title,
)

NAMESPACE = "waymark"
_CLUSTER_KINDS = ("Namespace",)
_METRIC = re.compile(r"\bwaymark_[a-z0-9_]+")
_ENDS = {"histogram": ("_bucket", "_sum", "_count"), "counter": ("_total",)}


def check(objects: Objects) -> Iterator[Finding]:
    """All rules of the namespace."""
    yield from _namespace(objects)
    yield from _network(objects)
    for item in objects.of("CronJob"):
        yield from _schedule(item)
    for item in objects.of("PrometheusRule"):
        yield from _alerts(item)
    for item in objects.of("ConfigMap"):
        if ((item["metadata"].get("labels")) or {}).get("grafana_dashboard"):
            yield from _dashboards(item)


def _namespace(objects: Objects) -> Iterator[Finding]:
    namespace = objects.get("Namespace", NAMESPACE)
    labels = ((namespace or {}).get("metadata") or {}).get("labels") or {}
    for mode in ("enforce", "audit", "warn"):
        label = f"pod-security.kubernetes.io/{mode}"
        if labels.get(label) != "restricted":
            yield Finding(f"Namespace/{NAMESPACE}", f"metadata.labels.{label}", "must be `restricted`")
    for item in objects.items:
        given = item["metadata"].get("namespace")
        if item["kind"] not in _CLUSTER_KINDS and given != NAMESPACE:
            yield Finding(title(item), "metadata.namespace", f"must be {NAMESPACE}, is {given}")
        for place, subject in enumerate(item.get("subjects") or []):
            if subject.get("namespace") != NAMESPACE:
                given = subject.get("namespace")
                yield Finding(title(item), f"subjects[{place}].namespace", f"must be {NAMESPACE}, is {given}")
        if item["kind"] == "Secret":
            yield Finding(title(item), "kind", "secrets do not belong into the repository")


def _network(objects: Objects) -> Iterator[Finding]:
    policies = list(objects.of("NetworkPolicy"))
    families = objects.families()
    denied = {
        direction
        for policy in policies
        if not policy["spec"].get("podSelector") and not policy["spec"].get("ingress")
        if not policy["spec"].get("egress")
        for direction in policy["spec"].get("policyTypes") or []
    }
    for direction in ("Ingress", "Egress"):
        if direction not in denied:
            yield Finding("NetworkPolicy", "spec.policyTypes", f"no policy denies {direction} of all pods")
    allowed: list[tuple[Mapping[str, Any], set[Any]]] = []
    for policy in policies:
        spec, selector = policy["spec"], policy["spec"].get("podSelector")
        taken = [family for family in families if matches(selector, family)]
        if not taken:
            yield Finding(title(policy), "spec.podSelector", f"takes no pod: {selector}")
        for way, side in (("ingress", "from"), ("egress", "to")):
            for place, rule in enumerate(spec.get(way) or []):
                field = f"spec.{way}[{place}]"
                yield from _peers(policy, field, side, rule, families, taken)
                if way == "ingress":
                    ports = {port.get("port") for port in rule.get("ports") or []}
                    allowed.append((selector or {}, ports))
                    yield from _ports(objects, policy, field, ports)
            if spec.get(way) and way.title() not in (spec.get("policyTypes") or []):
                yield Finding(
                    title(policy), "spec.policyTypes", f"lacks {way.title()}, so {way} rules are ignored"
                )
    for service in objects.of("Service"):
        for pod in objects.pods:
            if not matches({"matchLabels": service["spec"].get("selector") or {"": ""}}, pod.labels):
                continue
            reachable = {
                port for selector, ports in allowed if matches(selector, pod.labels) for port in ports
            }
            for port in service["spec"].get("ports") or []:
                target = port.get("targetPort", port["port"])
                if not {target, pod.ports().get(target)} & reachable:
                    where = f"no NetworkPolicy lets anybody reach port {target} of {title(pod.owner)}"
                    yield Finding(title(service), "spec.ports", where)
    for pod in objects.pods:
        if pod.owner["kind"] == "InferenceService":
            wanted = 8012 if mode_of(pod.owner) == "Knative" else 8080
            if not any(wanted in ports and matches(selector, pod.labels) for selector, ports in allowed):
                yield Finding(
                    title(pod.owner), "spec", f"no NetworkPolicy lets a gateway reach port {wanted}"
                )
    dns = [
        policy
        for policy in policies
        if not policy["spec"].get("podSelector")
        and any(
            port.get("port") == 53
            for rule in policy["spec"].get("egress") or []
            for port in rule.get("ports") or []
        )
    ]
    if not dns:
        yield Finding("NetworkPolicy", "spec.egress", "no policy lets all pods reach DNS")


def _peers(
    policy: Object,
    field: str,
    side: str,
    rule: Object,
    families: list[Mapping[str, str]],
    taken: list[Mapping[str, str]],
) -> Iterator[Finding]:
    if not rule.get("ports"):
        yield Finding(title(policy), f"{field}.ports", "is missing: all ports would be open")
    gateways = all(GATEWAY_LABEL in family for family in taken)
    if not rule.get(side) and not (side == "from" and gateways):
        yield Finding(title(policy), f"{field}.{side}", "is missing: everybody would be let through")
    for place, peer in enumerate(rule.get(side) or []):
        own = "podSelector" in peer and "namespaceSelector" not in peer
        gateway = GATEWAY_LABEL in ((peer.get("podSelector") or {}).get("matchLabels") or {})
        if own and not gateway and not any(matches(peer["podSelector"], family) for family in families):
            where = f"{field}.{side}[{place}].podSelector"
            yield Finding(title(policy), where, f"takes no pod: {peer['podSelector']}")
        if "ipBlock" in peer and str(peer["ipBlock"].get("cidr", "")).endswith("/0"):
            yield Finding(title(policy), f"{field}.{side}[{place}].ipBlock", "is the whole internet")


def _ports(objects: Objects, policy: Object, field: str, ports: set[Any]) -> Iterator[Finding]:
    """Each port that a policy opens is one that a pod has."""
    selector = policy["spec"].get("podSelector")
    pods = [pod for pod in objects.pods if matches(selector, pod.labels)]
    known = {name for pod in pods for name in pod.ports()}
    if any(mode_of(pod.owner) == "Knative" for pod in pods):
        known |= set(QUEUE_PROXY_PORTS)
    for port in sorted(ports - known, key=str) if pods else []:
        yield Finding(title(policy), f"{field}.ports", f"no pod that it takes has port {port}")


def _schedule(item: Object) -> Iterator[Finding]:
    spec = item["spec"]
    schedule = str(spec.get("schedule"))
    # Kubernetes takes five fields or a macro; croniter takes more.
    five = len(schedule.split()) == 5 or schedule.startswith("@")
    if not five or not croniter.is_valid(schedule):
        yield Finding(title(item), "spec.schedule", f"{schedule!r} is no cron expression of five fields")
    zone = spec.get("timeZone")
    if zone is None or zone not in available_timezones():
        yield Finding(title(item), "spec.timeZone", f"{zone} is no time zone")
    if spec.get("concurrencyPolicy") != "Forbid":
        yield Finding(title(item), "spec.concurrencyPolicy", "must be Forbid: two runs at once would collide")


def _alerts(item: Object) -> Iterator[Finding]:
    for group, rules in enumerate(item["spec"].get("groups") or []):
        for place, rule in enumerate(rules.get("rules") or []):
            field = f"spec.groups[{group}].rules[{place}]"
            yield from _expression(item, f"{field}.expr", str(rule.get("expr")))
            url = str((rule.get("annotations") or {}).get("runbook_url"))
            page, _, anchor = url.rpartition("#")
            if anchor not in _anchors(page.rpartition("/")[2]):
                where = f"{field}.annotations.runbook_url"
                yield Finding(title(item), where, f"{url}: docs/ has no page with that heading")


def _dashboards(item: Object) -> Iterator[Finding]:
    for name, text in (item.get("data") or {}).items():
        try:
            dashboard = orjson.loads(text)
        except orjson.JSONDecodeError as error:
            yield Finding(title(item), f"data.{name}", f"not JSON: {error}")
            continue
        for place, panel in enumerate(dashboard.get("panels") or []):
            for number, target in enumerate(panel.get("targets") or []):
                field = f"data.{name}.panels[{place}].targets[{number}].expr"
                expression = str(target.get("expr")).replace("$__rate_interval", "5m")
                yield from _expression(item, field, expression)


def _expression(item: Object, field: str, expression: str) -> Iterator[Finding]:
    try:
        promql_parser.parse(expression)
    except ValueError as error:
        yield Finding(title(item), field, f"not PromQL: {error}")
    for metric in sorted(set(_METRIC.findall(expression)) - _exported()):
        yield Finding(title(item), field, f"the server exports no {metric}")


@lru_cache
def _exported() -> set[str]:
    """Series that the server exports."""
    import serving.metrics  # noqa: F401  registers them

    found = set()
    for family in REGISTRY.collect():
        ends = _ENDS.get(family.type, ("",))
        found |= {family.name + end for end in ends}
    return found


@lru_cache
def _anchors(page: str) -> set[str]:
    """Anchors of a page of ``docs/``."""
    path = MANIFESTS.parent / "docs" / page
    if not page or not path.is_file():
        return set()
    headings = re.findall(r"^#+ (.+)$", path.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-") for heading in headings}
