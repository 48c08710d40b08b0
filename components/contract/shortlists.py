"""The first stage's shortlist: the candidates of a batch of requests, and the compiled loop that makes it."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.contract.kernels import Kernel, address, scratch, threads
from components.contract.lists import Lists


@dataclass(frozen=True)
class Shortlist:
    """Candidates of B requests, flattened: N = the sum of the lists' lengths.

    ``SCORES`` and ``SOURCES`` are those of :mod:`components.contract.retrieval`.

    Attributes
    ----------
    row : array of int32, shape (N,)
        Which request; ascending.
    page : array of int32, shape (N,)
        Ascending within a request.
    said : array of float32, shape (len(SCORES), N)
        What each of ``SCORES`` says of each candidate.
    best : array of float32, shape (len(SCORES), B)
        The most that each says of any page that may be shown and was not opened before.
    ranks : array of int32, shape (len(SOURCES), N)
        0-based rank of each candidate in each source's own list; the quota where it is not in it.
    source : array of int32, shape (N,)
        Which of ``SOURCES`` has the candidate highest in its list; -1 where no list holds it.
    fused : array of float32, shape (N,)
        Fused reciprocal rank: an order of the candidates that needs no ranker.
    scores : array of float32, shape (len(SCORES), B, P), or None
        What each of ``SCORES`` says of every page (pages that must not be shown score 0), if it was asked.
    """

    row: NDArray[np.int32]
    page: NDArray[np.int32]
    said: NDArray[np.float32]
    best: NDArray[np.float32]
    ranks: NDArray[np.int32]
    source: NDArray[np.int32]
    fused: NDArray[np.float32]
    scores: NDArray[np.float32] | None = None


class CompiledShortlist:
    """Scores and unites by the compiled loop; holds no plane of pages longer than a request takes.

    Parameters
    ----------
    kernels : ctypes.CDLL
    lists : Lists
        All neighbour lists.
    planes : array of int64, shape (lists, 4)
        Which scores each list gives: of the last page, of the one before it, of the whole history, of the
        latest pages; -1 for none.
    dense : sequence of int
        Scores that are given for all pages.
    scores : int
        Number of ``SCORES``.
    quota : array of int, shape (sources,)
        Pages that each of the first scores may propose.
    newness : array of float64, shape (P,)
    most : int
        Candidates of a request beside those that it has anyhow.
    """

    def __init__(
        self,
        kernels: ctypes.CDLL,
        lists: Lists,
        planes: NDArray[np.int64],
        dense: Sequence[int],
        scores: int,
        quota: NDArray[np.integer],
        newness: NDArray[np.float64],
        most: int,
    ):
        arguments = "iiiiipppp" + "ipp" + "ip" + "ipppppp" + "ippp" + "ippppppp" + "pp" + "ip"
        self._shortlist = Kernel(kernels, "shortlist", arguments, counts=True)
        pages, count = len(lists.index) - 1, int(lists.owner[-1]) + 1
        bound = np.searchsorted(lists.owner, np.arange(count + 1)).astype(np.int64)
        self._arrays: list[NDArray[Any]] = [
            bound,
            np.ascontiguousarray(lists.index),
            np.ascontiguousarray(lists.score),
            np.ascontiguousarray(planes, np.int64),
            np.array(dense, np.int64),
            newness.astype(np.float64),
            np.ascontiguousarray(quota, np.int64),
        ]
        *self._lists, self._dense, self._newness, self._quota = map(address, self._arrays)
        self._sizes = (pages, len(quota), scores, count)
        self._pages, self._scores, self._sources = pages, scores, len(quota)
        self._most = min(most, pages)
        work = Kernel(kernels, "shortlist_work", "iiipi", counts=True)
        self._work = work(pages, len(quota), count, self._quota, self._most)

    def __call__(
        self,
        history: NDArray[np.int32],
        history_weight: NDArray[np.float32],
        latest_weight: NDArray[np.float32],
        given: Sequence[NDArray[np.float32]],
        opened: NDArray[np.float32],
        allowed: NDArray[np.bool_],
        kept: NDArray[np.bool_],
        back: tuple[NDArray[np.int32], NDArray[np.int32]],
    ) -> Shortlist:
        """Make the shortlists of B requests.

        Parameters
        ----------
        history : array of int32, shape (B, L)
            Latest pages first; -1 pads.
        history_weight, latest_weight : arrays of float32, shapes (at least L,) and (any,)
            By place in the history.
        given : sequence of array of float32, shape (B, P)
            One for each of ``dense``.
        opened : array of float32, shape (B, P)
            How often each page was opened.
        allowed : array of bool, shape (B, P)
        kept : array of bool, shape (B, P)
            Candidates whatever is said of them; changed in place.
        back : pair of arrays of int32, shape (n,)
            Rows, ascending, and pages that are allowed and take no place from others.
        """
        batch = len(history)
        back_bound = back[0].searchsorted(np.arange(batch + 1))
        # Each request has room of its own, whichever thread finds its candidates.
        named = kept.view(np.uint8).sum(axis=1, dtype=np.int64) + np.diff(back_bound)
        begin = np.concatenate(([0], np.minimum(self._most + named, self._pages).cumsum()))
        room = int(begin[-1])
        back_page = np.ascontiguousarray(back[1], np.int32)
        planes = [np.ascontiguousarray(plane, np.float32) for plane in given]
        addresses = np.array([address(plane) for plane in planes], np.uint64)
        history, opened = np.ascontiguousarray(history), np.ascontiguousarray(opened, np.float32)
        whole = np.empty((3 + self._sources, room), np.int32)
        numbers = np.empty((1 + self._scores, room), np.float32)
        best = np.empty((self._scores, batch), np.float32)
        end = np.empty(batch, np.int64)
        row, page, source, *_ = whole
        many = max(1, min(threads(), batch))
        found = self._shortlist(
            batch,
            *self._sizes,
            *self._lists,
            history.shape[1],
            history,
            history_weight,
            len(latest_weight),
            latest_weight,
            len(planes),
            self._dense,
            addresses,
            opened,
            self._newness,
            allowed,
            self._quota,
            self._most,
            kept,
            back_bound,
            back_page,
            room,
            row,
            page,
            source,
            numbers[0],
            whole[3:],
            numbers[1:],
            best,
            begin,
            end,
            many,
            scratch(many * self._work),
        )
        return Shortlist(
            row[:found],
            page[:found],
            numbers[1:, :found],
            best,
            whole[3:, :found],
            source[:found],
            numbers[0, :found],
        )


def dense_shortlist(
    scores: NDArray[np.float32],
    best: NDArray[np.float32],
    kept: NDArray[np.bool_],
    ranks: NDArray[np.int32],
    source: NDArray[np.int32],
    fused: NDArray[np.float32],
) -> Shortlist:
    """The same from the scores of all pages.

    Parameters
    ----------
    scores : array of float32, shape (len(SCORES), B, P)
    best : array of float32, shape (len(SCORES), B)
    kept : array of bool, shape (B, P)
        Candidates.
    ranks, source : arrays of int32, shapes (len(SOURCES), N) and (N,)
    fused : array of float32, shape (B, P)
    """
    row, page = kept.nonzero()
    return Shortlist(
        row=row.astype(np.int32),
        page=page.astype(np.int32),
        said=scores[:, row, page],
        best=best,
        ranks=ranks,
        source=source,
        fused=fused[row, page],
        scores=scores,
    )
