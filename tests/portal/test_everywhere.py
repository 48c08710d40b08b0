"""What holds on every page: accessibility, width, keyboard, hostile texts, weight."""

import re

import httpx
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from tests.portal.conftest import HOSTILE

pytestmark = pytest.mark.slow
HEAVIEST = 300_000
VIEWS = {
    "/": ".lead",
    "/?as=": ".lead",
    "/#/search/a": ".card",
    "/operate#/live": "svg.chart",
    "/operate#/releases": ".release",
    "/operate#/why": "form",
    "/operate#/what-if": ".ranked li",
    "/operate#/quality": ".bar",
    "/operate#/rules": ".ranked li",
}


def visit(open_page, site, view: str, **options):
    page = open_page(site.url + view, **options)
    page.locator(VIEWS[view]).first.wait_for()
    page.wait_for_load_state("networkidle") if "live" not in view else page.wait_for_timeout(2500)
    return page


def serious(page) -> list[str]:
    found = Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
    return [
        f"{one['id']}: {one['help']}: {[node['html'][:120] for node in one['nodes'][:3]]}"
        for one in found
        if one["impact"] in ("serious", "critical")
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("view", VIEWS)
def test_axe_finds_nothing_serious(site, open_page, view, scheme):
    page = visit(open_page, site, view, color_scheme=scheme, reduced_motion="reduce")
    assert serious(page) == []


def test_axe_does_find_what_is_wrong(site, open_page):
    page = visit(open_page, site, "/")
    page.evaluate("document.querySelector('.lead a.button').style.color = '#2a8a6a'")
    page.evaluate("document.querySelector('.lead h3').append(document.createElement('button'))")
    found = serious(page)
    assert {one.split(":")[0] for one in found} == {"button-name", "color-contrast"}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious_on_a_page_or_in_a_dialog(site, open_page, scheme):
    page = visit(open_page, site, "/", color_scheme=scheme, reduced_motion="reduce")
    page.locator(".lead").get_by_role("button", name="Why this?").click()
    page.get_by_role("list", name="What moved its place").wait_for()
    assert serious(page) == []
    page.keyboard.press("Escape")
    page.locator(".lead h3 a").click()
    page.locator("[data-row=similar]").wait_for()
    page.wait_for_load_state("networkidle")
    assert serious(page) == []


@pytest.mark.parametrize("width", [360, 1440])
@pytest.mark.parametrize("view", VIEWS)
def test_nothing_scrolls_sideways(site, open_page, view, width):
    page = visit(open_page, site, view, width=width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_the_theme_can_be_chosen_and_is_kept(site, open_page):
    page = visit(open_page, site, "/", color_scheme="light")
    back = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(back)
    page.get_by_role("button", name="Use the dark theme").click()
    dark = page.evaluate(back)
    assert dark != light
    page.reload()
    page.locator(".lead").wait_for()
    assert page.evaluate(back) == dark


def test_a_walk_by_keyboard_alone(site, open_page):
    page = visit(open_page, site, "/")

    def focused() -> str:
        return page.evaluate(
            "(one => one.getAttribute('aria-label') || one.textContent || one.id)(document.activeElement)"
        )

    page.keyboard.press("Tab")
    assert focused() == "Skip to the pages"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    # Through who is looking, the first page, into the row For you.
    for _ in range(20):
        page.keyboard.press("Tab")
        if page.evaluate("Boolean(document.activeElement.closest('[data-row=for_you]'))"):
            break
    first = page.locator("[data-row=for_you] .card").first
    assert focused() == first.locator("h3").inner_text()
    visible = "getComputedStyle(document.activeElement.closest('.card')).outlineStyle"
    assert page.evaluate(visible) == "solid"
    page.keyboard.press("ArrowRight")
    second = page.locator("[data-row=for_you] .card").nth(1)
    assert focused() == second.locator("h3").inner_text()
    page.keyboard.press("End")
    assert focused() == page.locator("[data-row=for_you] .card").last.locator("h3").inner_text()
    page.keyboard.press("Home")
    # One stop a card: the link, then its two buttons, then the next row.
    page.keyboard.press("Tab")
    assert focused().startswith("Why this?")
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    assert focused().startswith("Why this?")
    page.keyboard.press("Shift+Tab")
    title = focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text(title)
    assert page.evaluate("document.activeElement.tagName") == "H1"


def test_the_associate_can_be_chosen_by_keyboard(site, open_page):
    page = visit(open_page, site, "/")
    box = page.get_by_role("combobox", name="Look as")
    box.focus()
    expect(page.get_by_role("option").nth(1)).to_be_visible()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    chosen = page.evaluate("document.querySelector('[role=option][aria-selected=true]').firstChild.data")
    page.keyboard.press("Enter")
    expect(page.locator("#associate")).to_have_value(chosen)
    expect(page).to_have_url(re.compile(f"as={chosen}"))


def test_hostile_texts_are_shown_as_text(hostile_site, open_page):
    site = hostile_site
    page = open_page(site.url)
    page.locator(".lead").wait_for()
    expect(page.locator(".lead h3")).to_contain_text("<img src=x onerror=")
    expect(page.locator(".reason").filter(has_text="<script>").first).to_be_visible()
    page.locator(".lead h3 a").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("<script>")
    expect(page.locator(".reading .body")).to_have_text(HOSTILE)
    page.goto(f"{site.url}/#/search/img")
    expect(page.locator(".card h3").first).to_contain_text("<img")

    # An associate whose id is markup, and what operators see of it.
    name = HOSTILE[:200]
    page.goto("about:blank")
    page.goto(f"{site.url}/?as={httpx.QueryParams({'x': name})!s}".replace("x=", "", 1))
    page.locator(".lead").wait_for()
    expect(page.locator("#associate")).to_have_value(name)
    page.wait_for_timeout(1500)
    page.goto(f"{site.url}/operate#/why")
    page.get_by_label("Associate").fill(name)
    page.get_by_role("button", name="Look it up").click()
    page.get_by_role("link").filter(has_text="UTC").first.click()
    expect(page.locator(".ranked > li").first).to_contain_text("<img src=x")
    expect(page.locator("main .badge").filter(has_text="<img").first).to_be_visible()
    page.goto(f"{site.url}/operate#/what-if")
    expect(page.locator(".ranked strong").first).to_contain_text("<img")
    assert page.locator("img, main script").count() == 0
    assert page.title() != "run"


def test_markup_could_not_run_if_it_came_in(site, open_page, errors):
    page = visit(open_page, site, "/")
    tried = """() => { try { document.body.innerHTML = '<img src=x onerror=alert(1)>'; return 'set'; }
        catch (error) { return error.name; } }"""
    assert page.evaluate(tried) == "TypeError"
    page.evaluate(
        "() => { const one = document.createElement('style'); one.textContent = 'body { display: none }';"
        " document.head.append(one); }"
    )
    assert page.evaluate("getComputedStyle(document.body).display") != "none"
    assert all("Content Security Policy" in error or "TrustedHTML" in error for error in errors)
    assert errors
    errors.clear()


@pytest.mark.parametrize("view", [view for view in VIEWS if view != "/?as="])
def test_a_visit_weighs_less_than_300_kb(site, open_page, view):
    page = open_page("about:blank")
    weight = []
    page.on(
        "requestfinished",
        lambda request: weight.append(
            sum(request.sizes()[key] for key in ("responseBodySize", "responseHeadersSize"))
        ),
    )
    page.goto(site.url + view)
    page.locator(VIEWS.get(view, ".lead")).first.wait_for()
    page.wait_for_timeout(3000)
    assert 10_000 < sum(weight) < HEAVIEST
    assert page.evaluate(
        "performance.getEntriesByType('resource').every(one => one.name.startsWith(location.origin))"
    )


def test_files_are_kept_by_browsers_and_pages_are_not(site):
    page = httpx.get(site.url)
    assert page.headers["cache-control"] == "no-cache"
    policy = page.headers["content-security-policy"]
    assert "unsafe" not in policy
    assert "default-src 'none'" in policy
    address = page.text.split('rel="stylesheet" href="')[1].split('"')[0]
    style = httpx.get(site.url + address)
    assert style.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert style.headers["content-encoding"] == "gzip"
    assert httpx.get(f"{site.url}/portal/static/0/base.css").headers["cache-control"] == "no-cache"
    for name in ("..%2fapi.py", "nothing.js", "%2e%2e/api.py"):
        assert httpx.get(f"{site.url}/portal/static/0/{name}").status_code == 404
