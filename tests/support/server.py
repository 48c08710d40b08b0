"""The server as a process of its own, that can be stopped and started again at the same address."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import httpx

from tests.support.process import ROOT, free_port, wait_until_ready

# On a busy machine the ranker must not be left out for want of time.
PATIENT = {"WAYMARK_SERVING_DEADLINE_MS": "20000", "WAYMARK_SERVING_REQUEST_TIMEOUT_SECONDS": "60"}


class ServerProcess:
    """``python -m serving`` of a HOME or, with ``release=True``, of one release folder."""

    def __init__(self, folder: Path, log: Path, *, release: bool = False, **environment: str):
        self.folder, self._log = folder, log
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self._command = [sys.executable, "-m", "serving", "--host", "127.0.0.1", "--port", str(port)]
        self._command += ["--release" if release else "--home", str(folder)]
        self._environment = {**os.environ, **PATIENT, **environment}
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> ServerProcess:
        """Return once it is ready."""
        with self._log.open("ab") as stderr:
            self._process = subprocess.Popen(self._command, cwd=ROOT, env=self._environment, stderr=stderr)
        with httpx.Client(base_url=self.url, timeout=5) as client:
            wait_until_ready(client, self._process, self._log)
        return self

    def stop(self) -> None:
        """Return once it has ended."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(timeout=60)
            self._process = None
