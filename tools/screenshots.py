"""Pictures of the portal for the documentation, taken from a running server.

    python -m serving --home HOME --port 8080 &
    python tools/screenshots.py --url http://localhost:8080 --out docs/pictures

The server should serve the sample academy. Needs Chromium (Debian's) and the development requirements.
"""

from __future__ import annotations

import io
import json
import math
import time
from pathlib import Path
from typing import Annotated

import httpx
import typer
from PIL import Image
from playwright.sync_api import Page, sync_playwright

MOST_BYTES = 150_000
QUESTIONS = 260
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
RULES = {
    "pins": [{"name": "black friday", "page": "", "position": 1}],
    "boosts": [{"name": "season", "pages": {"topics": ["checkout"]}, "factor": 2}],
    "topics": {"most": 3, "first": 10},
}


def home(page: Page) -> None:
    """The associate's rows, in the morning."""
    page.goto("/?as=A000042&hour=9")
    page.locator(".lead").wait_for()


def why(page: Page) -> None:
    """Why a page is there."""
    home(page)
    page.locator("[data-row=for_you] .card").nth(2).get_by_role("button", name="Why this?").click()
    page.get_by_role("list", name="What moved its place").wait_for()


def operate(page: Page) -> None:
    """Live metrics, while some questions are asked."""
    page.goto("/operate#/live")
    page.locator("svg.chart").first.wait_for()
    with httpx.Client(base_url=page.url.split("/operate")[0], timeout=60) as client:
        begin = client.get("/v1/about").json()["last_event"] + 60
        for number in range(QUESTIONS):
            question = {"associate_id": f"A{1 + 7 * number:06d}", "context": {"time": begin + number}}
            answer = client.post("/v1/models/waymark:predict", json={"instances": [question]})
            given = answer.json()["predictions"][0]
            known = {"associate_id": given["associate_id"], "timestamp": begin + number}
            events = [
                known
                | {
                    "page_id": item["page_id"],
                    "request_id": given["request_id"],
                    "position": place,
                    "release": given["release"],
                }
                for place, item in enumerate(given["items"], start=1)
            ]
            seen = [event | {"event_type": "impression"} for event in events]
            opened = [events[number % 5] | {"event_type": "view"}] if number % 3 == 0 else []
            client.post("/v1/events", json={"events": seen + opened})
            time.sleep(0.06 + 0.05 * math.sin(number / 9))
    page.wait_for_timeout(2500)


def what_if(page: Page) -> None:
    """The same associate by another release, if there is one, and in another role."""
    page.goto("/operate#/what-if/A000042")
    page.locator(".sides .ranked").nth(1).wait_for()
    others = page.get_by_label("Release").nth(1)
    if others.count():
        others.select_option(index=1)
    page.get_by_label("Role").nth(1).select_option(index=4)
    page.locator(".sides .ranked").nth(1).wait_for()


def report(page: Page, name: str, heading: str) -> None:
    """A report of the release that answers, from a heading on."""
    page.goto("/operate#/quality")
    address = page.get_by_role("link", name=name).first.get_attribute("href")
    assert address is not None
    page.goto(address)
    page.get_by_role("heading", name=heading).evaluate("one => one.scrollIntoView()")


def evaluation(page: Page) -> None:
    """What each source adds."""
    report(page, "Evaluation report", "What each source adds")


def embeddings(page: Page) -> None:
    """The map of the pages."""
    report(page, "Map of the pages", "Map of the pages")


def rules(page: Page) -> None:
    """Rules, tried before they are in force."""
    page.goto("/operate#/rules")
    page.locator(".ranked li").first.wait_for()
    last = page.get_by_role("region", name="Before").locator("li").last.get_attribute("data-page")
    document = json.loads(json.dumps(RULES))
    document["pins"][0]["page"] = last
    page.get_by_label("Rules (JSON)").fill(json.dumps(document, indent=2))
    page.get_by_text("Not in force yet").wait_for()
    page.keyboard.press("Control+Home")


# Name, what to show, colour scheme, width and height.
PICTURES = (
    ("home", home, "light", 1280, 900),
    ("home-dark", home, "dark", 1280, 900),
    ("home-phone", home, "light", 390, 844),
    ("why", why, "light", 1280, 900),
    ("operate", operate, "light", 1280, 1020),
    ("what-if", what_if, "light", 1280, 1180),
    ("evaluation", evaluation, "light", 1280, 900),
    ("map", embeddings, "light", 1280, 900),
    ("rules", rules, "light", 1280, 900),
)


def compressed(png: bytes) -> bytes:
    """The picture with as many colours as fit into ``MOST_BYTES``."""
    picture = Image.open(io.BytesIO(png)).convert("RGB")
    for colours in (256, 192, 128, 96, 64):
        out = io.BytesIO()
        reduced = picture.quantize(colours, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
        reduced.save(out, "PNG", optimize=True)
        if out.tell() <= MOST_BYTES:
            break
    return out.getvalue()


def main(
    url: Annotated[str, typer.Option(help="Of a running server.")] = "http://localhost:8080",
    out: Annotated[Path, typer.Option(help="Folder of the pictures.")] = Path("docs/pictures"),
    chromium: Annotated[Path, typer.Option(help="The browser.")] = Path("/usr/bin/chromium"),
) -> None:
    """Take all pictures."""
    out.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(chromium), args=ARGUMENTS)
        for name, show, scheme, width, height in PICTURES:
            page = browser.new_page(
                base_url=url,
                viewport={"width": width, "height": height},
                color_scheme=scheme,
                reduced_motion="reduce",
            )
            show(page)
            page.wait_for_timeout(700)
            picture = compressed(page.screenshot())
            (out / f"{name}.png").write_bytes(picture)
            typer.echo(f"{name}.png {len(picture):,} bytes")
            page.close()
        browser.close()


if __name__ == "__main__":
    typer.run(main)
