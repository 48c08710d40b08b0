import pytest
from fastapi import FastAPI
from kserve import ModelServer
from kserve.model_repository import ModelRepository
from kserve.protocol.dataplane import DataPlane
from kserve.protocol.model_repository_extension import ModelRepositoryExtension
from kserve.protocol.rest.server import RESTServer

from serving.model import Server
from tests.support.loops import run


@pytest.fixture
def rest(monkeypatch):
    """KServe's REST server over an application of its own, not started."""
    monkeypatch.setattr("kserve.model_server.app", FastAPI())
    repository = ModelRepository()
    return RESTServer(
        "kserve.model_server:app", DataPlane(repository), ModelRepositoryExtension(repository), 0
    )


def middleware(rest):
    from kserve.model_server import app

    rest.create_application()
    return [one.cls.__name__ for one in app.user_middleware]


def test_kserve_times_requests(rest):
    assert middleware(rest) == ["TimingMiddleware"]


def test_requests_are_not_timed_for_a_log_that_is_off(rest, monkeypatch):
    async def nothing(self):
        """Do not listen."""

    monkeypatch.setattr(ModelServer, "_serve", nothing)
    server = Server("127.0.0.1", 0)
    server._rest_server = rest
    run(server._serve())
    assert rest.config.host == "127.0.0.1"
    assert middleware(rest) == []
