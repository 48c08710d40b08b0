"""Fit the two-tower source on a preprocessed dataset."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import structlog
from numpy.typing import NDArray

from components.contract import columns as c
from components.contract.dataset import Dataset
from components.contract.files import atomic_folder
from components.contract.query_tower import Vocabulary
from components.contract.settings import section
from components.contract.sources import Vectors
from components.contract.tf import tf
from components.two_tower.examples import Examples
from components.two_tower.export import query_tower, save_query_model
from components.two_tower.model import PageFeatures, TwoTower
from components.two_tower.settings import TwoTowerSettings
from components.two_tower.training import fit

log = structlog.get_logger()


def run(
    dataset: Path | str,
    model_out: Path | str,
    *,
    before_stage: int,
    content: Path | str | None = None,
    settings: Mapping[str, Any] | None = None,
) -> dict[str, float | int | str]:
    """Train both towers and write what retrieval needs.

    Parameters
    ----------
    dataset : Path or str
        A contract dataset folder.
    model_out : Path or str
        Folder to write: ``vectors.npz`` (page tower over the catalogue), ``query.npz`` and
        ``query.json`` (see :class:`QueryTower`), and ``saved_model`` (the query tower).
    before_stage : int
        Only interactions of earlier stages are read.
    content : Path or str, optional
        Folder of the content-similarity source, whose ``vectors.npz`` becomes a page feature.
    settings : mapping, optional
        The pipeline's settings; the section ``two_tower`` is :class:`TwoTowerSettings`.

    Returns
    -------
    dict
        ``examples``, ``epochs``, ``steps``, ``loss`` of the last epoch,
        ``examples_per_second``, ``coverage`` (share of pages with examples) and ``seconds``.
    """
    started = time.perf_counter()
    chosen = section(settings, "two_tower", TwoTowerSettings)
    tf.keras.utils.set_random_seed(chosen.seed)
    # As the ranker does: else runs would depend on which of the two a process trained first.
    tf.config.experimental.enable_op_determinism()
    data = Dataset.load(dataset)
    interactions = data.before(before_stage)
    seen = data.associates[interactions[c.ASSOCIATE].unique().sort()]
    associates = Vocabulary.of(_most_active(data, interactions, chosen.own_embeddings))
    attributes = {name: Vocabulary.of(seen[name].to_list()) for name in c.ASSOCIATE_ATTRIBUTES}
    rows = [len(vocabulary) + 1 for vocabulary in attributes.values()]
    pages = _page_features(data, interactions, content)
    model = TwoTower(pages, len(associates) + 1, rows, chosen)
    # The tower's own encoding, so that training and serving cannot differ.
    tower = query_tower(model, data.page_ids, associates, attributes)
    examples = Examples.build(
        interactions,
        data.n_pages,
        tower.encode_associates(data.associates[c.ASSOCIATE_ID].to_list()),
        tower.encode_attributes({name: data.associates[name].to_list() for name in attributes}),
        chosen.recent_half_life_days,
    )
    result = fit(model, examples, chosen)
    tower = query_tower(model, data.page_ids, associates, attributes)
    vectors = model.page_vectors(model.page_embeddings()).numpy()
    with atomic_folder(model_out) as aside:
        Vectors.normalised(data.page_ids, vectors).save(aside / "vectors.npz")
        tower.save(aside)
        save_query_model(tower, aside / "saved_model")
    figures: dict[str, float | int | str] = {
        "examples": len(examples),
        "epochs": result.epochs,
        "steps": result.steps,
        "loss": result.loss,
        "examples_per_second": result.examples_per_second,
        "coverage": float((examples.probability > 0).mean()) if data.n_pages else 0.0,
        "seconds": time.perf_counter() - started,
    }
    log.info("two_tower.done", **figures)
    return figures


def _most_active(data: Dataset, interactions: pl.DataFrame, size: int) -> list[str]:
    """Ids of the ``size`` associates with most interactions; ties by id."""
    counts = interactions.group_by(c.ASSOCIATE).len().sort("len", c.ASSOCIATE, descending=[True, False])
    return data.associates[c.ASSOCIATE_ID].gather(counts[c.ASSOCIATE].head(size)).to_list()


def _page_features(data: Dataset, interactions: pl.DataFrame, content: Path | str | None) -> PageFeatures:
    """Page features, those of pages without an interaction as of new ones."""
    seen = np.zeros(data.n_pages, np.bool_)
    seen[interactions[c.PAGE].to_numpy()] = True
    columns: list[NDArray[np.int32]] = []
    offset = 0
    for name in c.PAGE_ATTRIBUTES:
        values = data.pages[name].to_list()
        vocabulary = Vocabulary.of([value for value, known in zip(values, seen, strict=True) if known])
        columns.append(offset + vocabulary(values))
        offset += len(vocabulary) + 1
    vectors = np.zeros((data.n_pages, 0), np.float32)
    if content is not None:
        vectors = Vectors.load(Path(content) / "vectors.npz").align(data.page_ids).vectors
    return PageFeatures(
        number=np.where(seen, np.cumsum(seen), 0).astype(np.int32),
        attributes=np.stack(columns, axis=1).astype(np.int32),
        content=vectors,
    )
