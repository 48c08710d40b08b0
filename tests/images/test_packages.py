"""What the images' lists name, and that the server needs no more than its own."""

import os
import re
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from components import images

ROOT = Path(__file__).parents[2]
LISTS = ROOT / "tools" / "images"
BUILD_GPU, SERVING_GPU = "build-serving-gpu", "serving-gpu"
UV = Path(sys.executable).parent / "uv"


def names(path: Path) -> list[str]:
    """Distributions that a list of requirements or pins names."""
    lines = [line.split("#")[0].strip() for line in path.read_text().splitlines()]
    return [re.split(r"[\[=; ]", line)[0] for line in lines if line]


@pytest.mark.parametrize("path", sorted(LISTS.glob("*.in")), ids=lambda path: path.stem)
def test_lists_name_nothing_that_the_lock_does_not_pin(path: Path) -> None:
    found = names(path)
    assert found
    assert set(found) <= set(names(ROOT / "requirements.txt"))


def test_every_list_is_installed_by_a_stage() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    for path in LISTS.glob("*.in"):
        assert re.search(rf"install\.sh /opt/\w+ /build/{path.name}\b", dockerfile), path.name


@pytest.mark.parametrize("image", [images.LIGHT, images.DATA, images.TRAIN, "waymark/serving:dev"])
def test_every_image_is_built(image: str) -> None:
    target = image.split("/")[-1].split(":")[0]
    assert f"AS {target}\n" in (ROOT / "Dockerfile").read_text()
    [targets] = re.findall(r"set -- ([a-z ]+)\n", (LISTS / "build.sh").read_text())
    assert target in targets.split()


def test_the_gpu_image_is_the_server_with_tensorflow_and_its_cuda_libraries() -> None:
    text = (ROOT / "Dockerfile").read_text()
    build, final = (text.split(f"AS {name}\n")[1].split("\nFROM")[0] for name in (BUILD_GPU, SERVING_GPU))
    assert f"FROM serving AS {SERVING_GPU}\n" in text
    assert re.search(r"GPU=1 /build/install\.sh \S+ /build/serving-gpu\.in", build)
    assert "WAYMARK_RANKER=tensorflow" in final
    assert names(LISTS / "serving-gpu.in") == ["tensorflow"]
    assert all(name.startswith("nvidia-") for name in names(LISTS / "gpu.txt"))
    component = (ROOT / "manifests/components/gpu/kustomization.yaml").read_text()
    assert f"value: waymark/{SERVING_GPU}\n" in component
    # `make images GPU=1` builds it too; without, nobody waits for its gigabytes.
    assert f'[ "$GPU" != 1 ] || set -- "$@" {SERVING_GPU}' in (LISTS / "build.sh").read_text()


def served_code(folder: Path) -> Path:
    """What the serving image copies, taken from the Dockerfile itself."""
    stage = (ROOT / "Dockerfile").read_text().split("AS serving\n")[1].split("\nFROM")[0]
    for source, target in re.findall(r"^COPY (\S+) /app/(\S+)$", stage, re.MULTILINE):
        copy = shutil.copytree if (ROOT / source).is_dir() else shutil.copy
        (folder / target).parent.mkdir(parents=True, exist_ok=True)
        copy(ROOT / source, folder / target)
    return folder


@pytest.mark.slow
@pytest.mark.skipif(not UV.exists(), reason="needs uv, which tools/setup.sh installs")
def test_the_server_runs_with_its_own_list_and_code_alone(small_release: Path, tmp_path: Path) -> None:
    venv, code = tmp_path / "venv", served_code(tmp_path / "app")
    subprocess.run([UV, "venv", "--quiet", "--python", sys.executable, venv], check=True)
    lists = [word for name in ("common", "serving") for word in ("-r", LISTS / f"{name}.in")]
    install = [UV, "pip", "install", "--quiet", "--python", venv / "bin/python"]
    subprocess.run([*install, "-c", ROOT / "requirements.txt", *lists], check=True)

    clean = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "VIRTUAL_ENV"))}
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    serve = ["-m", "serving", "--home", small_release, "--host", "127.0.0.1", "--port", port]
    with (tmp_path / "log").open("w") as log:
        server = subprocess.Popen([venv / "bin/python", *serve], cwd=code, env=clean, stderr=log)
    try:
        answer = until_it_answers(server, f"http://127.0.0.1:{port}", tmp_path / "log")
        assert answer.json()["predictions"][0]["items"]
    finally:
        server.terminate()
        server.wait(timeout=30)


def until_it_answers(server: subprocess.Popen, address: str, log: Path) -> httpx.Response:
    deadline = time.monotonic() + 120
    while True:
        try:
            answer = httpx.post(f"{address}/v1/models/waymark:predict", json={"instances": [{}]})
            if answer.status_code == 200:
                return answer
        except httpx.TransportError:
            pass
        assert server.poll() is None, log.read_text()[-2000:]
        assert time.monotonic() < deadline, log.read_text()[-2000:]
        time.sleep(0.3)
