"""Set peers beside Waymark: each with its interval, and Waymark's lead with its own, paired interval."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.evaluate import metrics as m
from components.evaluate.evaluation import K, judge

Places = tuple[NDArray[np.int64], NDArray[np.int64]]


def lead(own: Places, peer: Places, associate: NDArray[Any]) -> dict[str, Any]:
    """How far Waymark is ahead, in HR@10 and NDCG@10.

    The bootstrap draws the same associates for both, so what they share cancels and the interval
    is that of the difference.

    Parameters
    ----------
    own, peer : pair of arrays of int64, shape (B,)
        Pages above the target, and ties with it.
    associate : array, shape (B,)
    """
    found: dict[str, Any] = {}
    for name, metric in (("hr", m.hit_rate), ("ndcg", m.ndcg)):
        ahead = metric(*own, K) - metric(*peer, K)
        found[f"{name}_lead"] = round(float(ahead.mean()), 4) + 0.0
        found[f"{name}_lead_interval"] = [round(x, 4) for x in m.bootstrap(ahead, associate)]
    return found


def row(own: Places, peer: Places, associate: NDArray[Any], cost: dict[str, Any]) -> dict[str, Any]:
    """All figures of one peer."""
    return {**judge(*peer, associate), **lead(own, peer, associate), **cost}
