"""Fills the places of an answer: fixed pages, at most so many of a topic, unlike pages first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Spread:
    """What keeps the pages of an answer apart.

    Attributes
    ----------
    topic : array of int, shape (n,)
        Topic of each candidate; 0 where unknown, which is never limited.
    most : int or None
        Most candidates of one topic among the first ``first``; None for no limit.
    first : int
    weight : float
        Lambda of maximal marginal relevance; 1 leaves the order alone.
    relevance : array of float, shape (n,)
        From 0 to 1.
    vectors : array of float32, shape (n, d)
        Of length 1, or 0 where nothing is known.
    """

    topic: NDArray[np.int64]
    most: int | None
    first: int
    weight: float = 1.0
    relevance: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    vectors: NDArray[np.float32] = field(default_factory=lambda: np.empty((0, 0), np.float32))


def place_fixed(ranked: NDArray[np.int64], fixed: Mapping[int, int], limit: int) -> list[int]:
    """Candidates in the order given, but for those that have a place (from 0) of their own.

    Examples
    --------
    >>> place_fixed(np.array([4, 1, 2, 3]), {1: 3, 9: 1}, 3)
    [4, 3, 2]
    """
    held = set(fixed.values())
    free = (one for one in ranked.tolist() if one not in held)
    chosen: list[int] = []
    for slot in range(min(limit, len(ranked))):
        one = fixed[slot] if slot in fixed else next(free, None)
        if one is None:
            break
        chosen.append(one)
    # Too few candidates to reach the places of the last ones: they close the answer.
    end = len(chosen)
    return (chosen + [one for slot, one in sorted(fixed.items()) if slot >= end])[:limit]


def place_apart(
    ranked: NDArray[np.int64], fixed: Mapping[int, int], limit: int, spread: Spread
) -> tuple[list[int], set[int]]:
    """The same under limits of topics and by maximal marginal relevance.

    Where no candidate is left that the limit of topics lets in, the answer ends. Maximal marginal
    relevance: Carbonell and Goldstein, SIGIR 1998.

    Parameters
    ----------
    ranked : array of int64, shape (m,)
        Candidates, best first.
    fixed : mapping of int to int
        Candidates that have a place (from 0) of their own. They count for their topics, and have
        their places even if there are too many of them.
    limit : int
    spread : Spread

    Returns
    -------
    chosen : list of int
    passed : set of int
        Candidates that the limit of topics held back for a while.

    Examples
    --------
    >>> apart = Spread(topic=np.array([1, 1, 2, 1]), most=1, first=2)
    >>> place_apart(np.array([0, 1, 2, 3]), {}, 4, apart)
    ([0, 2, 1, 3], {1})
    """
    topic = spread.topic[ranked]
    alive = ~np.isin(ranked, list(fixed.values()))
    value = -np.arange(len(ranked), dtype=np.float64)
    if spread.weight < 1:
        value = spread.weight * spread.relevance[ranked]
    vectors, nearest = spread.vectors[ranked] if spread.weight < 1 else None, np.zeros(len(ranked))
    count = Counter(int(spread.topic[one]) for slot, one in fixed.items() if slot < spread.first)
    full = np.zeros(len(ranked), bool)
    chosen: list[int] = []
    passed: set[int] = set()

    def fill(code: int) -> None:
        if spread.most is not None and code and count[code] >= spread.most:
            full[topic == code] = True

    for code in list(count):
        fill(code)
    while len(chosen) < min(limit, len(ranked)):
        slot = len(chosen)
        if slot in fixed:
            one = fixed[slot]
        else:
            free = alive & ~full if slot < spread.first else alive
            if not free.any():
                break
            worth = value if vectors is None else value - (1 - spread.weight) * nearest
            at = int(np.where(free, worth, -np.inf).argmax())
            one = int(ranked[at])
            alive[at] = False
            if slot < spread.first:
                passed.update(ranked[alive & full & (worth > worth[at])].tolist())
                count[int(topic[at])] += 1
                fill(int(topic[at]))
        if vectors is not None:
            near = vectors @ spread.vectors[one]
            nearest = np.maximum(nearest, near) if chosen else near.astype(np.float64)
        chosen.append(one)
    end = len(chosen)
    for slot, one in sorted(fixed.items()):
        if slot < end:
            continue
        code = int(spread.topic[one])
        # It comes among the first only because the answer is short: the limit holds for it too.
        moved_up = slot >= spread.first > len(chosen)
        if moved_up and spread.most is not None and code:
            if count[code] >= spread.most:
                continue
            count[code] += 1
        chosen.append(one)
    return chosen[:limit], passed
