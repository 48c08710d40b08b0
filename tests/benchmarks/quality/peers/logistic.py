"""Logistic regression (scikit-learn)."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.benchmarks.quality.peers.shortlists import Ranking, Shortlists

_INVERSE_PENALTIES = (0.0001, 0.001, 0.01, 0.1, 1.0)
_STEPS = 200


def fit(training: Shortlists) -> Ranking:
    """Standardised numbers beside one column a category; the penalty is chosen on the latest requests."""
    from scipy.sparse import csr_matrix, hstack
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler().fit(training.numeric)
    offsets = np.concatenate([[0], np.cumsum(training.sizes)])

    def matrix(lists: Shortlists) -> Any:
        # Clipped like the product's own inputs: a few values lie far out.
        numbers = np.clip(scaler.transform(lists.numeric), -5, 5).astype(np.float32)
        rows, fields = lists.categorical.shape
        places = (lists.categorical + offsets[:-1]).ravel()
        ends = np.arange(0, rows * fields + 1, fields)
        ones = csr_matrix((np.ones(rows * fields, np.float32), places, ends), shape=(rows, offsets[-1]))
        return hstack([csr_matrix(numbers), ones], format="csr")

    def fitted(lists: Shortlists, penalty: float) -> Any:
        model = LogisticRegression(C=penalty, max_iter=_STEPS, tol=1e-3)
        return model.fit(matrix(lists), lists.label)

    whole, early, late = training.split()
    judged = matrix(late)
    penalty = max(_INVERSE_PENALTIES, key=lambda p: late.quality(fitted(early, p).decision_function(judged)))
    model = fitted(whole, penalty)
    return lambda lists: model.decision_function(matrix(lists)), {"C": penalty}
