"""A real serving process on a free port."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx

ROOT = Path(__file__).parents[2]


def free_port() -> int:
    """A port that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until_ready(client: httpx.Client, process: subprocess.Popen, log: Path | None = None) -> None:
    """Return once the server is ready; fail with the end of its log if it ends before."""
    deadline = time.monotonic() + 120
    while True:
        with contextlib.suppress(httpx.TransportError):
            if client.get("/v2/health/ready").status_code == 200:
                return
        said = log.read_text()[-2000:] if log else ""
        assert process.poll() is None, said
        assert time.monotonic() < deadline, said
        time.sleep(0.1)


@contextlib.contextmanager
def serving(
    home: Path, *arguments: str, log: Path | None = None, **environment: str
) -> Iterator[httpx.Client]:
    """Serve a HOME; gives a client of it.

    Parameters
    ----------
    home : Path
    *arguments : str
        More of the command line.
    log : Path, optional
        Takes what the process writes to the standard error.
    **environment : str
        Variables for the process.
    """
    port = free_port()
    command = [sys.executable, "-m", "serving", "--home", str(home), "--port", str(port), *arguments]
    with log.open("w") if log else open(os.devnull, "w") as stderr:
        process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, **environment}, stderr=stderr)
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
                wait_until_ready(client, process, log)
                yield client
        finally:
            process.terminate()
            try:
                process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                process.kill()
