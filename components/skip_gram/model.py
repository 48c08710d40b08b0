"""Skip-gram with negative sampling over page visits."""

from __future__ import annotations

import zlib
from typing import Literal

import numpy as np
import polars as pl
import structlog
from gensim.models import Word2Vec
from gensim.models.callbacks import CallbackAny2Vec
from numpy.typing import NDArray
from pydantic import Field

from components.contract import columns as c
from components.contract.settings import StepSettings

log = structlog.get_logger()


class SkipGramSettings(StepSettings):
    """Settings of the skip-gram source."""

    sentence: Literal["session", "associate", "both"] = Field(
        "both", description="What makes a sentence: a session, an associate's whole history, or each of them"
    )
    vector_size: int = Field(64, ge=1, description="Length of the page vectors")
    window: int = Field(5, ge=1, description="Pages to each side that count as context")
    epochs: int = Field(10, ge=1, description="Passes over the sentences")
    negative: int = Field(5, ge=1, description="Negative samples for each pair")
    ns_exponent: float = Field(0.75, description="Power of page frequency that negatives are drawn with")
    thinning: float = Field(
        1,
        ge=0,
        description="Pages with more visits than this many times the average have some left out; 0: none",
    )
    min_count: int = Field(1, ge=1, description="Visits a page needs to get a vector")
    neighbours: int = Field(200, ge=1, description="Length of the neighbour lists")
    seed: int = Field(7, ge=0, description="Seed of the initial vectors and the negative samples")


def sentences(interactions: pl.DataFrame, kind: str) -> list[list[str]]:
    """Sequences of page rows, as words, in time order; single visits teach nothing and drop out.

    Parameters
    ----------
    interactions : polars.DataFrame
        Sorted by (associate, time), as the contract has it.
    kind : {"session", "associate", "both"}

    Examples
    --------
    >>> visits = pl.DataFrame({"associate": [0, 0, 0, 1], "session": [0, 0, 1, 2], "page": [5, 3, 4, 5]})
    >>> sentences(visits, "session")
    [['5', '3']]
    >>> sentences(visits, "both")
    [['5', '3'], ['5', '3', '4']]
    """
    keys = (c.SESSION, c.ASSOCIATE) if kind == "both" else (kind,)
    found: list[list[str]] = []
    for key in keys:
        grouped = interactions.group_by(key, maintain_order=True).agg(pl.col(c.PAGE).cast(pl.String))
        found += grouped.filter(pl.col(c.PAGE).list.len() > 1)[c.PAGE].to_list()
    return found


class _Epochs(CallbackAny2Vec):
    """Logs each epoch and keeps its loss; gensim reports a running total."""

    def __init__(self) -> None:
        self.losses: list[float] = []
        self._total = 0.0

    def on_epoch_end(self, model: Word2Vec) -> None:
        total = model.get_latest_training_loss()
        self.losses.append(total - self._total)
        self._total = total
        log.info("skip_gram.epoch", epoch=len(self.losses), of=model.epochs, loss=round(self.losses[-1], 1))


def _hash(word: str) -> int:
    """Hash a word alike in every process, unlike Python's own."""
    return zlib.crc32(word.encode())


def train(
    corpus: list[list[str]], pages: int, settings: SkipGramSettings
) -> tuple[NDArray[np.float32], list[float]]:
    """Fit skip-gram with negative sampling (Mikolov et al. 2013; for items Barkan & Koenigstein 2016).

    Parameters
    ----------
    corpus : list of list of str
        Page rows as words.
    pages : int
        Size of the catalogue.
    settings : SkipGramSettings

    Returns
    -------
    vectors : array of float32, shape (pages, vector_size)
        Not normalised; zero for pages outside the corpus.
    losses : list of float
        Summed loss of each epoch; empty when there is nothing to learn from.
    """
    vectors = np.zeros((pages, settings.vector_size), np.float32)
    model = Word2Vec(
        sg=1,
        hs=0,
        negative=settings.negative,
        vector_size=settings.vector_size,
        window=settings.window,
        ns_exponent=settings.ns_exponent,
        sample=settings.thinning / max(1, len({word for sentence in corpus for word in sentence})),
        min_count=settings.min_count,
        seed=settings.seed,
        # One worker and a fixed hash: runs repeat exactly.
        workers=1,
        hashfxn=_hash,
    )
    if corpus:
        model.build_vocab(corpus)
    if not len(model.wv):
        return vectors, []
    epochs = _Epochs()
    model.train(
        corpus,
        total_examples=model.corpus_count,
        epochs=settings.epochs,
        compute_loss=True,
        callbacks=[epochs],
    )
    vectors[np.array(model.wv.index_to_key, dtype=np.int64)] = model.wv.vectors
    return vectors, epochs.losses
