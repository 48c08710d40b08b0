"""Champion against challenger on the same requests: how far apart, for whom, and how surely."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.evaluate import metrics as m

EVERYBODY = "everybody"
_K = 10
_BINS = 10
_ROUNDS = 300
Values = NDArray[np.float64]


def standard_error(values: Values, group: NDArray[np.generic]) -> float:
    """Standard error of a mean whose values come in groups (the requests of an associate).

    Cluster-robust: residuals are summed by group before they are squared (Liang and Zeger,
    Biometrika 73, 1986). With one value a group it is the plain standard error.

    Examples
    --------
    >>> standard_error(np.array([1.0, 3.0]), np.array(["a", "b"]))
    0.7071067811865476
    >>> standard_error(np.array([1.0, 1.0, 3.0, 3.0]), np.array(["a", "a", "b", "b"]))
    0.7071067811865476
    """
    _, code = np.unique(group, return_inverse=True)
    sums = np.bincount(code, values - values.mean())
    return float(np.sqrt((sums**2).sum()) / len(values))


def request_auc(better: NDArray[np.int64], ties: NDArray[np.int64], candidates: NDArray[np.int64]) -> Values:
    """Share of a request's other candidates that score below the opened page, ties at half.

    AUC within the request, whose mean is the grouped AUC of Zhou et al., "Deep Interest Network",
    KDD 2018. NaN where there is no other candidate.

    Examples
    --------
    >>> request_auc(np.array([0, 2, 1]), np.array([0, 0, 2]), np.array([5, 5, 5])).tolist()
    [1.0, 0.5, 0.5]
    """
    others = np.where(candidates > 1, candidates - 1, np.nan)
    return 1 - (better + ties / 2) / others


class Calibration:
    """Calibration error of a set of candidates, and of its bootstrap samples.

    Candidates are put into bins of equal size by probability, and the gaps between predicted and
    observed are summed by associate and bin, so that a sample of associates is a matrix product.

    Parameters
    ----------
    probability, label : arrays, shape (N,)
    group : array of int, shape (N,)
        Associate of each candidate, from 0 to ``groups`` - 1.
    groups : int
    """

    def __init__(
        self,
        probability: NDArray[np.floating],
        label: NDArray[np.bool_],
        group: NDArray[np.int64],
        groups: int,
    ):
        order = np.argsort(probability, kind="stable")
        bin_ = np.empty(len(order), np.int64)
        bin_[order] = np.arange(len(order)) * _BINS // max(len(order), 1)
        gap = probability.astype(np.float64) - label
        flat = np.bincount(group * _BINS + bin_, gap, minlength=groups * _BINS)
        self._gaps = flat.reshape(groups, _BINS)
        self._count = np.bincount(group, minlength=groups)

    def error(self, weights: Values) -> Values:
        """Mean gap when each associate counts so many times. Shapes (R, groups) and (R,)."""
        total = np.maximum(weights @ self._count, 1)
        return np.abs(weights @ self._gaps).sum(axis=1) / total


def compare(
    scores: tuple[NDArray[np.floating], NDArray[np.floating]],
    row: NDArray[np.int32],
    label: NDArray[np.bool_],
    associate: NDArray[np.str_],
    masks: Mapping[str, NDArray[np.bool_]],
    missed: int,
) -> dict[str, dict[str, Any]]:
    """Compare two rankers on the same shortlists, for everybody and for each cohort.

    Parameters
    ----------
    scores : pair of arrays, shape (N,)
        Probabilities by the challenger and by the champion.
    row, label : arrays, shape (N,)
        Request of each candidate, ascending; whether it was opened.
    associate : array of str, shape (B,)
        Whose request it is.
    masks : mapping of str to array of bool, shape (B,)
        Requests of each cohort.
    missed : int
        Place of a page that the shortlist misses.

    Returns
    -------
    dict
        For each cohort ``requests`` and, for ``ndcg``, ``auc`` (within requests) and
        ``calibration_error``: ``challenger``, ``champion`` and ``standard_error`` of the difference,
        with whole associates as the unit of chance.
    """
    n = len(associate)
    candidates = np.bincount(row, minlength=n)
    found = [m.positions(score, row, label, n, missed) for score in scores]
    # A page that is not in the shortlist says nothing of either ranker.
    hit = np.bincount(row, label, minlength=n) > 0
    gains = [m.ndcg(better, ties, _K) for better, ties in found]
    areas = [np.where(hit, request_auc(better, ties, candidates), np.nan) for better, ties in found]
    result = {}
    for name, mask in {EVERYBODY: np.ones(n, bool), **masks}.items():
        judged = mask & ~np.isnan(areas[0])
        result[name] = {
            "requests": int(mask.sum()),
            "ndcg": _paired(gains[0][mask], gains[1][mask], associate[mask]),
            "auc": _paired(areas[0][judged], areas[1][judged], associate[judged]),
            "calibration_error": _calibrated(scores, mask[row], label, associate[row]),
        }
    return result


def _paired(challenger: Values, champion: Values, group: NDArray[np.str_]) -> dict[str, float] | None:
    if not len(challenger):
        return None
    error = standard_error(challenger - champion, group)
    return _row(float(challenger.mean()), float(champion.mean()), error)


def _calibrated(
    scores: tuple[NDArray[np.floating], NDArray[np.floating]],
    at: NDArray[np.bool_],
    label: NDArray[np.bool_],
    associate: NDArray[np.str_],
) -> dict[str, float] | None:
    if not at.any():
        return None
    names, group = np.unique(associate[at], return_inverse=True)
    errors = [Calibration(score[at], label[at], group, len(names)) for score in scores]
    one = np.ones((1, len(names)))
    # Poisson(1) weights stand for drawing with replacement.
    weights = np.random.default_rng(7).poisson(1.0, (_ROUNDS, len(names))).astype(np.float64)
    spread = float(np.std(errors[0].error(weights) - errors[1].error(weights)))
    return _row(float(errors[0].error(one)[0]), float(errors[1].error(one)[0]), spread)


def _row(challenger: float, champion: float, error: float) -> dict[str, float]:
    return {
        "challenger": round(challenger, 5),
        "champion": round(champion, 5),
        "standard_error": round(error, 6),
    }
