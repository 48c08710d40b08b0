"""The portal as the cluster's events service serves it: a HOME, and events in Redis."""

import httpx
import pytest
import yaml
from playwright.sync_api import expect

from manifests.check.build import MANIFESTS
from tests.support.redis import RedisServer
from tests.support.releases import copy_home
from tests.support.server import ServerProcess

pytestmark = pytest.mark.slow


def container() -> dict:
    objects = yaml.safe_load_all((MANIFESTS / "components" / "redis" / "events.yaml").read_text())
    [deployment] = [one for one in objects if one["kind"] == "Deployment"]
    return deployment["spec"]["template"]["spec"]["containers"][0]


@pytest.fixture
def service(small_release, tmp_path):
    """A server with the options of the Deployment."""
    found = container()
    assert found["command"] == ["python3", "-m", "serving"]
    assert {option.split("=")[0] for option in found["args"]} == {"--home", "--host", "--port"}
    [store] = [one["value"] for one in found["env"] if one["name"] == "WAYMARK_STORE"]
    assert store.startswith("redis://")
    redis = RedisServer(tmp_path)
    redis.start()
    home = copy_home(small_release, tmp_path / "home")
    process = ServerProcess(home, tmp_path / "log", WAYMARK_STORE=redis.url).start()
    yield process
    process.stop()
    redis.kill()


def test_both_sides_work_over_redis(service, open_page):
    page = open_page(f"{service.url}/?as=")
    page.locator(".lead").wait_for()
    card = page.locator("[data-row=for_you] .card").first
    skipped = card.get_attribute("data-page")
    card.get_by_role("button", name="Not for me").click()
    expect(page.locator(f"[data-page='{skipped}']")).to_have_count(0)
    page.goto(f"{service.url}/operate#/live")
    expect(page.get_by_role("region", name="Store")).to_contain_text("Up")
    page.goto(f"{service.url}/operate#/releases")
    expect(page.locator(".release.on")).to_contain_text("answers now")
    assert httpx.get(f"{service.url}/v1/about").json()["store"] is True
