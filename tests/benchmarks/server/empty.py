"""A KServe server whose predict returns at once, as quiet as ours: what the framework alone costs."""

from __future__ import annotations

import logging
import sys
from typing import Any

# KServe reads the command line when it is imported.
_ARGUMENTS, sys.argv = sys.argv, sys.argv[:1]

from kserve import Model, ModelServer  # noqa: E402

sys.argv = _ARGUMENTS


class Empty(Model):
    """Knows nothing, fast."""

    def __init__(self) -> None:
        super().__init__("waymark")
        self.ready = True

    async def predict(self, payload: Any, headers: Any = None, *_: Any) -> dict[str, Any]:
        """Answer without looking."""
        return {"predictions": []}


if __name__ == "__main__":
    server = ModelServer(
        http_port=int(sys.argv[-1]), workers=1, enable_grpc=False, enable_latency_logging=False
    )
    for name in ("kserve", "kserve.trace", "uvicorn", "uvicorn.access", "uvicorn.error"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    server.start([Empty()])
