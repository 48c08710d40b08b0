"""What a peer learns from and is asked, as plain arrays: the only thing that both environments read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.evaluate.metrics import ndcg

# Scores (requests, pages), and for which requests they mean something, (requests,).
Scorer = Callable[["Stage"], tuple[NDArray[np.floating[Any]], NDArray[np.bool_]]]
_BATCH = 512


@dataclass(frozen=True)
class Stage:
    """The interactions before a stage of the log, and the stage's B requests.

    Attributes
    ----------
    user, page : arrays of int32, shape (N,)
        Interactions, those of one associate together and in order of time.
    time : array of float64, shape (N,)
        Epoch seconds.
    history : array of int32, shape (B, L)
        Each request's latest pages, most recent first; -1 pads.
    seen_row, seen_page : arrays of int32
        Pairs of request and page that may not be shown: all that the associate has opened.
    target : array of int32, shape (B,)
        The page that was opened.
    pages : int
        Size of the catalogue.
    """

    user: NDArray[np.int32]
    page: NDArray[np.int32]
    time: NDArray[np.float64]
    history: NDArray[np.int32]
    seen_row: NDArray[np.int32]
    seen_page: NDArray[np.int32]
    target: NDArray[np.int32]
    pages: int

    def __len__(self) -> int:
        return len(self.target)

    @property
    def popularity(self) -> NDArray[np.float64]:
        """Interactions of each page, shape (pages,)."""
        return np.bincount(self.page, minlength=self.pages).astype(np.float64)

    def save(self, path: Path | str) -> None:
        """Write an npz file."""
        np.savez(path, **{field.name: getattr(self, field.name) for field in fields(self)})

    @classmethod
    def load(cls, path: Path | str) -> Stage:
        """Read what :meth:`save` wrote."""
        with np.load(path) as found:
            arrays = {name: found[name] for name in found.files}
        return cls(**{**arrays, "pages": int(arrays["pages"])})

    def take(self, rows: NDArray[np.int64]) -> Stage:
        """The same interactions with some of the requests; ``rows`` ascends."""
        kept = np.isin(self.seen_row, rows)
        return replace(
            self,
            history=self.history[rows],
            target=self.target[rows],
            seen_row=np.searchsorted(rows, self.seen_row[kept]).astype(np.int32),
            seen_page=self.seen_page[kept],
        )

    def thin(self, most: int) -> Stage:
        """At most this many requests, spread evenly."""
        if len(self) <= most:
            return self
        return self.take(np.unique(np.linspace(0, len(self) - 1, most).astype(np.int64)))

    def batches(self) -> Iterator[Stage]:
        """The requests in parts."""
        for start in range(0, len(self), _BATCH):
            yield self.take(np.arange(start, min(start + _BATCH, len(self))))


def positions(stage: Stage, scorer: Scorer) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """How many pages that the associate has not seen score above the target, and how many tie.

    Where the scorer knows nothing of the associate, popularity answers. Each result has shape (B,).
    """
    better, ties = [], []
    for part in stage.batches():
        scores, known = scorer(part)
        scores = np.where(known[:, None], scores, stage.popularity)
        scores[part.seen_row, part.seen_page] = np.nan
        own = scores[np.arange(len(part)), part.target][:, None]
        better.append((scores > own).sum(axis=1))
        ties.append((scores == own).sum(axis=1) - 1)
    return np.concatenate(better), np.concatenate(ties)


def quality(stage: Stage, scorer: Scorer) -> float:
    """Mean NDCG@10."""
    return float(ndcg(*positions(stage, scorer), 10).mean())
