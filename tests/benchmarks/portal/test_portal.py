"""Time until the portal can be used, beside the time that the same browser takes for a small file.

pytest tests/benchmarks/portal -m bench
"""

import statistics

import pytest

from tests.portal.conftest import browser, errors, open_page, site  # noqa: F401

pytestmark = pytest.mark.bench
VISITS = 7


def test_time_to_interactive(site, open_page, capsys):  # noqa: F811
    ready, plain = [], []
    for _ in range(VISITS):
        # Each in a context of its own: nothing is in the cache.
        page = open_page(f"{site.url}/portal/static/0/favicon.svg")
        plain.append(page.evaluate("performance.getEntriesByType('navigation')[0].loadEventEnd"))
        page = open_page(site.url)
        page.locator(".lead h3 a").wait_for()
        # Set once the rows stand and their links and buttons work.
        ready.append(page.evaluate("performance.getEntriesByName('waymark.ready')[0].startTime"))
    whole, least = statistics.median(ready), statistics.median(plain)
    with capsys.disabled():
        print(
            f"\n  rows shown and usable after {whole:.0f} ms (median of {VISITS} first visits; "
            f"{min(ready):.0f} to {max(ready):.0f}), a small file {least:.0f} ms: {whole / least:.1f} times"
        )
    assert len(ready) == VISITS
