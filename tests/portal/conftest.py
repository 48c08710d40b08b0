"""Chromium, and servers to look at: the small release, two releases, and one with hostile texts."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from tests.support.releases import copy_home, next_release
from tests.support.server import ServerProcess

CHROMIUM = Path("/usr/bin/chromium")
ARGUMENTS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
HOSTILE = (
    "<img src=x onerror=\"document.title='run'\"><script>document.title='run'</script>'\"&lt;{{7*7}}"
    "\" onmouseover=\"document.title='run'"
)
REPORT = (
    "<!doctype html><title>Report</title><style>h1 { color: red }</style><h1>How it did</h1>"
    "<script>top.x = 1</script>"
)


@pytest.fixture(scope="session")
def browser():
    if not CHROMIUM.exists() and shutil.which("chromium") is None:
        pytest.skip("no Chromium: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(
            executable_path=str(CHROMIUM if CHROMIUM.exists() else shutil.which("chromium")),
            args=list(ARGUMENTS),
        )
        yield launched
        launched.close()


@pytest.fixture
def errors() -> list[str]:
    """What the browser complained of; a test that provokes complaints clears it."""
    return []


@pytest.fixture
def open_page(browser, errors):
    """A function that opens an address in a browser of its own; complaints fail the test."""
    contexts = []

    def opened(address: str, width: int = 1280, height: int = 900, **options):
        context = browser.new_context(viewport={"width": width, "height": height}, **options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(30_000)
        page.on("console", lambda said: errors.append(said.text) if said.type == "error" else None)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(address)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert not errors


def _served(home: Path, log: Path, **environment: str) -> Iterator[ServerProcess]:
    process = ServerProcess(home, log, **environment).start()
    yield process
    process.stop()


@pytest.fixture(scope="session")
def site(small_release, tmp_path_factory):
    """The small release; every answer is recorded with what the ranker saw."""
    root = tmp_path_factory.mktemp("site")
    yield from _served(
        copy_home(small_release, root / "home"), root / "log", WAYMARK_SERVING_LOG_FEATURES="1"
    )


def _worse(evaluation: dict) -> None:
    """A cohort that clearly lost, and one that moved within its interval."""
    names = list(evaluation["cohorts"])
    lost, moved = evaluation["cohorts"][names[0]], evaluation["cohorts"][names[1]]
    lost |= {"ndcg": lost["ndcg"] / 10, "ndcg_interval": [0.0, lost["ndcg_interval"][0] / 2]}
    moved["ndcg"] -= 1e-4
    evaluation["two_stage"]["ndcg"] += 0.01


@pytest.fixture
def two_releases(small_release, tmp_path):
    """A HOME whose newer release answers; gives the server and both names, older first."""
    home = copy_home(small_release, tmp_path / "home")
    older = (home / "current").resolve().name
    newer = next_release(home, evaluation=_worse, reports={"evaluation": REPORT})
    for process in _served(home, tmp_path / "log"):
        yield process, older, newer.name


@pytest.fixture
def hostile_site(small_release, tmp_path):
    """Every title, body, topic and format is markup."""
    home = copy_home(small_release, tmp_path / "home")

    def spoil(pages: pl.DataFrame) -> pl.DataFrame:
        return pages.with_columns(
            pl.format("{}{}", pl.lit(HOSTILE), pl.col("page_id")).alias("title"),
            pl.lit(HOSTILE).alias("body"),
            pl.lit(HOSTILE).alias("topic"),
            pl.lit(HOSTILE).alias("format"),
        )

    next_release(home, pages=spoil)
    yield from _served(home, tmp_path / "log")
