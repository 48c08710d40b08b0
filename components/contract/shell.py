"""What child processes find: the environment, and the interpreter's path in a shell command."""

from __future__ import annotations

import contextlib
import os
import shlex
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def quoted_executable() -> Iterator[None]:
    """Quote ``sys.executable`` for a while.

    KFP's local runner and Beam's worker processes write it unquoted into a shell command, where a
    space in the path would cut it. A path without one stays as it is.

    Examples
    --------
    >>> before = sys.executable
    >>> with quoted_executable():
    ...     shlex.split(sys.executable) == [before]
    True
    >>> sys.executable == before
    True
    """
    before = sys.executable
    sys.executable = shlex.quote(before)
    try:
        yield
    finally:
        sys.executable = before


@contextlib.contextmanager
def environment(**values: str) -> Iterator[None]:
    """Set environment variables for a while.

    Examples
    --------
    >>> with environment(WAYMARK_DOCTEST="1"):
    ...     os.environ["WAYMARK_DOCTEST"]
    '1'
    >>> "WAYMARK_DOCTEST" in os.environ
    False
    """
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
