"""Libraries that put the interpreter's path into a shell command."""

from __future__ import annotations

import contextlib
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
