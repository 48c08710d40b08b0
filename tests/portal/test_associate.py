"""What an associate sees, in a real browser against a real server."""

import re

import httpx
import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.slow


def shown(page) -> list[str]:
    """Pages of the list, in its order: the lead and the row For you."""
    page.locator(".lead").wait_for()
    return page.eval_on_selector_all(
        ".lead, [data-row=for_you] .card", "all => all.map(one => one.dataset.page)"
    )


def events(site, associate: str) -> dict:
    return httpx.get(f"{site.url}/v1/associates/{associate}").json()


def test_a_first_visit_shows_rows_with_reasons(site, open_page):
    page = open_page(site.url)
    expect(page.get_by_role("heading", name="For you")).to_be_visible()
    assert page.locator(".row").count() >= 2
    reasons = page.locator(".card .reason")
    assert reasons.count() > 5
    assert all(text.strip() for text in reasons.all_inner_texts())
    # Nobody is chosen twice: a page stands in one row of recommendations.
    pages = page.eval_on_selector_all(
        ".lead, .row:not([data-row=history]) .card", "all => all.map(one => one.dataset.page)"
    )
    assert len(pages) == len(set(pages))


def test_somebody_new_becomes_known_by_opening_a_page(site, open_page):
    page = open_page(site.url)
    shown(page)
    page.get_by_role("button", name="Somebody new").click()
    expect(page.get_by_text("Nothing is known of you yet")).to_be_visible()
    expect(page.locator("#associate")).to_have_value("")
    before = shown(page)
    page.locator(".lead h3 a").click()
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    expect(page.locator("[data-row=next]")).to_be_visible()
    page.get_by_role("link", name="All rows").click()
    expect(page.get_by_text("1 page opened")).to_be_visible()
    expect(page.get_by_text("Nothing is known of you yet")).to_have_count(0)
    after = shown(page)
    assert before[0] not in after
    assert page.locator("[data-row=history] .card").first.get_attribute("data-page") == before[0]


def test_role_shift_and_hour_change_the_rows(site, open_page):
    page = open_page(f"{site.url}/?as=")
    before = shown(page)
    role = page.locator("#role")
    value = role.locator("option").nth(2).get_attribute("value")
    with page.expect_response(re.compile("predict")) as answer:
        role.select_option(value)
    assert answer.value.request.post_data_json["instances"][0]["context"]["role"] == value
    expect(page.locator(".facts .badge").first).to_have_text(value[0].upper() + value[1:])
    with page.expect_response(re.compile("predict")) as answer:
        page.locator("#hour").select_option("22")
    assert answer.value.request.post_data_json["instances"][0]["context"]["time"] % 86400 == 22 * 3600
    expect(page.get_by_role("heading", level=1)).to_contain_text("Good evening")
    assert f"role={value.split()[0]}" in page.url
    assert "hour=22" in page.url
    assert before
    # The address brings it back.
    page.reload()
    expect(page.locator("#role")).to_have_value(value)


def test_a_skip_takes_the_page_out_at_once(site, open_page):
    page = open_page(f"{site.url}/?as=")
    before = shown(page)
    card = page.locator("[data-row=for_you] .card").nth(1)
    skipped = card.get_attribute("data-page")
    with page.expect_request(re.compile("/v1/events")) as request:
        card.get_by_role("button", name="Not for me").click()
    event = next(one for one in request.value.post_data_json["events"] if one["event_type"] == "skip")
    assert event["page_id"] == skipped
    assert event["position"] == 3
    assert event["request_id"]
    assert event["release"]
    expect(page.locator(f"[data-page='{skipped}']")).to_have_count(0)
    assert skipped in before
    # The keyboard stays where it was.
    assert page.evaluate("document.activeElement.closest('[data-row]')?.dataset.row") == "for_you"


def test_completing_rating_and_liking_are_told(site, open_page):
    page = open_page(f"{site.url}/?as=")
    first = shown(page)[0]
    sent = []
    page.on(
        "request",
        lambda request: (
            sent.extend(request.post_data_json["events"]) if request.url.endswith("/v1/events") else None
        ),
    )
    page.locator(".lead h3 a").click()
    page.get_by_role("button", name="Mark as complete").click()
    expect(page.get_by_role("button", name="Completed")).to_be_visible()
    page.get_by_label("4 stars").check(force=True)
    expect(page.get_by_text("Your rating counts").first).to_be_visible()
    page.get_by_role("button", name="Like").click()
    expect(page.get_by_role("button", name="Like")).to_have_attribute("aria-pressed", "true")
    told = {event["event_type"]: event for event in sent if event["page_id"] == first}
    assert {"view", "complete", "rating", "like"} <= set(told)
    assert told["rating"]["rating"] == 4
    assert told["view"]["position"] == 1
    assert events(site, told["view"]["associate_id"])["completed"] == 1


def test_impressions_are_told_once_and_only_of_cards_in_view(site, open_page):
    told = []
    page = open_page("about:blank", 1280, 700)
    page.on(
        "request",
        lambda request: (
            told.extend(
                event["page_id"]
                for event in request.post_data_json["events"]
                if event["event_type"] == "impression"
            )
            if request.url.endswith("/v1/events")
            else None
        ),
    )
    page.goto(f"{site.url}/?as=")
    first = shown(page)[0]
    page.wait_for_timeout(2500)
    assert told.count(first) == 1
    last = page.locator(".row:not([data-row=history]) .card").last
    hidden = last.get_attribute("data-page")
    assert hidden not in told
    last.scroll_into_view_if_needed()
    page.wait_for_timeout(2500)
    page.evaluate("scrollTo(0, 0)")
    page.wait_for_timeout(2500)
    assert told.count(hidden) == 1
    assert told.count(first) == 1


def test_why_this_names_the_evidence_and_what_moved_it(site, open_page):
    page = open_page(site.url)
    shown(page)
    page.locator(".lead").get_by_role("button", name="Why this?").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_text("Source:")).to_be_visible()
    expect(dialog.get_by_role("list", name="What moved its place")).to_be_visible()
    assert dialog.get_by_role("listitem").count() >= 1
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)


def test_search_finds_by_words_that_begin_a_title(site, open_page):
    page = open_page(site.url)
    shown(page)
    title = page.locator(".lead h3").inner_text()
    word = max(re.findall(r"\w+", title), key=len)[:5]
    box = page.get_by_role("combobox", name="Search the pages")
    box.fill(word.upper())
    option = page.get_by_role("option").first
    expect(option).to_be_visible()
    assert word.casefold() in option.inner_text().casefold()
    box.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text(f"Pages for '{word.upper()}'")
    assert word.casefold() in page.locator(".card h3").first.inner_text().casefold()
    # Opened straight from an address, before any row was asked for.
    page.goto("about:blank")
    page.goto(f"{site.url}/#/search/{word}")
    expect(page.locator(".card .topic").first).to_be_visible()
    box.fill("zzzzzz nothing")
    box.press("Enter")
    expect(page.get_by_role("heading", name="Nothing found")).to_be_visible()


def test_a_page_shows_those_about_the_same(site, open_page):
    page = open_page(site.url)
    first = shown(page)[0]
    expected = httpx.get(f"{site.url}/v1/pages/{first}").json()
    page.goto(f"{site.url}/#/page/{first}")
    expect(page.get_by_role("heading", level=1)).to_have_text(expected["title"])
    expect(page.locator(".reading .body")).to_have_text(expected["body"])
    similar = page.locator("[data-row=similar] .card")
    expect(similar).to_have_count(len(expected["similar"]))
    assert similar.first.get_attribute("data-page") == expected["similar"][0]["page_id"]


def test_a_page_that_is_not_there_is_said_plainly(site, open_page, errors):
    page = open_page(f"{site.url}/#/page/P-nowhere")
    expect(page.get_by_role("heading", name="No such page")).to_be_visible()
    # The browser itself notes the 404.
    assert all("404" in error for error in errors)
    errors.clear()


def test_a_server_that_stops_is_said_plainly_and_recovered_from(two_releases, open_page, errors):
    site, _, _ = two_releases
    page = open_page(f"{site.url}/?as=")
    before = shown(page)
    site.stop()
    card = page.locator("[data-row=for_you] .card").first
    skipped = card.get_attribute("data-page")
    card.get_by_role("button", name="Not for me").click()
    expect(page.get_by_role("alert")).to_contain_text("The server cannot be reached")
    assert shown(page) == before
    site.start()
    expect(page.get_by_role("alert")).to_have_count(0, timeout=60_000)
    # What was told while it was away is told now, and the rows follow.
    expect(page.locator(f".lead[data-page='{skipped}'], .card[data-page='{skipped}']")).to_have_count(0)
    assert shown(page)
    assert errors
    errors.clear()
