"""A real redis-server on a free port, as durable as in the cluster."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import RedisError


class RedisServer:
    """One redis-server over a folder; it may be killed and started again.

    Parameters
    ----------
    folder : Path
        Holds its append-only file.
    """

    def __init__(self, folder: Path):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it answers."""
        command = ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--save", ""]
        durable = ["--appendonly", "yes", "--appendfsync", "always", "--dir", str(self._folder)]
        self._process = subprocess.Popen([*command, *durable], stdout=subprocess.DEVNULL)
        with Redis.from_url(self.url) as client:
            for _ in range(400):
                try:
                    client.ping()
                    return
                except RedisError:
                    time.sleep(0.025)
        raise AssertionError("Redis did not start")

    def kill(self) -> None:
        """End it as kill -9 does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def stop(self) -> None:
        """Let it hang: it takes connections, and answers nothing."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def proceed(self) -> None:
        """End what :meth:`stop` began."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def flush(self) -> None:
        """Delete everything in it."""
        with Redis.from_url(self.url) as client:
            client.flushall()


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory) -> Iterator[RedisServer]:
    """A server that the whole session shares; a test that kills it starts it again."""
    if shutil.which("redis-server") is None:
        pytest.skip("no redis-server: tools/test-programs.sh installs it")
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.kill()


@pytest.fixture
def redis_url(redis_server) -> str:
    """Address of an empty Redis."""
    redis_server.flush()
    return redis_server.url
