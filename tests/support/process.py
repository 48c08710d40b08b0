"""Ports and readiness of servers that are processes of their own."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import time
from pathlib import Path

import httpx

ROOT = Path(__file__).parents[2]


def free_port() -> int:
    """A port that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until_ready(
    client: httpx.Client, process: subprocess.Popen, log: Path | None = None, seconds: float = 120
) -> None:
    """Return once the server is ready; fail with the end of its log if it ends, or time is up, before."""
    deadline = time.monotonic() + seconds
    while True:
        with contextlib.suppress(httpx.TransportError):
            if client.get("/v2/health/ready").status_code == 200:
                return
        said = log.read_text()[-2000:] if log else ""
        assert process.poll() is None, said
        assert time.monotonic() < deadline, said
        time.sleep(0.1)
