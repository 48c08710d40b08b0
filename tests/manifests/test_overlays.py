"""Every overlay is valid, alone and with the components that it lacks; and holds what it should."""

import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from components.contract.errors import WaymarkError
from manifests.check import __main__ as command
from manifests.check.__main__ import combinations
from manifests.check.build import MANIFESTS, build, build_overlay, folders, kubectl
from manifests.check.objects import MODE, Objects
from manifests.check.rules import findings

CASES = [(overlay, more) for overlay in folders("overlays") for more in combinations(overlay)]


@pytest.mark.parametrize(("overlay", "more"), CASES, ids=[" + ".join([o, *m]) for o, m in CASES])
def test_overlay_is_valid(overlay, more, schemas):
    items = build_overlay(overlay, more)
    assert len(items) >= 16
    assert findings(items, schemas) == []


def test_overlays_are_the_three():
    assert folders("overlays") == ["local", "production", "staging"]


def test_cases_cover_every_component_with_every_overlay():
    for overlay in folders("overlays"):
        covered = {name for other, more in CASES if other == overlay for name in more}
        assert covered | set(command.components_of(overlay)) == set(folders("components"))


def test_rights_are_no_more_than_listed(knative):
    """The whole of what may be asked of the Kubernetes API."""
    objects = Objects(knative)
    granted = {
        role["metadata"]["name"]: {
            (group, resource, tuple(rule.get("resourceNames", ())), tuple(sorted(rule["verbs"])))
            for rule in role["rules"]
            for group in rule["apiGroups"]
            for resource in rule["resources"]
        }
        for role in objects.of("Role")
    }
    assert granted == {
        "waymark-pipelines": {
            ("argoproj.io", "workflowtaskresults", (), ("create", "patch")),
            ("", "configmaps", ("kfp-launcher",), ("get",)),
            ("", "secrets", ("mlpipeline-minio-artifact",), ("get",)),
            ("serving.kserve.io", "inferenceservices", (), ("get", "list")),
        },
        "waymark-rollout": {
            ("serving.kserve.io", "inferenceservices", (), ("get", "list", "patch", "update", "watch")),
            ("", "events", (), ("create",)),
        },
    }
    bound = {
        (subject["name"], binding["roleRef"]["name"])
        for binding in objects.of("RoleBinding")
        for subject in binding["subjects"]
    }
    assert bound == {
        ("waymark-pipelines", "waymark-pipelines"),
        ("waymark-rollout", "waymark-rollout"),
        ("waymark-pipelines", "waymark-rollout"),  # components/rollout-from-pipelines
    }
    assert not list(objects.of("ClusterRole", "ClusterRoleBinding"))
    assert objects.get("ServiceAccount", "waymark-server")["automountServiceAccountToken"] is False


def test_without_the_component_steps_may_not_patch_the_service():
    bindings = Objects(build_overlay("local")).of("RoleBinding")
    bound = {(s["name"], b["roleRef"]["name"]) for b in bindings for s in b["subjects"]}
    assert bound == {("waymark-pipelines", "waymark-pipelines"), ("waymark-rollout", "waymark-rollout")}


@pytest.mark.parametrize("overlay", folders("overlays"))
def test_applying_again_leaves_the_release_alone(overlay):
    (service,) = Objects(build_overlay(overlay)).of("InferenceService")
    assert "storageUri" not in service["spec"]["predictor"]["model"]
    assert "canaryTrafficPercent" not in service["spec"]["predictor"]
    assert service["metadata"]["annotations"][MODE] == "Knative"


def test_the_server_takes_the_arguments_of_its_runtime():
    """The runtime starts the real command line."""
    from typer import Typer
    from typer.main import get_command

    from serving.__main__ import serve

    application = Typer()
    application.command()(serve)
    known = {option for parameter in get_command(application).params for option in parameter.opts}
    (runtime,) = Objects(build_overlay("production")).of("ServingRuntime")
    container = runtime["spec"]["containers"][0]
    assert container["command"] == ["python3", "-m", "serving"]
    assert {argument.partition("=")[0] for argument in container["args"]} <= known
    assert "--release=/mnt/models" in container["args"]


def test_gpu_component_reaches_the_pod(knative):
    pod = next(pod for pod in Objects(knative).pods if pod.owner["kind"] == "InferenceService")
    ((_, container),) = pod.containers
    assert container["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert container["image"] == "registry.example.com/waymark/serving-gpu:0.1.0"


def test_redis_takes_the_place_of_the_embedded_store(knative):
    (runtime,) = Objects(knative).of("ServingRuntime")
    container = runtime["spec"]["containers"][0]
    assert not [argument for argument in container["args"] if argument.startswith("--store")]
    assert container["env"][1]["name"] == "WAYMARK_STORE"
    assert [volume["name"] for volume in runtime["spec"]["volumes"]] == ["tmp"]


def test_in_standard_mode_events_go_to_their_own_service(standard):
    (route,) = Objects(standard).of("HTTPRoute")
    first = route["spec"]["rules"][0]
    assert first["matches"] == [{"path": {"type": "Exact", "value": "/v1/events"}, "method": "POST"}]
    assert first["backendRefs"] == [{"name": "waymark-events", "port": 80}]


def test_base_alone_is_not_for_applying(schemas):
    """It has neither namespace nor image tags: the check says so."""
    fields = {finding.field for finding in findings(build(MANIFESTS / "base"), schemas)}
    assert {"metadata.namespace", "spec.containers[0].image"} <= fields


class TestCommand:
    def test_one_overlay(self):
        result = CliRunner().invoke(_application(), ["--overlay", "local"])
        assert result.exit_code == 0, result.output
        assert "KServe's schemas: " in result.output
        assert "local: 16 objects, valid" in result.output

    def test_unknown_overlay(self):
        result = CliRunner().invoke(_application(), ["--overlay", "prod"])
        assert result.exit_code == 2
        assert "choose of local, production, staging" in result.output

    def test_no_crds_in_the_folder(self, tmp_path):
        result = CliRunner().invoke(_application(), ["--overlay", "local", "--crds", str(tmp_path)])
        assert result.exit_code == 2
        assert "holds no CRD of InferenceService" in result.output

    def test_a_mistake_ends_with_1(self, monkeypatch):
        def broken(overlay, more):
            items = build_overlay(overlay, more)
            Objects(items).get("ServingRuntime", "waymark")["spec"]["containers"][0]["image"] = "x:latest"
            return items

        monkeypatch.setattr(command, "build_overlay", broken)
        result = CliRunner().invoke(_application(), ["--overlay", "local"])
        assert result.exit_code == 1
        assert "ServingRuntime/waymark: spec.containers[0].image: x:latest is not pinned" in result.output


def _application():
    from typer import Typer

    application = Typer()
    application.command()(command.main)
    return application


def test_kustomize_says_what_it_refuses(tmp_path):
    (tmp_path / "kustomization.yaml").write_text("resources: [missing.yaml]\n")
    with pytest.raises(WaymarkError, match=r"missing\.yaml"):
        build(tmp_path)


def test_without_kubectl_it_says_what_to_do(monkeypatch):
    monkeypatch.setattr("shutil.which", lambda name: None)
    monkeypatch.setattr("sys.executable", "/nowhere/python")
    kubectl.cache_clear()
    with pytest.raises(WaymarkError, match="make setup"):
        kubectl()


def test_kubectl_is_the_pinned_one():
    kubectl.cache_clear()
    assert kubectl() == str(Path(sys.executable).with_name("kubectl"))
