"""The academy's associates."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from components.contract import columns as c
from components.contract.time import DAY
from pipelines.academy.words import DEPARTMENTS, REGIONS, ROLES, SHIFTS

TASTES = 8
_NEW_HIRES = 0.15
_PER_STORE = 50


@dataclass(frozen=True)
class People:
    """Associates as arrays; indices point into the lists of :mod:`pipelines.academy.words`.

    Attributes
    ----------
    ids : array of str, shape (A,)
    role, department, store, region, shift : arrays of int32, shape (A,)
    hired_at : array of float64, shape (A,)
    taste : array of float32, shape (A, TASTES)
    rate : array of float64, shape (A,)
        Chance to log in on a working day; long-tailed.
    appetite : array of float64, shape (A,)
        Pages that they look up by themselves in a session, on average.
    generosity : array of float64, shape (A,)
        Added to the ratings that they give.
    rest : array of int32, shape (A,)
        Which days of the week are off.
    """

    ids: NDArray[np.str_]
    role: NDArray[np.int32]
    department: NDArray[np.int32]
    store: NDArray[np.int32]
    region: NDArray[np.int32]
    shift: NDArray[np.int32]
    hired_at: NDArray[np.float64]
    taste: NDArray[np.float32]
    rate: NDArray[np.float64]
    appetite: NDArray[np.float64]
    generosity: NDArray[np.float64]
    rest: NDArray[np.int32]

    def table(self) -> pl.DataFrame:
        """The contract's associates table."""
        stores = np.char.add("S", np.char.zfill((self.store + 1).astype(np.str_), 4))
        return pl.DataFrame(
            {
                c.ASSOCIATE_ID: self.ids,
                "role": np.array([name for name, *_ in ROLES])[self.role],
                "department": np.array([name for name, *_ in DEPARTMENTS])[self.department],
                "store": stores,
                "region": np.array(REGIONS)[self.region],
                "shift": np.array(SHIFTS)[self.shift],
                "hired_at": (self.hired_at * 1e6).astype("datetime64[us]"),
            }
        ).with_columns(pl.col("hired_at").dt.replace_time_zone("UTC"))


def choose(rng: np.random.Generator, shares: NDArray[np.float64]) -> NDArray[np.int32]:
    """Draw one column for each row of a table of shares, shape (B, N) -> (B,).

    Examples
    --------
    >>> choose(np.random.default_rng(1), np.array([[0.0, 2.0], [1.0, 0.0]])).tolist()
    [1, 0]
    """
    cumulative = np.cumsum(shares, axis=1)
    drawn = rng.random(len(shares)) * cumulative[:, -1]
    # Never a share of nothing: the draw may not reach the end of the table.
    return (cumulative <= drawn[:, None]).sum(axis=1).astype(np.int32)


def make_people(rng: np.random.Generator, associates: int, start: float, days: int) -> People:
    """Draw associates; some of them join during the period.

    Parameters
    ----------
    rng : numpy.random.Generator
    associates : int
    start : float
        Epoch seconds of the first day.
    days : int
    """
    role = rng.choice(len(ROLES), associates, p=[share for _, share, *_ in ROLES]).astype(np.int32)
    work = np.array([shares for *_, shares in DEPARTMENTS], dtype=np.float64).T
    stores = max(3, associates // _PER_STORE)
    store = rng.integers(0, stores, associates).astype(np.int32)
    joins = rng.random(associates) < _NEW_HIRES
    before = start - np.ceil(rng.exponential(600, associates)) * DAY
    during = start + rng.integers(0, days, associates) * DAY
    # Mean of a lognormal: exp(mu + sigma^2 / 2).
    rate = np.exp(rng.normal(np.log(0.4) - 0.8**2 / 2, 0.8, associates))
    return People(
        ids=np.char.add("A", np.char.zfill(np.arange(1, associates + 1).astype(np.str_), 6)),
        role=role,
        department=choose(rng, work[role]),
        store=store,
        region=rng.integers(0, len(REGIONS), stores).astype(np.int32)[store],
        shift=choose(rng, np.array([shares for *_, shares in ROLES])[role]),
        hired_at=np.where(joins, during, before),
        taste=rng.standard_normal((associates, TASTES)).astype(np.float32),
        rate=np.minimum(rate, 0.95),
        appetite=rng.gamma(2.0, 0.65, associates),
        generosity=rng.normal(0, 0.5, associates),
        rest=rng.integers(0, 7, associates).astype(np.int32),
    )
