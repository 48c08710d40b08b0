"""Keywords: PageRank over the words of each page, weighted with inverse document frequency."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from components.content_similarity.text import Corpus

_TOLERANCE = 1e-6
_MAX_ITERATIONS = 100
# Tokens ranked at once: bounds the memory of the co-occurrence graph (about 100 bytes a token).
_TOKENS_AT_ONCE = 2_000_000


def textrank(corpus: Corpus, *, window: int, damping: float, title_weight: float) -> sp.csr_matrix:
    """TextRank (Mihalcea & Tarau 2004) of every word on every page.

    The graphs of many pages are blocks of one sparse matrix, so that a single power iteration
    ranks them together; their ranks do not mix. A walk restarts at title words more often
    (``title_weight`` to 1), and their rank is scaled by the same factor.

    Parameters
    ----------
    corpus : Corpus
    window : int
        Words less than ``window`` apart are joined; each joint occurrence adds 1 to the edge.
    damping : float
        Probability of following an edge.
    title_weight : float

    Returns
    -------
    sparse array, shape (pages, V)
        Row sums are 1, or 0 for pages without words.
    """
    width = max(1, len(corpus.vocabulary))
    parts: list[sp.coo_matrix] = []
    token, last = 0, len(corpus.word)
    while token < last:
        # A block ends where a page ends.
        end = min(token + _TOKENS_AT_ONCE, last)
        end = int(np.searchsorted(corpus.page, corpus.page[end - 1], side="right"))
        block = slice(token, end)
        key = corpus.page[block].astype(np.int64) * width + corpus.word[block]
        nodes, node = np.unique(key, return_inverse=True)
        page, word = nodes // width, nodes % width
        preference = np.ones(len(nodes))
        preference[node[corpus.title[block]]] = title_weight
        rank = _pagerank(_edges(node, corpus.page[block], window, len(nodes)), page, preference, damping)
        rank = _share(rank * preference, page)
        parts.append(sp.coo_matrix((rank, (page, word)), (corpus.pages, len(corpus.vocabulary))))
        token = end
    if not parts:
        return sp.csr_matrix((corpus.pages, len(corpus.vocabulary)))
    return sp.csr_matrix(sum(part.tocsr() for part in parts))


def _edges(node: NDArray[np.integer], page: NDArray[np.int32], window: int, nodes: int) -> sp.csr_matrix:
    """Undirected co-occurrence counts between the nodes of a block."""
    graph = sp.csr_matrix((nodes, nodes))
    for distance in range(1, window):
        left, right = node[:-distance], node[distance:]
        joined = (page[:-distance] == page[distance:]) & (left != right)
        ones = np.ones(int(joined.sum()))
        graph += sp.csr_matrix((ones, (left[joined], right[joined])), (nodes, nodes))
    return graph + graph.T


def _share(value: NDArray[np.float64], group: NDArray[np.integer]) -> NDArray[np.float64]:
    """Values as shares of their group's total; groups are sorted."""
    _, compact = np.unique(group, return_inverse=True)
    return value / np.bincount(compact, value)[compact]


def _pagerank(
    graph: sp.csr_matrix, page: NDArray[np.integer], preference: NDArray[np.float64], damping: float
) -> NDArray[np.float64]:
    """Stationary distribution of the walk on each page's block, by power iteration."""
    restart = _share(preference, page)
    strength = np.asarray(graph.sum(axis=1)).ravel()
    walk = (graph @ sp.diags(1 / np.maximum(strength, 1))).tocsr()
    rank = restart
    _, compact = np.unique(page, return_inverse=True)
    for _ in range(_MAX_ITERATIONS):
        moved = damping * (walk @ rank)
        # What leaves by restarts, or from words without an edge, comes back in by the restart vector.
        moved += (1 - np.bincount(compact, moved))[compact] * restart
        change = np.abs(moved - rank).max()
        rank = moved
        if change < _TOLERANCE:
            break
    return rank


def keyword_weights(ranks: sp.csr_matrix, page_counts: NDArray[np.int64], keep: int) -> sp.csr_matrix:
    """The ``keep`` best words of each page by TextRank times IDF, rows of unit length.

    Words on one page only join no pages and are mostly misspelt or glued: with more than one
    page of text they are no keywords.

    Parameters
    ----------
    ranks : sparse array, shape (pages, V)
    page_counts : array of int, shape (V,)
        Number of pages that hold each word.
    keep : int

    Returns
    -------
    sparse array, shape (pages, V)
    """
    with_text = int((np.diff(ranks.indptr) > 0).sum())
    idf = np.log((1 + with_text) / (1 + page_counts)) + 1
    idf[page_counts < min(2, with_text)] = 0
    weights = sp.csr_matrix(ranks @ sp.diags(idf))
    weights.eliminate_zeros()
    page = np.repeat(np.arange(weights.shape[0]), np.diff(weights.indptr))
    order = np.lexsort((weights.indices, -weights.data, page))
    place = np.arange(len(order)) - weights.indptr[page]
    kept = order[place < keep]
    best = sp.csr_matrix((weights.data[kept], (page[kept], weights.indices[kept])), weights.shape)
    return unit_rows(best)


def unit_rows(matrix: sp.csr_matrix) -> sp.csr_matrix:
    """Scale rows to unit length; empty rows stay empty."""
    norm = np.sqrt(np.asarray(matrix.multiply(matrix).sum(axis=1)).ravel())
    return sp.csr_matrix(sp.diags(1 / np.where(norm > 0, norm, 1)) @ matrix)
