"""Features of (request, candidate) pairs: one code for training examples and for serving.

Everything is computed from what was known strictly before the request's time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from components.contract import columns as c
from components.contract.dataset import Dataset
from components.contract.encoding import encode, find
from components.contract.requests import Requests
from components.contract.retrieval import PATHS, SIGNALS, SOURCES, Shortlist
from components.contract.trends import DAY

_COUNTED = ("trend_1d", "trend_7d", "trend_30d", "popularity", "trend_role")
# Scores whose size says how sure a source is.
_RAW = (
    "transitions",
    "transitions_last",
    *(f"{path}_last" for path in PATHS),
    "within_second",
    "skip_second",
    "ahead_history",
    "ease",
    "item_knn",
    "content",
)
_RATES = ("click_rate", "completion_rate", "skip_rate", "dwell", "rating")
NUMERIC = (
    *(f"{name}.score" for name in (*SOURCES, *SIGNALS)),
    *(f"{name}.rank" for name in SOURCES),
    *(f"{name}.raw" for name in _RAW),
    *(f"{name}.count" for name in _COUNTED),
    "agreement",
    "fused_rank",
    "momentum_day",
    "momentum_week",
    "page_age",
    "page_unopened",
    "duration",
    *_RATES,
    "series_step",
    "series_step_second",
    "series_near",
    "topic_share",
    "topic_last",
    "format_share",
    "prerequisites",
    "prerequisites_met",
    "mandatory",
    "history_count",
    "since_last",
    "since_previous",
    "session_position",
    "tenure",
    "hour_sin",
    "hour_cos",
)
CATEGORICAL = (
    "page_id",
    "topic",
    "format",
    "role",
    "department",
    "region",
    "shift",
    "hour",
    "weekday",
    "last_page",
    "last_topic",
    "first_source",
)
# Attributes of the associate among the categorical features.
_ATTRIBUTES = ("role", "department", "region", "shift")
SESSION_GAP = 1800.0
# Latest pages whose place in the catalogue is looked at, and the place of a page that is not there.
_NEAR = 5
_NOWHERE = -(10**6)
# Pseudo-observations that pull a page's rates towards the mean of all pages.
_SHRINKAGE = 20.0


@dataclass(frozen=True)
class Features:
    """Features of N candidates.

    Attributes
    ----------
    numeric : array of float32, shape (N, len(NUMERIC))
    categorical : array of int32, shape (N, len(CATEGORICAL))
        Positions in ``FeatureBuilder.values``; 0 where unknown.
    """

    numeric: NDArray[np.float32]
    categorical: NDArray[np.int32]


class Feedback:
    """Dwell, completion, skip, click and rating rates of pages, as of the end of the day before."""

    def __init__(self, page_days: pl.DataFrame, pages: int):
        table = page_days.sort(c.PAGE, "day")
        page = table[c.PAGE].to_numpy().astype(np.int64)
        self._first_day = int(table["day"].min() or 0)  # type: ignore[arg-type]
        self._days = int(table["day"].max() or 0) - self._first_day + 2  # type: ignore[arg-type]
        self._key = page * self._days + table["day"].to_numpy() - self._first_day
        sums = table.drop(c.PAGE, "day").to_numpy().astype(np.float64)
        self._columns = table.drop(c.PAGE, "day").columns
        self._total = np.vstack([np.zeros(sums.shape[1]), np.cumsum(sums, axis=0)])
        self._start = np.searchsorted(page, np.arange(pages))
        # Row d: sums over all pages and the days before day d.
        daily = np.zeros((self._days, sums.shape[1]))
        np.add.at(daily, table["day"].to_numpy() - self._first_day + 1, sums)
        self._everywhere = np.cumsum(daily, axis=0)

    def rates(self, page: NDArray[np.int32], time: NDArray[np.float64]) -> dict[str, NDArray[np.float32]]:
        """Shrunk rates of each (page, time) pair; (N,) each. Dwell is log1p(seconds)."""
        day = np.clip(time // DAY - self._first_day, 0, self._days - 1).astype(np.int64)
        end = np.searchsorted(self._key, page.astype(np.int64) * self._days + day, side="left")
        sums = dict(zip(self._columns, (self._total[end] - self._total[self._start[page]]).T, strict=True))
        overall = dict(zip(self._columns, self._everywhere[day].T, strict=True))

        def rate(above: str, below: str) -> NDArray[np.float64]:
            mean = overall[above] / np.maximum(overall[below], 1)
            return (sums[above] + _SHRINKAGE * mean) / (sums[below] + _SHRINKAGE)

        found = {
            # Clicks may outnumber impressions where a log has few of them.
            "click_rate": np.minimum(rate("views", "impressions"), 5),
            "completion_rate": rate("completions", "views"),
            "skip_rate": rate("skips", "impressions"),
            "dwell": np.log1p(rate("dwell_sum", "dwell_count")),
            "rating": rate("rating_sum", "rating_count"),
        }
        return {name: values.astype(np.float32) for name, values in found.items()}


class FeatureBuilder:
    """Computes features over one catalogue.

    Parameters
    ----------
    dataset : Dataset
        Its pages and page_days are read.
    """

    def __init__(self, dataset: Dataset):
        pages = dataset.pages
        self._page_id = dataset.page_ids
        topics, self._topic_code = encode(pages["topic"])
        formats, self._format_code = encode(pages["format"])
        page_ids = np.concatenate([[""], self._page_id])
        self.values: dict[str, NDArray[np.str_]] = {
            "page_id": page_ids,
            "topic": topics,
            "format": formats,
            **{n: encode(dataset.associates[n])[0] for n in _ATTRIBUTES},
            "hour": np.array(["", *map(str, range(24))]),
            "weekday": np.array(["", *map(str, range(7))]),
            "last_page": page_ids,
            "last_topic": topics,
            "first_source": np.array(["", *SOURCES]),
        }
        self._duration = np.log1p(np.nan_to_num(pages["duration_seconds"].to_numpy().astype(np.float64)))
        self._published = pages["published_at"].to_numpy().astype(np.float64)
        self._feedback = Feedback(dataset.page_days, dataset.n_pages)
        rows = {page_id: row for row, page_id in enumerate(self._page_id.tolist())}
        lists = pages["prerequisites"].to_list()
        self._prerequisites = [[rows[p] for p in (entry or []) if p in rows] for entry in lists]
        self._needs = np.array([len(entry) for entry in self._prerequisites])
        for_roles = pages["mandatory_for"].to_list()
        self._mandatory_roles = np.unique(
            np.array([role for roles in for_roles for role in roles or []], np.str_)
        )
        # One row for each of these roles, and a last one, which -1 means, for all others.
        self._mandatory = np.zeros((len(self._mandatory_roles) + 1, len(rows)), bool)
        for row, roles in enumerate(for_roles):
            self._mandatory[np.searchsorted(self._mandatory_roles, roles or []), row] = True

    def __call__(
        self, requests: Requests, shortlist: Shortlist, first_opened: NDArray[np.float64]
    ) -> Features:
        """Features of every candidate.

        Parameters
        ----------
        requests : Requests
        shortlist : Shortlist
            Of the same requests.
        first_opened : array of float64, shape (P,)
            See ``TrendCounters.first_opened``; times after a request's are not looked at.
        """
        row, page = shortlist.row, shortlist.page
        time = requests.time[row]
        found = {
            **self._source_features(shortlist),
            **self._page_features(page, time, first_opened),
            **self._history_features(requests, row, page),
        }
        numeric = np.empty((len(row), len(NUMERIC)), np.float32)
        for column, name in enumerate(NUMERIC):
            numeric[:, column] = found[name]
        return Features(numeric, self._categories(requests, shortlist))

    def text(self, categorical: NDArray[np.int32]) -> NDArray[np.str_]:
        """The categorical features as the ranker's SavedModel takes them, (N, len(CATEGORICAL))."""
        columns = [self.values[name][categorical[:, i]] for i, name in enumerate(CATEGORICAL)]
        return np.stack(columns, axis=1)

    @staticmethod
    def _source_features(shortlist: Shortlist) -> dict[str, NDArray[np.float32]]:
        row, page = shortlist.row, shortlist.page
        found: dict[str, NDArray[np.float32]] = {}
        for name in (*SOURCES, *SIGNALS):
            scores = shortlist.scores[name]
            best = np.maximum(scores.max(axis=1), 1e-12)
            found[f"{name}.score"] = scores[row, page] / best[row]
        fused = np.zeros(len(row), np.float32)
        agreement = np.zeros(len(row), np.float32)
        for name, rank in shortlist.ranks.items():
            found[f"{name}.rank"] = np.log1p(rank).astype(np.float32)
            fused += 1 / (10 + rank.astype(np.float32))
            agreement += rank < 10
        for name in _RAW:
            found[f"{name}.raw"] = np.sqrt(np.maximum(shortlist.scores[name][row, page], 0))
        for name in _COUNTED:
            found[f"{name}.count"] = np.log1p(shortlist.scores[name][row, page])
        found["agreement"] = agreement
        found["fused_rank"] = fused
        day, week, month = (shortlist.scores[f"trend_{span}"][row, page] for span in ("1d", "7d", "30d"))
        found["momentum_day"] = np.log((day * 7 + 1) / (week + 1))
        found["momentum_week"] = np.log((week * 30 / 7 + 1) / (month + 1))
        return found

    def _page_features(
        self, page: NDArray[np.int32], time: NDArray[np.float64], first_opened: NDArray[np.float64]
    ) -> dict[str, NDArray[np.float32]]:
        opened = first_opened[page]
        unopened = opened >= time
        since = np.where(np.isnan(self._published[page]), opened, self._published[page])
        age = np.where(np.isfinite(since), np.maximum(time - since, 0), 0)
        return {
            "page_age": np.log1p(age / 3600).astype(np.float32),
            "page_unopened": unopened.astype(np.float32),
            "duration": self._duration[page].astype(np.float32),
            **self._feedback.rates(page, time),
        }

    def _history_features(
        self, requests: Requests, row: NDArray[np.int32], page: NDArray[np.int32]
    ) -> dict[str, NDArray[np.float32]]:
        history, when = requests.history_page, requests.history_time
        known = history >= 0
        length = np.maximum(known.sum(axis=1), 1)
        found: dict[str, NDArray[np.float32]] = {}
        for name, code in (("topic", self._topic_code), ("format", self._format_code)):
            counts = np.zeros((len(requests), code.max(initial=0) + 1), np.float32)
            rows, places = np.nonzero(known)
            np.add.at(counts, (rows, code[history[rows, places]]), 1)
            found[f"{name}_share"] = counts[row, code[page]] / length[row]
        last = history[:, 0]
        same = self._topic_code[last[row]] == self._topic_code[page]
        found["topic_last"] = (same & (last[row] >= 0)).astype(np.float32)

        found |= self._series_features(history, row, page)
        found["prerequisites"] = self._needs[page].astype(np.float32)
        found["prerequisites_met"] = self._met(requests, row, page)
        role = find(self._mandatory_roles, requests.attributes["role"])
        found["mandatory"] = self._mandatory[role[row], page].astype(np.float32)

        last_time = np.where(known[:, 0], when[:, 0], np.nan)
        previous = np.where(known[:, 1], when[:, 0] - when[:, 1], np.nan)
        gaps = np.diff(np.concatenate([requests.time[:, None], when], axis=1), axis=1)
        streak = np.cumprod(np.where(known, -gaps <= SESSION_GAP, False), axis=1).sum(axis=1)
        local = requests.time % DAY / DAY * 2 * np.pi
        per_request = {
            "history_count": np.log1p(requests.history_count),
            "since_last": _hours(requests.time - last_time),
            "since_previous": _hours(previous),
            "session_position": np.log1p(streak),
            "tenure": np.log1p(np.nan_to_num(requests.tenure_days)),
            "hour_sin": np.sin(local),
            "hour_cos": np.cos(local),
        }
        found |= {name: values.astype(np.float32)[row] for name, values in per_request.items()}
        return found

    def _series_features(
        self, history: NDArray[np.int32], row: NDArray[np.int32], page: NDArray[np.int32]
    ) -> dict[str, NDArray[np.float32]]:
        """How far a candidate stands from the latest pages in the catalogue, whose rows are in order."""
        recent = history[:, :_NEAR]
        place = np.where(recent >= 0, recent, _NOWHERE)[row]
        step = page[:, None] - place
        distance = np.log1p(np.abs(step)).astype(np.float32)
        signed = np.where(place == _NOWHERE, 0, np.sign(step) * distance)
        return {
            "series_step": signed[:, 0],
            "series_step_second": signed[:, 1],
            "series_near": distance.min(axis=1),
        }

    def _met(
        self, requests: Requests, row: NDArray[np.int32], page: NDArray[np.int32]
    ) -> NDArray[np.float32]:
        """Share of a candidate's prerequisites that the associate has opened; 1 without any."""
        met = np.ones(len(row), np.float32)
        asking = np.flatnonzero(self._needs[page] > 0)
        if not len(asking):
            return met
        needs = self._needs[page[asking]]
        wanted = np.concatenate([self._prerequisites[p] for p in page[asking]])
        pages = len(self._page_id)
        seen = requests.seen_row.astype(np.int64) * pages + requests.seen_page
        key = np.repeat(row[asking].astype(np.int64), needs) * pages + wanted
        opened = np.isin(key, seen)
        owner = np.repeat(np.arange(len(asking)), needs)
        met[asking] = np.bincount(owner, opened, minlength=len(asking)) / needs
        return met

    def _categories(self, requests: Requests, shortlist: Shortlist) -> NDArray[np.int32]:
        row, page = shortlist.row, shortlist.page
        last = requests.history_page[:, 0]
        per_request: dict[str, NDArray[Any]] = {
            **{n: np.maximum(find(self.values[n], requests.attributes[n]), 0) for n in _ATTRIBUTES},
            "hour": requests.time % DAY // 3600 + 1,
            "weekday": (requests.time // DAY + 3) % 7 + 1,
            "last_page": last + 1,
            "last_topic": np.where(last >= 0, self._topic_code[last], 0),
        }
        per_candidate: dict[str, NDArray[Any]] = {
            "page_id": page + 1,
            "topic": self._topic_code[page],
            "format": self._format_code[page],
            "first_source": shortlist.source + 1,
        }
        codes = np.empty((len(row), len(CATEGORICAL)), np.int32)
        for column, name in enumerate(CATEGORICAL):
            codes[:, column] = per_candidate[name] if name in per_candidate else per_request[name][row]
        return codes


def _hours(seconds: NDArray[np.float64]) -> NDArray[np.float64]:
    """log1p of hours; -1 where there is no such time."""
    return np.where(np.isnan(seconds), -1.0, np.log1p(np.maximum(np.nan_to_num(seconds), 0) / 3600))
