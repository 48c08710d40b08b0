"""First stage: score every page by every source, shortlist the best of each, unite them.

NumPy over batches builds training examples and evaluates; a request, which asks for the candidates alone,
gets the same from a compiled loop where there is one.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import Field, field_validator

from components.contract import columns as c
from components.contract.eligibility import Eligibility
from components.contract.evidence import Evidence
from components.contract.fusion import first_source, reciprocal_rank, unlisted_score
from components.contract.kernels import library
from components.contract.lists import Lists
from components.contract.query_tower import QueryTower
from components.contract.requests import Requests
from components.contract.series import series_neighbours
from components.contract.settings import StepSettings
from components.contract.shortlists import CompiledShortlist, Shortlist, dense_shortlist
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
# All that is said of every page, in the order of ``Shortlist.scores``.
SCORES = (*SOURCES, *SIGNALS)
# The neighbour lists; those that are read together stand together.
_LISTS = (
    *("within", "skip", "between", "before", "behind"),
    *("ahead", "ease", "item_knn", "content"),
    *("transitions", "series"),
)
# Lists read of one page or summed over several, and the score that each gives.
_OF_LAST = {name: f"{name}_last" for name in _LISTS[:-1]}
_OF_SECOND = {"within": "within_second", "skip": "skip_second"}
_OF_HISTORY = {"ahead": "ahead_history", "ease": "ease", "item_knn": "item_knn", "content": "content"}
_OF_LATEST = {"transitions": "transitions", "series": "series"}
# Scores that come as a plane of all pages.
_TRENDS = tuple(name for name in SOURCES if name.startswith("trend_") or name == "popularity")
_DENSE = (*_TRENDS, "two_tower", "skip_gram", "skip_gram_last")
# The steps whose artifacts the retriever reads.
SOURCE_STEPS = ("transitions", "neighbours", "skip_gram", "content_similarity", "two_tower")
# Requests whose lists are united at a time; memory stays bounded.
_BLOCK = 32


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
        lists = {
            "transitions": transitions,
            "ease": ease,
            "item_knn": item_knn,
            "content": content,
            "series": series_neighbours(page_ids, settings.series_reach),
            **paths,
        }
        self._lists = Lists.side_by_side([lists[name].align(page_ids) for name in _LISTS])
        self._skip_gram = skip_gram.align(page_ids).vectors
        self._two_tower = two_tower.align(page_ids).vectors
        self._query_tower = query_tower.align(page_ids)
        self._of_last, self._of_second = self._group(_OF_LAST), self._group(_OF_SECOND)
        self._of_history, self._of_latest = self._group(_OF_HISTORY), self._group(_OF_LATEST)
        self._history_weight = _decayed(settings.history_decay, settings.history_size)
        self._latest_weight = _decayed(settings.transition_decay, settings.transition_steps)
        self._quota = np.minimum([settings.quota_of(name) for name in SOURCES], len(page_ids))
        self._evidence = Evidence(
            self._lists,
            {SOURCES.index(name): place for place, name in enumerate(_LISTS) if name in SOURCES},
            {SOURCES.index(name) for name in _OF_LATEST},
            self._skip_gram,
            SOURCES.index("skip_gram"),
            (self._history_weight, self._latest_weight),
        )
        kernels = library()
        self._compiled = kernels and CompiledShortlist(
            kernels,
            self._lists,
            np.array([self._planes_of(name) for name in _LISTS]),
            [SCORES.index(name) for name in _DENSE],
            len(SCORES),
            self._quota,
            eligibility.newness,
            settings.shortlist,
        )

    @staticmethod
    def _planes_of(name: str) -> list[int]:
        """Scores that a list gives: of the last page, the second, the history, the latest ones; -1: none."""
        groups = (_OF_LAST, _OF_SECOND, _OF_HISTORY, _OF_LATEST)
        return [SCORES.index(group[name]) if name in group else -1 for group in groups]

    def _group(self, names: Mapping[str, str]) -> tuple[Lists, NDArray[np.int64]]:
        """Neighbour lists that stand together, and the planes of scores that they fill."""
        first = _LISTS.index(next(iter(names)))
        planes = np.array([SCORES.index(score) for score in names.values()])
        return self._lists.part(first, first + len(names)), planes

    def score(self, requests: Requests, trends: Mapping[str, NDArray[np.float32]]) -> NDArray[np.float32]:
        """What each of ``SCORES`` says of all pages, shape (len(SCORES), B, P)."""
        page = self._history(requests)
        weight = np.where(page >= 0, self._history_weight[: page.shape[1]], 0)
        latest = page[:, : self.settings.transition_steps]
        latest_weight = np.broadcast_to(self._latest_weight[: latest.shape[1]], latest.shape)

        scores = np.zeros((len(SCORES), len(requests), len(self.page_ids)), np.float32)
        for (lists, planes), pages, weights in (
            (self._of_latest, latest, latest_weight),
            (self._of_history, page, weight),
        ):
            for rows, sums in lists.sums(pages, weights):
                scores[planes, rows] = sums
        self._of_last[0].copy(page[:, 0], scores, self._of_last[1])
        if page.shape[1] > 1:
            self._of_second[0].copy(page[:, 1], scores, self._of_second[1])
        for name, values in zip(_DENSE, self._dense(requests, trends, page), strict=True):
            scores[SCORES.index(name)] = values
        return scores

    def _history(self, requests: Requests) -> NDArray[np.int32]:
        """Pages that are looked at, (B, L); histories have no gaps, so what is empty for all is left out."""
        longest = int((requests.history_page >= 0).any(axis=0).sum())
        return requests.history_page[:, : max(1, min(self.settings.history_size, longest))]

    def _dense(
        self, requests: Requests, trends: Mapping[str, NDArray[np.float32]], page: NDArray[np.int32]
    ) -> list[NDArray[np.float32]]:
        """Each of ``_DENSE`` for all pages, (B, P)."""
        weight = np.where(page >= 0, self._history_weight[: page.shape[1]], 0)
        # Of the history and of its latest page: the vectors of all pages are read once for both.
        latest = weight * (np.arange(page.shape[1]) == 0)
        profiles = np.stack([weight, latest])[:, :, None] @ self._skip_gram[page]
        alike = profiles.reshape(2 * len(page), -1) @ self._skip_gram.T
        np.maximum(alike, 0, out=alike)
        return [
            *(trends[name] for name in _TRENDS),
            self._two_tower_scores(requests),
            *alike.reshape(2, len(page), -1),
        ]

    def _two_tower_scores(self, requests: Requests) -> NDArray[np.float32]:
        tower = self._query_tower
        query = tower(
            tower.encode_associates(requests.associate_id),
            tower.encode_attributes(requests.attributes),
            requests.history_page,
            requests.time[:, None] - requests.history_time,
        )
        # Cosines run from -1 to 1; sources score 0 for "nothing to say".
        found = query @ self._two_tower.T
        found += 1
        found /= 2
        return found

    def allowed(self, requests: Requests) -> NDArray[np.bool_]:
        """Pages that may be shown: published by then, for the role, not yet seen. Shape (B, P)."""
        mask = self.eligibility(requests)
        mask[requests.seen_row, requests.seen_page] = False
        return mask

    @property
    def page_vectors(self) -> NDArray[np.float32]:
        """By which pages are alike, (P, D): skip-gram's."""
        return self._skip_gram

    def shortlist(
        self,
        requests: Requests,
        trends: Mapping[str, NDArray[np.float32]],
        allowed: NDArray[np.bool_] | None = None,
        wanted: tuple[NDArray[np.integer], NDArray[np.integer]] | None = None,
        *,
        all_scores: bool = True,
    ) -> Shortlist:
        """Unite the best pages of every source; the fused reciprocal rank settles who stays.

        Where the sources name fewer pages than the shortlist holds, the most opened and then the
        newest fill it, so that nobody gets an empty list while there are pages to show.

        Pages that were opened before and are allowed, as rules have it, have the places that their
        scores would give them, but take none from others: what is said of those is what it was in
        training, where no page comes again.

        Parameters
        ----------
        requests : Requests
        trends : mapping of str to array of float32, shape (B, P)
            Decayed counts; see :meth:`components.contract.trends.TrendCounters.at`.
        allowed : array of bool, shape (B, P), optional
            Pages that may be shown, instead of what :meth:`allowed` says.
        wanted : pair of arrays of int, optional
            Rows of requests and pages that are candidates whatever the sources say, if they are
            allowed, beside those that the shortlist has room for.
        all_scores : bool
            Also give the scores of all pages.
        """
        if allowed is None:
            allowed = self.allowed(requests)
        kept = np.zeros(allowed.shape, bool)
        if wanted is not None:
            kept[wanted] = allowed[wanted]
        again = allowed[requests.seen_row, requests.seen_page]
        back = requests.seen_row[again], requests.seen_page[again]
        if self._compiled and not all_scores:
            page = self._history(requests)
            weights, dense = (self._history_weight, self._latest_weight), self._dense(requests, trends, page)
            return self._compiled(page, *weights, dense, trends["popularity"], allowed, kept, back)
        scores = self.score(requests, trends)
        scores *= allowed.astype(np.float32)
        most = np.maximum(trends["popularity"].max(axis=1, keepdims=True), 1)
        unlisted = unlisted_score(trends["popularity"], most, self.eligibility.newness)
        fused = np.where(allowed, unlisted, 0).astype(np.float32)
        said, scores[:, *back] = scores[:, *back], 0
        ranks = []
        for start in range(0, len(kept), _BLOCK):
            rows = slice(start, start + _BLOCK)
            some = slice(*np.searchsorted(back[0], [start, start + _BLOCK]))
            of_back = back[0][some] - start, back[1][some], said[: len(SOURCES), some]
            ranks.append(self._unite(scores[: len(SOURCES), rows], fused[rows], kept[rows], of_back))
        rank = ranks[0] if len(ranks) == 1 else np.concatenate(ranks, axis=1)
        best = scores.max(axis=2)
        scores[:, *back] = said
        return dense_shortlist(scores, best, kept, rank, first_source(rank, self._quota), fused)

    def _unite(
        self,
        scores: NDArray[np.float32],
        fused: NDArray[np.float32],
        kept: NDArray[np.bool_],
        back: tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.float32]],
    ) -> NDArray[np.int32]:
        """Add the sources' lists to ``fused``, mark in ``kept`` who stays; returns their ranks, (S, N).

        Scores have the shape (S, B, P), the others (B, P). ``back`` are rows and pages, (n,), that
        come again, and what the sources say of them, (S, n); among the scores they are 0.
        """
        _, _, pages = scores.shape
        back_row, back_page, back_score = back
        best, value = top(scores, int(self._quota.max()))
        good = (value > 0) & (np.arange(best.shape[2]) < self._quota[:, None, None])
        source, row, place = good.nonzero()
        at = row * pages + best[good]
        # In the order of the sources, so that sums come out the same in every batch.
        np.add.at(fused.reshape(-1), at, reciprocal_rank(place))
        back_fused, fused[back_row, back_page] = fused[back_row, back_page], 0
        back_place = _place(value[:, back_row], best[:, back_row], good[:, back_row], back_score, back_page)
        listed = (back_score > 0) & (back_place < self._quota[:, None])
        np.add.at(back_fused, listed.nonzero()[1], reciprocal_rank(back_place[listed]))
        best, value = top(fused, min(self.settings.shortlist, pages))
        good = value > 0
        row, column = good.nonzero()
        kept[row, best[row, column]] = True
        united = _place(value[back_row], best[back_row], good[back_row], back_fused, back_page)
        kept[back_row, back_page] |= united < self.settings.shortlist
        fused[back_row, back_page] = back_fused
        candidates = np.flatnonzero(kept)
        number = np.full(kept.size, -1, np.int32)
        number[candidates] = np.arange(len(candidates))
        rank = np.empty((len(SOURCES), len(candidates)), np.int32)
        rank[:] = self._quota[:, None]
        stays = number[at] >= 0
        rank[source[stays], number[at[stays]]] = place[stays]
        listed &= kept[back_row, back_page]
        source, which = listed.nonzero()
        rank[source, number[back_row * pages + back_page][which]] = back_place[listed]
        return rank

    def evidence(
        self,
        requests: Requests,
        row: int | NDArray[np.integer],
        page: NDArray[np.int32],
        source: NDArray[np.int32],
    ) -> NDArray[np.int32]:
        """The page of a request's history that most made a source propose each candidate.

        Parameters
        ----------
        requests : Requests
        row : int or array of int, shape (n,)
            Which request.
        page, source : arrays of int32, shape (n,)
            Candidates, and which of ``SOURCES`` each is owed to; -1 for none.

        Returns
        -------
        array of int32, shape (n,)
            Page rows; -1 where no single page speaks for a candidate.
        """
        return self._evidence(self._history(requests), np.broadcast_to(row, page.shape), page, source)


def _decayed(decay: float, size: int) -> NDArray[np.float32]:
    """Weights of the latest pages."""
    return np.power(decay, np.arange(size)).astype(np.float32)


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
    """Columns of the ``size`` largest values along the last axis, best first, and the values.

    Of equal values the first columns are taken.

    Examples
    --------
    >>> top(np.array([[1.0, 3.0, 2.0]], np.float32), 2)[0].tolist()
    [[1, 2]]
    """
    pages = values.shape[-1]
    if size < pages:
        at = min(pages - size, pages - 1)
        limit = np.partition(values, at, axis=-1)[..., at, None]
        kept = values >= limit
        many = kept.sum(axis=-1) > size
        if many.any():
            kept[many] = _first_of_equals(values[many], limit[many], size)
        columns = kept.nonzero()[-1].reshape(*values.shape[:-1], size)
    else:
        columns = np.broadcast_to(np.arange(pages), values.shape)
    found = np.take_along_axis(values, columns, axis=-1)
    order = np.argsort(-found, axis=-1, kind="stable")
    return np.take_along_axis(columns, order, axis=-1), np.take_along_axis(found, order, axis=-1)


def _place(
    value: NDArray[np.float32],
    column: NDArray[np.int64],
    good: NDArray[np.bool_],
    other: NDArray[np.float32],
    at: NDArray[np.int32],
) -> NDArray[np.int64]:
    """The place that another value at a column would have among those of a row that count.

    ``value``, ``column`` and ``good`` have one more axis, the last, than ``other``.
    """
    first = (value == other[..., None]) & (column < at[:, None])
    return (good & ((value > other[..., None]) | first)).sum(axis=-1)


def _first_of_equals(values: NDArray[np.float32], limit: NDArray[np.float32], size: int) -> NDArray[np.bool_]:
    """What is above a row's limit, and so many of the first that equal it that there are ``size``, (N, P)."""
    above, same = values > limit, values == limit
    return above | (same & (same.cumsum(axis=1) <= size - above.sum(axis=1, keepdims=True)))
