"""Pages beside each other in the catalogue as a candidate source.

Learning systems number pages as they are entered, and a course is entered page by page: where ids say
so (:func:`components.contract.dataset.page_order`), the rows beside a page belong to its course, also
when nobody has opened them yet. Where ids are drawn at random the order says nothing, and the ranker
learns so.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from components.contract.sources import Neighbours


def series_neighbours(page_ids: NDArray[np.str_], reach: int) -> Neighbours:
    """List the ``reach`` pages on either side of each page; those after it count twice.

    The score falls with the distance: 1, 1/2, 1/3 ... after the page, half of it before.

    Examples
    --------
    >>> found = series_neighbours(np.array(["1", "2", "3"]), 1)
    >>> found.index.tolist(), found.score.tolist()
    ([[1, -1], [2, 0], [1, -1]], [[1.0, 0.0], [1.0, 0.5], [0.5, 0.0]])
    """
    pages = len(page_ids)
    near = np.arange(1, max(1, min(reach, pages - 1)) + 1)
    step = np.concatenate([near, -near])
    score = np.concatenate([1 / near, 0.5 / near]).astype(np.float32)
    best = np.argsort(-score, kind="stable")
    other = np.arange(pages)[:, None] + step[best]
    inside = (other >= 0) & (other < pages)
    # What falls off either end of the catalogue moves to the end of the list.
    packed = np.argsort(~inside, axis=1, kind="stable")
    index = np.where(inside, other, -1).astype(np.int32)
    value = np.where(inside, score[best], 0).astype(np.float32)
    return Neighbours(
        page_ids, np.take_along_axis(index, packed, axis=1), np.take_along_axis(value, packed, axis=1)
    )
