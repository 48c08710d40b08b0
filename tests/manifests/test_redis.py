"""Redis as the manifests start it, its backup and its restore, with a real redis-server."""

import os
import shutil
import socket
import subprocess
import time

import pytest

from manifests.check.build import MANIFESTS, build_overlay
from manifests.check.objects import Objects

FOLDER = MANIFESTS / "components" / "redis"
PASSWORD = "p w$d"  # a shell would take it apart
pytestmark = pytest.mark.skipif(
    not all(map(shutil.which, ("redis-server", "redis-cli", "redis-check-rdb"))),
    reason="no redis-server: tools/test-programs.sh installs it",
)


@pytest.fixture
def place(tmp_path):
    for name in ("data", "run", "backup"):
        (tmp_path / name).mkdir()
    return tmp_path


@pytest.fixture
def port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def start(place, port):
    """Start Redis by the StatefulSet's own command, its folders moved to ``place``."""
    pod = Objects(build_overlay("local", ["redis"])).get("StatefulSet", "waymark-redis")
    (container,) = pod["spec"]["template"]["spec"]["containers"]
    text = (FOLDER / "redis.conf").read_text()
    text = text.replace("/run/redis", f"{place}/run").replace("dir /data", f"dir {place}/data")
    (place / "redis.conf").write_text(f"{text}\nport {port}\nbind 127.0.0.1\n")
    script = container["args"][0].replace("/run/redis", f"{place}/run")
    command = [*container["command"], script.replace("/etc/redis/redis.conf", f"{place}/redis.conf")]
    started = []

    def begin():
        process = subprocess.Popen(command, env=_environment(), stdout=subprocess.DEVNULL)
        started.append(process)
        for _ in range(200):
            if _ask(port, "ping") == "PONG":
                return process
            time.sleep(0.05)
        raise AssertionError("Redis did not start")

    yield begin
    for process in started:
        process.kill()
        process.wait()


def _environment():
    return {**os.environ, "REDISCLI_AUTH": PASSWORD}


def _ask(port, *words, password=PASSWORD):
    run = subprocess.run(
        ["redis-cli", "-p", str(port), *words],
        env={**os.environ, "REDISCLI_AUTH": password},
        capture_output=True,
        text=True,
        check=False,
    )
    return run.stdout.strip()


def _run(script, *arguments):
    command = ["sh", str(FOLDER / script), *map(str, arguments)]
    return subprocess.run(
        command, env=_environment(), capture_output=True, text=True, check=False, timeout=60
    )


def test_what_was_acknowledged_survives_kill(start, port):
    process = start()
    assert _ask(port, "ping", password="wrong") != "PONG"
    assert _ask(port, "set", "event", "1") == "OK"
    process.kill()
    process.wait()
    start()
    assert _ask(port, "get", "event") == "1"


def test_backup_keeps_the_newest_and_restores(start, place, port):
    process = start()
    _ask(port, "set", "event", "kept")
    (place / "backup" / "waymark-20200101T000000Z.rdb").write_bytes(b"old")
    (place / "backup" / "waymark-20200102T000000Z.rdb.partial").write_bytes(b"killed")
    run = _run("backup.sh", place / "backup", "127.0.0.1", port, 1)
    assert run.returncode == 0, run.stdout + run.stderr
    (snapshot,) = (place / "backup").iterdir()
    assert snapshot.read_bytes().startswith(b"REDIS")

    _ask(port, "set", "event", "changed")
    process.terminate()
    process.wait()
    run = _run("restore.sh", place / "backup", place / "data")
    assert run.returncode == 0, run.stdout + run.stderr
    assert sorted(path.name for path in (place / "data").iterdir()) == ["appendonlydir", "before"]
    start()
    assert _ask(port, "get", "event") == "kept"


def test_a_failed_backup_leaves_the_old_ones(place, port):
    old = place / "backup" / "waymark-20200101T000000Z.rdb"
    old.write_bytes(b"old")
    assert _run("backup.sh", place / "backup", "127.0.0.1", port, 1).returncode != 0
    assert list((place / "backup").glob("*.rdb")) == [old]


def test_a_broken_snapshot_is_not_restored(place):
    (place / "backup" / "waymark-20200101T000000Z.rdb").write_bytes(b"REDIS0011 broken")
    (place / "data" / "appendonlydir").mkdir()
    assert _run("restore.sh", place / "backup", place / "data").returncode != 0
    assert [path.name for path in (place / "data").iterdir()] == ["appendonlydir"]
