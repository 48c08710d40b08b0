"""Turn the interactions of a stage into shortlists, as the server would have made them then."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import structlog
from numpy.typing import NDArray
from pydantic import Field

from components.candidates.outcomes import outcomes, unknown
from components.contract import columns as c
from components.contract.dataset import Dataset
from components.contract.errors import DataError
from components.contract.examples import HISTORY_COLUMNS, OUTCOMES, Examples
from components.contract.features import FeatureBuilder
from components.contract.requests import Requests, requests_of_stage
from components.contract.retrieval import SOURCES, RetrievalSettings, load_retriever, top
from components.contract.settings import StepSettings
from components.contract.shortlists import Shortlist
from components.contract.time import DAY
from components.contract.trends import empty_counters, openings

log = structlog.get_logger()


class CandidateSettings(StepSettings):
    """How many requests become examples."""

    train_requests: int = Field(16000, ge=1, description="Most requests that the ranker learns from")
    holdout_requests: int = Field(5000, ge=1, description="Most requests that it is judged on")
    seed: int = Field(7, description="Of the sample of requests")


def target_positions(
    scores: NDArray[np.float32], target: NDArray[np.int32], seen: NDArray[np.bool_]
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """How many pages that the associate has not seen score above the target, and how many tie.

    Parameters
    ----------
    scores : array, shape (B, P)
    target : array of int32, shape (B,)
    seen : array of bool, shape (B, P)

    Examples
    --------
    >>> scores = np.array([[0.5, 0.2, 0.5, 0.9]], np.float32)
    >>> better, ties = target_positions(scores, np.array([0], np.int32), np.zeros((1, 4), bool))
    >>> better.tolist(), ties.tolist()
    ([1], [1])
    """
    own = scores[np.arange(len(target)), target][:, None]
    better = ((scores > own) & ~seen).sum(axis=1)
    ties = ((scores == own) & ~seen).sum(axis=1) - 1
    return better.astype(np.int32), ties.astype(np.int32)


def make_examples(
    dataset: Dataset,
    stage: int,
    folders: Mapping[str, Path | str],
    retrieval: RetrievalSettings,
    settings: CandidateSettings,
    tables: Path | str | None = None,
) -> Examples:
    """Build the examples of a stage from sources that were fitted before it.

    Under the "time" protocol trends and page ages move with every event, as they do in the
    server; under "lastout" the interactions of this stage and later ones stay hidden.

    Parameters
    ----------
    dataset : Dataset
    stage : int
        ``TRAIN`` or ``HOLDOUT``.
    folders : mapping
        Artifact folder of each source step.
    retrieval : RetrievalSettings
    settings : CandidateSettings
    tables : path, optional
        The checked tables that the dataset was made of: what came of the pages is in their events.

    Raises
    ------
    DataError
        The stage has no interactions.
    """
    limit = settings.train_requests if stage == c.TRAIN else settings.holdout_requests
    requests = requests_of_stage(dataset, stage, limit, settings.seed)
    if not len(requests):
        raise DataError(
            f"events: no first engagement falls into the {'training' if stage == c.TRAIN else 'holdout'} "
            "part of the log; give a longer log or other quantiles (settings.preprocess)"
        )
    retriever = load_retriever(dataset.pages, folders, retrieval)
    visible, known = None, dataset
    if dataset.meta["protocol"] == "lastout":
        # Daily feedback sums mix all stages, so nothing may be read from them.
        visible = dataset.column(c.STAGE) < stage
        known = replace(dataset, page_days=dataset.page_days.clear())
    builder = FeatureBuilder(known)
    after = unknown(requests)
    if tables:
        # The ranker must not learn from what came of a page after its part of the log.
        training = stage == c.TRAIN and dataset.meta["protocol"] == "time"
        until = dataset.meta["cuts"][1] if training else np.inf
        after = outcomes(tables, requests, dataset.pages, until)
    counters = empty_counters(dataset)
    parts: list[dict[str, NDArray[np.generic]]] = []
    first_seen = np.full(len(requests), np.inf)
    done = 0
    for part, counts, opened in counters.walk(openings(dataset, visible), requests):
        shortlist = retriever.shortlist(part, counts)
        features = builder(part, shortlist, opened)
        parts.append(
            {
                # Later steps read candidate by candidate.
                "numeric": np.ascontiguousarray(features.numeric),
                "categorical": np.ascontiguousarray(features.categorical),
                "row": shortlist.row + np.int32(done),
                "page": shortlist.page,
                "label": shortlist.page == part.target[shortlist.row],
                "position": after.positions(shortlist.row + np.int32(done), shortlist.page),
                **_each_source(shortlist, part, dataset.n_pages),
            }
        )
        first_seen[done : done + len(part)] = opened[part.target]
        done += len(part)
        log.info("candidates", stage=stage, requests=done, of=len(requests))
    return Examples(
        requests=_request_table(requests, first_seen).with_columns(
            pl.Series(name, getattr(after, name)) for name in OUTCOMES
        ),
        values=builder.values,
        sources=SOURCES,
        **{name: np.concatenate([part[name] for part in parts]) for name in parts[0]},  # type: ignore[arg-type]
    )


def _each_source(shortlist: Shortlist, part: Requests, pages: int) -> dict[str, NDArray[np.generic]]:
    seen = np.zeros((len(part), pages), bool)
    seen[part.seen_row, part.seen_page] = True
    better, ties, best = [], [], []
    assert shortlist.scores is not None
    for scores in shortlist.scores[: len(SOURCES)]:
        above, same = target_positions(scores, part.target, seen)
        better.append(above)
        ties.append(same)
        pages_of, value = top(scores, min(10, pages))
        ten = np.full((len(part), 10), -1, np.int32)
        ten[:, : pages_of.shape[1]] = np.where(value > 0, pages_of, -1)
        best.append(ten)
    return {
        "source_better": np.stack(better, axis=1),
        "source_ties": np.stack(ties, axis=1),
        "source_top": np.stack(best, axis=1),
    }


def strictly_before(requests: Requests) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """Pages and times of the histories without what was opened in the request's own moment, (B, L).

    Of pages opened in one moment the log does not say which came first, and the server, which is asked
    before a page is opened, never knows of another one then.
    """
    page, opened = requests.history_page, requests.history_time
    width = page.shape[1]
    together = (opened >= requests.time[:, None]).sum(axis=1)
    at = np.arange(width) + together[:, None]
    there, at = at < width, np.minimum(at, width - 1)
    return (
        np.where(there, np.take_along_axis(page, at, axis=1), np.int32(-1)),
        np.where(there, np.take_along_axis(opened, at, axis=1), np.nan),
    )


def _request_table(requests: Requests, first_seen: NDArray[np.float64]) -> pl.DataFrame:
    age = (requests.time - first_seen) / DAY
    return pl.DataFrame(
        {
            c.ASSOCIATE_ID: requests.associate_id,
            c.TIME: requests.time,
            "target": requests.target,
            "role": requests.attributes["role"],
            "shift": requests.attributes["shift"],
            "history_count": requests.history_count,
            "page_age_days": np.where(age > 0, age, np.nan),
            **dict(zip(HISTORY_COLUMNS, strictly_before(requests), strict=True)),
        }
    ).with_columns(pl.col("page_age_days").fill_nan(None))
