"""HTTP/1.1 on the wire: uvicorn's, with bounds on what comes before a request is one."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MOST_HEAD_BYTES = 65_536
SECONDS_FOR_HEAD = 10.0


class BoundedProtocol(HttpToolsProtocol):
    """Hangs up on heads (request line and headers) that are too long or too slow.

    uvicorn bounds neither: one connection could fill the memory, or many keep the server busy.
    """

    def __init__(self, *positional: Any, **named: Any):
        super().__init__(*positional, **named)
        self._head_bytes: int | None = 0
        self._heads = 0
        self._patience: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start to wait for the first head."""
        super().connection_made(transport)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Feed the parser, then hang up if what it was fed is too much for a head."""
        waiting, heads = self._head_bytes is not None, self._heads
        super().data_received(data)
        # Where a body or a head ended within them, not all of the bytes are a head's.
        if not waiting or self._head_bytes is None or self._heads > heads:
            return
        self._head_bytes += len(data)
        if self._head_bytes > MOST_HEAD_BYTES and not self.transport.is_closing():
            self.send_400_response("The head of the request is too long.")

    def on_message_begin(self) -> None:
        """A head begins."""
        super().on_message_begin()
        if self._patience is None:
            self._wait()

    def on_headers_complete(self) -> None:
        """A head is whole."""
        self._stop_waiting()
        self._heads += 1
        self._head_bytes = None
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """The next thing is a head."""
        super().on_message_complete()
        self._head_bytes = 0

    def _wait(self) -> None:
        self._patience = self.loop.call_later(SECONDS_FOR_HEAD, self._give_up)

    def _stop_waiting(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _give_up(self) -> None:
        if not self.transport.is_closing():
            self.transport.close()
