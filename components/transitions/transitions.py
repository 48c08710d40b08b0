"""Directed next-page counts between the interactions of each associate."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from pydantic import Field

from components.contract import columns as c
from components.contract.dataset import Dataset
from components.contract.settings import StepSettings
from components.contract.sources import Neighbours


class TransitionSettings(StepSettings):
    """Settings of the transitions source."""

    steps: int = Field(5, ge=1, description="How far ahead a page counts as next")
    decay: float = Field(0.5, gt=0, le=1, description="Weight of each further step")
    half_life_days: float = Field(1000, gt=0, description="Age at which a transition counts half")
    shrinkage: float = Field(5, ge=0, description="Pseudo-count that pulls rare rows towards nothing")
    size: int = Field(200, ge=1, description="Next pages kept for each page")


def fit(dataset: Dataset, before_stage: int, settings: TransitionSettings) -> Neighbours:
    """Estimate how likely each page follows each other page.

    For each pair of an associate's interactions that lie k <= ``steps`` apart, the count of
    (earlier page, later page) grows by ``decay ** (k - 1)``, halved for each half-life of age
    before the last event. Rows are divided by their sum plus ``shrinkage``, so that a page
    seen once does not look certain.

    Returns
    -------
    Neighbours
        Row p lists the pages that follow p, best first.
    """
    table = dataset.before(before_stage)
    pages = dataset.n_pages
    associate = table[c.ASSOCIATE].to_numpy()
    page = table[c.PAGE].to_numpy()
    time = table[c.TIME].to_numpy()
    matrix = sp.csr_matrix((pages, pages))
    now = time.max(initial=0)
    for step in range(1, settings.steps + 1):
        same = associate[step:] == associate[:-step]
        weight = settings.decay ** (step - 1) * 0.5 ** ((now - time[step:]) / 86400 / settings.half_life_days)
        matrix = matrix + sp.csr_matrix(
            (weight[same], (page[:-step][same], page[step:][same])), shape=(pages, pages)
        )
    total = np.asarray(matrix.sum(axis=1)).ravel() + settings.shrinkage
    rows = sp.diags(1 / np.where(total > 0, total, 1)) @ matrix
    return Neighbours.from_matrix(dataset.page_ids, rows.tocsr(), settings.size)
