"""What each source does for the whole: how far the sources say the same, and what would lack without one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.contract import columns as c
from components.contract.examples import Examples
from components.contract.features import CATEGORICAL, NUMERIC
from components.contract.fusion import first_source, rank_features
from components.contract.history import History
from components.evaluate import metrics as m

K = 10
# Requests that are ranked anew without each source: an interval of a paired difference is narrow.
_MOST = 1000
Score = Callable[[NDArray[np.float32], NDArray[np.int32], History], NDArray[np.float32]]


def overlap(source_top: NDArray[np.int32]) -> NDArray[np.float64]:
    """Of the first pages of the source in the row, the share that the source in the column has too.

    Parameters
    ----------
    source_top : array of int32, shape (B, S, K)
        Each source's own best; -1 pads.

    Returns
    -------
    array of float64, shape (S, S)
        NaN where the row's source names no page.

    Examples
    --------
    >>> overlap(np.array([[[1, 2], [2, -1]]], np.int32)).tolist()
    [[1.0, 0.5], [1.0, 1.0]]
    """
    sources = source_top.shape[1]
    shared = np.empty((sources, sources))
    for row in range(sources):
        mine = np.asarray(source_top[:, row])
        named = mine >= 0
        for column in range(sources):
            theirs = np.asarray(source_top[:, column])
            found = (mine[:, :, None] == theirs[:, None, :]).any(axis=2) & named
            shared[row, column] = found.sum() / named.sum() if named.any() else np.nan
    return shared


def unique_hits(examples: Examples) -> NDArray[np.int64]:
    """Requests whose page one source alone has among its first ten, for each source, shape (S,)."""
    target = examples.requests["target"].to_numpy()
    found = (np.asarray(examples.source_top) == target[:, None, None]).any(axis=2)
    return (found & (found.sum(axis=1) == 1)[:, None]).sum(axis=0)


class Without:
    """Examples as they would be if one source named nothing.

    Candidates that it alone proposed are gone, its features say nothing, and what is computed from all
    sources' ranks is computed anew. The ranker is the one that was trained with the source, and no
    other candidates take the freed places: what is lost is a little overstated.

    Parameters
    ----------
    examples : Examples
    """

    def __init__(self, examples: Examples):
        self._examples = examples
        self._numeric, self._categorical = np.asarray(examples.numeric), np.asarray(examples.categorical)
        at = [NUMERIC.index(f"{name}.rank") for name in examples.sources]
        # The feature is log1p of the rank; a source's longest rank stands for "not in its list".
        rank = np.rint(np.expm1(self._numeric[:, at].astype(np.float64)))
        self._rank = np.maximum(rank, 0).astype(np.int64).T
        self._absent = self._rank.max(axis=1, initial=0)
        self._listed = self._rank < self._absent[:, None]
        values = examples.values["first_source"].tolist()
        code = {value: number for number, value in enumerate(values)}
        # Of no source, and of each.
        self._code = np.array([code.get(name, 0) for name in ("", *examples.sources)], np.int32)

    def source(self, place: int) -> tuple[NDArray[np.float32], NDArray[np.int32], NDArray[np.bool_]]:
        """Both kinds of features without a source, and which candidates are left, (N,)."""
        name, numeric = self._examples.sources[place], self._numeric.copy()
        rank = self._rank.copy()
        rank[place] = self._absent[place]
        own = (name, f"{name}_last")
        numeric[:, [column for column, of in enumerate(NUMERIC) if of.split(".")[0] in own]] = 0
        ranks, numeric[:, NUMERIC.index("agreement")], numeric[:, NUMERIC.index("fused_rank")] = (
            rank_features(rank)
        )
        numeric[:, NUMERIC.index(f"{name}.rank")] = ranks[place]
        categorical = self._categorical.copy()
        first = first_source(rank, self._absent)
        categorical[:, CATEGORICAL.index("first_source")] = self._code[first + 1]
        alone = self._listed[place] & (self._listed.sum(axis=0) == 1)
        return numeric, categorical, ~alone


def additions(examples: Examples, score: Score, pages: int) -> dict[str, dict[str, Any]]:
    """What each source adds.

    Parameters
    ----------
    examples : Examples
        Of the holdout stage.
    score : callable
        A ranker bound to the examples' values.
    pages : int
        Size of the catalogue.

    Returns
    -------
    dict
        By source: ``unique_hits`` (of all requests) and, over ``requests`` spread evenly,
        ``ndcg_with``, ``ndcg_without`` and the 95 % interval of what ``lost`` is without it.
    """
    unique = unique_hits(examples)
    spread = np.unique(np.linspace(0, len(examples) - 1, min(len(examples), _MOST)).astype(np.int64))
    part = examples.take(spread)
    associate = part.requests[c.ASSOCIATE_ID].to_numpy().astype(np.str_)
    row, label, n = np.asarray(part.row), np.asarray(part.label), len(part)
    history = part.history

    def gain(
        scores: NDArray[np.float32], kept: NDArray[np.bool_] | slice = slice(None)
    ) -> NDArray[np.float64]:
        return m.ndcg(*m.positions(scores[kept], row[kept], label[kept], n, max(pages, K)), K)

    whole = gain(score(np.asarray(part.numeric), np.asarray(part.categorical), history))
    without, found = Without(part), {}
    for place, name in enumerate(part.sources):
        numeric, categorical, kept = without.source(place)
        left = gain(score(numeric, categorical, history), kept)
        found[name] = {
            "unique_hits": int(unique[place]),
            "requests": n,
            "ndcg_with": round(float(whole.mean()), 4),
            "ndcg_without": round(float(left.mean()), 4),
            "lost": round(float((whole - left).mean()), 4),
            "lost_interval": [round(x, 4) for x in m.bootstrap(whole - left, associate)],
        }
    return found
