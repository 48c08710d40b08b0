"""No request makes the server fail; ``make bench-serving`` sends many more."""

import shutil

import pytest

from tests.support.fuzz import follow_document, send_anything
from tests.support.running import serving

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server(small_release, tmp_path_factory):
    home = tmp_path_factory.mktemp("fuzzed") / "home"
    shutil.copytree(small_release, home, symlinks=True)
    with serving(home, home.parent / "log") as found:
        yield found


def test_no_body_is_a_server_error(server):
    with server.client() as client:
        statuses = send_anything(client, 600)
    assert statuses[200] > 60
    assert statuses[202] > 30
    assert statuses[400] > 60


def test_the_server_does_as_its_document_says(server, tmp_path):
    requests, failures = follow_document(server.url, 6, 1, tmp_path)
    assert requests > 30
    assert not failures, failures
    assert "request failed" not in server.log.read_text()
