"""Fit the skip-gram source on a preprocessed dataset."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import structlog

from components.contract.dataset import Dataset
from components.contract.files import atomic_folder
from components.contract.settings import section
from components.contract.sources import Neighbours, Vectors
from components.skip_gram.model import SkipGramSettings, sentences, train

log = structlog.get_logger()


def run(
    dataset: Path | str,
    model_out: Path | str,
    *,
    before_stage: int,
    settings: Mapping[str, Any] | None = None,
) -> dict[str, float | int | str]:
    """Learn page vectors from visits and write them with their neighbour lists.

    Parameters
    ----------
    dataset : Path or str
        A contract dataset folder.
    model_out : Path or str
        Folder to write: ``vectors.npz`` and ``neighbours.npz`` (cosine, positive only).
    before_stage : int
        Only interactions of earlier stages are read.
    settings : mapping, optional
        The pipeline's settings; the section ``skip_gram`` is :class:`SkipGramSettings`.

    Returns
    -------
    dict
        ``sentences``, ``words``, ``coverage`` (share of pages with a vector), ``loss`` (of the
        last epoch, per word) and ``seconds``.
    """
    started = time.perf_counter()
    chosen = section(settings, "skip_gram", SkipGramSettings)
    data = Dataset.load(dataset)
    corpus = sentences(data.before(before_stage), chosen.sentence)
    words = sum(map(len, corpus))
    raw, losses = train(corpus, data.n_pages, chosen)
    vectors = Vectors.normalised(data.page_ids, raw)
    cosine = vectors.vectors @ vectors.vectors.T
    np.fill_diagonal(cosine, 0)
    neighbours = Neighbours.from_matrix(data.page_ids, cosine, chosen.neighbours)
    with atomic_folder(model_out) as aside:
        vectors.save(aside / "vectors.npz")
        neighbours.save(aside / "neighbours.npz")
    figures: dict[str, float | int | str] = {
        "sentences": len(corpus),
        "words": words,
        "coverage": float((raw != 0).any(axis=1).mean()) if data.n_pages else 0.0,
        "loss": losses[-1] / words if losses else 0.0,
        "seconds": time.perf_counter() - started,
    }
    log.info("skip_gram.done", **figures)
    return figures
