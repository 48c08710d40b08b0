"""Ids of requests and answers."""

from __future__ import annotations

import random

# Seeded by the system. Not uuid4: the system's generator is asked outside the interpreter's lock, and
# under load a thread that lets go of that waits long to have it back.
_RANDOM = random.Random()


def new_id() -> str:
    """128 random bits, hexadecimal; unique, no secret.

    Examples
    --------
    >>> len(new_id()), new_id() == new_id()
    (32, False)
    """
    return f"{_RANDOM.getrandbits(128):032x}"
