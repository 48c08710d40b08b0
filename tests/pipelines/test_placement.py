"""What the compiled pipelines ask of a cluster."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from google.protobuf import json_format
from kfp.kubernetes.kubernetes_executor_config_pb2 import KubernetesExecutorConfig
from kfp.pipeline_spec.pipeline_spec_pb2 import PipelineSpec, PlatformSpec

from components.contract.errors import WaymarkError
from components.contract.notify import WEBHOOK
from components.contract.time import DAY
from pipelines.check_ir import load_ir, load_kubernetes
from pipelines.cli import PipelineName
from pipelines.compiling import compile_all
from pipelines.placement import NEEDS, read_site

ROOT = Path(__file__).parents[2]
HOME = {"validate", "evaluate", "gate", "release", "from-release", "ingest", "rollout"}
HOME |= {"preprocess", "begin-search", "search", "finish-search"}
TOLD = {"validate", "gate", "rollout"}
TRAINED = {"two-tower", "ranker", "begin-search", "search", "finish-search"}


def compile_for(site: dict[str, str], folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Compile in a process of its own, which reads the site from its environment."""
    bare = {name: value for name, value in os.environ.items() if not name.startswith("WAYMARK_")}
    return subprocess.run(
        [sys.executable, "-m", "pipelines", "compile", "--out", str(folder), *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**bare, **site},
        timeout=120,
        check=False,
    )


def compiled(site, folder, *arguments):
    done = compile_for(site, folder, *arguments)
    assert done.returncode == 0, done.stderr
    return [folder / f"{name}.yaml" for name in PipelineName]


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return compiled({}, tmp_path_factory.mktemp("plain"))


@pytest.fixture(scope="module")
def with_gpu(tmp_path_factory):
    return compiled({}, tmp_path_factory.mktemp("gpu"), "--gpu", "nvidia.com/gpu=2")


def executors(path):
    """Step, container and Kubernetes settings of every executor."""
    ir, kubernetes = load_ir(path), load_kubernetes(path)
    placed = kubernetes["deploymentSpec"]["executors"]
    assert set(placed) == set(ir["deploymentSpec"]["executors"])
    for label, executor in ir["deploymentSpec"]["executors"].items():
        arguments = executor["container"]["args"]
        function = arguments[arguments.index("--function_to_execute") + 1]
        yield function.replace("_", "-"), executor["container"], placed[label]


def everywhere(paths):
    return [found for path in paths for found in executors(path)]


def test_every_step_of_the_table_is_used_and_has_its_share(plain):
    found = everywhere(plain)
    assert {step for step, _, _ in found} == set(NEEDS)
    for step, container, placed in found:
        resources, needs = container["resources"], NEEDS[step]
        assert resources["resourceMemoryRequest"] == resources["resourceMemoryLimit"] == needs.memory
        assert resources["resourceCpuRequest"] == needs.cpu
        assert "resourceCpuLimit" not in resources
        assert int(placed["activeDeadlineSeconds"]) == needs.hours * 3600
        assert placed["securityContext"] == {
            "runAsUser": "10001",
            "runAsGroup": "10001",
            "runAsNonRoot": True,
        }


def test_a_rollout_has_time_to_end(plain):
    from components.rollout.settings import RolloutSettings

    found = [placed for step, _, placed in everywhere(plain) if step == "rollout"]
    assert len(found) == 3

    defaults = RolloutSettings()
    longest = (len(defaults.steps) - 1) * (
        defaults.window_seconds + defaults.patience_seconds + defaults.ready_seconds
    )
    longest += defaults.turn_seconds + 2 * defaults.ready_seconds
    assert min(int(placed["activeDeadlineSeconds"]) for placed in found) >= longest


def test_home_is_mounted_where_it_is_read_or_written(plain):
    for step, _, placed in everywhere(plain):
        mounts = [
            (mount["pvcNameParameter"]["runtimeValue"]["constant"], mount["mountPath"])
            for mount in placed.get("pvcMount", [])
        ]
        assert mounts == ([("waymark-home", "/mnt/waymark")] if step in HOME else []), step


def test_every_step_that_takes_home_has_it(plain):
    """The list above is not out of date: who has a parameter home, mounts it."""
    for path in plain:
        ir = load_ir(path)
        for component in ir["components"].values():
            if "executorLabel" not in component:
                continue
            if "home" in component.get("inputDefinitions", {}).get("parameters", {}):
                label = component["executorLabel"]
                assert load_kubernetes(path)["deploymentSpec"]["executors"][label]["pvcMount"], label


def test_the_webhooks_url_is_a_secret_that_need_not_exist(plain):
    for step, container, placed in everywhere(plain):
        secrets = placed.get("secretAsEnv", [])
        assert bool(secrets) == (step in TOLD), step
        for secret in secrets:
            assert secret["secretNameParameter"]["runtimeValue"]["constant"] == "waymark-webhook"
            assert secret["keyToEnv"] == [{"secretKey": "url", "envVar": WEBHOOK}]
            assert secret["optional"] is True
        assert "env" not in container


def test_no_gpus_unless_asked_for(plain):
    for step, container, placed in everywhere(plain):
        assert "accelerator" not in container["resources"], step
        assert not {"nodeSelector", "tolerations"} & set(placed), step


def test_training_steps_get_gpus_and_their_nodes(with_gpu):
    for step, container, placed in everywhere(with_gpu):
        accelerator = container["resources"].get("accelerator")
        assert bool(accelerator) == (step in TRAINED), step
        if accelerator:
            assert (accelerator["resourceType"], accelerator["resourceCount"]) == ("nvidia.com/gpu", "2")
            assert placed["nodeSelector"] == {"labels": {"nvidia.com/gpu.present": "true"}}
            assert placed["tolerations"] == [
                {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}
            ]


def test_a_site_names_its_own(tmp_path):
    site = {
        "WAYMARK_GPU": "amd.com/gpu=1",
        "WAYMARK_GPU_NODE": "",
        "WAYMARK_HOME_CLAIM": "theirs",
        "WAYMARK_HOME_PATH": "/mnt/theirs",
        "WAYMARK_WEBHOOK_SECRET": "",
    }
    paths = compiled(site, tmp_path)
    assert (
        load_ir(paths[0])["root"]["inputDefinitions"]["parameters"]["home"]["defaultValue"] == "/mnt/theirs"
    )
    for step, container, placed in everywhere(paths):
        assert "secretAsEnv" not in placed
        assert "nodeSelector" not in placed
        if step in TRAINED:
            assert container["resources"]["accelerator"]["resourceType"] == "amd.com/gpu"
            assert placed["tolerations"][0]["key"] == "amd.com/gpu"
        if step in HOME:
            assert placed["pvcMount"][0]["mountPath"] == "/mnt/theirs"


@pytest.mark.parametrize("gpu", ["2", "nvidia.com/gpu", "nvidia.com/gpu=0", "nvidia.com/gpu=two", "gpu=1"])
def test_gpus_that_make_no_sense_are_one_plain_message(tmp_path, gpu):
    done = compile_for({}, tmp_path, "--gpu", gpu)
    assert done.returncode == 1
    assert done.stderr.startswith("error: WAYMARK_GPU: ")
    assert "nvidia.com/gpu=1" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_site_that_changes_after_the_import_is_not_passed_over(tmp_path, monkeypatch):
    monkeypatch.setenv("WAYMARK_HOME_CLAIM", "another")
    with pytest.raises(WaymarkError, match="for another site"):
        compile_all(tmp_path, ["bootstrap"])


def test_node_label_is_checked(monkeypatch):
    monkeypatch.setenv("WAYMARK_GPU_NODE", "no label")
    with pytest.raises(WaymarkError, match=r"WAYMARK_GPU_NODE: .*a label is expected"):
        read_site()


def test_runs_end_and_their_pods_go(plain):
    days = {"bootstrap": 2, "daily_candidates": 2, "weekly_embeddings": 3, "monthly_ranker": 5, "tune": 7}
    for path in plain:
        config = load_kubernetes(path)["pipelineConfig"]
        assert int(config["activeDeadlineSeconds"]) == days[path.stem] * DAY
        assert int(config["resourceTtlOnSuccess"]) == 3 * DAY
        assert int(config["resourceTtlOnFailure"]) == 14 * DAY


def test_both_documents_are_what_kfp_reads(plain, with_gpu):
    """Both parse as KFP's own messages, and so do the executors' settings; unknown fields are refused."""
    for path in (*plain, *with_gpu):
        ir, kubernetes = load_ir(path), load_kubernetes(path)
        json_format.ParseDict(ir, PipelineSpec())
        json_format.ParseDict({"platforms": {"kubernetes": kubernetes}}, PlatformSpec())
        for placed in kubernetes["deploymentSpec"]["executors"].values():
            json_format.ParseDict(placed, KubernetesExecutorConfig())
