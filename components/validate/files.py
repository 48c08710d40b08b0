"""A log of lines that is only ever added to."""

from __future__ import annotations

import os
from pathlib import Path


def append(path: Path, line: bytes) -> None:
    """Add one line, whole or not at all, after those of other processes, and wait until it is on disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(descriptor, line + b"\n")
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
