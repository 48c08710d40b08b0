"""What the portal shows of a release's pages and associates."""

from __future__ import annotations

import threading
from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any

import polars as pl

from components.contract import columns as c
from components.contract.errors import ReleaseError
from components.contract.release import Release
from components.contract.sources import Neighbours
from serving.portal.models import AssociateSummary, PageDetail, PageSummary, SimilarPage
from serving.portal.search import Index

_SIMILAR = 12
_SUMMARY = ("title", "topic", "format", "duration_seconds")


class Browser:
    """Pages, their likes, and associates of one release.

    Parameters
    ----------
    release : Release
    """

    def __init__(self, release: Release):
        self._root = release.root
        pages = pl.read_parquet(release.root / "pages.parquet")
        self._rows: list[dict[str, Any]] = pages.to_dicts()
        ids = pages[c.PAGE_ID].to_list()
        self._row = {page_id: row for row, page_id in enumerate(ids)}
        self._index = Index(
            ids, pages["title"].fill_null("").to_list(), pages["topic"].fill_null("").to_list()
        )
        try:
            path = release.part("content_similarity") / "neighbours.npz"
            self._neighbours: Neighbours | None = Neighbours.load(path).align(pages[c.PAGE_ID].to_numpy())
        except (ReleaseError, OSError):
            self._neighbours = None
        associates = pl.scan_parquet(release.root / "associates.parquet")
        values = associates.select(
            pl.col(name).drop_nulls().unique().sort().implode() for name in c.ASSOCIATE_ATTRIBUTES
        ).collect()
        self.attributes: dict[str, list[str]] = {name: values[name][0].to_list() for name in values.columns}

    def title(self, page_id: str) -> str:
        """Title of a page; its id where it has none or is not known."""
        row = self._row.get(page_id)
        return page_id if row is None else self._rows[row]["title"] or page_id

    def pages(self, page_ids: Collection[str]) -> list[PageSummary]:
        """Those of the pages that the release holds."""
        return [self._summary(self._row[page_id]) for page_id in page_ids if page_id in self._row]

    def search(self, query: str, limit: int) -> tuple[list[PageSummary], int]:
        """Pages that a query finds and that are not retired, best first; and how many there are."""
        found = [row for row in self._index.find(query) if not self._rows[row]["retired"]]
        return [self._summary(row) for row in found[:limit]], len(found)

    def detail(self, page_id: str) -> PageDetail | None:
        """One page with its likes; None if the release does not hold it."""
        row = self._row.get(page_id)
        if row is None:
            return None
        found = self._rows[row]
        published = found["published_at"]
        return PageDetail(
            **self._summary(row).model_dump(),
            body=found["body"],
            published_at=None if published is None else datetime.fromtimestamp(published, UTC),
            retired=bool(found["retired"]),
            roles=found["roles"] or [],
            mandatory_for=found["mandatory_for"] or [],
            due_days=found["due_days"],
            recertify_days=found["recertify_days"],
            prerequisites=self.pages(found["prerequisites"] or []),
            similar=self._similar(row),
        )

    def associates(self, query: str, limit: int, without: Collection[str]) -> list[AssociateSummary]:
        """Associates whose id or role holds the query."""
        text = pl.lit(query.strip().casefold())
        fields = (pl.col(name).fill_null("") for name in (c.ASSOCIATE_ID, "role", "shift"))
        chosen = pl.scan_parquet(self._root / "associates.parquet").select(fields)
        if query.strip():
            chosen = chosen.filter(
                pl.col(c.ASSOCIATE_ID).str.to_lowercase().str.contains(text, literal=True)
                | pl.col("role").str.to_lowercase().str.contains(text, literal=True)
            )
        if without:
            chosen = chosen.filter(~pl.col(c.ASSOCIATE_ID).is_in(list(without)))
        return [AssociateSummary(**row) for row in chosen.head(limit).collect().to_dicts()]

    def _summary(self, row: int) -> PageSummary:
        found = self._rows[row]
        return PageSummary(
            page_id=found[c.PAGE_ID],
            **{name: found[name] for name in _SUMMARY} | {"title": found["title"] or ""},
        )

    def _similar(self, row: int) -> list[SimilarPage]:
        if self._neighbours is None:
            return []
        near = zip(self._neighbours.index[row].tolist(), self._neighbours.score[row].tolist(), strict=True)
        return [
            SimilarPage(**self._summary(other).model_dump(), score=round(score, 4))
            for other, score in near
            if other >= 0 and not self._rows[other]["retired"]
        ][:_SIMILAR]


class Browsers:
    """The browser of the release that answers, made when first asked for."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: tuple[str, Browser] | None = None

    def of(self, release: Release) -> Browser:
        """The release's browser."""
        with self._lock:
            if self._kept is None or self._kept[0] != release.name:
                self._kept = release.name, Browser(release)
            return self._kept[1]
