"""NumPy twin of ``components.ranker.attention.Attention``, over its exported weights."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from components.contract.history import Latest


class Attention:
    """Sums the vectors of a request's latest pages, each as far as it speaks for the candidate.

    Parameters
    ----------
    weights : mapping of str to array of float32
        A member's; see ``components.ranker.deepfm.DeepFM.weights``.

    Raises
    ------
    KeyError
        Some of the weights are missing.
    """

    def __init__(self, weights: Mapping[str, NDArray[np.float32]]):
        self._of_page, self._of_candidate, self._of_both = np.split(weights["attention_in"], 3)
        self._place, self._age = weights["attention_place"], weights["attention_age"]
        self._out, self._bias = weights["attention_out"][:, 0], weights["attention_bias"]
        self.pages = len(self._place)

    def __call__(
        self, latest: Latest, vectors: NDArray[np.float32], candidate: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """What each candidate's request is interested in, as far as it speaks for the candidate.

        Parameters
        ----------
        latest : Latest
            Of B requests, n pages each.
        vectors : array of float32, shape (B, n, k)
            The pages' embeddings.
        candidate : array of float32, shape (N, k)
            The candidates' own.

        Returns
        -------
        array of float32, shape (N, 2 * k)
            The sum, and its product with the candidate.
        """
        vectors = vectors * (latest.page > 0)[:, :, None]
        # What a page says of itself is worked out once for all of its request's candidates.
        of_page = vectors @ self._of_page + self._place + latest.age[:, :, None] * self._age
        pages = vectors[latest.row]
        hidden = of_page[latest.row] + (candidate @ self._of_candidate)[:, None]
        hidden += (pages * candidate[:, None]) @ self._of_both
        weight = expit(np.maximum(hidden, 0, out=hidden) @ self._out + self._bias)
        found = np.einsum("nl,nlk->nk", weight, pages)
        return np.concatenate([found, found * candidate], axis=1)
