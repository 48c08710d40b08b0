"""What a release knows of pages and associates, ready to be looked up."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from components.contract import columns as c
from components.contract.dataset import Dataset
from components.contract.encoding import encode

NOBODY = -1


class Past(NamedTuple):
    """Distinct pages (rows of the catalogue) of an associate, and a time of each.

    Those opened have the time of the first opening, oldest first.
    """

    page: NDArray[np.int32]
    time: NDArray[np.float64]


NOTHING = Past(np.empty(0, np.int32), np.empty(0))


class _Attribute:
    """One attribute of all associates: a number for each, and what the numbers stand for."""

    def __init__(self, column: pl.Series):
        self._values, codes = encode(column)
        self._codes = codes.astype(np.int32)

    def __getitem__(self, row: int) -> str:
        return "" if row == NOBODY else str(self._values[self._codes[row]])


class Catalogue:
    """Pages and associates of one release.

    Parameters
    ----------
    dataset : Dataset

    Attributes
    ----------
    page_ids, titles : list of str, by row
    page_row : dict of str to int
    required : array of bool, shape (P,)
        Pages that somebody has to take, or has to take again after some time.
    openings_complete : bool
        Whether opening a required page counts as completing it: the log holds no completions.
    published : array of float64, shape (P,)
        Epoch seconds; NaN where unknown.
    last_event : float
        Epoch seconds of the last event that the release saw.
    """

    def __init__(self, dataset: Dataset):
        self.page_ids: list[str] = dataset.page_ids.tolist()
        self.titles: list[str] = dataset.pages["title"].fill_null("").to_list()
        self.page_row = {page_id: row for row, page_id in enumerate(self.page_ids)}
        pages = dataset.pages
        self.required = (
            pages.select(
                pl.col("recertify_days").is_not_null()
                | (pl.col("mandatory_for").list.len() > 0).fill_null(False)
            )
            .to_series()
            .to_numpy()
        )
        self.openings_complete = dataset.openings_complete
        self.published = dataset.pages["published_at"].to_numpy().astype(np.float64)
        self.last_event = float(dataset.meta["span"][1])
        self._associates = dataset.associates[c.ASSOCIATE_ID].to_numpy().astype(np.str_)
        self._attributes = {name: _Attribute(dataset.associates[name]) for name in c.REQUEST_ATTRIBUTES}
        self._hired = dataset.associates["hired_at"].to_numpy().astype(np.float64)
        owner = dataset.column(c.ASSOCIATE)
        self._bounds = np.searchsorted(owner, np.arange(len(self._associates) + 1))
        self._page, self._time = dataset.column(c.PAGE), dataset.column(c.TIME)
        owner, self._done_page, self._done_time = (
            dataset.completions[name].to_numpy() for name in (c.ASSOCIATE, c.PAGE, c.TIME)
        )
        self._done_bounds = np.searchsorted(owner, np.arange(len(self._associates) + 1))

    def __len__(self) -> int:
        """Number of associates."""
        return len(self._associates)

    def find(self, associate_id: str | None) -> int:
        """Row of an associate; ``NOBODY`` if the release does not know the id."""
        if not associate_id or not len(self._associates):
            return NOBODY
        row = int(np.searchsorted(self._associates, associate_id))
        found = row < len(self._associates) and self._associates[row] == associate_id
        return row if found else NOBODY

    def past(self, row: int) -> Past:
        """What an associate had opened when the release was made."""
        if row == NOBODY:
            return NOTHING
        part = slice(self._bounds[row], self._bounds[row + 1])
        return Past(self._page[part], self._time[part])

    def completed(self, row: int) -> Past:
        """What an associate had completed when the release was made, and when last; in page order."""
        if row == NOBODY:
            return NOTHING
        part = slice(self._done_bounds[row], self._done_bounds[row + 1])
        return Past(self._done_page[part], self._done_time[part])

    def attribute(self, name: str, row: int) -> str:
        """One of ``REQUEST_ATTRIBUTES``; "" where unknown."""
        return self._attributes[name][row]

    def hired(self, row: int) -> float:
        """Epoch seconds; NaN where unknown."""
        return float("nan") if row == NOBODY else float(self._hired[row])

    def busiest(self, size: int) -> list[str]:
        """Ids of the associates with the longest history."""
        most = np.argsort(-np.diff(self._bounds), kind="stable")[:size]
        return [str(self._associates[row]) for row in most]
