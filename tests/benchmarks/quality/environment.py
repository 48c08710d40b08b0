"""The peers' own environment, .venv-peers, made from the pinned requirements-peers.txt."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]


def _index() -> dict[str, str]:
    """Environment for uv, which does not read pip's settings (as tools/setup.sh)."""
    found = dict(os.environ)
    pip = [sys.executable, "-m", "pip", "config", "get", "global.index-url"]
    index = found.get("PIP_INDEX_URL") or subprocess.run(pip, capture_output=True, text=True).stdout.strip()
    if index:
        found.setdefault("UV_DEFAULT_INDEX", index)
    if found.get("PIP_CERT"):
        found.setdefault("SSL_CERT_FILE", found["PIP_CERT"])
    return found


def ready(venv: Path = ROOT / ".venv-peers") -> Path:
    """Make or renew the environment where it does not match the pins; returns its Python."""
    pins, python, mark = ROOT / "requirements-peers.txt", venv / "bin" / "python", venv / ".digest"
    digest = hashlib.sha256(pins.read_bytes() + sys.version.encode()).hexdigest()
    if not (python.exists() and mark.exists() and mark.read_text() == digest):
        uv = [str(Path(sys.prefix) / "bin" / "uv")]
        made = [*uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(venv)]
        filled = [*uv, "pip", "install", "--quiet", "--compile-bytecode"]
        filled += ["--python", str(python), "-r", str(pins)]
        for command in (made, filled):
            subprocess.run(command, check=True, env=_index())
        mark.write_text(digest)
    return python


def settings_of(threads: int) -> dict[str, str]:
    """Environment variables of every measured process: the same threads, nothing that spins."""
    return {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": str(threads),
        "OMP_WAIT_POLICY": "PASSIVE",
        "OPENBLAS_NUM_THREADS": "1",
        "TF_NUM_INTRAOP_THREADS": str(threads),
        "TF_NUM_INTEROP_THREADS": str(threads),
        "CUDA_VISIBLE_DEVICES": "",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "TF_USE_LEGACY_KERAS": "1",
    }
