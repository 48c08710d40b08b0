"""Directed counts of which page follows which in the histories of the associates."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy.sparse as sp
from pydantic import Field

from components.contract import columns as c
from components.contract.dataset import Dataset
from components.contract.settings import StepSettings
from components.contract.sources import Neighbours
from components.contract.time import DAY


class TransitionSettings(StepSettings):
    """Settings of the transitions source."""

    steps: int = Field(5, ge=1, description="How far ahead a page counts as next")
    decay: float = Field(0.5, gt=0, le=1, description="Weight of each further step")
    half_life_days: float = Field(1000, gt=0, description="Age at which a transition counts half")
    shrinkage: float = Field(5, ge=0, description="Pseudo-count that pulls rare rows towards nothing")
    size: int = Field(200, ge=1, description="Next pages kept for each page")
    far_steps: int = Field(10, ge=1, description="How far the paths ahead and behind reach")
    far_decay: float = Field(0.8, gt=0, le=1, description="Weight of each further step of those paths")


class _Log:
    """The interactions before a stage, and counts of pairs that lie some steps apart."""

    def __init__(self, dataset: Dataset, before_stage: int, half_life_days: float):
        table = dataset.before(before_stage)
        self.page_ids = dataset.page_ids
        self._associate = table[c.ASSOCIATE].to_numpy()
        self._session = table[c.SESSION].to_numpy()
        self._page = table[c.PAGE].to_numpy()
        time = table[c.TIME].to_numpy()
        self._weight = 0.5 ** ((time.max(initial=0) - time) / DAY / half_life_days)

    def pairs(self, step: int, same_session: bool | None = None) -> sp.csr_matrix:
        """Weighted counts of (page, page ``step`` later), shape (P, P)."""
        keep = self._associate[step:] == self._associate[:-step]
        if same_session is not None:
            keep &= (self._session[step:] == self._session[:-step]) == same_session
        pages = len(self.page_ids)
        return sp.csr_matrix(
            (self._weight[step:][keep], (self._page[:-step][keep], self._page[step:][keep])),
            shape=(pages, pages),
        )


def _decayed(pairs: Sequence[sp.csr_matrix], decay: float) -> sp.csr_matrix:
    """Sum of the counts one step apart, two steps apart ..., each further step weighing less."""
    return sum((decay**step * counts for step, counts in enumerate(pairs[1:], 1)), start=pairs[0])


def _shares(counts: sp.spmatrix, shrinkage: float) -> sp.csr_matrix:
    total = np.asarray(counts.sum(axis=1)).ravel() + shrinkage
    return (sp.diags(1 / np.where(total > 0, total, 1)) @ counts).tocsr()


def fit(dataset: Dataset, before_stage: int, settings: TransitionSettings) -> dict[str, Neighbours]:
    """Estimate how likely each page follows each other page, and by which kind of path.

    For each pair of an associate's interactions that lie k <= ``steps`` apart, the count of
    (earlier page, later page) grows by ``decay ** (k - 1)``, halved for each half-life of age
    before the last event. Rows are divided by their sum plus ``shrinkage``, so that a page
    seen once does not look certain.

    Returns
    -------
    dict of str to Neighbours
        Row p lists pages by how often they come after p, best first: ``transitions``, the source;
        and the paths that features read: ``within`` a session and ``between`` two (one step), ``skip``
        (two steps), ``before`` (one step back), ``ahead`` and ``behind`` (up to ``far_steps``).
    """
    log = _Log(dataset, before_stage, settings.half_life_days)
    pairs = [log.pairs(step) for step in range(1, max(settings.steps, settings.far_steps, 2) + 1)]
    ahead = _decayed(pairs[: settings.far_steps], settings.far_decay)
    counts = {
        "transitions": _decayed(pairs[: settings.steps], settings.decay),
        "within": log.pairs(1, same_session=True),
        "between": log.pairs(1, same_session=False),
        "skip": pairs[1],
        "before": pairs[0].T,
        "ahead": ahead,
        "behind": ahead.T,
    }
    return {
        name: Neighbours.from_matrix(log.page_ids, _shares(matrix, settings.shrinkage), settings.size)
        for name, matrix in counts.items()
    }
