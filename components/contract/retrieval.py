"""First stage: score every page by every source, shortlist the best of each, unite them.

Plain NumPy over batches; the same code builds training examples, evaluates and serves.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import Field, field_validator

from components.contract import columns as c
from components.contract.query_tower import QueryTower
from components.contract.requests import Requests
from components.contract.series import series_neighbours
from components.contract.settings import StepSettings
from components.contract.sources import Neighbours, Vectors

# Every source, in the order in which a tie of first places is settled.
SOURCES = (
    "transitions",
    "ease",
    "item_knn",
    "two_tower",
    "skip_gram",
    "content",
    "series",
    "trend_role",
    "trend_shift",
    "trend_hour",
    "trend_1d",
    "trend_7d",
    "trend_30d",
    "popularity",
)
# Kinds of path between two pages that the transitions step counts beside the source itself.
PATHS = ("within", "between", "skip", "before", "ahead", "behind")
# Scores that are features, not sources: what the associate's latest page alone says, the one before
# it, and the pages ahead of the whole history.
SIGNALS = (
    "transitions_last",
    "ease_last",
    "item_knn_last",
    "content_last",
    "skip_gram_last",
    *(f"{path}_last" for path in PATHS),
    "within_second",
    "skip_second",
    "ahead_history",
)
# The steps whose artifacts the retriever reads.
SOURCE_STEPS = ("transitions", "neighbours", "skip_gram", "content_similarity", "two_tower")


class RetrievalSettings(StepSettings):
    """How histories become scores and scores become a shortlist."""

    transition_steps: int = Field(5, ge=1, description="Latest pages whose next pages are proposed")
    transition_decay: float = Field(0.7, gt=0, le=1, description="Weight of each page further back")
    history_decay: float = Field(0.8, gt=0, le=1, description="The same, for the other history sources")
    history_size: int = Field(30, ge=1, description="Latest pages that those sources look at")
    quota: int = Field(100, ge=1, description="Pages that each source may propose")
    quotas: dict[str, int] = Field(default_factory=dict, description="Exceptions to quota, by source")
    series_reach: int = Field(20, ge=1, description="Pages beside a page in the order of ids")
    shortlist: int = Field(200, ge=1, description="Most candidates handed to the ranker")

    @field_validator("quotas")
    @classmethod
    def _known(cls, quotas: dict[str, int]) -> dict[str, int]:
        for source, quota in quotas.items():
            if source not in SOURCES:
                raise ValueError(f"no source {source!r}; there are {', '.join(SOURCES)}")
            if quota < 0:
                raise ValueError(f"{source} must be 0 or more")
        return quotas

    def quota_of(self, source: str) -> int:
        """Pages that one source may propose."""
        return self.quotas.get(source, self.quota)


class _Spread:
    """Neighbour lists padded with a page that catches what points nowhere."""

    def __init__(self, neighbours: Neighbours):
        pages, size = neighbours.index.shape
        self.pages = pages
        self.index = np.full((pages + 1, size), pages, np.int64)
        self.index[:pages] = np.where(neighbours.index >= 0, neighbours.index, pages)
        self.score = np.zeros((pages + 1, size), np.float32)
        self.score[:pages] = neighbours.score

    def __call__(self, page: NDArray[np.int32], weight: NDArray[np.float32]) -> NDArray[np.float32]:
        """Sum the lists of (B, L) pages, weighted; -1 pads. Returns (B, pages)."""
        batch = len(page)
        width = self.pages + 1
        at = np.where(page >= 0, page, self.pages)
        flat = self.index[at] + (np.arange(batch) * width)[:, None, None]
        value = self.score[at] * weight[..., None]
        total = np.bincount(flat.ravel(), value.ravel(), minlength=batch * width)
        return total.reshape(batch, width)[:, : self.pages].astype(np.float32)


class Eligibility:
    """When a page is published, whether it is retired, and for which roles it is meant.

    An associate whose role is unknown sees only pages that are meant for everybody.

    Parameters
    ----------
    pages : polars.DataFrame
        Columns ``published_at`` (epoch seconds), ``retired`` and ``roles`` of the dataset's pages.
    """

    def __init__(self, pages: pl.DataFrame):
        published = pages["published_at"].fill_null(-np.inf).to_numpy()
        retired = pages["retired"].fill_null(False).to_numpy()
        self.available = np.where(retired, np.inf, published)
        # Newest 1, oldest 0.
        self.newness = np.argsort(np.argsort(published, kind="stable")) / max(pages.height - 1, 1)
        named = (
            pages.select(pl.col("roles").list.drop_nulls())
            .with_row_index("page")
            .explode("roles")
            .drop_nulls()
        )
        restricted = named["page"].unique().to_numpy()
        self._everybody = np.ones(pages.height, bool)
        self._everybody[restricted] = False
        self._roles: dict[str, NDArray[np.bool_]] = {}
        for (role,), rows in named.group_by("roles"):
            mask = self._everybody.copy()
            mask[rows["page"].to_numpy()] = True
            self._roles[str(role)] = mask

    def __call__(self, requests: Requests) -> NDArray[np.bool_]:
        """Pages that may be shown to each request's associate, shape (B, P)."""
        mask = self.available[None, :] <= requests.time[:, None]
        role = requests.attributes["role"]
        if self._roles:
            for value in np.unique(role):
                mask[role == value] &= self._roles.get(str(value), self._everybody)
        return mask


@dataclass(frozen=True)
class Shortlist:
    """Candidates of B requests, flattened: N = the sum of the lists' lengths.

    Attributes
    ----------
    row : array of int32, shape (N,)
        Which request; ascending.
    page : array of int32, shape (N,)
    scores : dict of str to array of float32, shape (B, P)
        What each source says of every page (pages that must not be shown score 0).
    ranks : dict of str to array of int32, shape (N,)
        0-based rank of each candidate in each source's own list; the quota where it is not in it.
    source : array of int32, shape (N,)
        Which of ``SOURCES`` has the candidate highest in its list; -1 where no list holds it.
    """

    row: NDArray[np.int32]
    page: NDArray[np.int32]
    scores: dict[str, NDArray[np.float32]]
    ranks: dict[str, NDArray[np.int32]]
    source: NDArray[np.int32]


class Retriever:
    """All candidate sources over one catalogue.

    Parameters
    ----------
    page_ids : array of str, shape (P,)
    transitions, ease, item_knn, content : Neighbours
    paths : mapping of str to Neighbours
        One for each of ``PATHS``.
    skip_gram, two_tower : Vectors
    query_tower : QueryTower
    eligibility : Eligibility
        Which pages may be shown at all.
    settings : RetrievalSettings
    """

    def __init__(
        self,
        page_ids: NDArray[np.str_],
        *,
        transitions: Neighbours,
        ease: Neighbours,
        item_knn: Neighbours,
        content: Neighbours,
        paths: Mapping[str, Neighbours],
        skip_gram: Vectors,
        two_tower: Vectors,
        query_tower: QueryTower,
        eligibility: Eligibility,
        settings: RetrievalSettings,
    ):
        self.page_ids = page_ids
        self.settings = settings
        self.eligibility = eligibility
        self._spread = {
            name: _Spread(lists.align(page_ids))
            for name, lists in {
                "transitions": transitions,
                "ease": ease,
                "item_knn": item_knn,
                "content": content,
                "series": series_neighbours(page_ids, settings.series_reach),
                **paths,
            }.items()
        }
        self._skip_gram = skip_gram.align(page_ids).vectors
        self._two_tower = two_tower.align(page_ids).vectors
        self._query_tower = query_tower.align(page_ids)

    def score(
        self, requests: Requests, trends: Mapping[str, NDArray[np.float32]]
    ) -> dict[str, NDArray[np.float32]]:
        """Score all pages by every source and by likeness to the last page; each (B, P)."""
        s = self.settings
        page = requests.history_page[:, : s.history_size]
        steps = np.arange(page.shape[1])
        weight = np.broadcast_to(np.power(s.history_decay, steps), page.shape).astype(np.float32)
        weight = np.where(page >= 0, weight, 0)
        first = page[:, : s.transition_steps]
        first_weight = np.power(s.transition_decay, steps[: s.transition_steps]).astype(np.float32)
        first_weight = np.broadcast_to(first_weight, first.shape)
        last, second = page[:, :1], page[:, 1:2]
        one = np.ones_like(last, np.float32)
        scores = {
            "transitions": self._spread["transitions"](first, first_weight),
            "series": self._spread["series"](first, first_weight),
            "ahead_history": self._spread["ahead"](page, weight),
            "within_second": self._spread["within"](second, one[:, : second.shape[1]]),
            "skip_second": self._spread["skip"](second, one[:, : second.shape[1]]),
            "two_tower": self._two_tower_scores(requests),
            "skip_gram": self._likeness(self._skip_gram, page, weight),
            "skip_gram_last": self._likeness(self._skip_gram, last, np.where(last >= 0, one, 0)),
            **{f"{name}_last": self._spread[name](last, one) for name in ("transitions", *PATHS)},
        }
        for name in ("ease", "item_knn", "content"):
            scores[name] = self._spread[name](page, weight)
            scores[f"{name}_last"] = self._spread[name](last, one)
        return {**scores, **trends}

    @staticmethod
    def _likeness(
        vectors: NDArray[np.float32], page: NDArray[np.int32], weight: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        profile = np.einsum("bl,bld->bd", weight, vectors[np.maximum(page, 0)], optimize=True)
        return np.maximum(profile @ vectors.T, 0)

    def _two_tower_scores(self, requests: Requests) -> NDArray[np.float32]:
        tower = self._query_tower
        query = tower(
            tower.encode_associates(requests.associate_id),
            tower.encode_attributes(requests.attributes),
            requests.history_page,
            requests.time[:, None] - requests.history_time,
        )
        # Cosines run from -1 to 1; sources score 0 for "nothing to say".
        return ((1 + query @ self._two_tower.T) / 2).astype(np.float32, copy=False)

    def allowed(self, requests: Requests) -> NDArray[np.bool_]:
        """Pages that may be shown: published by then, for the role, not yet seen. Shape (B, P)."""
        mask = self.eligibility(requests)
        mask[requests.seen_row, requests.seen_page] = False
        return mask

    def shortlist(self, requests: Requests, trends: Mapping[str, NDArray[np.float32]]) -> Shortlist:
        """Unite the best pages of every source; the fused reciprocal rank settles who stays.

        Reciprocal rank fusion: Cormack, Clarke and Buettcher, SIGIR 2009. Where the sources name
        fewer pages than the shortlist holds, the most opened and then the newest fill it, so that
        nobody gets an empty list while there are pages to show.
        """
        scores = self.score(requests, trends)
        allowed = self.allowed(requests)
        batch, pages = allowed.shape
        fused = self._fill(allowed, trends["popularity"])
        rank_planes = {}
        first = np.full((batch, pages), np.iinfo(np.int32).max, np.int32)
        source = np.full((batch, pages), -1, np.int32)
        for name in SOURCES:
            scores[name] = np.where(allowed, scores[name], 0)
            quota = min(self.settings.quota_of(name), pages)
            best, value = top(scores[name], quota)
            good = value > 0
            plane = np.full((batch, pages), quota, np.int32)
            rows, places = np.nonzero(good)
            plane[rows, best[rows, places]] = places
            fused[rows, best[rows, places]] += 1 / (60 + places.astype(np.float32))
            higher = good & (plane < first)[np.arange(batch)[:, None], best]
            rows, places = np.nonzero(higher)
            first[rows, best[rows, places]] = places
            source[rows, best[rows, places]] = SOURCES.index(name)
            rank_planes[name] = plane
        for name in SIGNALS:
            scores[name] = np.where(allowed, scores[name], 0)
        kept, value = top(fused, min(self.settings.shortlist, pages))
        kept = np.sort(np.where(value > 0, kept, pages), axis=1)
        rows, places = np.nonzero(kept < pages)
        page = kept[rows, places]
        return Shortlist(
            row=rows.astype(np.int32),
            page=page.astype(np.int32),
            scores=scores,
            ranks={name: plane[rows, page] for name, plane in rank_planes.items()},
            source=source[rows, page],
        )

    def _fill(self, allowed: NDArray[np.bool_], popularity: NDArray[np.float32]) -> NDArray[np.float32]:
        """Scores below any fused rank that put the most opened, then the newest allowed pages first."""
        most = np.maximum(popularity.max(axis=1, keepdims=True), 1)
        return np.where(allowed, 1e-6 * (1 + popularity / most + 1e-3 * self.eligibility.newness), 0).astype(
            np.float32
        )

    def evidence(self, source: str, requests: Requests, row: int, page: int) -> int:
        """The page of a request's history that most made a source propose a candidate; -1 if none."""
        history = requests.history_page[row, : self.settings.history_size]
        history = history[history >= 0]
        decay = self.settings.history_decay
        if source in ("transitions", "series"):
            history = history[: self.settings.transition_steps]
            decay = self.settings.transition_decay
        weight = np.power(decay, np.arange(len(history)))
        if source in self._spread:
            lists = self._spread[source]
            said = np.where(lists.index[history] == page, lists.score[history], 0).sum(axis=1)
        elif source == "skip_gram":
            said = np.maximum(self._skip_gram[history] @ self._skip_gram[page], 0)
        else:
            return -1
        said = said * weight
        return int(history[said.argmax()]) if len(said) and said.max() > 0 else -1


def load_retriever(
    pages: pl.DataFrame, folders: Mapping[str, Path | str], settings: RetrievalSettings
) -> Retriever:
    """Put the artifacts of the source steps together over one catalogue.

    Parameters
    ----------
    pages : polars.DataFrame
        The dataset's pages.
    folders : mapping of str to path
        The artifact folder of each of ``SOURCE_STEPS``.
    settings : RetrievalSettings
    """
    folder = {name: Path(folders[name]) for name in SOURCE_STEPS}
    return Retriever(
        pages[c.PAGE_ID].to_numpy().astype(np.str_),
        transitions=Neighbours.load(folder["transitions"] / "transitions.npz"),
        paths={name: Neighbours.load(folder["transitions"] / f"{name}.npz") for name in PATHS},
        ease=Neighbours.load(folder["neighbours"] / "ease.npz"),
        item_knn=Neighbours.load(folder["neighbours"] / "item_knn.npz"),
        content=Neighbours.load(folder["content_similarity"] / "neighbours.npz"),
        skip_gram=Vectors.load(folder["skip_gram"] / "vectors.npz"),
        two_tower=Vectors.load(folder["two_tower"] / "vectors.npz"),
        query_tower=QueryTower.load(folder["two_tower"]),
        eligibility=Eligibility(pages),
        settings=settings,
    )


def top(values: NDArray[np.float32], size: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Columns of the ``size`` largest values of each row, best first, and the values.

    Examples
    --------
    >>> top(np.array([[1.0, 3.0, 2.0]], np.float32), 2)[0].tolist()
    [[1, 2]]
    """
    if size < values.shape[1]:
        columns = np.argpartition(-values, size - 1, axis=1)[:, :size]
        columns.sort(axis=1)
    else:
        columns = np.broadcast_to(np.arange(values.shape[1]), values.shape)
    found = np.take_along_axis(values, columns, axis=1)
    order = np.argsort(-found, axis=1, kind="stable")
    return np.take_along_axis(columns, order, axis=1), np.take_along_axis(found, order, axis=1)
