"""Named rows of pages for one associate, from the ranked candidates of one request."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from components.contract.time import DAY

Positions = NDArray[np.int64]
# Positions of candidates, a score for each, and how many are wanted; returns positions, best first.
Arrange = Callable[[Positions, NDArray[np.float32], int], Positions]
NEW_DAYS = 14.0
DUE_DAYS = 30.0


@dataclass(frozen=True)
class Candidates:
    """What is known of n candidates, the best first, all of them allowed.

    Attributes
    ----------
    score : array of float32, shape (n,)
        The ranker's.
    evidence : array of int32, shape (n,)
        Row of the page in the associate's history that most speaks for each; -1 where none does.
    shift : array of float32, shape (n,)
        How much each is opened on the associate's shift.
    age_days : array of float64, shape (n,)
        Days since each was published or, where that is unknown, first opened; NaN where neither is.
    due : array of float64, shape (n,)
        Epoch seconds; NaN where there is no date.
    """

    score: NDArray[np.float32]
    evidence: NDArray[np.int32]
    shift: NDArray[np.float32]
    age_days: NDArray[np.float64]
    due: NDArray[np.float64]


@dataclass(frozen=True)
class Row:
    """One row: a ``key`` that stays the same, words for people, and positions of candidates."""

    key: str
    title: str
    reason: str
    items: list[int]


def carousels(
    candidates: Candidates,
    first: Positions,
    arrange: Arrange,
    *,
    time: float,
    shift: str,
    history: bool,
    titles: Sequence[str],
    size: int = 10,
) -> list[Row]:
    """Make the rows. No page is in two of them, and a row without pages is left out.

    What is scarce chooses before what is plentiful: For you, Due soon, Because you opened, New,
    Popular. All rows but Due soon, which goes by date, are ordered by ``arrange``, so that the rules
    hold in each.

    Parameters
    ----------
    candidates : Candidates
    first : array of int64
        The items of the list itself: the row For you.
    arrange : callable
        Orders some of the candidates: ``Policy.arrange`` over them.
    time : float
        Of the request, epoch seconds.
    shift : str
        Of the associate; "" where unknown.
    history : bool
        Whether the associate has opened anything.
    titles : sequence of str
        By page row.
    size : int
        Most pages of a row.
    """
    free = np.ones(len(candidates.score), bool)

    def take(found: Positions) -> list[int]:
        free[found] = False
        return found.tolist()

    def best(mask: NDArray[np.bool_], score: NDArray[np.float32]) -> list[int]:
        at = np.flatnonzero(mask & free)
        return take(arrange(at, score[at], size)) if len(at) else []

    for_you = Row(
        "for_you",
        "For you",
        "Chosen by what you opened and what is opened around you"
        if history
        else "Chosen by your role and shift and what is opened around you",
        take(first),
    )
    near = np.flatnonzero(free & (candidates.due <= time + DUE_DAYS * DAY))
    due = Row(
        "due_soon",
        "Due soon",
        "To be done by a date, the earliest first",
        take(near[np.argsort(candidates.due[near], kind="stable")][:size]),
    )
    page = _strongest(candidates, free)
    because = Row(
        "because",
        f"Because you opened '{titles[page]}'" if titles[page] else "Because of a page you opened",
        "What others opened with it or after it, or is about the same",
        best(candidates.evidence == page, candidates.score) if page >= 0 else [],
    )
    new = Row(
        "new",
        "New",
        f"Added in the last {NEW_DAYS:.0f} days",
        best(candidates.age_days <= NEW_DAYS, candidates.score),
    )
    popular = Row(
        "popular_shift",
        "Popular on your shift" if shift else "Popular now",
        f"Opened most on the {shift} shift lately" if shift else "Opened most on all shifts lately",
        best(candidates.shift > 0, candidates.shift),
    )
    return [row for row in (for_you, because, popular, new, due) if row.items]


def _strongest(candidates: Candidates, free: NDArray[np.bool_]) -> int:
    """The page of the history that speaks for most of the better half of the candidates; -1 if none.

    Of equals the one that speaks for the best candidate.
    """
    good = free.copy()
    good[np.argsort(-candidates.score, kind="stable")[(len(good) + 1) // 2 :]] = False
    pages, start, count = np.unique(
        candidates.evidence[good & (candidates.evidence >= 0)], return_index=True, return_counts=True
    )
    return int(pages[np.lexsort((start, -count))[0]]) if len(pages) else -1
