"""Images as containers. Run by ``tools/images/test.sh`` (``make images-test``), which builds them first."""

import ast
import json
import os
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import httpx
import pytest
from kfp import dsl, local

from components import images
from components.contract.release import load
from components.contract.sources import Neighbours
from components.transitions.component import transitions
from components.transitions.step import run as run_transitions
from serving.engine import Engine
from serving.payloads import Context, Instance

ROOT = Path(__file__).parents[2]
LISTS = ROOT / "tools" / "images"
TARGETS = os.environ.get("WAYMARK_TEST_IMAGES", "light serving").split()
# Stricter than Kubernetes' restricted profile, which leaves the root file system open.
STRICT: dict[str, Any] = {
    "read_only": True,
    "tmpfs": {"/tmp": ""},
    "cap_drop": ["ALL"],
    "security_opt": ["no-new-privileges"],
}
SETTINGS = {"transitions": {"size": 7}}
_SERVER_NEEDS_TENSORFLOW = "tensorflow" in (LISTS / "serving.in").read_text()
MOST_MEGABYTES = {
    "light": 700,
    "serving": 2200 if _SERVER_NEEDS_TENSORFLOW else 1000,
    "train": 2500,
    "data": 3100,
    "serving-gpu": 7500,
}
SERVERS = [target for target in TARGETS if target.startswith("serving")]
if os.environ.get("GPU") == "1":
    MOST_MEGABYTES["train"] = 9000


@pytest.fixture(scope="session")
def client() -> Iterator[docker.DockerClient]:
    client = docker.from_env()
    yield client
    client.close()


def name_of(target: str) -> str:
    return images.LIGHT.replace("/light:", f"/{target}:")


def run(client: docker.DockerClient, target: str, *command: str) -> str:
    """Standard output of a command in a strict container without network; raises when it fails."""
    found = client.containers.run(
        name_of(target), command[1:], entrypoint=command[0], remove=True, network_mode="none", **STRICT
    )
    return found.decode()


def normal(pin: str) -> str:
    """``name==version`` with the name as indexes compare it."""
    name, _, version = pin.strip().partition("==")
    return re.sub(r"[-_.]+", "-", name).lower() + "==" + version


@pytest.mark.parametrize("target", TARGETS)
def test_size(client: docker.DockerClient, target: str) -> None:
    size = client.images.get(name_of(target)).attrs["Size"] / 1e6
    print(f"{target}: {size:.0f} MB, at most {MOST_MEGABYTES[target]}")
    assert size <= MOST_MEGABYTES[target]


@pytest.mark.parametrize("target", TARGETS)
def test_holds_what_the_lock_pins_and_no_more(client: docker.DockerClient, target: str) -> None:
    code = "import importlib.metadata as m; print(*(f'{d.name}=={d.version}' for d in m.distributions()))"
    found = {normal(pin) for pin in run(client, target, "python3", "-c", code).split()}
    pins = (ROOT / "requirements.txt").read_text() + (LISTS / "gpu.txt").read_text()
    assert len(found) > 10
    assert found <= {normal(line.split(" ;")[0]) for line in pins.splitlines()}


@pytest.mark.parametrize("target", TARGETS)
def test_runs_as_nobody_and_holds_no_tools(client: docker.DockerClient, target: str) -> None:
    script = (
        "id -u; touch /app/mine 2>/dev/null && echo wrote /app; touch /tmp/mine && echo wrote /tmp;"
        "for tool in pip pip3 gcc g++ make git; do command -v $tool; done;"
        "for name in pip ensurepip; do python3 -c 'import '$name 2>/dev/null && echo holds $name; done; true"
    )
    assert run(client, target, "sh", "-c", script).split("\n")[:-1] == ["10001", "wrote /tmp"]


@pytest.mark.parametrize("target", [target for target in TARGETS if target in ("light", "serving")])
def test_holds_the_compiled_loops(client: docker.DockerClient, target: str) -> None:
    code = "from components.contract.kernels import library; print(library() is not None)"
    assert run(client, target, "python3", "-c", code) == "True\n"


@pytest.mark.parametrize("target", TARGETS)
def test_labels(client: docker.DockerClient, target: str) -> None:
    labels = client.images.get(name_of(target)).labels
    about = {key.removeprefix("org.opencontainers.image."): value for key, value in labels.items()}
    assert about["title"] == "Waymark"
    assert about["version"] == os.environ["WAYMARK_TAG"]
    assert about["base.name"] == os.environ["BASE"]
    assert about["revision"]


def modules_of_steps(image: str) -> list[str]:
    """Modules that the components of an image import when they run."""
    found = set()
    for path in (ROOT / "components").rglob("component.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef) and f"base_image={image.upper()}," in ast.unparse(node):
                found |= {part.module for part in ast.walk(node) if isinstance(part, ast.ImportFrom)}
    return sorted(found)


@pytest.mark.parametrize("target", [target for target in TARGETS if target not in SERVERS])
def test_holds_what_its_steps_import(client: docker.DockerClient, target: str) -> None:
    modules = modules_of_steps(target)
    assert len(modules) >= 3
    code = "import sys, importlib; [importlib.import_module(name) for name in sys.argv[1:]]; print('all')"
    assert run(client, target, "python3", "-c", code, *modules).split()[-1] == "all"


@pytest.fixture
def through_docker(small_run: Path, tmp_path: Path) -> Iterator[Path]:
    """KFP set to its docker runner; the folder that containers see and may write, with a data set in it."""
    root = tmp_path / "artifacts"
    shutil.copytree(small_run / "work" / "dataset", root / "dataset")
    for path in [root, *root.rglob("*")]:
        path.chmod(0o777 if path.is_dir() else 0o644)
    local.init(
        local.DockerRunner(network_mode="none", **STRICT), pipeline_root=str(root), raise_on_error=False
    )
    yield root
    shutil.rmtree(root)


def count_transitions(root: Path, dataset: Path) -> Path | None:
    """The folder that a pipeline of one step leaves in ``root``, if any."""

    @dsl.pipeline(name="one-step")
    def one_step() -> None:
        log = dsl.importer(artifact_uri=str(dataset), artifact_class=dsl.Dataset)
        transitions(dataset=log.output, before_stage=2, settings=SETTINGS)

    one_step()
    return next(root.glob("one-step*/transitions/model"), None)


@pytest.mark.skipif("light" not in TARGETS, reason="the light image was not built")
class TestStep:
    def test_through_kfp_equals_the_step_run_here(self, through_docker: Path, tmp_path: Path) -> None:
        model = count_transitions(through_docker, through_docker / "dataset")
        assert model
        run_transitions(through_docker / "dataset", tmp_path / "here", 2, SETTINGS)
        files = sorted((tmp_path / "here").glob("*.npz"))
        assert files
        assert [path.name for path in files] == sorted(path.name for path in model.iterdir())
        for path in files:
            found, expected = (Neighbours.load(folder / path.name) for folder in (model, tmp_path / "here"))
            assert found.index.shape[1] == SETTINGS["transitions"]["size"]
            assert (found.index == expected.index).all()
            assert found.score == pytest.approx(expected.score)

    def test_that_fails_leaves_no_output(self, through_docker: Path) -> None:
        # The runner may well report success here: it loses the status of a container that is gone.
        assert count_transitions(through_docker, through_docker / "elsewhere") is None


@pytest.fixture(scope="module")
def release(small_release: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A release as KServe's storage initialiser mounts it: readable by everyone."""
    copy = tmp_path_factory.mktemp("mounted") / "models"
    shutil.copytree(load(small_release).root, copy)
    for path in [copy, *copy.rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)
    return copy


@pytest.fixture(scope="module", params=SERVERS)
def server(
    client: docker.DockerClient, release: Path, request: pytest.FixtureRequest
) -> Iterator[tuple[Any, httpx.Client]]:
    container = client.containers.run(
        name_of(request.param),
        detach=True,
        volumes={str(release): {"bind": "/mnt/models", "mode": "ro"}},
        ports={"8080/tcp": ("127.0.0.1", None)},
        mem_limit="2g",
        # On a busy machine the ranker must not be left out for want of time.
        environment={"WAYMARK_SERVING_DEADLINE_MS": "20000"},
        **STRICT,
    )
    try:
        started = time.monotonic()
        while container.attrs["State"].get("Health", {}).get("Status") != "healthy":
            said = container.logs().decode()[-2000:]
            assert container.status != "exited", said
            assert time.monotonic() - started < 120, said
            time.sleep(0.5)
            container.reload()
        port = container.ports["8080/tcp"][0]["HostPort"]
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as http:
            yield container, http
    finally:
        container.remove(force=True)


@pytest.mark.skipif(not SERVERS, reason="no image of the server was built")
class TestServing:
    def test_only_the_gpu_image_loads_tensorflow(self, server: tuple[Any, httpx.Client]) -> None:
        _, libraries = server[0].exec_run("cat /proc/1/maps")
        gpu = name_of("serving-gpu") in server[0].image.tags
        assert (b"tensorflow" in libraries) == gpu

    def test_answers_as_the_engine_does(self, server: tuple[Any, httpx.Client], release: Path) -> None:
        engine = Engine(load(release))
        associate, now = engine.examples()[0], engine.last_event + 60
        instance = {"associate_id": associate, "context": {"time": now}}
        answer = server[1].post("/v1/models/waymark:predict", json={"instances": [instance]})
        assert answer.status_code == 200
        [found] = answer.json()["predictions"]
        assert found["fallback"] is None
        [expected] = engine.recommend([Instance(associate_id=associate, context=Context(time=now))])
        assert found["release"] == engine.name
        assert [item["page_id"] for item in found["items"]] == [item["page_id"] for item in expected["items"]]
        scores = [item["score"] for item in expected["items"]]
        assert [item["score"] for item in found["items"]] == pytest.approx(scores, abs=1e-4)

    def test_v2_and_metrics_too(self, server: tuple[Any, httpx.Client]) -> None:
        tensor = {"name": "instances", "shape": [1], "datatype": "BYTES", "data": [json.dumps({"limit": 3})]}
        answer = server[1].post("/v2/models/waymark/infer", json={"inputs": [tensor]})
        assert len(json.loads(answer.json()["outputs"][0]["data"][0])["items"]) == 3
        assert "waymark" in server[1].get("/metrics").text

    def test_stops_by_itself_when_told(self, server: tuple[Any, httpx.Client]) -> None:
        used = server[0].stats(stream=False)["memory_stats"]["usage"] / 2**20
        server[0].stop(timeout=20)
        server[0].reload()
        print(f"serving: {used:.0f} MiB in use, stopped with {server[0].attrs['State']['ExitCode']}")
        assert server[0].attrs["State"]["ExitCode"] == 0
