"""Boosted trees for ranking (LightGBM)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.benchmarks.quality.peers.shortlists import Ranking, Shortlists

_COMMON: dict[str, Any] = {
    "objective": "lambdarank",
    "learning_rate": 0.05,
    "min_data_in_leaf": 50,
    "feature_fraction": 0.5,
    "bagging_fraction": 0.7,
    "bagging_freq": 1,
    "lambda_l2": 5.0,
    "lambdarank_truncation_level": 20,
    "eval_at": [10],
    "metric": "ndcg",
    "deterministic": True,
    "seed": 7,
    "verbose": -1,
}
_LEAVES, _ROUNDS, _PATIENCE = (15, 31, 63), 600, 50
# With hundreds of values each, these two can be learned by heart: with and without is tried.
_IDENTITIES = ("page_id", "last_page")


def _matrix(lists: Shortlists, left_out: tuple[str, ...]) -> tuple[NDArray[np.float32], list[int]]:
    """All features side by side, and which columns are categories."""
    kept = [i for i, name in enumerate(lists.names) if name not in left_out]
    width = lists.numeric.shape[1]
    # float32 holds every code up to 2**24 exactly.
    matrix = np.hstack([lists.numeric, lists.categorical[:, kept].astype(np.float32)])
    return matrix, list(range(width, width + len(kept)))


def fit(training: Shortlists) -> Ranking:
    """Choose leaves, identities and rounds on the latest requests, then fit on all."""
    import lightgbm as lgb

    whole, early, late = training.split()

    def data(lists: Shortlists, left_out: tuple[str, ...], reference: Any = None) -> Any:
        matrix, categories = _matrix(lists, left_out)
        sizes = np.bincount(lists.row)
        return lgb.Dataset(
            matrix,
            lists.label.astype(np.int32),
            group=sizes,
            categorical_feature=categories,
            reference=reference,
            params={"verbose": -1},
            free_raw_data=False,
        )

    tried = []
    for left_out in ((), _IDENTITIES):
        train = data(early, left_out)
        valid = data(late, left_out, train)
        for leaves in _LEAVES:
            model = lgb.train(
                {**_COMMON, "num_leaves": leaves},
                train,
                _ROUNDS,
                valid_sets=[valid],
                callbacks=[lgb.early_stopping(_PATIENCE, verbose=False)],
            )
            reached = model.best_score["valid_0"]["ndcg@10"]
            tried.append((reached, leaves, left_out, model.best_iteration))
    _, leaves, left_out, rounds = max(tried)
    final = {**_COMMON, "num_leaves": leaves}
    model = lgb.train(final, data(whole, left_out), rounds)
    chosen = {**final, "rounds": rounds, "identities": not left_out}
    return lambda lists: model.predict(_matrix(lists, left_out)[0]), chosen
