"""Both stores, empty."""

import pytest

from serving.stores import StoredEvent, open_store
from tests.support.redis import redis_server, redis_url  # noqa: F401


@pytest.fixture(autouse=True)
def _patience(monkeypatch):
    """A machine that is busy with other tests is no store that is down."""
    monkeypatch.setenv("WAYMARK_STORE_TIMEOUT_MS", "10000")
    monkeypatch.setenv("WAYMARK_STORE_WRITE_TIMEOUT_MS", "20000")


@pytest.fixture(params=["sqlite", "redis"])
def address(request, tmp_path) -> str:
    """Address of an empty store."""
    if request.param == "redis":
        return request.getfixturevalue("redis_url")
    return str(tmp_path / "deep" / "store.sqlite")


@pytest.fixture
def store(address):
    """An empty store."""
    opened = open_store(address)
    yield opened
    opened.close()


@pytest.fixture
def event():
    """A function that makes an event from the few values that matter."""

    def make(number, associate="A1", kind="view", page="P1", time=None, row=None):
        when = float(number) if time is None else time
        return StoredEvent(f"e{number}", associate, page, kind, when, row or f'{{"number": {number}}}')

    return make
