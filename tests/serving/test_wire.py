"""What comes before a request is one, over real connections."""

import asyncio
import contextlib
import resource
import socket
import threading
import time

import pytest
import uvicorn

from serving import wire
from tests.support.process import free_port


async def application(scope, receive, send):
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    size = str(len(body)).encode()
    await send(
        {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(size))]}
    )
    await send({"type": "http.response.body", "body": size})


@pytest.fixture
def connect(monkeypatch):
    """A function that opens a connection to a server that waits half a second for a head."""
    monkeypatch.setattr(wire, "SECONDS_FOR_HEAD", 0.5)
    port = free_port()
    config = uvicorn.Config(
        application, port=port, http=wire.BoundedProtocol, lifespan="off", log_level="critical", ws="none"
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve()))
    thread.start()
    while not server.started:
        time.sleep(0.01)
    with contextlib.ExitStack() as open_connections:
        yield lambda: open_connections.enter_context(
            socket.create_connection(("127.0.0.1", port), timeout=20)
        )
    server.should_exit = True
    thread.join(timeout=20)


def answer(connection):
    """What comes until the server hangs up."""
    parts = []
    with contextlib.suppress(ConnectionResetError):
        while part := connection.recv(65536):
            parts.append(part)
    return b"".join(parts)


GET = b"GET / HTTP/1.1\r\nhost: x\r\n"


def test_usual_requests_on_one_connection(connect):
    wire_ = connect()
    for size in (0, 10, 200_000):
        wire_.sendall(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % size + b"x" * size)
        found = b""
        while not found.endswith(b"\r\n\r\n%d" % size):
            found += wire_.recv(4096)
        assert found.startswith(b"HTTP/1.1 200 ")
    wire_.sendall((GET + b"\r\n") * 3 + GET + b"connection: close\r\n\r\n")
    assert answer(wire_).count(b"HTTP/1.1 200 ") == 4


@pytest.mark.parametrize("part", [b"x-%d: " + b"y" * 60_000 + b"\r\n", b"y" * 60_000])
def test_an_endless_head_is_cut_off_and_takes_no_memory(connect, part):
    wire_ = connect()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    wire_.sendall(GET + (b"x: " if b"%d" not in part else b""))
    sent = 0
    with contextlib.suppress(OSError):
        for number in range(1000):
            wire_.sendall(part % number if b"%d" in part else part)
            sent += len(part)
    assert sent < 30_000_000
    assert not answer(wire_).startswith(b"HTTP/1.1 200")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 8_000


def test_a_long_head_is_refused_in_words(connect):
    wire_ = connect()
    wire_.sendall(GET + b"x: " + b"y" * wire.MOST_HEAD_BYTES)
    assert answer(wire_).startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize("begin", [b"", b"GET / HT", GET, GET + b"\r\n" + GET])
def test_a_head_that_does_not_come_is_not_waited_for(connect, begin):
    wire_ = connect()
    began = time.monotonic()
    wire_.sendall(begin)
    assert answer(wire_).count(b"HTTP/1.1 200 ") == begin.count(b"\r\n\r\n")
    assert time.monotonic() - began < 10


def test_a_slow_body_is_waited_for(connect):
    wire_ = connect()
    wire_.sendall(b"POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 2\r\n\r\na")
    time.sleep(0.8)
    wire_.sendall(b"b")
    assert answer(wire_).endswith(b"\r\n\r\n2")


def test_a_large_body_in_one_piece_is_no_long_head(connect):
    connection = connect()
    body = b"x" * 200_000
    request = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(body)
    connection.sendall(request + body + request.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n") + body)
    assert answer(connection).count(b"\r\n\r\n200000") == 2
