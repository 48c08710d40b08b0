"""A catalogue and requests made by hand."""

from collections.abc import Callable

import numpy as np
import polars as pl
import pytest

from components.contract.columns import REQUEST_ATTRIBUTES
from components.contract.dataset import PAGE_SCHEMA
from components.contract.eligibility import Eligibility
from components.contract.requests import Requests
from components.contract.time import DAY

NOW = 1_795_507_200.0  # 2026-11-24T08:00:00Z


def make_pages(rows: list[dict]) -> pl.DataFrame:
    """Pages P0, P1, ...; what a row does not give is unknown."""
    full = [{"page_id": f"P{n}", "title": f"Page {n}", "retired": False, **row} for n, row in enumerate(rows)]
    return pl.DataFrame([{name: row.get(name) for name in PAGE_SCHEMA} for row in full], schema=PAGE_SCHEMA)


def make_request(
    *,
    time: float = NOW,
    opened: dict[int, float] | None = None,
    history: int = 50,
    hired: float = float("nan"),
    **attributes: str,
) -> Requests:
    """One request; ``opened`` says how many days ago which page was opened first."""
    order = sorted((opened or {}).items(), key=lambda pair: -pair[1])
    recent = order[::-1][:history]
    pages = np.full((1, history), -1, np.int32)
    times = np.full((1, history), np.nan)
    pages[0, : len(recent)] = [page for page, _ in recent]
    times[0, : len(recent)] = [time - days * DAY for _, days in recent]
    return Requests(
        time=np.array([time]),
        associate_id=np.array(["A"]),
        attributes={name: np.array([attributes.get(name, "")]) for name in REQUEST_ATTRIBUTES},
        history_page=pages,
        history_time=times,
        history_count=np.array([len(order)], np.int32),
        seen_row=np.zeros(len(order), np.int32),
        seen_page=np.array([page for page, _ in order], np.int32),
        target=np.array([-1], np.int32),
        tenure_days=np.array([max((time - hired) / DAY, 0.0)]),
    )


def base_allowed(pages: pl.DataFrame, requests: Requests) -> np.ndarray:
    """What the retriever allows: published, for the role, not opened."""
    allowed = Eligibility(pages)(requests)
    allowed[requests.seen_row, requests.seen_page] = False
    return allowed


@pytest.fixture(scope="session")
def now() -> float:
    return NOW


@pytest.fixture(scope="session")
def pages_of() -> Callable[..., pl.DataFrame]:
    return make_pages


@pytest.fixture(scope="session")
def asks() -> Callable[..., Requests]:
    return make_request


@pytest.fixture(scope="session")
def allowed_before() -> Callable[..., np.ndarray]:
    return base_allowed


@pytest.fixture(scope="session")
def answer():
    """(policy, pages, requests, scores by page, completed days ago, ...) -> page rows shown, arrangement."""

    def run(policy, pages, requests, scores, completed=None, limit=100, explain=False):
        done = [{page: requests.time[0] - days * DAY for page, days in (completed or {}).items()}]
        allowed = base_allowed(pages, requests)
        rulings = policy(requests, done)
        rulings.allow(allowed)
        rows, wanted = rulings.wanted(allowed)
        assert not rows.any()
        assert allowed[0, wanted].all()
        scores = np.asarray(scores, np.float32)
        candidates = np.flatnonzero(allowed[0]).astype(np.int32)
        found = rulings.arrange(0, candidates, scores[candidates], limit, explain=explain)
        return candidates[found.order].tolist(), found

    return run
