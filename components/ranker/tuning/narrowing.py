"""Shortlists of smaller quotas, cut out of wide ones: a trial needs no new retrieval.

A candidate stays if a source ranks it under its new quota, and the best by fused reciprocal rank
stay if they are too many; the features that tell of ranks are computed anew. So the result equals
a new retrieval, but for three things. Candidates that the wide shortlist itself cut off cannot come
back. Where the sources name fewer pages than the shortlist holds, it is filled with the most opened
of the wide shortlist, not of all pages. And pages that tie for a last place may change places.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from components.contract.errors import WaymarkError
from components.contract.examples import Examples
from components.contract.features import CATEGORICAL, NUMERIC
from components.contract.fusion import first_source, rank_features, reciprocal_rank, unlisted_score
from components.contract.retrieval import SOURCES, RetrievalSettings

_RANKS = [NUMERIC.index(f"{name}.rank") for name in SOURCES]
_AGREEMENT, _FUSED = NUMERIC.index("agreement"), NUMERIC.index("fused_rank")
_OPENED = NUMERIC.index("popularity.count")
_FIRST_SOURCE = CATEGORICAL.index("first_source")
_CHUNK = 262_144


def narrow(examples: Examples, made: RetrievalSettings, wanted: RetrievalSettings) -> Examples:
    """Examples as smaller quotas and a shorter shortlist would have made them.

    Parameters
    ----------
    examples : Examples
    made : RetrievalSettings
        That the examples were made with.
    wanted : RetrievalSettings

    Raises
    ------
    WaymarkError
        ``wanted`` is wider than ``made`` somewhere.
    """
    pages = len(examples.values["page_id"]) - 1
    before = np.minimum([made.quota_of(name) for name in SOURCES], pages)
    quota = np.minimum([wanted.quota_of(name) for name in SOURCES], pages)
    if (quota > before).any() or min(wanted.shortlist, pages) > min(made.shortlist, pages):
        raise WaymarkError("tune: the examples were made with smaller quotas or shortlists than it searches")
    row = np.asarray(examples.row)
    order = np.lexsort((-_fused(examples, quota), row))
    place = np.arange(len(order)) - examples.offsets[row[order]]
    kept = np.sort(order[place < wanted.shortlist])

    numeric = examples.numeric[kept]
    categorical = examples.categorical[kept]
    rank = _rank(numeric)
    rank = np.minimum(rank, quota[:, None])
    ranks, numeric[:, _AGREEMENT], numeric[:, _FUSED] = rank_features(rank)
    numeric[:, _RANKS] = ranks.T
    categorical[:, _FIRST_SOURCE] = first_source(rank, quota) + 1
    return replace(
        examples,
        numeric=numeric,
        categorical=categorical,
        row=row[kept],
        page=examples.page[kept],
        label=examples.label[kept],
    )


def _rank(numeric: NDArray[np.float32]) -> NDArray[np.int32]:
    """0-based ranks in every source's list, (S, N)."""
    return np.rint(np.expm1(numeric[:, _RANKS].T)).astype(np.int32)


def _fused(examples: Examples, quota: NDArray[np.int64]) -> NDArray[np.float32]:
    """Fused reciprocal ranks under the quotas, (N,); below all of them, by how often a page was opened."""
    fused = np.empty(len(examples.row), np.float32)
    for start in range(0, len(fused), _CHUNK):
        part = np.asarray(examples.numeric[start : start + _CHUNK])
        rank = _rank(part)
        scores = np.where(rank < quota[:, None], reciprocal_rank(rank), 0).sum(axis=0)
        fused[start : start + _CHUNK] = scores + unlisted_score(part[:, _OPENED], 100.0)
    return fused


def between(examples: Examples, start: int, stop: int) -> Examples:
    """The requests from ``start`` up to ``stop``, without copying."""
    first, last = np.searchsorted(examples.row, [start, stop])
    at = slice(int(first), int(last))
    return replace(
        examples,
        requests=examples.requests[start:stop],
        numeric=examples.numeric[at],
        categorical=examples.categorical[at],
        row=examples.row[at] - np.int32(start),
        page=examples.page[at],
        label=examples.label[at],
        source_better=examples.source_better[start:stop],
        source_ties=examples.source_ties[start:stop],
        source_top=examples.source_top[start:stop],
    )
