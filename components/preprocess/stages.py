"""What each interaction is used for: fitting the sources, training the ranker, or holding out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from components.contract import columns as c


def assign_stages(
    associate: NDArray[np.integer[Any]],
    time: NDArray[np.floating[Any]],
    *,
    protocol: Literal["time", "lastout"],
    cuts: Sequence[float] = (),
    lastout_train: int = 2,
) -> NDArray[np.int8]:
    """Assign each interaction to ``FIT``, ``TRAIN`` or ``HOLDOUT``.

    Parameters
    ----------
    associate : array of int, shape (interactions,)
        Row of the associate; each associate's interactions lie together, in order of time.
    time : array of float, shape (interactions,)
        Epoch seconds.
    protocol : {"time", "lastout"}
        ``time``: a row's stage is the number of cuts at or before its time.
        ``lastout``: an associate's last interaction is held out, the ``lastout_train`` before it
        train the ranker, the rest fit. An associate's first interaction always fits: there is
        no history to predict it from.
    cuts : sequence of float
        Epoch seconds at which ``TRAIN`` and ``HOLDOUT`` begin; for ``time``.
    lastout_train : int
        For ``lastout``.

    Returns
    -------
    array of int8, shape (interactions,)

    Examples
    --------
    Cuts at 20 and 30; a row at a cut belongs to the later stage.

    >>> associate, time = np.array([0, 0, 0, 1]), np.array([10.0, 20.0, 30.0, 29.0])
    >>> assign_stages(associate, time, protocol="time", cuts=[20.0, 30.0]).tolist()
    [0, 1, 2, 1]

    Three pages of one associate, one of another.

    >>> assign_stages(associate, time, protocol="lastout", lastout_train=2).tolist()
    [0, 1, 2, 0]
    """
    if protocol == "time":
        return np.searchsorted(np.sort(np.asarray(cuts, float)), time, side="right").astype(np.int8)
    _, start, count = np.unique(associate, return_index=True, return_counts=True)
    ordinal = np.arange(len(associate)) - np.repeat(start, count)
    later = np.repeat(count, count) - 1 - ordinal
    stage = np.where(later <= lastout_train, c.TRAIN, c.FIT)
    stage = np.where(later == 0, c.HOLDOUT, stage)
    return np.where(ordinal == 0, c.FIT, stage).astype(np.int8)
