"""Implicit-feedback matrix factorisation by alternating least squares (``implicit``)."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.benchmarks.quality.stages import Scorer, Stage, quality

_FACTORS, _REGULARIZATION, _ALPHA = (32, 64, 128, 256), (0.01, 0.1, 1.0), (4.0, 16.0, 64.0)
_VALIDATION = 2000


def _csr(row: NDArray[np.int32], page: NDArray[np.int32], rows: int, pages: int) -> Any:
    from scipy.sparse import csr_matrix

    return csr_matrix((np.ones(len(row), np.float32), (row, page)), shape=(rows, pages))


def _fitted(stage: Stage, factors: int, regularization: float, alpha: float) -> Scorer:
    from implicit.cpu.als import AlternatingLeastSquares

    model = AlternatingLeastSquares(factors, regularization, alpha, random_state=7)
    users = int(stage.user.max()) + 1
    model.fit(_csr(stage.user, stage.page, users, stage.pages), show_progress=False)
    learned = stage.popularity > 0

    def score(part: Stage) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        # An associate's factors follow from the pages opened until now.
        history = _csr(part.seen_row, part.seen_page, len(part), part.pages)
        users = model.recalculate_user(np.arange(len(part)), history)
        known = np.bincount(part.seen_row, learned[part.seen_page], minlength=len(part)) > 0
        return users @ model.item_factors.T, known

    return score


def fit(training: Stage, holdout: Stage) -> tuple[Scorer, dict[str, Any]]:
    """Choose size, regularisation and confidence on the training stage, then fit for the holdout."""
    judged = training.thin(_VALIDATION)
    grid = product(_FACTORS, _REGULARIZATION, _ALPHA)
    best = max(grid, key=lambda chosen: quality(judged, _fitted(training, *chosen)))
    return _fitted(holdout, *best), dict(zip(("factors", "regularization", "alpha"), best, strict=True))
