"""Small datasets, requests, retrievers and examples, from the few values that a test is about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
from hypothesis import strategies as st
from numpy.typing import NDArray

from components.contract import columns as c
from components.contract.dataset import (
    ASSOCIATE_SCHEMA,
    INTERACTION_SCHEMA,
    PAGE_DAY_SCHEMA,
    PAGE_SCHEMA,
    Dataset,
)
from components.contract.eligibility import Eligibility
from components.contract.examples import HISTORY_COLUMNS, Examples
from components.contract.features import CATEGORICAL, NUMERIC
from components.contract.query_tower import QueryTower, Vocabulary
from components.contract.requests import HISTORY, Requests
from components.contract.retrieval import PATHS, SOURCES, RetrievalSettings, Retriever
from components.contract.sources import Neighbours, Vectors

HOUR = 3600.0


def make_dataset(
    visits: Sequence[tuple[Any, ...]],
    pages: int = 5,
    associates: int | None = None,
    page: Mapping[str, Sequence[Any]] | None = None,
    associate: Mapping[str, Sequence[Any]] | None = None,
    page_days: Sequence[Mapping[str, float]] = (),
    protocol: str = "time",
) -> Dataset:
    """A dataset of pages P0, P1, ... and associates A0, A1, ...

    Visits are (associate, page, time) or (associate, page, time, stage), in any order; ``page`` and
    ``associate`` hold attributes; ``page_days`` rows leave out what is zero.
    """
    people = associates if associates is not None else 1 + max((visit[0] for visit in visits), default=-1)
    rows = [(*visit, c.FIT)[:4] for visit in visits]
    interactions = (
        pl.DataFrame(
            rows,
            schema={c.ASSOCIATE: pl.Int32, c.PAGE: pl.Int32, c.TIME: pl.Float64, c.STAGE: pl.Int8},
            orient="row",
        )
        .sort(c.ASSOCIATE, c.TIME, c.PAGE)
        .with_columns(
            pl.int_range(pl.len(), dtype=pl.Int32).over(c.ASSOCIATE).alias(c.ORDINAL),
            pl.lit(0, pl.Int32).alias(c.SESSION),
        )
        .select(INTERACTION_SCHEMA.names())
    )
    days = [{**dict.fromkeys(PAGE_DAY_SCHEMA.names(), 0), **row} for row in page_days]
    return Dataset(
        pages=_table(PAGE_SCHEMA, pages, {c.PAGE_ID: [f"P{i}" for i in range(pages)], **(page or {})}),
        associates=_table(
            ASSOCIATE_SCHEMA, people, {c.ASSOCIATE_ID: [f"A{i}" for i in range(people)], **(associate or {})}
        ),
        interactions=interactions,
        page_days=pl.DataFrame(days, schema=PAGE_DAY_SCHEMA),
        meta={"protocol": protocol, "cuts": [], "span": [0.0, 0.0], "sources": {}},
    )


def _table(schema: pl.Schema, rows: int, given: Mapping[str, Sequence[Any]]) -> pl.DataFrame:
    return pl.DataFrame({name: given.get(name, [None] * rows) for name in schema.names()}, schema=schema)


def make_requests(
    time: Sequence[float],
    history: Sequence[Sequence[tuple[int, float]]] | None = None,
    width: int = 50,
    target: Sequence[int] | None = None,
    tenure_days: Sequence[float] | None = None,
    **attributes: Sequence[str],
) -> Requests:
    """Requests with histories of (page, time), most recent first; all that is opened is seen."""
    size = len(time)
    history = history if history is not None else [[]] * size
    page = np.full((size, width), -1, np.int32)
    when = np.full((size, width), np.nan)
    for row, entries in enumerate(history):
        for place, (opened, at) in enumerate(entries):
            page[row, place], when[row, place] = opened, at
    return Requests(
        time=np.asarray(time, float),
        associate_id=np.full(size, "A0"),
        attributes={n: np.asarray(attributes.get(n, [""] * size), np.str_) for n in c.REQUEST_ATTRIBUTES},
        history_page=page,
        history_time=when,
        history_count=np.array([len(entries) for entries in history], np.int32),
        seen_row=np.repeat(np.arange(size), [len(entries) for entries in history]).astype(np.int32),
        seen_page=np.array([p for entries in history for p, _ in entries], np.int32),
        target=np.asarray(target if target is not None else [-1] * size, np.int32),
        tenure_days=np.asarray(tenure_days if tenure_days is not None else [np.nan] * size, float),
    )


def mean_tower(vectors: Vectors) -> QueryTower:
    """A query tower without a network: the query is the mean of the history's vectors."""
    size = vectors.vectors.shape[1]
    return QueryTower(
        page_ids=vectors.page_ids,
        known=np.ones(len(vectors.page_ids), bool),
        associates=Vocabulary.of([]),
        attributes={name: Vocabulary.of([]) for name in c.ASSOCIATE_ATTRIBUTES},
        weights={
            "history": vectors.vectors,
            "associate": np.zeros((1, size), np.float32),
            "attribute": np.zeros((len(c.ASSOCIATE_ATTRIBUTES), size), np.float32),
            "position": np.zeros(20, np.float32),
            "age": np.float32(0),
            "hidden": np.zeros((4 * size + 3, 2), np.float32),
            "hidden_bias": np.zeros(2, np.float32),
            "output": np.zeros((2, size), np.float32),
            "output_bias": np.zeros(size, np.float32),
        },
    )


def make_retriever(
    dataset: Dataset,
    lists: Mapping[str, Any] | None = None,
    vectors: Mapping[str, Any] | None = None,
    **settings: Any,
) -> Retriever:
    """A retriever from (pages, pages) matrices and (pages, size) vectors; what is not given is zero."""
    ids, pages = dataset.page_ids, dataset.n_pages
    nothing = np.zeros((pages, pages))

    def neighbours(name: str) -> Neighbours:
        return Neighbours.from_matrix(ids, np.asarray((lists or {}).get(name, nothing), float), pages)

    def embedded(name: str) -> Vectors:
        return Vectors.normalised(ids, np.asarray((vectors or {}).get(name, np.zeros((pages, 2))), float))

    return Retriever(
        ids,
        transitions=neighbours("transitions"),
        ease=neighbours("ease"),
        item_knn=neighbours("item_knn"),
        content=neighbours("content"),
        paths={name: neighbours(name) for name in PATHS},
        skip_gram=embedded("skip_gram"),
        two_tower=embedded("two_tower"),
        query_tower=mean_tower(embedded("two_tower")),
        eligibility=Eligibility(dataset.pages),
        settings=RetrievalSettings(**settings),
    )


def random_retriever(dataset: Dataset, seed: int = 0, **settings: Any) -> Retriever:
    """A retriever whose every source has something to say."""
    draw = np.random.default_rng(seed)
    pages = dataset.n_pages
    sources = ("transitions", "ease", "item_knn", "content")
    matrices = {
        name: np.where(draw.random((pages, pages)) < 0.4, draw.random((pages, pages)), 0) for name in sources
    }
    vectors = {name: draw.normal(size=(pages, 4)) for name in ("skip_gram", "two_tower")}
    return make_retriever(dataset, matrices, vectors, **settings)


def write_sources(dataset: Dataset, root: Any, seed: int = 0) -> dict[str, Any]:
    """Folders of random source artifacts, as the source steps would have written them."""
    draw = np.random.default_rng(seed)
    ids, pages = dataset.page_ids, dataset.n_pages
    folders = {
        name: root / name
        for name in ("transitions", "neighbours", "skip_gram", "content_similarity", "two_tower")
    }
    lists = (
        *(("transitions", name) for name in ("transitions", *PATHS)),
        ("neighbours", "ease"),
        ("neighbours", "item_knn"),
        ("content_similarity", "neighbours"),
    )
    for folder, name in lists:
        Neighbours.from_matrix(ids, draw.random((pages, pages)), pages).save(folders[folder] / f"{name}.npz")
    for folder in ("skip_gram", "two_tower"):
        found = Vectors.normalised(ids, draw.normal(size=(pages, 4)))
        found.save(folders[folder] / "vectors.npz")
    mean_tower(found).save(folders["two_tower"])
    return folders


def toy_examples(
    requests: int = 200, candidates: int = 12, seed: int = 0, learnable: bool = True, pages: int = 40
) -> Examples:
    """Shortlists of pages; where ``learnable``, the page opened is the one that suits the role.

    Of each role's ten pages, one is on each shortlist; a noisy number points at it too. An opened page
    is completed
    if its second number is positive.
    """
    draw = np.random.default_rng(seed)
    roles = draw.integers(1, 5, requests)
    sources = len(SOURCES)
    page = np.stack([np.sort(draw.choice(pages, candidates, replace=False)) for _ in range(requests)])
    suits = page % 4 + 1 == roles[:, None]
    # The first suitable page, or the first page at all.
    chosen = np.where(suits.any(axis=1), suits.argmax(axis=1), 0)
    if not learnable:
        chosen = draw.integers(0, candidates, requests)
    label = np.zeros((requests, candidates), bool)
    label[np.arange(requests), chosen] = True
    numeric = draw.normal(size=(requests * candidates, len(NUMERIC))).astype(np.float32)
    if learnable:
        numeric[:, 0] += 1.0 * label.ravel()
    values = {name: np.array(["", *(f"{name} {i}" for i in range(1, 5))]) for name in CATEGORICAL}
    values["page_id"] = np.array(["", *(f"P{i}" for i in range(pages))])
    codes = np.zeros((requests * candidates, len(CATEGORICAL)), np.int32)
    codes[:, CATEGORICAL.index("page_id")] = page.ravel() + 1
    codes[:, CATEGORICAL.index("role")] = np.repeat(roles, candidates)
    table = pl.DataFrame(
        {
            c.ASSOCIATE_ID: [f"A{i % 50}" for i in range(requests)],
            c.TIME: np.arange(requests, dtype=float),
            "target": page[np.arange(requests), chosen].astype(np.int32),
            "role": [f"role {i}" for i in roles],
            "shift": [""] * requests,
            "history_count": pl.Series(np.arange(requests) % 8, dtype=pl.Int32),
            "page_age_days": np.linspace(1.0, 50.0, requests),
            "completion": (
                numeric.reshape(requests, candidates, -1)[np.arange(requests), chosen, 1] > 0
            ).astype(np.float32),
            "dwell": np.full(requests, np.nan, np.float32),
        }
    )
    found = Examples(
        requests=table,
        numeric=numeric,
        categorical=codes,
        row=np.repeat(np.arange(requests, dtype=np.int32), candidates),
        page=page.ravel().astype(np.int32),
        label=label.ravel(),
        position=np.full(label.size, -1, np.int8),
        source_better=draw.integers(0, pages, (requests, sources)).astype(np.int32),
        source_ties=np.zeros((requests, sources), np.int32),
        source_top=np.full((requests, sources, 10), -1, np.int32),
        values=values,
        sources=SOURCES,
    )
    return with_history(found, np.empty((requests, 0), np.int32))


def with_history(examples: Examples, page: NDArray[np.int32]) -> Examples:
    """The same, whose requests know of earlier pages, (B, n), -1 for none; one was opened every hour."""
    before = np.full((len(page), HISTORY), -1, np.int32)
    before[:, : page.shape[1]] = page
    hours = np.where(before >= 0, np.arange(1, HISTORY + 1), np.nan)
    opened = examples.requests[c.TIME].to_numpy()[:, None] - HOUR * hours
    columns = [pl.Series(name, one) for name, one in zip(HISTORY_COLUMNS, (before, opened), strict=True)]
    return replace(examples, requests=examples.requests.with_columns(columns))


def with_random_history(examples: Examples, pages: int, seed: int = 0) -> Examples:
    """The same, with histories of up to ``pages`` pages each."""
    draw = np.random.default_rng(seed)
    catalogue = len(examples.values["page_id"]) - 1
    page = draw.integers(0, catalogue, (len(examples), pages)).astype(np.int32)
    length = draw.integers(0, pages + 1, (len(examples), 1))
    return with_history(examples, np.where(np.arange(pages) < length, page, np.int32(-1)))


def shaken(trained: Any, seed: int = 0) -> Any:
    """A trained ranker whose pages' vectors and attention are moved at random, so that histories matter."""
    draw = np.random.default_rng(seed)
    for net in trained.members:
        for variable in (net.embedding, *net.attention.trainable_variables):
            variable.assign_add(draw.normal(0, 0.5, variable.shape).astype(np.float32))
    return replace(trained, slope=1.0, intercept=0.0)


def continuing_examples(requests: int, seed: int = 0, pages: int = 20, candidates: int = 6) -> Examples:
    """Shortlists of which the page is opened that continues an older page of the history.

    Each page has one that continues it. Of the six latest pages, the one that is gone on with is the third
    or an older one, and no other candidate continues any.
    """
    draw = np.random.default_rng(seed)
    follows = np.random.default_rng(99).permutation(pages)
    history = draw.random((requests, pages)).argsort(axis=1)[:, :6]
    rows = np.arange(requests)
    target = follows[history[rows, draw.integers(2, 6, requests)]]
    order = draw.random((requests, pages))
    order[rows[:, None], follows[history]] = 2
    order[rows, target] = -1
    page = np.sort(order.argsort(axis=1)[:, :candidates], axis=1)
    toys = toy_examples(requests, candidates, seed, learnable=False, pages=pages)
    codes = toys.categorical.copy()
    codes[:, CATEGORICAL.index("page_id")] = page.ravel() + 1
    label = page == target[:, None]
    found = replace(toys, page=page.ravel().astype(np.int32), categorical=codes, label=label.ravel())
    return with_history(found, history.astype(np.int32))


@st.composite
def logs(
    draw: st.DrawFn, pages: int = 6, associates: int = 3, times: st.SearchStrategy[float] | None = None
) -> list[tuple[int, int, float, int]]:
    """Random logs: each associate opens some pages once; times tie; later rows have later stages."""
    when = times if times is not None else st.integers(0, 12).map(lambda hours: 1e9 + hours * 7 * HOUR)
    visits = []
    for associate in range(associates):
        opened = draw(st.lists(st.integers(0, pages - 1), unique=True, max_size=pages))
        visits += [(associate, page, draw(when), c.FIT) for page in opened]
    cut = draw(when)
    return [(a, p, t, c.TRAIN if t >= cut else c.FIT) for a, p, t, _ in visits]
