"""Feedback sums of each page and day, as cells that add up in any order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Any, NamedTuple

import apache_beam as beam
import numpy as np
from numpy.typing import NDArray

# Decimal numbers are summed in whole millionths: integers add up to the same in whatever order a
# runner merges, floats do not.
MILLIONTHS = 1_000_000
# Far beyond any real dwell time; keeps a sum of many within 64 bits.
_LARGEST = 1e8

SUMS = (
    "events",
    "impressions",
    "views",
    "completions",
    "skips",
    "dwell_sum",
    "dwell_count",
    "rating_sum",
    "rating_count",
)
DECIMALS = ("dwell_sum", "rating_sum")


class Cells(NamedTuple):
    """Sums of some cells.

    Attributes
    ----------
    code : array of int64, shape (cells,)
        The cell: day * pages + page. Ascending, each once.
    sums : array of int64, shape (cells, SUMS)
    """

    code: NDArray[np.int64]
    sums: NDArray[np.int64]


def millionths(values: NDArray[np.floating[Any]]) -> NDArray[np.int64]:
    """Round to whole millionths; what is not a finite number counts as 0.

    Examples
    --------
    >>> millionths(np.array([1.5, np.nan])).tolist()
    [1500000, 0]
    """
    finite = np.clip(np.where(np.isfinite(values), values, 0), -_LARGEST, _LARGEST)
    return np.rint(finite * MILLIONTHS).astype(np.int64)


def add_up(code: NDArray[np.int64], values: NDArray[np.int64]) -> Cells:
    """Add the rows of each cell.

    Examples
    --------
    >>> cells = add_up(np.array([7, 3, 7]), np.array([[1], [2], [4]]))
    >>> cells.code.tolist(), cells.sums.tolist()
    ([3, 7], [[2], [5]])
    """
    if len(code) == 0:
        return Cells(code, values)
    order = np.argsort(code, kind="stable")
    code = code[order]
    starts = np.flatnonzero(np.diff(code, prepend=code[:1] - 1))
    return Cells(code[starts], np.add.reduceat(values[order], starts))


def by_block(cells: Cells, width: int) -> Iterator[tuple[int, Cells]]:
    """Split cells into blocks of ``width`` neighbouring codes, so that no sum outgrows a worker."""
    block = cells.code // width
    starts = np.flatnonzero(np.diff(block, prepend=block[:1] - 1))
    for start, end in pairwise([*starts, len(block)]):
        yield int(block[start]), Cells(cells.code[start:end], cells.sums[start:end])


class AddCells(beam.CombineFn):
    """Add the cells of many record batches."""

    def create_accumulator(self) -> list[Cells]:
        """Start with nothing."""
        return []

    def add_input(self, accumulator: list[Cells], cells: Cells) -> list[Cells]:
        """Add one batch's cells."""
        return self.merge_accumulators([accumulator, [cells]])

    def merge_accumulators(self, accumulators: Iterable[list[Cells]]) -> list[Cells]:
        """Add up what several workers have summed."""
        parts = [cells for accumulator in accumulators for cells in accumulator]
        if len(parts) < 2:
            return parts
        return [add_up(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))]

    def extract_output(self, accumulator: list[Cells]) -> Cells:
        """Give the sums."""
        return accumulator[0]
