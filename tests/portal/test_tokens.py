"""The portal of a server that asks for tokens."""

import time

import httpx
import jwt
import pytest
from playwright.sync_api import expect

from tests.support.releases import copy_home
from tests.support.server import ServerProcess

pytestmark = pytest.mark.slow
SECRET = "a secret of at least thirty-two bytes, for tests"
ENVIRONMENT = {
    "WAYMARK_SERVING_JWT_SECRET": SECRET,
    "WAYMARK_SERVING_JWT_ISSUER": "tests",
    "WAYMARK_SERVING_JWT_AUDIENCE": "waymark",
}


def token(scopes: str, **claims: str) -> str:
    whole = {"iss": "tests", "aud": "waymark", "exp": time.time() + 3600, "scope": scopes, **claims}
    return jwt.encode(whole, SECRET, algorithm="HS256")


@pytest.fixture(scope="module")
def guarded(small_release, tmp_path_factory):
    root = tmp_path_factory.mktemp("guarded")
    process = ServerProcess(copy_home(small_release, root / "home"), root / "log", **ENVIRONMENT).start()
    yield process
    process.stop()


def sign_in(page, given: str) -> None:
    dialog = page.get_by_role("dialog", name="Sign in")
    dialog.get_by_label("Token").fill(given)
    dialog.get_by_role("button", name="Sign in").click()


def test_an_operator_signs_in_and_sees_everything(guarded, open_page, errors):
    page = open_page(f"{guarded.url}/operate#/releases")
    sign_in(page, token("service recommend events rules operate"))
    expect(page.locator(".release.on")).to_be_visible()
    page.goto(f"{guarded.url}/")
    expect(page.get_by_role("combobox", name="Look as")).not_to_have_value("")
    # The first request had no token.
    assert all("401" in error for error in errors)
    errors.clear()


def test_an_associate_sees_the_own_rows_and_nobody_elses(guarded, open_page, errors):
    operator = {"Authorization": f"Bearer {token('service operate')}"}
    mine, other = (
        one["associate_id"]
        for one in httpx.get(f"{guarded.url}/v1/associates?limit=2", headers=operator).json()["associates"]
    )
    own = token("recommend events", associate_id=mine)
    page = open_page(f"{guarded.url}/?as={other}")
    sign_in(page, own)
    expect(page.get_by_text(f"Signed in as {mine}")).to_be_visible()
    expect(page.locator(".lead")).to_be_visible()
    page.locator("[data-row=for_you] .card").first.get_by_role("button", name="Not for me").click()
    expect(page.get_by_text("Taken out.").first).to_be_visible()
    assert all("401" in error for error in errors)
    errors.clear()
    headers = {"Authorization": f"Bearer {own}"}
    for path, status in ((mine, 200), (other, 403), (f"{mine}/answers", 403)):
        assert httpx.get(f"{guarded.url}/v1/associates/{path}", headers=headers).status_code == status
    assert httpx.get(f"{guarded.url}/v1/associates", headers=headers).status_code == 403
    assert httpx.get(f"{guarded.url}/v1/about", headers=headers).json()["somebody"] is None
