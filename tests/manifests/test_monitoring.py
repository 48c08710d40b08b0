"""Every metric and label that a panel or an alert names is exposed by the server, or by a named exporter."""

import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass

import httpx
import promql_parser
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from components.contract.release import current, publish
from manifests.check.build import MANIFESTS
from tests.support.releases import copy_home, next_release
from tests.support.server import ServerProcess

pytestmark = pytest.mark.slow

FOLDER = MANIFESTS / "components" / "monitoring"
DASHBOARDS = {path.name: json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"))}
# Labels that Prometheus gives to all series of a target: its own, and the pod monitor's.
MONITOR = yaml.safe_load((FOLDER / "pod-monitor.yaml").read_text())["spec"]
TARGET = {"job", "instance", "namespace", "pod", "container"} | {
    re.sub(r"\W", "_", label) for label in MONITOR["podTargetLabels"]
}
# What others export, with the labels that are used of it.
EXPORTERS = {
    "up": TARGET,  # Prometheus
    "kubelet_volume_stats_available_bytes": {"namespace", "persistentvolumeclaim"},
    "kubelet_volume_stats_capacity_bytes": {"namespace", "persistentvolumeclaim"},
    "kube_job_failed": {"namespace", "job_name", "condition"},  # kube-state-metrics
    "kube_cronjob_status_last_successful_time": {"namespace", "cronjob"},
}
# Only seen when something breaks; the server's own tests make it break.
RARE = {("status", "5.."), ("outcome", "error"), ("outcome", "dropped"), ("outcome", "refused")}


@dataclass(frozen=True)
class Use:
    """One series that an expression selects, and the labels by which it is then grouped or joined."""

    metric: str
    matchers: tuple[tuple[str, str, str], ...]
    labels: frozenset[str]


def uses(node, labels: frozenset[str] = frozenset()) -> Iterator[Use]:
    """Walk an expression."""
    if isinstance(node, promql_parser.VectorSelector):
        matchers = tuple((one.name, str(one.op), one.value) for one in node.matchers.matchers)
        yield Use(node.name, matchers, labels | {name for name, _, _ in matchers})
    elif isinstance(node, promql_parser.MatrixSelector):
        yield from uses(node.vector_selector, labels)
    elif isinstance(node, promql_parser.AggregateExpr):
        # What is summed away outside need not be there inside.
        by = frozenset(node.modifier.labels) if node.modifier else frozenset()
        yield from uses(node.expr, by)
    elif isinstance(node, promql_parser.BinaryExpr):
        yield from uses(node.lhs, labels)
        yield from uses(node.rhs, frozenset() if node.modifier else labels)
    elif isinstance(node, promql_parser.Call):
        for argument in node.args:
            yield from uses(argument, labels)
    elif isinstance(node, promql_parser.ParenExpr | promql_parser.UnaryExpr | promql_parser.SubqueryExpr):
        yield from uses(node.expr, labels)
    else:
        assert isinstance(node, promql_parser.NumberLiteral | promql_parser.StringLiteral), node


def expressions() -> dict[str, str]:
    found = {}
    for name, dashboard in DASHBOARDS.items():
        for panel in dashboard["panels"]:
            for target in panel["targets"]:
                place = f"{name}: {panel['title']}: {target['refId']}"
                found[place] = target["expr"].replace("$__rate_interval", "5m")
    for group in yaml.safe_load((FOLDER / "alerts.yaml").read_text())["spec"]["groups"]:
        found |= {f"alert {rule['alert']}": rule["expr"] for rule in group["rules"]}
    return found


EXPRESSIONS = expressions()


@pytest.fixture(scope="module")
def exposed(small_release, tmp_path_factory):
    """Every series of a server that has answered known and unknown people, and changed its release."""
    root = tmp_path_factory.mktemp("monitored")
    home = copy_home(small_release, root / "home")
    first = current(home).name
    second = next_release(home).name
    publish(home, first)
    process = ServerProcess(home, root / "log").start()
    try:
        with httpx.Client(base_url=process.url, timeout=60) as client:
            known = client.get("/v1/associates?limit=1").json()["associates"][0]["associate_id"]
            for associate in (known, "nobody", None):
                question = {"instances": [{"associate_id": associate, "limit": 5}]}
                answer = client.post("/v1/models/waymark:predict", json=question).json()["predictions"][0]
                told = {"associate_id": associate or "A", "request_id": answer["request_id"]}
                told |= {"page_id": answer["items"][0]["page_id"], "release": first, "position": 1}
                kinds = ("impression", "view", "complete", "no such kind")
                rows = [told | {"event_type": kind, "timestamp": time.time()} for kind in kinds]
                assert client.post("/v1/events", json={"events": rows}).status_code == 202
            publish(home, second)
            deadline = time.monotonic() + 120
            while True:
                text = client.get("/metrics").text
                if 'waymark_releases_total{outcome="loaded"}' in text and "waymark_answers_total" in text:
                    break
                assert time.monotonic() < deadline, text
                time.sleep(0.5)
    finally:
        process.stop()
    found: dict[str, list[dict[str, str]]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, []).append(sample.labels)
    return found


def satisfies(series: dict[str, str], matchers) -> bool:
    for name, op, value in matchers:
        if name in TARGET or (name, value) in RARE:
            continue
        given = series.get(name, "")
        same = re.fullmatch(value, given) is not None if "Re" in op else given == value
        if same == ("Not" in op):
            return False
    return True


@pytest.mark.parametrize("place", EXPRESSIONS)
def test_what_is_asked_for_is_exposed(exposed, place):
    found = list(uses(promql_parser.parse(EXPRESSIONS[place])))
    assert found
    for use in found:
        if use.metric in EXPORTERS:
            assert use.labels <= EXPORTERS[use.metric], use
            continue
        assert use.metric in exposed, f"the server exposes no {use.metric}"
        series = exposed[use.metric]
        labels = {label for one in series for label in one} | TARGET
        assert use.labels <= labels, f"{use.metric} has no {sorted(use.labels - labels)}"
        assert any(satisfies(one, use.matchers) for one in series), f"no series of {use}"


@pytest.mark.parametrize(
    ("expression", "wrong"),
    [
        ("sum by (colour) (rate(waymark_instances_total[5m]))", "has no"),
        ('rate(waymark_instances_total{fallback="cold"}[5m])', "no series"),
        ('rate(waymark_instances_total{fallback=~"cold_.*", fallback!="cold_start"}[5m])', "no series"),
        ("waymark_instances > 1", "exposes no"),
    ],
)
def test_a_mistake_is_found(exposed, expression, wrong, monkeypatch):
    monkeypatch.setitem(EXPRESSIONS, "mistake", expression)
    with pytest.raises(AssertionError, match=wrong):
        test_what_is_asked_for_is_exposed(exposed, "mistake")


def test_every_metric_of_the_server_is_on_a_panel(exposed):
    shown = {use.metric for text in EXPRESSIONS.values() for use in uses(promql_parser.parse(text))}
    families = {re.sub(r"_(bucket|sum|count)$", "", name) for name in shown}
    own = {name for name in exposed if name.startswith("waymark_") and not name.endswith("_created")}
    assert {re.sub(r"_(bucket|sum|count)$", "", name) for name in own} <= families


def test_dashboards_are_installed_and_lead_to_each_other():
    generated = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())["configMapGenerator"]
    assert sorted(generated[0]["files"]) == sorted(DASHBOARDS)
    assert len({dashboard["uid"] for dashboard in DASHBOARDS.values()}) == len(DASHBOARDS) == 4
    for dashboard in DASHBOARDS.values():
        assert dashboard["tags"] == dashboard["links"][0]["tags"] == ["waymark"]
        panels = dashboard["panels"]
        assert len({panel["id"] for panel in panels}) == len(panels)
        assert all(panel["description"].endswith(".") for panel in panels)
        places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels]
        assert len(set(places)) == len(places)


def test_panels_that_name_an_alert_name_one_there_is():
    alerts = {place.split()[1] for place in EXPRESSIONS if place.startswith("alert ")}
    named = set(re.findall(r"Alert (\w+)", json.dumps(DASHBOARDS)))
    assert named <= alerts
    assert len(named) >= 10
