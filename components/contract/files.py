"""Files that are whole or absent: write aside, fsync, rename."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def atomic_file(path: Path | str) -> Iterator[Path]:
    """Give a temporary path beside ``path`` that takes its place when the block succeeds.

    Parameters
    ----------
    path : Path or str
        The file to create or replace; missing folders are made.

    Yields
    ------
    Path
        Where to write. It is fsynced and renamed at the end, removed on an error.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(descriptor)
    aside = Path(name)
    try:
        yield aside
        with aside.open("rb") as handle:
            os.fsync(handle.fileno())
        aside.chmod(0o644)
        aside.replace(path)
        _sync_directory(path.parent)
    finally:
        aside.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: Path | str) -> Iterator[Path]:
    """Like :func:`atomic_file`, for a folder; an existing folder at ``path`` is replaced."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
    try:
        yield aside
        for file in aside.rglob("*"):
            if file.is_file():
                with file.open("rb") as handle:
                    os.fsync(handle.fileno())
            else:
                _sync_directory(file)
        aside.chmod(0o755)
        if path.exists():
            # rename(2) cannot replace a folder that is not empty.
            old = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}.old."))
            path.replace(old / path.name)
            aside.replace(path)
            shutil.rmtree(old)
        else:
            aside.replace(path)
        _sync_directory(path.parent)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
