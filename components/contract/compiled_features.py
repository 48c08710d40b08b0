"""Features from one pass of a compiled loop (``kernels/features.c``)."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.contract.kernels import Kernel, address, scratch
from components.contract.requests import Requests
from components.contract.shortlists import Shortlist

# ``struct catalogue``, in its order.
_WHOLE = (
    *("pages", "topics", "formats", "labels", "needed", "scores", "sources", "raws", "counted", "rates"),
    *("near", "high", "day", "week", "month", "nowhere"),
)
_REAL = ("gap", "decay", "steep")
_ARRAYS: dict[str, Any] = {
    **dict.fromkeys(("raw", "count"), np.int64),
    **dict.fromkeys(("topic", "format"), np.int32),
    "duration": np.float32,
    "published": np.float64,
    **dict.fromkeys(("label_start", "label"), np.int64),
    "label_weight": np.float32,
    "needs": np.int64,
    "needed_page": np.int32,
    "mandatory": np.uint8,
    "log1p_of": np.float32,
}


class _Catalogue(ctypes.Structure):
    _fields_ = [
        *((name, ctypes.c_int64) for name in _WHOLE),
        *((name, ctypes.c_double) for name in _REAL),
        *((name, ctypes.c_void_p) for name in _ARRAYS),
    ]


class CompiledFeatures:
    """What :class:`components.contract.features.FeatureBuilder` computes, but for the rates of pages.

    Parameters
    ----------
    kernels : ctypes.CDLL
    numbers, categories : int
        How many features there are of each kind.
    **tables : int, float or array
        The members of ``struct catalogue``.
    """

    def __init__(self, kernels: ctypes.CDLL, numbers: int, categories: int, **tables: Any):
        self._features = Kernel(kernels, "features", "p" + "i" * 4 + "p" * 3 + "i" + "p" * 16)
        self._numbers, self._categories = numbers, categories
        self._arrays: dict[str, NDArray[Any]] = {
            name: np.ascontiguousarray(tables[name], dtype) for name, dtype in _ARRAYS.items()
        }
        addresses = {name: address(array) for name, array in self._arrays.items()}
        self._tables = _Catalogue(**{**tables, **addresses})
        self._catalogue = ctypes.addressof(self._tables)
        self._work = Kernel(kernels, "features_work", "p", counts=True)(self._catalogue)

    def __call__(
        self,
        requests: Requests,
        shortlist: Shortlist,
        first_opened: NDArray[np.float64],
        attributes: Sequence[NDArray[np.int64]],
        role: NDArray[np.int64],
    ) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
        """Numbers, (features, N), without those of the rates, and codes, (categories, N).

        Parameters
        ----------
        requests, shortlist, first_opened
            See ``FeatureBuilder``.
        attributes : sequence of array of int64, shape (B,)
            Codes of the associates' attributes.
        role : array of int64, shape (B,)
            Rows of ``mandatory``.
        """
        count, batch = len(shortlist.row), len(requests)
        said, ranks = shortlist.said, shortlist.ranks
        if said.strides != ranks.strides or said.strides[1] != said.itemsize:
            said, ranks = np.ascontiguousarray(said), np.ascontiguousarray(ranks)
        history = np.ascontiguousarray(requests.history_page)
        when = np.ascontiguousarray(requests.history_time)
        bound = requests.seen_row.searchsorted(np.arange(batch + 1))
        coded = np.array(attributes, np.int64)
        number = np.empty((self._numbers, count), np.float32)
        code = np.empty((self._categories, count), np.int32)
        self._features(
            self._catalogue,
            count,
            batch,
            history.shape[1],
            len(coded),
            shortlist.row,
            shortlist.page,
            shortlist.source,
            said.strides[0] // said.itemsize,
            said[0],
            shortlist.best,
            ranks[0],
            requests.time,
            history,
            when,
            requests.history_count,
            requests.tenure_days,
            bound,
            requests.seen_page,
            coded,
            role,
            first_opened,
            scratch(self._work),
            number,
            code,
        )
        return number, code
