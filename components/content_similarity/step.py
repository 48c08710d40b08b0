"""Compare the texts of a catalogue's pages."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import scipy.sparse as sp
import structlog

from components.content_similarity.settings import ContentSettings
from components.content_similarity.similarity import (
    SoftCosine,
    latent_vectors,
    term_similarity,
    word_vectors,
)
from components.content_similarity.text import Corpus, read
from components.content_similarity.textrank import keyword_weights, textrank
from components.contract import columns as c
from components.contract.dataset import Dataset
from components.contract.files import atomic_folder
from components.contract.settings import section
from components.contract.sources import Neighbours, Vectors

log = structlog.get_logger()


def run(
    dataset: Path | str,
    model_out: Path | str,
    *,
    before_stage: int,
    settings: Mapping[str, Any] | None = None,
) -> dict[str, float | int | str]:
    """Find each page's keywords, vector and most similar pages.

    Parameters
    ----------
    dataset : Path or str
        A contract dataset folder; only its pages are read.
    model_out : Path or str
        Folder to write: ``keywords.parquet`` (page_id, keyword, weight; best first),
        ``vectors.npz`` (latent semantic analysis of keywords, topic and format) and
        ``neighbours.npz`` (soft cosine). Pages without text have none of them.
    before_stage : int
        Without effect, since a page's text is known when it appears; all sources have it.
    settings : mapping, optional
        The pipeline's settings; the section ``content_similarity`` is :class:`ContentSettings`.

    Returns
    -------
    dict
        ``pages_with_text``, ``coverage`` (their share), ``words`` (distinct), ``related_words``
        (mean for each word), ``neighbours`` (mean for each page with text) and ``seconds``.
    """
    del before_stage
    started = time.perf_counter()
    chosen = section(settings, "content_similarity", ContentSettings)
    data = Dataset.load(dataset)
    corpus = read(data.pages, chosen.max_characters)
    page_counts = corpus.page_counts
    log.info("content_similarity.read", tokens=len(corpus.word), words=len(corpus.vocabulary))
    corpus = corpus.without_stop_words(chosen.stop_share)
    ranks = textrank(corpus, window=chosen.window, damping=chosen.damping, title_weight=chosen.title_weight)
    keywords = keyword_weights(ranks, page_counts, chosen.keywords)
    log.info("content_similarity.textrank", keywords=keywords.nnz)
    related = term_similarity(
        word_vectors(corpus, chosen),
        threshold=chosen.term_threshold,
        exponent=chosen.term_exponent,
        keep=chosen.term_neighbours,
    )
    log.info("content_similarity.words", related=related.nnz - len(corpus.vocabulary))
    attributes = _attributes(data.pages, np.diff(keywords.indptr) > 0, chosen.attribute_weight)
    terms = sp.csr_matrix(sp.hstack([keywords, attributes]))
    # An attribute is related to itself only.
    related_terms = sp.block_diag([related, sp.identity(attributes.shape[1])])
    neighbours = Neighbours.from_matrix(data.page_ids, SoftCosine(terms, related_terms), chosen.neighbours)
    vectors = Vectors.normalised(data.page_ids, latent_vectors(terms, chosen.vector_size))
    with atomic_folder(model_out) as aside:
        neighbours.save(aside / "neighbours.npz")
        vectors.save(aside / "vectors.npz")
        _keyword_table(data, corpus, keywords).write_parquet(aside / "keywords.parquet")
    with_text = int((np.diff(keywords.indptr) > 0).sum())
    figures: dict[str, float | int | str] = {
        "pages_with_text": with_text,
        "coverage": with_text / max(1, data.n_pages),
        "words": len(corpus.vocabulary),
        "related_words": related.nnz / max(1, len(corpus.vocabulary)) - 1 if related.nnz else 0.0,
        "neighbours": float((neighbours.index >= 0).sum() / max(1, with_text)),
        "seconds": time.perf_counter() - started,
    }
    log.info("content_similarity.done", **figures)
    return figures


def _attributes(pages: pl.DataFrame, with_text: np.ndarray[Any, Any], weight: float) -> sp.csr_matrix:
    """Topic and format as terms, one column for each value, of the pages with text."""
    blocks = []
    for name in c.PAGE_ATTRIBUTES:
        values = pages[name].cast(pl.Categorical).to_physical().cast(pl.Int64)
        rows = np.flatnonzero(values.is_not_null().to_numpy() & with_text)
        _, column = np.unique(values.to_numpy()[rows], return_inverse=True)
        shape = (pages.height, int(column.max(initial=-1)) + 1)
        blocks.append(sp.csr_matrix((np.full(len(rows), weight), (rows, column)), shape))
    return sp.csr_matrix(sp.hstack(blocks))


def _keyword_table(data: Dataset, corpus: Corpus, keywords: sp.csr_matrix) -> pl.DataFrame:
    """Keywords of every page, best first."""
    coordinates = keywords.tocoo()
    order = np.lexsort((coordinates.col, -coordinates.data, coordinates.row))
    return pl.DataFrame(
        {
            c.PAGE_ID: data.page_ids[coordinates.row[order]].tolist(),
            "keyword": corpus.vocabulary[coordinates.col[order]].tolist(),
            "weight": coordinates.data[order].astype(np.float32),
        },
        schema={c.PAGE_ID: pl.String, "keyword": pl.String, "weight": pl.Float32},
    )
