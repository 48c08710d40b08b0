"""A server as a process whose time and memory can be read."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.support.process import ROOT, free_port, wait_until_ready


@dataclass
class Running:
    """A server that answers.

    Attributes
    ----------
    process : subprocess.Popen
    url : str
    log : Path
        What it writes.
    seconds : float
        From its start until it was ready.
    """

    process: subprocess.Popen[bytes]
    url: str
    log: Path
    seconds: float

    def client(self, **more: Any) -> httpx.Client:
        """A client with the server's address."""
        return httpx.Client(base_url=self.url, timeout=60, **more)

    def rss(self, peak: bool = False) -> int:
        """Bytes of memory now, or the most so far."""
        name = "VmHWM:" if peak else "VmRSS:"
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return 1024 * next(int(line.split()[1]) for line in status.splitlines() if line.startswith(name))

    def cpu(self) -> float:
        """Seconds of processor time used so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def running(command: list[str], log: Path, *, patience: float = 120, **environment: str) -> Iterator[Running]:
    """Start a Python module with ``--port``, wait until it is ready, end it at the end.

    Parameters
    ----------
    command : list of str
        What follows ``python``; the port is added.
    log : Path
        Takes its stdout and stderr.
    patience : float
        Seconds until it must be ready.
    environment : str
        Variables over the present ones.
    """
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with log.open("wb") as output:
        began = time.monotonic()
        process = subprocess.Popen(
            [sys.executable, *command, "--port", str(port)],
            cwd=ROOT,
            env={**os.environ, **environment},
            stdout=output,
            stderr=output,
        )
    try:
        with httpx.Client(base_url=url, timeout=5) as client:
            wait_until_ready(client, process, log, patience)
        yield Running(process, url, log, time.monotonic() - began)
    finally:
        process.terminate()
        try:
            process.wait(timeout=40)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def serving(
    home: Path, log: Path, *arguments: str, patience: float = 120, **environment: str
) -> contextlib.AbstractContextManager[Running]:
    """The server over a HOME."""
    command = ["-m", "serving", "--home", str(home), "--host", "127.0.0.1", *arguments]
    return running(command, log, patience=patience, **environment)


@contextlib.contextmanager
def served(
    home: Path, *arguments: str, log: Path | None = None, **environment: str
) -> Iterator[httpx.Client]:
    """A client of the server over a HOME; its log is kept where one is named."""
    with (
        tempfile.TemporaryDirectory() as folder,
        serving(home, log or Path(folder) / "log", *arguments, **environment) as server,
        server.client() as client,
    ):
        yield client
