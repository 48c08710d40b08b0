"""Train a ranker on earlier requests and judge it on later ones."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.contract.errors import DataError
from components.contract.examples import Examples
from components.contract.retrieval import RetrievalSettings
from components.contract.settings import section
from components.ranker.settings import RankerSettings
from components.ranker.training import score, train
from components.ranker.tuning.narrowing import between, narrow

K = 10


@dataclass(frozen=True)
class Measured:
    """What settings are worth on one log.

    Attributes
    ----------
    ndcg : float
        Mean NDCG@10 over the judged requests; a page that the shortlist misses counts 0.
    loss : float
        Lowest validation loss in training, see :func:`measure`.
    recall : float
        Share of the judged requests whose shortlist holds the page that was opened.
    seconds : float
    """

    ndcg: float
    loss: float
    recall: float
    seconds: float


def measure(
    examples: Examples,
    made: RetrievalSettings,
    settings: Mapping[str, Any],
    *,
    judged_share: float,
    period: int = 0,
    on_epoch: Callable[[int, float], None] | None = None,
) -> Measured:
    """Train with ``settings`` on the earlier requests, judge on the ``judged_share`` after them.

    Training chooses its number of epochs on the latest of its own requests, so the judged ones
    decide nothing. It is not repeated on all of them, which halves the time.

    Parameters
    ----------
    examples : Examples
        Of the training stage, in time order.
    made : RetrievalSettings
        That they were made with.
    settings : mapping
        The pipelines' settings; sections ``ranker`` and ``retrieval`` are read.
    judged_share : float
    period : int
        0 judges on the latest requests, 1 on those before them, and leaves the latest out.
    on_epoch : callable, optional
        Told the epoch and the validation loss after each; may raise to stop. So that losses on
        shortlists of different lengths compare, a request whose page is missing counts as much as
        a blind guess among all pages.

    Raises
    ------
    DataError
        There are too few requests.
    """
    started = time.perf_counter()
    end = len(examples) - round(len(examples) * judged_share) * period
    start = end - round(len(examples) * judged_share)
    if not 0 < start < end:
        raise DataError(f"tune: {len(examples)} training requests are too few; give a longer log")
    data = narrow(examples, made, section(settings, "retrieval", RetrievalSettings))
    early, late = between(data, 0, start), between(data, start, end)
    answered = early.label.sum() / start
    guess = np.log(len(examples.values["page_id"]) - 1)
    lowest = np.inf

    def told(epoch: int, loss: float) -> None:
        nonlocal lowest
        whole = float(answered * loss + (1 - answered) * guess)
        lowest = min(lowest, whole)
        if on_epoch:
            on_epoch(epoch, whole)

    chosen = section(settings, "ranker", RankerSettings).model_copy(update={"refit": False})
    trained = train(early, chosen, on_epoch=told)
    logits = score(trained.members, late.numeric, late.categorical, late.history)
    return Measured(
        ndcg=ndcg(logits, late.row, late.label, len(late)),
        loss=lowest,
        recall=float(late.label.sum() / len(late)),
        seconds=time.perf_counter() - started,
    )


def ndcg(
    logits: NDArray[np.float32], row: NDArray[np.int32], label: NDArray[np.bool_], requests: int
) -> float:
    """Mean NDCG@10 of ``requests`` shortlists with at most one opened page each.

    Jarvelin and Kekalainen, "Cumulated Gain-Based Evaluation of IR Techniques", TOIS 2002. A
    tied page counts half a place.

    Examples
    --------
    Places 1 and 2 of two requests, and a third whose page is missing:

    >>> logits = np.array([2.0, 1.0, 2.0, 1.0, 1.0])
    >>> label = np.array([True, False, False, True, False])
    >>> found = ndcg(logits, np.array([0, 0, 1, 1, 2]), label, 3)
    >>> round(found, 6), round((1 + 1 / float(np.log2(3)) + 0) / 3, 6)
    (0.543643, 0.543643)
    """
    own = np.full(requests, np.nan)
    own[row[label]] = logits[label]
    above = np.bincount(row, logits > own[row], minlength=requests)
    ties = np.bincount(row, logits == own[row], minlength=requests) - 1
    place = above + np.maximum(ties, 0) / 2
    gain = np.where(np.isnan(own) | (place >= K), 0, 1 / np.log2(place + 2))
    return float(gain.mean())
