"""Training examples: each interaction, with what its associate did before."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from components.contract import columns as c
from components.contract.time import DAY

Batch = dict[str, NDArray[np.generic]]


@dataclass(frozen=True)
class Examples:
    """Interactions sorted by (associate, time), and features of their associates.

    Histories are cut out of the sorted columns batch by batch, by index arithmetic, so that memory
    does not grow with the length of the history.

    Attributes
    ----------
    page : array of int32, shape (N,)
    time : array of float64, shape (N,)
        Epoch seconds.
    place : array of int64, shape (N,)
        How many of the rows just before belong to the same associate.
    associate : array of int32, shape (N,)
        Number of the associate's own embedding.
    attributes : array of int32, shape (N, A)
        Rows of the attribute table.
    weight : array of float32, shape (N,)
        Weight of the example in the loss.
    probability : array of float32, shape (P,)
        Share of each page among the examples: its chance of being an in-batch negative.
    """

    page: NDArray[np.int32]
    time: NDArray[np.float64]
    place: NDArray[np.int64]
    associate: NDArray[np.int32]
    attributes: NDArray[np.int32]
    weight: NDArray[np.float32]
    probability: NDArray[np.float32]

    @classmethod
    def build(
        cls,
        interactions: pl.DataFrame,
        pages: int,
        associate: NDArray[np.int32],
        attributes: NDArray[np.int32],
        half_life_days: float,
    ) -> Examples:
        """Take the columns of a dataset.

        Parameters
        ----------
        interactions : polars.DataFrame
            Sorted by (associate, time).
        pages : int
            Size of the catalogue.
        associate, attributes : arrays, shapes (associates,) and (associates, A)
            Encoded features by associate row.
        half_life_days : float
            0: all examples weigh 1.
        """
        who = interactions[c.ASSOCIATE].to_numpy()
        page = interactions[c.PAGE].to_numpy()
        time = interactions[c.TIME].to_numpy()
        weight = np.ones(len(page), np.float32)
        if half_life_days and len(page):
            weight = np.exp2((time - time.max()) / (half_life_days * DAY)).astype(np.float32)
            weight /= weight.mean()
        return cls(
            page=page,
            time=time,
            place=np.arange(len(who)) - np.searchsorted(who, who),
            associate=associate[who],
            attributes=attributes[who],
            weight=weight,
            probability=(np.bincount(page, minlength=pages) / max(1, len(page))).astype(np.float32),
        )

    def __len__(self) -> int:
        return len(self.page)

    def batch(self, rows: NDArray[np.int64], history_size: int) -> Batch:
        """Features and target of some examples, named as the model takes them.

        Only visits strictly earlier than the example's are history: those of the same second
        are not known to come before it.

        Examples
        --------
        >>> visits = pl.DataFrame({"associate": [0, 0, 0, 1], "page": [4, 5, 6, 7],
        ...                        "time": [1.0, 2.0, 2.0, 3.0]})
        >>> examples = Examples.build(visits, 8, np.zeros(2, np.int32), np.zeros((2, 1), np.int32), 0)
        >>> examples.batch(np.arange(4), 2)["history"].tolist()
        [[-1, -1], [4, -1], [-1, 4], [-1, -1]]
        """
        back = np.arange(1, history_size + 1)
        earlier = np.maximum(rows[:, None] - back, 0)
        age = self.time[rows, None] - self.time[earlier]
        valid = (back <= self.place[rows, None]) & (age > 0)
        page = self.page[rows]
        return {
            "associate": self.associate[rows],
            "attributes": self.attributes[rows],
            "history": np.where(valid, self.page[earlier], -1),
            "age": np.where(valid, age, 0).astype(np.float32),
            "page": page,
            "probability": self.probability[page],
            "weight": self.weight[rows],
        }

    def epoch(self, random: np.random.Generator, batch_size: int, history_size: int) -> Iterator[Batch]:
        """Batches of one pass in random order, all of one size: a last, smaller one is left out.

        The loss grows with the logarithm of the batch, so unequal batches would weigh unequally.
        """
        order = random.permutation(len(self))
        size = min(batch_size, len(self))
        for start in range(0, len(self) - size + 1, size):
            yield self.batch(order[start : start + size], history_size)
