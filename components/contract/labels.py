"""Labels of pages: the catalogue's own columns (difficulty, software, audience) as one sparse vector a page.

A label that few pages have says more than one that most have, so labels weigh by inverse document
frequency, and two pages are as alike as the cosine of their vectors (Salton and Buckley, "Term-weighting
approaches in automatic text retrieval", 1988).
"""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from components.contract.encoding import encode
from components.contract.ragged import gather

# Features: likeness to the last page, to the one before it, and to the whole history.
LABELS = ("labels_last", "labels_second", "labels_history")
# Each page further back counts so much of the one after it.
DECAY = 0.8


class Labels:
    """Likeness of pages by their labels.

    Parameters
    ----------
    labels : polars.Series of list of str, length P
        Of each page; a label of all pages weighs nothing.

    Attributes
    ----------
    start : array of int64, shape (P + 1,)
        Where the entries of each page begin in the two below.
    code : array of int64
        Labels, 0 to ``size`` - 1.
    weight : array of float32
        Theirs in the page's vector.

    Examples
    --------
    Both pages of Excel are alike, but for what one has alone.

    >>> labels = Labels(pl.Series([["excel"], ["excel", "expert"], ["word"], []]))
    >>> history = np.array([[0, 2]], np.int32)
    >>> alike = labels(np.zeros(4, np.int32), np.arange(4, dtype=np.int32), history)
    >>> alike.shape
    (3, 4)
    >>> [[round(float(value), 3) for value in kind] for kind in alike[:2]]
    [[1.0, 0.447, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]]
    """

    def __init__(self, labels: pl.Series):
        flat = labels.to_frame("label").with_row_index("page").explode("label").drop_nulls().unique()
        flat = flat.sort("page", "label")
        page = flat["page"].to_numpy().astype(np.int64)
        _, code = encode(flat["label"])
        pages = len(labels)
        rarity = np.log(pages / np.maximum(np.bincount(code), 1)) if len(code) else np.zeros(1)
        weight = rarity[code]
        norm = np.sqrt(np.bincount(page, np.square(weight), minlength=pages))
        kept = weight > 0
        self.code, page = code[kept], page[kept]
        self.weight = (weight[kept] / norm[page]).astype(np.float32)
        self.size = int(code.max(initial=-1)) + 1
        self.start = np.searchsorted(page, np.arange(pages + 1))

    def __call__(
        self, row: NDArray[np.int32], page: NDArray[np.int32], history: NDArray[np.int32]
    ) -> NDArray[np.float32]:
        """Likeness of N candidates to the last page, the one before it, and the history, 0 to 1.

        Parameters
        ----------
        row, page : arrays of int32, shape (N,)
            Which of the B requests each candidate belongs to, and its page.
        history : array of int32, shape (B, L)
            Latest page first; -1 where there is none.

        Returns
        -------
        array of float32, shape (3, N)
        """
        found = np.zeros((3, len(page)), np.float32)
        if not len(self.code):
            return found
        asked = self._vectors(history)
        at, owner = gather(self.start, page)
        # One row of labels for each kind and request; entries of a candidate lie side by side.
        products = asked[:, row[owner], self.code[at]] * self.weight[at]
        for kind, product in enumerate(products):
            found[kind] = np.bincount(owner, product, minlength=len(page))
        return found

    def _vectors(self, history: NDArray[np.int32]) -> NDArray[np.float32]:
        """Unit vectors of the last page, the second last and the decayed history, (3, B, labels)."""
        size = len(history) * self.size
        rows, places = (history >= 0).nonzero()
        at, owner = gather(self.start, history[rows, places])
        place, cell = places[owner], rows[owner] * self.size + self.code[at]
        vectors = np.stack(
            [
                np.bincount(cell, weight * self.weight[at], minlength=size)
                for weight in (place == 0, place == 1, DECAY**place)
            ]
        ).reshape(3, len(history), self.size)
        norm = np.sqrt(np.square(vectors).sum(axis=2, keepdims=True))
        return (vectors / np.maximum(norm, 1e-12)).astype(np.float32)
