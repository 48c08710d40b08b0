"""A page to try the server on."""

from __future__ import annotations

import html
from pathlib import Path

from fastapi import APIRouter
from fastapi.responses import HTMLResponse

_PAGE = Path(__file__).parent / "home.html"
_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def routes(release: str, associates: list[str], last_event: float) -> APIRouter:
    """``GET /`` shows the release and a form.

    Parameters
    ----------
    release : str
    associates : list of str
        Examples to choose from.
    last_event : float
        Epoch seconds; the form asks as of then, so that an old log is seen as it was.
    """
    router = APIRouter()
    text = _PAGE.read_text()

    @router.get("/", response_class=HTMLResponse)
    async def home() -> HTMLResponse:
        page = text.replace("{{last_event}}", str(int(last_event) + 1))
        page = page.replace("{{release}}", html.escape(release))
        options = "".join(f'<option value="{html.escape(one)}">' for one in associates)
        return HTMLResponse(
            page.replace("{{associates}}", options), headers={"Content-Security-Policy": _POLICY}
        )

    return router
