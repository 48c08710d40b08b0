"""What the daily feedback sums say of a page: rates, shrunk towards those of all pages."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import polars as pl
from numpy.typing import NDArray

from components.contract import columns as c
from components.contract.time import DAY

RATES = ("click_rate", "completion_rate", "skip_rate", "dwell", "rating")
# Pseudo-observations that pull a page's rates towards the mean of all pages.
_SHRINKAGE = 20.0
# Days whose rates of all pages are kept.
_DAYS = 8


class PageRates:
    """Click, completion, skip, dwell and rating rates of pages, as of the end of the day before.

    Parameters
    ----------
    page_days : polars.DataFrame
        ``PAGE_DAY_SCHEMA``.
    pages : int
        Size of the catalogue.
    """

    def __init__(self, page_days: pl.DataFrame, pages: int):
        table = page_days.sort(c.PAGE, "day")
        page = table[c.PAGE].to_numpy().astype(np.int64)
        self._first_day = int(table["day"].min() or 0)  # type: ignore[arg-type]
        self._days = int(table["day"].max() or 0) - self._first_day + 2  # type: ignore[arg-type]
        self._key = page * self._days + table["day"].to_numpy() - self._first_day
        sums = table.drop(c.PAGE, "day").to_numpy().astype(np.float64)
        self._columns = table.drop(c.PAGE, "day").columns
        self._total = np.vstack([np.zeros(sums.shape[1]), np.cumsum(sums, axis=0)])
        self._start = np.searchsorted(page, np.arange(pages))
        # Row d: sums over all pages and the days before day d.
        daily = np.zeros((self._days, sums.shape[1]))
        np.add.at(daily, table["day"].to_numpy() - self._first_day + 1, sums)
        self._everywhere = np.cumsum(daily, axis=0)
        # Requests of one day, as a server gets them, share what was computed for all pages.
        self._of_day = lru_cache(maxsize=_DAYS)(
            lambda day: self._rates(np.arange(pages), np.array([day], np.int64))
        )

    def __call__(
        self, row: NDArray[np.int32], page: NDArray[np.int32], time: NDArray[np.float64]
    ) -> NDArray[np.float32]:
        """Shrunk rates of N candidates, (len(RATES), N). Dwell is log1p(seconds).

        Parameters
        ----------
        row, page : arrays of int32, shape (N,)
            Which of the B requests each candidate belongs to, and its page.
        time : array of float64, shape (B,)
            Of the requests.
        """
        day = np.clip(time // DAY - self._first_day, 0, self._days - 1).astype(np.int64)
        if not len(day) or day.min() != day.max():
            return self._rates(page, day[row])
        return self._of_day(int(day[0]))[:, page]

    def _rates(self, page: NDArray[np.integer], day: NDArray[np.int64]) -> NDArray[np.float32]:
        end = np.searchsorted(self._key, page.astype(np.int64) * self._days + day, side="left")
        sums = dict(zip(self._columns, (self._total[end] - self._total[self._start[page]]).T, strict=True))
        overall = dict(zip(self._columns, self._everywhere[day].T, strict=True))

        def rate(above: str, below: str) -> NDArray[np.float64]:
            mean = overall[above] / np.maximum(overall[below], 1)
            return (sums[above] + _SHRINKAGE * mean) / (sums[below] + _SHRINKAGE)

        found = {
            # Clicks may outnumber impressions where a log has few of them.
            "click_rate": np.minimum(rate("views", "impressions"), 5),
            "completion_rate": rate("completions", "views"),
            "skip_rate": rate("skips", "impressions"),
            "dwell": np.log1p(rate("dwell_sum", "dwell_count")),
            "rating": rate("rating_sum", "rating_count"),
        }
        return np.stack([found[name] for name in RATES]).astype(np.float32)
