"""A log's dataset and two-tower model of any size, drawn at random, for the lists."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl

from components.contract import columns as c
from components.contract.dataset import (
    ASSOCIATE_SCHEMA,
    INTERACTION_SCHEMA,
    PAGE_DAY_SCHEMA,
    PAGE_SCHEMA,
    Dataset,
)
from components.contract.query_tower import QueryTower, Vocabulary
from components.contract.sources import Vectors
from tests.benchmarks.data.generate import START, ids

_HISTORY, _HIDDEN, _ROLES = 20, 64, 12


def _table(schema: pl.Schema, rows: int, given: dict[str, pl.Series]) -> pl.DataFrame:
    columns = {name: given.get(name, pl.Series([None] * rows)) for name in schema.names()}
    return pl.DataFrame(columns, schema_overrides=schema).select(schema.names())


def make(
    associates: int, pages: int, dimensions: int, opened: int, seed: int = 3
) -> tuple[Dataset, Vectors, QueryTower]:
    """Draw them; every associate has a role, an embedding of its own, and ``opened`` pages or a few fewer."""
    draw = np.random.default_rng(seed)
    who = np.repeat(np.arange(associates, dtype=np.int32), opened)
    page = (draw.random(len(who)) ** 2 * pages).astype(np.int32)
    pair = np.unique(who.astype(np.int64) * pages + page)
    draw.shuffle(pair)
    pair = pair[np.argsort(pair // pages, kind="stable")]
    who, page = (pair // pages).astype(np.int32), (pair % pages).astype(np.int32)
    held = np.bincount(who, minlength=associates)
    ordinal = np.arange(len(who)) - np.repeat(np.cumsum(held) - held, held)
    interactions = pl.DataFrame(
        {
            c.ASSOCIATE: who,
            c.PAGE: page,
            c.TIME: START + 3600.0 * ordinal,
            c.ORDINAL: ordinal.astype(np.int32),
            c.SESSION: ordinal.astype(np.int32),
            c.STAGE: np.zeros(len(who), np.int8),
        },
        schema=INTERACTION_SCHEMA,
    )
    roles = [f"role {number}" for number in range(_ROLES)]
    names = {
        c.ASSOCIATE_ID: ids("A", np.arange(associates), 7),
        "role": pl.Series(roles).gather(draw.integers(0, _ROLES, associates)),
    }
    titles = {c.PAGE_ID: ids("P", np.arange(pages), 4), "retired": pl.Series([False] * pages)}
    dataset = Dataset(
        pages=_table(PAGE_SCHEMA, pages, titles).with_columns(
            pl.lit([], pl.List(pl.String)).alias(name) for name in ("roles", "mandatory_for", "prerequisites")
        ),
        associates=_table(ASSOCIATE_SCHEMA, associates, names),
        interactions=interactions,
        page_days=pl.DataFrame(schema=PAGE_DAY_SCHEMA),
        meta={"protocol": "time", "cuts": [], "span": [START, START + 3600.0 * opened], "sources": {}},
    )
    vectors = Vectors.normalised(dataset.page_ids, draw.normal(size=(pages, dimensions)))

    def weights(*shape: int) -> np.ndarray:
        return draw.normal(scale=0.1, size=shape).astype(np.float32)

    tower = QueryTower(
        page_ids=dataset.page_ids,
        known=np.ones(pages, bool),
        associates=Vocabulary.of(names[c.ASSOCIATE_ID].to_numpy().astype(np.str_)),
        attributes={name: Vocabulary.of(roles if name == "role" else []) for name in c.ASSOCIATE_ATTRIBUTES},
        weights={
            "history": vectors.vectors,
            "associate": weights(associates + 1, dimensions),
            "attribute": weights(_ROLES + len(c.ASSOCIATE_ATTRIBUTES), dimensions),
            "position": weights(_HISTORY),
            "age": np.float32(0.1),
            "hidden": weights(4 * dimensions + 3, _HIDDEN),
            "hidden_bias": weights(_HIDDEN),
            "output": weights(_HIDDEN, dimensions),
            "output_bias": weights(dimensions),
        },
    )
    return dataset, vectors, tower


def write(folder: Path, associates: int, pages: int, dimensions: int, opened: int) -> None:
    """Write the dataset and the model as their steps would."""
    dataset, vectors, tower = make(associates, pages, dimensions, opened)
    dataset.save(folder / "dataset")
    vectors.save(folder / "two_tower" / "vectors.npz")
    tower.save(folder / "two_tower")
