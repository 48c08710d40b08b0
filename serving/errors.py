"""Errors that become an HTTP answer."""

import traceback
from collections.abc import Mapping
from typing import Any


class RequestError(Exception):
    """A request that breaks the REST contract; the message names the field."""

    def __init__(self, message: str, status: int = 400, headers: Mapping[str, str] | None = None):
        super().__init__(message)
        self.status = status
        self.headers = headers


def located(error: BaseException) -> dict[str, Any]:
    """What a log may say of a fault: its type and where it came from.

    Neither its message nor local values: they may name an associate.
    """
    frames = traceback.extract_tb(error.__traceback__, limit=-12)
    return {
        "error": type(error).__name__,
        "where": [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames],
    }
