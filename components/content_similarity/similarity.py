"""Similarity of pages over pairs of their keywords."""

from __future__ import annotations

import zlib

import numpy as np
import scipy.sparse as sp
from gensim.models import Word2Vec
from numpy.typing import NDArray
from scipy.sparse.linalg import svds

from components.content_similarity.settings import ContentSettings
from components.content_similarity.text import Corpus

_ROWS_AT_ONCE = 1024
# Rarer words get no vector: theirs would be chance.
_WORD_COUNT = 5
# Fewest and most passes over the texts.
_EPOCHS = 2, 50


def _hash(word: str) -> int:
    """Hash a word alike in every process, unlike Python's own."""
    return zlib.crc32(word.encode())


def word_vectors(corpus: Corpus, settings: ContentSettings) -> NDArray[np.float32]:
    """Word2Vec on the pages themselves (skip-gram, negative sampling), unit length.

    Returns
    -------
    array of float32, shape (V, word_vector_size)
        Zero for rare words.
    """
    vectors = np.zeros((len(corpus.vocabulary), settings.word_vector_size), np.float32)
    model = Word2Vec(
        sg=1,
        vector_size=settings.word_vector_size,
        window=5,
        min_count=_WORD_COUNT,
        seed=settings.seed,
        # One worker and a fixed hash: runs repeat exactly.
        workers=1,
        hashfxn=_hash,
    )
    bounds = np.flatnonzero(np.diff(corpus.page)) + 1
    texts = (
        [words.tolist() for words in np.split(corpus.word.astype(str), bounds)] if len(corpus.word) else []
    )
    if texts:
        model.build_vocab(texts)
    if not len(model.wv):
        return vectors
    epochs = int(np.clip(settings.word_reads / len(corpus.word), *_EPOCHS))
    model.train(texts, total_examples=model.corpus_count, epochs=epochs)
    # Without their common part, unrelated words have cosines about 0 (Mu & Viswanath, ICLR 2018).
    trained = model.wv.vectors - model.wv.vectors.mean(axis=0)
    norm = np.linalg.norm(trained, axis=1, keepdims=True)
    vectors[np.array(model.wv.index_to_key, dtype=np.int64)] = trained / np.maximum(norm, 1e-12)
    return vectors


def term_similarity(
    vectors: NDArray[np.float32], *, threshold: float, exponent: float, keep: int
) -> sp.csr_matrix:
    """Similarity of word pairs, as gensim's WordEmbeddingSimilarityIndex defines it.

    ``max(0, cosine) ** exponent`` where the cosine exceeds ``threshold`` (Charlet & Damnati 2017),
    for each word's ``keep`` nearest words; symmetric, with ones on the diagonal. Computed in blocks
    instead of word by word.

    Parameters
    ----------
    vectors : array of float32, shape (V, D)
        Unit length or zero.

    Returns
    -------
    sparse array of float32, shape (V, V)
    """
    words = len(vectors)
    keep = min(keep, words - 1)
    rows, columns, values = [], [], []
    for start in range(0, words if keep > 0 else 0, _ROWS_AT_ONCE):
        cosine = vectors[start : start + _ROWS_AT_ONCE] @ vectors.T
        own = np.arange(len(cosine))
        cosine[own, start + own] = 0
        best = np.argpartition(-cosine, keep - 1, axis=1)[:, :keep]
        value = np.take_along_axis(cosine, best, axis=1)
        row, place = np.nonzero(value > threshold)
        rows.append(start + row)
        columns.append(best[row, place])
        values.append(value[row, place] ** exponent)
    one_way = sp.csr_matrix((words, words), dtype=np.float32)
    if rows:
        entries = np.concatenate(values), (np.concatenate(rows), np.concatenate(columns))
        one_way = sp.csr_matrix(entries, (words, words), dtype=np.float32)
    return sp.csr_matrix(one_way.maximum(one_way.T) + sp.identity(words, np.float32, format="csr"))


class SoftCosine:
    """The page-by-page soft cosine (Sidorov et al. 2014), computed a slice of rows at a time.

    Its full matrix grows with the square of the catalogue; ``Neighbours.from_matrix`` asks for slices.

    Parameters
    ----------
    terms : sparse array, shape (P, V)
        Weighted terms of each page, not negative.
    similarity : sparse array, shape (V, V)
        Similarity of terms, symmetric, with ones on the diagonal.

    Examples
    --------
    >>> terms = sp.csr_matrix(np.array([[1.0, 0], [0, 1.0], [0, 0]]))
    >>> SoftCosine(terms, sp.csr_matrix(np.array([[1, 0.5], [0.5, 1]])))[:].tolist()
    [[0.0, 0.5, 0.0], [0.5, 0.0, 0.0], [0.0, 0.0, 0.0]]
    """

    def __init__(self, terms: sp.csr_matrix, similarity: sp.csr_matrix) -> None:
        spread = sp.csr_matrix(terms @ similarity)
        norm = np.sqrt(np.asarray(spread.multiply(terms).sum(axis=1)).ravel())
        scale = sp.diags(1 / np.where(norm > 0, norm, 1))
        self._spread = sp.csr_matrix(scale @ spread, dtype=np.float32)
        self._terms = sp.csc_matrix((scale @ terms).T, dtype=np.float32)

    def __getitem__(self, rows: slice) -> NDArray[np.float32]:
        """Rows of the matrix, a page's similarity with itself set to 0."""
        block = (self._spread[rows] @ self._terms).toarray()
        own = np.arange(*rows.indices(self._terms.shape[1]))
        block[np.arange(len(own)), own] = 0
        return block


def latent_vectors(terms: sp.csr_matrix, size: int) -> NDArray[np.float64]:
    """Latent semantic analysis: the ``size`` leading components of the term matrix.

    Returns
    -------
    array, shape (P, size)
        Zero-padded where the matrix has fewer components.
    """
    vectors = np.zeros((terms.shape[0], size))
    rank = min(size, min(terms.shape) - 1)
    if rank > 0 and terms.nnz:
        left, values, _ = svds(terms.astype(np.float64), k=rank, v0=np.ones(min(terms.shape)))
        vectors[:, :rank] = (left * values)[:, ::-1]
    return vectors
