"""What candidate sources hand on: page-to-page neighbours and page vectors, keyed by page id.

Artifacts name their pages, so that a list made last week can be laid over today's catalogue.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from components.contract.encoding import find
from components.contract.files import atomic_file


def _positions(page_ids: NDArray[np.str_], catalogue: NDArray[np.str_]) -> NDArray[np.int32]:
    """Row of each of ``page_ids`` in ``catalogue``; -1 where it is gone."""
    return find(catalogue, page_ids, np.argsort(catalogue)).astype(np.int32)


@dataclass(frozen=True)
class Neighbours:
    """For each page, the pages that a source proposes after it.

    Attributes
    ----------
    page_ids : array of str, shape (P,)
    index : array of int32, shape (P, K)
        Rows of the neighbours, best first; -1 pads.
    score : array of float32, shape (P, K)
        Their scores, positive and descending; 0 where padded.
    """

    page_ids: NDArray[np.str_]
    index: NDArray[np.int32]
    score: NDArray[np.float32]

    @classmethod
    def from_matrix(
        cls, page_ids: NDArray[np.str_], matrix: sp.spmatrix | NDArray[np.floating], size: int
    ) -> Neighbours:
        """Keep the ``size`` largest positive entries of each row of a (P, P) matrix.

        Examples
        --------
        >>> ids = np.array(["a", "b", "c"])
        >>> found = Neighbours.from_matrix(ids, np.array([[0, 1, 3], [0, 0, 0], [2, 0, 0.0]]), 2)
        >>> found.index.tolist()
        [[2, 1], [-1, -1], [0, -1]]
        >>> found.score.tolist()
        [[3.0, 1.0], [0.0, 0.0], [2.0, 0.0]]
        """
        pages = len(page_ids)
        size = max(1, min(size, pages))
        index = np.full((pages, size), -1, np.int32)
        score = np.zeros((pages, size), np.float32)
        rows = max(1, 2**24 // max(1, pages))
        for start in range(0, pages, rows):
            block = matrix[start : start + rows]
            whole = block if isinstance(block, np.ndarray) else block.toarray()
            dense = np.asarray(whole, dtype=np.float32)
            # A stable sort of negated scores: equal scores keep the catalogue's order on every run.
            best = np.argsort(-dense, axis=1, kind="stable")[:, :size]
            top = np.take_along_axis(dense, best, axis=1)
            index[start : start + rows] = np.where(top > 0, best, -1)
            score[start : start + rows] = np.maximum(top, 0)
        return cls(page_ids, index, score)

    def align(self, catalogue: NDArray[np.str_]) -> Neighbours:
        """Lay the lists over another catalogue: pages that are gone drop out, new ones have no list."""
        if np.array_equal(self.page_ids, catalogue):
            return self
        target = _positions(self.page_ids, catalogue)
        index = np.full((len(catalogue), self.index.shape[1]), -1, np.int32)
        score = np.zeros((len(catalogue), self.index.shape[1]), np.float32)
        kept = target >= 0
        moved = np.where(self.index >= 0, target[self.index], np.int32(-1))
        index[target[kept]] = moved[kept]
        score[target[kept]] = np.where(moved >= 0, self.score, 0)[kept]
        return Neighbours(catalogue, index, score)

    def save(self, path: Path | str) -> None:
        """Write one ``.npz`` file."""
        with atomic_file(path) as aside, aside.open("wb") as handle:
            np.savez(handle, page_ids=self.page_ids, index=self.index, score=self.score)

    @classmethod
    def load(cls, path: Path | str) -> Neighbours:
        """Read what :meth:`save` wrote."""
        with np.load(path, allow_pickle=False) as file:
            return cls(file["page_ids"], file["index"], file["score"])


@dataclass(frozen=True)
class Vectors:
    """One vector for each page.

    Attributes
    ----------
    page_ids : array of str, shape (P,)
    vectors : array of float32, shape (P, D)
        Unit length, or zero where a source knows nothing of the page.
    """

    page_ids: NDArray[np.str_]
    vectors: NDArray[np.float32]

    @classmethod
    def normalised(cls, page_ids: NDArray[np.str_], vectors: NDArray[np.floating]) -> Vectors:
        """Scale every vector to unit length; zero vectors stay zero."""
        norm = np.linalg.norm(vectors, axis=1, keepdims=True)
        return cls(page_ids, (vectors / np.where(norm > 0, norm, 1)).astype(np.float32))

    def align(self, catalogue: NDArray[np.str_]) -> Vectors:
        """Lay the vectors over another catalogue; unknown pages get zeros."""
        if np.array_equal(self.page_ids, catalogue):
            return self
        target = _positions(self.page_ids, catalogue)
        vectors = np.zeros((len(catalogue), self.vectors.shape[1]), np.float32)
        vectors[target[target >= 0]] = self.vectors[target >= 0]
        return Vectors(catalogue, vectors)

    def save(self, path: Path | str) -> None:
        """Write one ``.npz`` file."""
        with atomic_file(path) as aside, aside.open("wb") as handle:
            np.savez(handle, page_ids=self.page_ids, vectors=self.vectors)

    @classmethod
    def load(cls, path: Path | str) -> Vectors:
        """Read what :meth:`save` wrote."""
        with np.load(path, allow_pickle=False) as file:
            return cls(file["page_ids"], file["vectors"])
