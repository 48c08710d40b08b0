"""A release's precomputed lists, for answers that have no time to find candidates."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from components.contract import columns as c
from components.contract import packed
from components.contract.dataset import Dataset
from components.contract.errors import ReleaseError
from serving.catalogue import NOBODY

_NOTHING = np.empty(0, np.int32)


class Listed:
    """Lists of a release's associates, read from its files as they are asked for.

    Parameters
    ----------
    folder : Path
        The release's part ``lists``.
    dataset : Dataset
        The release's.

    Raises
    ------
    DataError
        The folder holds no lists.
    ReleaseError
        The lists are of other pages or associates than the dataset.
    """

    def __init__(self, folder: Path, dataset: Dataset):
        pages, ids = packed.names(folder)
        if not (np.array_equal(pages, dataset.page_ids) and ids.equals(dataset.associates[c.ASSOCIATE_ID])):
            raise ReleaseError(f"{folder}: the lists are of another dataset than the release")
        self._page, _ = packed.arrays(folder)

    def __len__(self) -> int:
        """How many associates have a list."""
        return len(self._page)

    def __call__(self, row: int) -> NDArray[np.int32]:
        """Pages (rows of the catalogue) of an associate's list, best first."""
        if row == NOBODY:
            return _NOTHING
        pages = np.array(self._page[row], np.int32)
        return pages[pages >= 0]
