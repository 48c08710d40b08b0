"""What operators do, in a real browser against a real server."""

import json

import httpx
import polars as pl
import pytest
from playwright.sync_api import expect

from components.contract.release import current
from tests.portal.test_everywhere import serious
from tests.support.releases import copy_home, next_release
from tests.support.server import ServerProcess

pytestmark = pytest.mark.slow


def ask(site, associate: str, **more) -> dict:
    body = {"instances": [{"associate_id": associate, "limit": 5, **more}]}
    return httpx.post(f"{site.url}/v1/models/waymark:predict", json=body, timeout=60).json()["predictions"][0]


def somebody(site) -> str:
    return httpx.get(f"{site.url}/v1/associates?limit=1").json()["associates"][0]["associate_id"]


def test_two_releases_are_compared_by_cohort(two_releases, open_page):
    site, older, newer = two_releases
    page = open_page(f"{site.url}/operate#/releases")
    expect(page.get_by_role("heading", name=newer)).to_be_visible()
    expect(page.locator(".release.on")).to_contain_text("answers now")
    page.locator(".release.on").get_by_role("link", name="Compare").click()
    whole = page.get_by_role("row").filter(has_text="NDCG@10")
    expect(whole.first).to_contain_text("▲ better")
    cohorts = page.get_by_role("region", name="NDCG@10 of each cohort")
    first = httpx.get(f"{site.url}/v1/releases/{older}").json()["evaluation"]["cohorts"]
    names = list(first)
    lost = cohorts.get_by_role("row").filter(has=page.get_by_role("rowheader", name=names[0], exact=True))
    expect(lost).to_contain_text("▼ worse")
    moved = cohorts.get_by_role("row").filter(has=page.get_by_role("rowheader", name=names[1], exact=True))
    expect(moved).to_contain_text("within the intervals")


def test_a_rollback_names_what_will_happen_and_does_it(two_releases, open_page):
    site, older, newer = two_releases
    page = open_page(f"{site.url}/operate#/releases")
    button = page.get_by_role("button", name="Roll back to it")
    button.click()
    dialog = page.get_by_role("dialog", name="Roll back?")
    expect(dialog).to_contain_text(older)
    expect(dialog).to_contain_text(newer)
    dialog.get_by_role("button", name="Cancel").click()
    assert ask(site, "A")["release"] == newer
    button.click()
    dialog.get_by_role("button", name="Roll back").click()
    expect(page.locator(".release.on h2")).to_have_text(older, timeout=60_000)
    assert ask(site, "A")["release"] == older


def test_a_damaged_release_is_not_published(two_releases, open_page, errors):
    site, older, newer = two_releases
    home = site.folder
    victim = home / "releases" / older / "pages.parquet"
    victim.write_bytes(victim.read_bytes()[:-1] + b"x")
    page = open_page(f"{site.url}/operate#/releases")
    page.get_by_role("button", name="Roll back to it").click()
    page.get_by_role("dialog").get_by_role("button", name="Roll back").click()
    expect(page.get_by_text("files are damaged").first).to_be_visible()
    assert current(home).name == newer
    assert ask(site, "A")["release"] == newer
    assert all("409" in error for error in errors)
    errors.clear()


def test_reports_open_in_a_sandbox(two_releases, open_page):
    site, _, newer = two_releases
    page = open_page(f"{site.url}/operate#/quality")
    with page.expect_popup() as opened:
        # The newest release's.
        page.get_by_role("link", name="Evaluation report").first.click()
    report = opened.value
    expect(report.get_by_role("heading", name="How it did")).to_be_visible()
    policy = httpx.get(f"{site.url}/v1/releases/{newer}/reports/evaluation").headers[
        "content-security-policy"
    ]
    assert policy.startswith("sandbox;")
    assert page.evaluate("window.x") is None


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(
    ("name", "heading", "pictures"),
    [("Evaluation report", "What each source adds", 4), ("Map of the pages", "Two-tower", 3)],
)
def test_a_release_brings_its_reports(site, open_page, errors, name, heading, pictures, scheme):
    page = open_page(f"{site.url}/operate#/quality", color_scheme=scheme)
    page.context.on("console", lambda said: errors.append(said.text) if said.type == "error" else None)
    with page.expect_popup() as opened:
        page.get_by_role("link", name=name).click()
    report = opened.value
    expect(report.get_by_role("heading", name=heading, exact=True)).to_be_visible()
    expect(report.get_by_role("img")).to_have_count(pictures)
    answer = httpx.get(report.url)
    assert len(answer.content) < 1_000_000
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("sandbox; default-src 'none'")
    assert "script-src" not in policy
    # In the sandbox no script runs, so axe reads the same text elsewhere.
    elsewhere = open_page("about:blank", color_scheme=scheme)
    elsewhere.set_content(answer.text)
    assert serious(elsewhere) == []
    assert elsewhere.evaluate("document.documentElement.scrollWidth") <= 1280


def test_why_this_associate_saw_this_page(site, open_page):
    associate = somebody(site)
    given = ask(site, associate)
    page = open_page(f"{site.url}/operate#/why")
    page.get_by_label("Associate").fill(associate)
    # The record is written off the request's path.
    page.wait_for_timeout(1500)
    page.get_by_role("button", name="Look it up").click()
    page.get_by_role("link").filter(has_text="UTC").first.wait_for()
    page.get_by_label("or a request id").fill(given["request_id"])
    page.get_by_role("button", name="Look it up").click()
    items = page.locator(".ranked > li")
    expect(items).to_have_count(len(given["items"]))
    expect(items.first).to_contain_text(given["items"][0]["title"])
    expect(items.first).to_contain_text(given["items"][0]["reason"])
    group = items.first.locator("details").first
    group.locator("summary").click()
    assert group.locator("dd").count() >= 1


def test_what_if_shows_both_lists_and_records_nothing(site, open_page):
    associate = somebody(site)
    before = httpx.get(f"{site.url}/v1/associates/{associate}/answers?limit=100").json()["answers"]
    page = open_page(f"{site.url}/operate#/what-if/{associate}")
    lists = page.locator(".sides .ranked")
    expect(lists).to_have_count(2)
    expect(page.get_by_role("status").filter(has_text="are other ones")).to_be_visible()
    page.get_by_label("Shift").nth(1).select_option(index=1)
    expect(lists.nth(1).locator("li").first).to_be_visible()
    expect(page.locator(".sides section").nth(1)).to_contain_text("same place")
    page.wait_for_timeout(1500)
    after = httpx.get(f"{site.url}/v1/associates/{associate}/answers?limit=100").json()["answers"]
    assert len(after) == len(before)


def test_what_if_another_release_had_answered(small_release, tmp_path, open_page):
    home = copy_home(small_release, tmp_path / "home")
    older = current(home).name
    process = ServerProcess(home, tmp_path / "log").start()
    try:
        associate = somebody(process)
        at = httpx.get(f"{process.url}/v1/about").json()["last_event"] + 60
        best = ask(process, associate, context={"time": at})["items"][0]["page_id"]
    finally:
        process.stop()
    newer = next_release(home, pages=lambda pages: pages.with_columns(retired=pl.col("page_id") == best)).name
    process = ServerProcess(home, tmp_path / "log").start()
    try:
        page = open_page(f"{process.url}/operate#/what-if/{associate}/{at}")
        sides = page.locator(".sides section")
        expect(sides.nth(1).locator(".ranked")).to_be_visible()
        page.get_by_label("Time (UTC)").nth(1).fill(page.get_by_label("Time (UTC)").first.input_value())
        page.get_by_label("Release").nth(1).select_option(older)
        summary = page.get_by_role("status").filter(has_text="are other ones")
        expect(summary).to_contain_text(f"By {older} instead of {newer}", timeout=60_000)
        fresh = sides.nth(1).locator(f"li[data-page='{best}']")
        expect(fresh).to_contain_text("+ new")
        expect(sides.first.locator(f"li[data-page='{best}']")).to_have_count(0)
        expect(sides.first).to_contain_text("not there")
        assert ask(process, associate)["release"] == newer
        assert serious(page) == []
    finally:
        process.stop()


def test_live_metrics_move(site, open_page):
    page = open_page(f"{site.url}/operate")
    tile = page.get_by_role("region", name="Recommendations")
    expect(tile).to_contain_text("in all")
    count = int(tile.locator("p.small").inner_text().split()[0].replace(",", ""))
    for _ in range(3):
        ask(site, "A")
    expect(tile).to_contain_text(f"{count + 3:,} in all")
    assert page.locator("svg.chart").count() == 3


def test_rules_are_previewed_then_put_in_force(site, open_page, errors):
    page = open_page(f"{site.url}/operate#/rules")
    editor = page.get_by_label("Rules (JSON)")
    preview = page.get_by_role("region", name="Preview")
    expect(preview).to_contain_text("Nothing would change")
    last = preview.get_by_role("region", name="Before").locator("li").last.get_attribute("data-page")
    editor.fill("{ not json")
    expect(page.locator("#said")).to_contain_text("Not JSON")
    editor.fill(json.dumps({"pins": [{"page": last, "position": 0}]}))
    expect(page.locator("#said")).to_contain_text("pins[0].position")
    save = page.get_by_role("button", name="Put in force")
    expect(save).to_be_disabled()
    assert all("400" in error for error in errors)
    errors.clear()

    editor.fill(json.dumps({"pins": [{"name": "welcome", "page": last, "position": 1}]}))
    first = preview.get_by_role("region", name="After").locator("li").first
    expect(first).to_have_attribute("data-page", last)
    expect(first).to_contain_text("▲ up")
    expect(first).to_contain_text("welcome")
    save.click()
    page.get_by_role("dialog").get_by_role("button", name="Put in force").click()
    expect(page.locator("#said")).to_contain_text("These are in force")
    assert httpx.get(f"{site.url}/v1/rules").json()["pins"][0]["page"] == last

    # Somebody else changes them: nothing is overwritten.
    httpx.put(f"{site.url}/v1/rules", json={"topics": {"most": 3}})
    page.get_by_role("button", name="Block a topic").click()
    expect(page.locator("#said")).to_contain_text("Valid")
    save.click()
    page.get_by_role("dialog").get_by_role("button", name="Put in force").click()
    conflict = page.get_by_role("dialog", name="Somebody changed the rules meanwhile")
    conflict.get_by_role("button", name="Load theirs").click()
    expect(editor).to_have_value(json.dumps({"topics": {"most": 3}}, indent=2))
    assert all("412" in error for error in errors)
    errors.clear()
    httpx.put(f"{site.url}/v1/rules", json={})


def test_a_single_release_hides_what_needs_a_home(small_release, tmp_path, open_page):
    folder = current(small_release).root
    process = ServerProcess(folder, tmp_path / "log", release=True).start()
    try:
        page = open_page(f"{process.url}/operate#/releases")
        expect(page.get_by_role("heading", name="One release is mounted")).to_be_visible()
        page.get_by_role("link", name="Why this page?").click()
        expect(page.get_by_role("heading", name="Answers are not recorded")).to_be_visible()
        page.goto(process.url)
        expect(page.locator(".lead")).to_be_visible()
        assert page.get_by_role("button", name="Not for me").count() == 0
    finally:
        process.stop()
