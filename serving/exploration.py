"""Now and then a page from further down takes the last place: the log then tells more than the ranker does.

Propensities are the probabilities with which each page had its place; with them clicks can be
weighed without the ranker's own bias (inverse propensity scoring: Schnabel et al., ICML 2016).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# Pages below the shown ones that may take the last place.
REACH = 10


def explore(
    order: NDArray[np.int64], limit: int, share: float, random: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Choose what is shown from a ranking.

    Parameters
    ----------
    order : array of int64, shape (n,)
        Candidates, best first.
    limit : int
        Places.
    share : float
        Probability that one of the ``REACH`` candidates after the shown ones takes the last place.
    random : numpy.random.Generator

    Returns
    -------
    shown : array of int64, shape (min(n, limit),)
    propensity : array of float64
        Probability that each had its place.

    Examples
    --------
    >>> shown, propensity = explore(np.arange(4), 2, 0.0, np.random.default_rng(0))
    >>> shown.tolist(), propensity.tolist()
    ([0, 1], [1.0, 1.0])
    >>> shown, propensity = explore(np.arange(4), 2, 1.0, np.random.default_rng(0))
    >>> int(shown[0]), bool(shown[1] in (2, 3)), propensity.tolist()
    (0, True, [1.0, 0.5])
    """
    shown = order[:limit].copy()
    propensity = np.ones(len(shown))
    below = order[limit : limit + REACH]
    if share <= 0 or not len(below):
        return shown, propensity
    if random.random() < share:
        shown[-1] = random.choice(below)
        propensity[-1] = share / len(below)
    else:
        propensity[-1] = 1 - share
    return shown, propensity
