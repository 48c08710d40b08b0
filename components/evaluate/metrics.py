"""Ranking and probability metrics. Ties count at their expected position."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def hit_rate(better: NDArray[np.int64], ties: NDArray[np.int64], k: int) -> Array:
    """Probability that the target is among the first k, for each request.

    Parameters
    ----------
    better : array of int, shape (B,)
        Pages ranked above the target.
    ties : array of int, shape (B,)
        Other pages with the target's score; the target is equally likely to be at any of
        their places.
    k : int

    Examples
    --------
    >>> hit_rate(np.array([0, 9, 9, 10]), np.array([0, 0, 1, 0]), 10).tolist()
    [1.0, 1.0, 0.5, 0.0]
    """
    return np.clip((k - better) / (ties + 1), 0, 1)


def _expected(gain: Array, better: NDArray[np.int64], ties: NDArray[np.int64]) -> Array:
    """Mean of ``gain[position]`` over the places better..better + ties; 0 beyond its end."""
    total = np.concatenate([[0.0], np.cumsum(gain)])
    low, high = np.minimum(better, len(gain)), np.minimum(better + ties + 1, len(gain))
    return (total[high] - total[low]) / (ties + 1)


def ndcg(better: NDArray[np.int64], ties: NDArray[np.int64], k: int) -> Array:
    """Normalised discounted cumulative gain at k with one relevant page, for each request.

    Jarvelin and Kekalainen, "Cumulated Gain-Based Evaluation of IR Techniques", TOIS 2002.

    Examples
    --------
    >>> ndcg(np.array([0, 2, 10]), np.array([0, 0, 0]), 10).round(6).tolist()
    [1.0, 0.5, 0.0]
    """
    return _expected(1 / np.log2(np.arange(k) + 2), better, ties)


def reciprocal_rank(better: NDArray[np.int64], ties: NDArray[np.int64], k: int) -> Array:
    """Reciprocal of the target's place, 0 beyond k, for each request.

    Examples
    --------
    >>> reciprocal_rank(np.array([0, 1, 10]), np.array([0, 0, 0]), 10).tolist()
    [1.0, 0.5, 0.0]
    """
    return _expected(1 / (np.arange(k) + 1), better, ties)


def auc(score: NDArray[np.floating], label: NDArray[np.bool_]) -> float:
    """Area under the ROC curve: how often an opened page scores above one that was not.

    NaN without both classes. By ranks (Mann and Whitney, 1947), ties at half.

    Examples
    --------
    >>> auc(np.array([0.9, 0.8, 0.3, 0.1]), np.array([True, False, True, False]))
    0.75
    """
    positives = int(label.sum())
    negatives = len(label) - positives
    if not positives or not negatives:
        return float("nan")
    _, inverse, counts = np.unique(score, return_inverse=True, return_counts=True)
    middle = np.cumsum(counts) - (counts - 1) / 2
    total = middle[inverse][label].sum()
    return float((total - positives * (positives + 1) / 2) / (positives * negatives))


def log_loss(probability: NDArray[np.floating], label: NDArray[np.bool_]) -> float:
    """Mean negative log-likelihood, in nats.

    Examples
    --------
    >>> round(log_loss(np.array([0.5, 0.5]), np.array([True, False])), 4)
    0.6931
    """
    p = np.clip(probability.astype(np.float64), 1e-7, 1 - 1e-7)
    return float(-np.mean(np.where(label, np.log(p), np.log(1 - p))))


def calibration(
    probability: NDArray[np.floating], label: NDArray[np.bool_], bins: int = 10
) -> list[dict[str, float]]:
    """Predicted against observed share of opened pages, in bins of equal size.

    Examples
    --------
    >>> calibration(np.array([0.1, 0.1, 0.8, 0.9]), np.array([False, False, True, True]), 2)
    [{'predicted': 0.1, 'observed': 0.0, 'count': 2}, {'predicted': 0.85, 'observed': 1.0, 'count': 2}]
    """
    order = np.argsort(probability, kind="stable")
    return [
        {
            "predicted": round(float(probability[part].mean()), 6),
            "observed": round(float(label[part].mean()), 6),
            "count": len(part),
        }
        for part in np.array_split(order, bins)
        if len(part)
    ]


def expected_calibration_error(table: list[dict[str, float]]) -> float:
    """Mean gap between predicted and observed share, weighted by the bins' sizes.

    Examples
    --------
    >>> expected_calibration_error([{"predicted": 0.2, "observed": 0.1, "count": 5}])
    0.1
    """
    total = sum(row["count"] for row in table)
    gap = sum(abs(row["predicted"] - row["observed"]) * row["count"] for row in table)
    return round(gap / max(total, 1), 6)


def positions(
    score: NDArray[np.floating], row: NDArray[np.int32], label: NDArray[np.bool_], requests: int, missed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Place of each request's target in its scored shortlist.

    Parameters
    ----------
    score, row, label : arrays, shape (N,)
        Candidates; ``row`` ascends.
    requests : int
    missed : int
        Returned as ``better`` where the target is not in the shortlist.

    Returns
    -------
    better, ties : arrays of int64, shape (requests,)
    """
    own = np.full(requests, np.nan)
    own[row[label]] = score[label]
    target = own[row]
    better = np.bincount(row, score > target, minlength=requests).astype(np.int64)
    ties = np.bincount(row, score == target, minlength=requests).astype(np.int64) - 1
    missing = np.isnan(own)
    return np.where(missing, missed, better), np.where(missing, 0, ties)


def bootstrap(
    values: Array, group: NDArray[np.generic], rounds: int = 500, seed: int = 7
) -> tuple[float, float]:
    """95 % interval of the mean, drawing whole groups (associates) with replacement.

    Efron, "Bootstrap Methods: Another Look at the Jackknife", 1979.
    """
    if not len(values):
        return float("nan"), float("nan")
    _, code = np.unique(group, return_inverse=True)
    total = np.bincount(code, values)
    count = np.bincount(code)
    # Poisson(1) weights stand for drawing with replacement and need no index arrays.
    weights = np.random.default_rng(seed).poisson(1.0, (rounds, len(total)))
    means = (weights @ total) / np.maximum(weights @ count, 1)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


def wilson(hits: int, count: int) -> tuple[float, float]:
    """95 % interval of a share.

    Wilson, "Probable Inference, the Law of Succession, and Statistical Inference", JASA 1927.

    Examples
    --------
    >>> [round(bound, 3) for bound in wilson(5, 10)]
    [0.237, 0.763]
    >>> wilson(0, 0)
    (0.0, 1.0)
    """
    if count == 0:
        return 0.0, 1.0
    z = 1.959964
    share, wide = hits / count, z * z / count
    middle = (share + wide / 2) / (1 + wide)
    half = z * np.sqrt(share * (1 - share) / count + wide / 4 / count) / (1 + wide)
    return float(max(middle - half, 0)), float(min(middle + half, 1))
