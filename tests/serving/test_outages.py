"""A real server under load, while its Redis goes and comes, and while releases change and are deleted."""

import shutil
import threading
import time
from contextlib import contextmanager

import pytest

from components.contract.release import load, publish
from tests.support.redis import RedisServer
from tests.support.releases import copy_home, next_release
from tests.support.running import serving

pytestmark = pytest.mark.slow
PREDICT = "/v1/models/waymark:predict"
CLIENTS = 3
PATIENT = {"WAYMARK_SERVING_DEADLINE_MS": "60000", "WAYMARK_SERVING_REQUEST_TIMEOUT_SECONDS": "60"}


@contextmanager
def under_load(server):
    """Ask without a pause; the list fills with (moment asked, status, release, fallback)."""
    found, ending = [], threading.Event()

    def ask(number):
        with server.client() as client:
            while not ending.is_set():
                asked = time.monotonic()
                answer = client.post(PREDICT, json={"instances": [{"associate_id": f"A{number}"}]})
                first = answer.json()["predictions"][0] if answer.status_code == 200 else {}
                found.append((asked, answer.status_code, first.get("release"), first.get("fallback")))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(CLIENTS)]
    for thread in threads:
        thread.start()
    try:
        yield found
    finally:
        ending.set()
        for thread in threads:
            thread.join()


def wait_for(condition, seconds=30.0):
    """Seconds until the condition holds."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() < began + seconds
        time.sleep(0.01)
    return time.monotonic() - began


@pytest.mark.parametrize(("away", "back"), [("kill", "start"), ("stop", "proceed")])
def test_redis_goes_and_comes_under_load(small_release, redis_server, tmp_path, away, back):
    redis = RedisServer(tmp_path)
    redis.start()
    try:
        with (
            serving(small_release, tmp_path / "log", "--store", redis.url, **PATIENT) as server,
            under_load(server) as found,
        ):

            def lately(since, fallback):
                return any(one[0] >= since and one[3] == fallback for one in list(found))

            wait_for(lambda: lately(0.0, "cold_start"))
            for _ in range(2):
                getattr(redis, away)()
                gone = time.monotonic()
                wait_for(lambda gone=gone: lately(gone, "no_store"))
                time.sleep(1.0)
                getattr(redis, back)()
                there = time.monotonic()
                # The answer that shows it was asked for within two seconds.
                wait_for(lambda there=there: lately(there, "cold_start"))
                asked = min(one[0] for one in found if one[0] >= there and one[3] == "cold_start")
                assert asked - there <= 2.0
        assert {status for _, status, _, _ in found} == {200}
        assert {fallback for *_, fallback in found} == {"cold_start", "no_store"}
    finally:
        redis.kill()


def test_releases_change_and_are_deleted_under_load(small_release, tmp_path):
    home = copy_home(small_release, tmp_path / "home")
    names = [load(home).name, next_release(home).name]
    shutil.copytree(home / "releases", tmp_path / "kept")
    with (
        serving(home, tmp_path / "log", WAYMARK_SERVING_RELOAD_SECONDS="0.05", **PATIENT) as server,
        under_load(server) as found,
    ):
        for name, other in (names, names[::-1], names):
            publish(home, name)
            moment = time.monotonic()
            wait_for(
                lambda moment=moment, name=name: any(o[0] >= moment and o[2] == name for o in list(found))
            )
            # Its last requests may still be under way.
            shutil.rmtree(home / "releases" / other)
            time.sleep(0.3)
            shutil.copytree(tmp_path / "kept" / other, home / "releases" / other)
        # Also the one that answers.
        shutil.rmtree(home / "releases")
        moment = time.monotonic()
        wait_for(lambda: sum(one[0] >= moment for one in list(found)) > 30)
    assert {status for _, status, _, _ in found} == {200}
    assert {release for _, _, release, _ in found} == set(names)
    assert [release for *_, release, _ in found[-10:]] == [names[0]] * 10
