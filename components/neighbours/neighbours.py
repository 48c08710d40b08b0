"""Two item-to-item models over the associate-by-page matrix: EASE and cosine item-kNN."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from pydantic import Field

from components.contract import columns as c
from components.contract.dataset import Dataset
from components.contract.settings import StepSettings
from components.contract.sources import Neighbours
from components.contract.time import DAY


class NeighbourSettings(StepSettings):
    """Settings of the neighbours source."""

    half_life_days: float = Field(1000, gt=0, description="Age at which an interaction counts half")
    ease_regularisation: float = Field(50, gt=0, description="Ridge penalty of EASE")
    knn_shrinkage: float = Field(10, ge=0, description="Pseudo-count in the cosine's denominator")
    size: int = Field(200, ge=1, description="Neighbours kept for each page")


def interaction_matrix(dataset: Dataset, before_stage: int, half_life_days: float) -> sp.csr_matrix:
    """Associates by pages; an interaction weighs less the older it is."""
    table = dataset.before(before_stage)
    time = table[c.TIME].to_numpy()
    weight = 0.5 ** ((time.max(initial=0) - time) / DAY / half_life_days)
    return sp.csr_matrix(
        (np.sqrt(weight), (table[c.ASSOCIATE].to_numpy(), table[c.PAGE].to_numpy())),
        shape=(dataset.associates.height, dataset.n_pages),
    )


def ease(gram: NDArray[np.float64], regularisation: float) -> NDArray[np.float64]:
    """Item-to-item weights of EASE (Steck, "Embarrassingly Shallow Autoencoders", WWW 2019).

    Parameters
    ----------
    gram : array, shape (P, P)
        Co-occurrence counts, ``X.T @ X``.
    regularisation : float
        Added to the diagonal.

    Returns
    -------
    array, shape (P, P)
        Row p: what an interaction with p says for every other page; the diagonal is zero.

    Examples
    --------
    >>> ease(np.array([[2.0, 1.0], [1.0, 2.0]]), 1.0).round(4).tolist()
    [[0.0, 0.3333], [0.3333, 0.0]]
    """
    inverse = np.linalg.inv(gram + regularisation * np.eye(len(gram)))
    weights = inverse / -np.diag(inverse)
    np.fill_diagonal(weights, 0)
    return weights


def cosine(gram: sp.csr_matrix, shrinkage: float) -> sp.csr_matrix:
    """Cosine between the columns of X, from ``X.T @ X``, damped for rare pages."""
    gram = sp.coo_matrix(gram)
    norm = np.sqrt(gram.tocsr().diagonal())
    off = gram.row != gram.col
    row, column, value = gram.row[off], gram.col[off], gram.data[off]
    return sp.csr_matrix((value / (norm[row] * norm[column] + shrinkage), (row, column)), shape=gram.shape)


def fit(dataset: Dataset, before_stage: int, settings: NeighbourSettings) -> tuple[Neighbours, Neighbours]:
    """Fit EASE and item-kNN to the interactions before a stage.

    Returns
    -------
    ease, item_knn : Neighbours
    """
    matrix = interaction_matrix(dataset, before_stage, settings.half_life_days)
    gram = (matrix.T @ matrix).tocsr()
    return (
        Neighbours.from_matrix(
            dataset.page_ids, ease(gram.toarray(), settings.ease_regularisation), settings.size
        ),
        Neighbours.from_matrix(dataset.page_ids, cosine(gram, settings.knn_shrinkage), settings.size),
    )
