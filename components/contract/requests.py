"""A batch of moments at which somebody asks for pages: who, when, and what they did before."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from components.contract import columns as c
from components.contract.dataset import Dataset
from components.contract.encoding import text
from components.contract.time import DAY

HISTORY = 50


@dataclass(frozen=True)
class Requests:
    """Requests in columns; B requests, up to L pages of history each.

    Attributes
    ----------
    time : array of float64, shape (B,)
        Epoch seconds, UTC.
    associate_id : array of str, shape (B,)
        "" where unknown.
    attributes : dict of str to array of str, shape (B,)
        Each of ``REQUEST_ATTRIBUTES``; "" where unknown.
    history_page, history_time : arrays, shape (B, L)
        The associate's latest interactions before ``time``, most recent first: page rows
        (int32, -1 pads) and epoch seconds (float64, NaN pads).
    history_count : array of int32, shape (B,)
        All earlier interactions, also those beyond L.
    seen_row, seen_page : arrays of int32, shape (N,)
        Pages that are not to be shown: pairs of a request's row and a page's row.
    target : array of int32, shape (B,)
        The page that was opened, for training and evaluation; -1 when serving.
    tenure_days : array of float64, shape (B,)
        Days since the associate was hired; NaN where unknown.
    """

    time: NDArray[np.float64]
    associate_id: NDArray[np.str_]
    attributes: dict[str, NDArray[np.str_]]
    history_page: NDArray[np.int32]
    history_time: NDArray[np.float64]
    history_count: NDArray[np.int32]
    seen_row: NDArray[np.int32]
    seen_page: NDArray[np.int32]
    target: NDArray[np.int32]
    tenure_days: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.time)

    def take(self, rows: slice) -> Requests:
        """A contiguous part of the batch."""
        start, stop, _ = rows.indices(len(self))
        first, last = np.searchsorted(self.seen_row, [start, stop])
        return replace(
            self,
            time=self.time[rows],
            associate_id=self.associate_id[rows],
            attributes={name: values[rows] for name, values in self.attributes.items()},
            history_page=self.history_page[rows],
            history_time=self.history_time[rows],
            history_count=self.history_count[rows],
            seen_row=self.seen_row[first:last] - np.int32(start),
            seen_page=self.seen_page[first:last],
            target=self.target[rows],
            tenure_days=self.tenure_days[rows],
        )

    def chunks(self, size: int) -> Iterator[Requests]:
        """Cut the batch into parts of at most ``size`` requests, in order."""
        for start in range(0, len(self), size):
            yield self.take(slice(start, start + size))


def requests_of_stage(dataset: Dataset, stage: int, limit: int | None = None, seed: int = 0) -> Requests:
    """Turn every interaction of a stage into the request that it could have answered.

    Each request knows the associate's interactions strictly before its own, whatever their
    stage, as the server would. They come in time order.

    Parameters
    ----------
    dataset : Dataset
    stage : int
        ``TRAIN`` or ``HOLDOUT``.
    limit : int, optional
        Keep a random sample of this many.
    seed : int
        Of that sample.
    """
    table = dataset.interactions
    rows = np.flatnonzero(table[c.STAGE].to_numpy() == stage)
    if limit is not None and len(rows) > limit:
        rows = np.sort(np.random.default_rng(seed).choice(rows, limit, replace=False))
    all_times = table[c.TIME].to_numpy()
    rows = rows[np.argsort(all_times[rows], kind="stable")]
    pages = table[c.PAGE].to_numpy()
    ordinal = table[c.ORDINAL].to_numpy()[rows]
    associate = table[c.ASSOCIATE].to_numpy()[rows]

    steps = np.arange(HISTORY)
    before = rows[:, None] - 1 - steps
    valid = steps < ordinal[:, None]
    before = np.where(valid, before, 0)
    seen_row = np.repeat(np.arange(len(rows), dtype=np.int32), ordinal)
    offset = np.arange(len(seen_row)) - np.repeat(np.cumsum(ordinal) - ordinal, ordinal)
    who = dataset.associates[associate]
    time = all_times[rows]
    hired = who["hired_at"].to_numpy().astype(np.float64)
    return Requests(
        time=time,
        associate_id=text(who[c.ASSOCIATE_ID]),
        attributes={name: text(who[name]) for name in c.REQUEST_ATTRIBUTES},
        history_page=np.where(valid, pages[before], np.int32(-1)).astype(np.int32),
        history_time=np.where(valid, all_times[before], np.nan),
        history_count=ordinal.astype(np.int32),
        seen_row=seen_row,
        seen_page=pages[np.repeat(rows - ordinal, ordinal) + offset].astype(np.int32),
        target=pages[rows].astype(np.int32),
        tenure_days=np.maximum((time - hired) / DAY, 0.0),
    )
