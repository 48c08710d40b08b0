"""One day beside the days that it is compared with."""

from __future__ import annotations

import datetime
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from components.validate.expected import Floats


@dataclass(frozen=True)
class Day:
    """One day beside its baseline.

    Attributes
    ----------
    date : datetime.date
    before : tuple of datetime.date
        Days of the baseline, in order.
    profiles : polars.DataFrame
        Of all of them.
    chance, doubt : float
        Of a false alarm in one of its tests: one that stops a run, and one that warns.
    """

    date: datetime.date
    before: tuple[datetime.date, ...]
    profiles: pl.DataFrame
    chance: float
    doubt: float

    def counts(self, figure: str) -> tuple[list[str], Floats]:
        """Keys of a figure, and counts of shape (D + 1, K), the day itself last."""
        found = self.profiles.filter(pl.col("figure") == figure)
        days = pl.Series([*self.before, self.date], dtype=pl.Date)
        keys = found["key"].unique().sort()
        counts = np.zeros((len(days), len(keys)))
        place = days.search_sorted(found["day"]).to_numpy(), keys.search_sorted(found["key"]).to_numpy()
        np.add.at(counts, place, found["count"].to_numpy())
        return keys.to_list(), counts

    @property
    def weekday(self) -> NDArray[np.int64]:
        """Weekday of each day of the baseline, and of the day itself."""
        return np.array([day.weekday() for day in (*self.before, self.date)])

    @property
    def condition(self) -> str:
        """SQL condition of the day's events."""
        return f"timestamp >= '{self.date}' AND timestamp < '{self.date + datetime.timedelta(days=1)}'"
