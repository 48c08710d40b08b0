"""Features of (request, candidate) pairs: one code for training examples and for serving.

Everything is computed from what was known strictly before the request's time: by a compiled loop where
there is one, or by NumPy, which says the same feature by feature.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.contract.compiled_features import CompiledFeatures
from components.contract.dataset import Dataset
from components.contract.encoding import Codes, encode
from components.contract.fusion import HIGH, STEEP, rank_features
from components.contract.history import History
from components.contract.kernels import library
from components.contract.labels import DECAY, LABELS, Labels
from components.contract.page_rates import RATES, PageRates
from components.contract.requests import Requests
from components.contract.retrieval import PATHS, SCORES, SOURCES
from components.contract.shortlists import Shortlist
from components.contract.time import DAY

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
_SIZES = ("history_count", "since_last", "since_previous", "session_position", "tenure")
NUMERIC = (
    *(f"{name}.score" for name in SCORES),
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
    *RATES,
    "series_step",
    "series_step_second",
    "series_near",
    "topic_share",
    "topic_last",
    "format_share",
    *LABELS,
    "prerequisites",
    "prerequisites_met",
    "mandatory",
    *_SIZES,
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
    "cohort",
    "hour",
    "weekday",
    "last_page",
    "last_topic",
    "first_source",
)
# Where the candidate itself stands among them.
PAGE = CATEGORICAL.index("page_id")
# Where the features that are computed together stand.
_AT = {name: column for column, name in enumerate(NUMERIC)}
_SCORE_ROWS = slice(0, len(SCORES))
_RANK_ROWS = slice(_SCORE_ROWS.stop, _SCORE_ROWS.stop + len(SOURCES))
_RAW_ROWS = slice(_RANK_ROWS.stop, _RANK_ROWS.stop + len(_RAW))
_COUNT_ROWS = slice(_RAW_ROWS.stop, _RAW_ROWS.stop + len(_COUNTED))
_LABEL_ROWS = slice(_AT[LABELS[0]], _AT[LABELS[-1]] + 1)
_RATE_ROWS = slice(_AT[RATES[0]], _AT[RATES[-1]] + 1)
_RAW_SCORES = np.array([SCORES.index(name) for name in _RAW])
_COUNTS = np.array([SCORES.index(name) for name in _COUNTED])
_DAY, _WEEK, _MONTH = (SCORES.index(f"trend_{span}") for span in ("1d", "7d", "30d"))
# From here on, features are of the request alone.
_REQUEST_ROWS = slice(_AT[_SIZES[0]], len(NUMERIC))
# Attributes of the associate among the categorical features.
_ATTRIBUTES = ("role", "department", "region", "shift", "cohort")
SESSION_GAP = 1800.0
# Latest pages whose place in the catalogue is looked at, and the place of a page that is not there.
_NEAR = 5
_NOWHERE = -(10**6)


@dataclass(frozen=True)
class Features:
    """Features of N candidates.

    Attributes
    ----------
    numeric : array of float32, shape (N, len(NUMERIC))
        Stored feature by feature (Fortran order).
    categorical : array of int32, shape (N, len(CATEGORICAL))
        Positions in ``FeatureBuilder.values``; 0 where unknown.
    history : History
        What the candidates' requests know of earlier pages.
    """

    numeric: NDArray[np.float32]
    categorical: NDArray[np.int32]
    history: History


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
        self._attribute = {name: Codes(self.values[name].tolist(), missing=0) for name in _ATTRIBUTES}
        duration = pages["duration_seconds"].to_numpy().astype(np.float64)
        self._duration = np.log1p(np.nan_to_num(duration)).astype(np.float32)
        self._published = pages["published_at"].to_numpy().astype(np.float64)
        self._undated = np.isnan(self._published)
        self._labels = Labels(pages["labels"])
        self._rates = PageRates(dataset.page_days, dataset.n_pages)
        rows = {page_id: row for row, page_id in enumerate(self._page_id.tolist())}
        lists = pages["prerequisites"].to_list()
        needed = [[rows[p] for p in (entry or []) if p in rows] for entry in lists]
        self._needs = np.array([len(entry) for entry in needed])
        # Filled up with a page that everybody has opened.
        self._needed = np.full((len(needed), int(self._needs.max(initial=0))), len(rows), np.int32)
        for row, entry in enumerate(needed):
            self._needed[row, : len(entry)] = entry
        for_roles = pages["mandatory_for"].to_list()
        roles = sorted({role for named in for_roles for role in named or []})
        self._mandatory_role = Codes(roles)
        # One row for each of these roles, and a last one, which -1 means, for all others.
        self._mandatory = np.zeros((len(roles) + 1, len(rows)), bool)
        for row, named in enumerate(for_roles):
            self._mandatory[self._mandatory_role(np.array(named or [], np.str_)), row] = True
        kernels = library()
        self._compiled = kernels and self._compile(kernels)

    def _compile(self, kernels: ctypes.CDLL) -> CompiledFeatures:
        pages = len(self._page_id)
        return CompiledFeatures(
            kernels,
            len(NUMERIC),
            len(CATEGORICAL),
            pages=pages,
            topics=len(self.values["topic"]),
            formats=len(self.values["format"]),
            labels=self._labels.size,
            needed=self._needed.shape[1],
            scores=len(SCORES),
            sources=len(SOURCES),
            raws=len(_RAW),
            counted=len(_COUNTED),
            rates=len(RATES),
            near=_NEAR,
            high=HIGH,
            day=_DAY,
            week=_WEEK,
            month=_MONTH,
            nowhere=_NOWHERE,
            gap=SESSION_GAP,
            decay=DECAY,
            steep=float(STEEP),
            raw=_RAW_SCORES,
            count=_COUNTS,
            topic=self._topic_code,
            format=self._format_code,
            duration=self._duration,
            published=self._published,
            label_start=self._labels.start,
            label=self._labels.code,
            label_weight=self._labels.weight,
            needs=self._needs,
            needed_page=self._needed,
            mandatory=self._mandatory,
            log1p_of=np.log1p(np.arange(pages + 1, dtype=np.float32)),
        )

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
        coded = [self._attribute[name](requests.attributes[name]) for name in _ATTRIBUTES]
        role = self._mandatory_role(requests.attributes["role"])
        if self._compiled:
            role = role % len(self._mandatory)
            numbers, codes = self._compiled(requests, shortlist, first_opened, coded, role)
        else:
            numbers = np.empty((len(NUMERIC), len(row)), np.float32)
            self._source_features(numbers, shortlist)
            self._page_features(numbers, page, requests.time[row], first_opened)
            self._pair_features(numbers, requests, row, page, role)
            numbers[_REQUEST_ROWS] = self._request_features(requests)[:, row]
            codes = self._categories(requests, shortlist, coded)
        numbers[_RATE_ROWS] = self._rates(row, page, requests.time)
        history = History(row, requests.history_page, requests.history_time, requests.time)
        return Features(numbers.T, codes.T, history)

    def text(self, categorical: NDArray[np.int32]) -> NDArray[np.str_]:
        """The categorical features as the ranker's SavedModel takes them, (N, len(CATEGORICAL))."""
        columns = [self.values[name][categorical[:, i]] for i, name in enumerate(CATEGORICAL)]
        return np.stack(columns, axis=1)

    @staticmethod
    def _source_features(found: NDArray[np.float32], shortlist: Shortlist) -> None:
        said, best = shortlist.said, np.maximum(shortlist.best, 1e-12)
        np.divide(said, best[:, shortlist.row], out=found[_SCORE_ROWS])
        # More than the best: pages that come again, which are not among those that it is taken of.
        np.minimum(found[_SCORE_ROWS], 1, out=found[_SCORE_ROWS])
        ranks, agreement, fused = rank_features(shortlist.ranks)
        found[_RANK_ROWS] = ranks
        found[_AT["agreement"]], found[_AT["fused_rank"]] = agreement, fused
        np.sqrt(np.maximum(said[_RAW_SCORES], 0), out=found[_RAW_ROWS])
        np.log1p(said[_COUNTS], out=found[_COUNT_ROWS])
        day, week, month = said[_DAY], said[_WEEK], said[_MONTH]
        found[_AT["momentum_day"]] = np.log((day * 7 + 1) / (week + 1))
        found[_AT["momentum_week"]] = np.log((week * 30 / 7 + 1) / (month + 1))

    def _page_features(
        self,
        found: NDArray[np.float32],
        page: NDArray[np.int32],
        time: NDArray[np.float64],
        first_opened: NDArray[np.float64],
    ) -> None:
        opened = first_opened[page]
        since = np.where(self._undated[page], opened, self._published[page])
        age = np.where(np.isfinite(since), np.maximum(time - since, 0), 0)
        found[_AT["page_age"]] = np.log1p(age / 3600)
        found[_AT["page_unopened"]] = opened >= time
        found[_AT["duration"]] = self._duration[page]

    def _pair_features(
        self,
        found: NDArray[np.float32],
        requests: Requests,
        row: NDArray[np.int32],
        page: NDArray[np.int32],
        role: NDArray[np.int64],
    ) -> None:
        history = requests.history_page
        known = history >= 0
        length = np.maximum(known.sum(axis=1), 1)
        rows, places = known.nonzero()
        opened = history[rows, places]
        for name, code in (("topic", self._topic_code), ("format", self._format_code)):
            values = int(code.max(initial=0)) + 1
            counts = np.bincount(rows * values + code[opened], minlength=len(requests) * values)
            share = (counts.reshape(-1, values) / length[:, None]).astype(np.float32)
            found[_AT[f"{name}_share"]] = share[row, code[page]]
        last = history[:, 0]
        topic = np.where(last >= 0, self._topic_code[last], -1)
        found[_AT["topic_last"]] = topic[row] == self._topic_code[page]

        # How far a candidate stands from the latest pages in the catalogue, whose rows are in order.
        place = np.where(known[:, :_NEAR], history[:, :_NEAR], _NOWHERE)[row].T
        step = page - place
        distance = np.log1p(np.abs(step).astype(np.float32))
        signed = np.where(place[:2] == _NOWHERE, 0, np.sign(step[:2]) * distance[:2])
        found[_AT["series_step"]], found[_AT["series_step_second"]] = signed
        found[_AT["series_near"]] = distance.min(axis=0)

        found[_LABEL_ROWS] = self._labels(row, page, history)
        needs = self._needs[page]
        found[_AT["prerequisites"]] = needs
        found[_AT["prerequisites_met"]] = self._met(requests, row, page, needs)
        found[_AT["mandatory"]] = self._mandatory[role[row], page]

    def _met(
        self,
        requests: Requests,
        row: NDArray[np.int32],
        page: NDArray[np.int32],
        needs: NDArray[np.int64],
    ) -> NDArray[np.float32]:
        """Share of a candidate's prerequisites that the associate has opened; 1 without any."""
        met = np.ones(len(row), np.float32)
        asking = np.flatnonzero(needs)
        if not len(asking):
            return met
        opened = np.zeros((len(requests), len(self._page_id) + 1), bool)
        opened[requests.seen_row, requests.seen_page] = True
        opened[:, -1] = True
        missing = ~opened[row[asking, None], self._needed[page[asking]]]
        needs = needs[asking]
        met[asking] = (needs - missing.sum(axis=1)) / needs
        return met

    @staticmethod
    def _request_features(requests: Requests) -> NDArray[np.float32]:
        """Numeric features of the requests alone, in the order of ``NUMERIC``, shape (., B)."""
        time, when, known = requests.time, requests.history_time, requests.history_page >= 0
        gap = np.concatenate([time[:, None], when[:, :-1]], axis=1) - when
        streak = np.logical_and.accumulate(known & (gap <= SESSION_GAP), axis=1).sum(axis=1)
        hours = gap[:, :2].T / 3600
        sizes = np.stack([requests.history_count, *hours, streak, requests.tenure_days])
        # What is not known, NaN, counts as 0, but -1 where there is no such visit.
        sizes = np.log1p(np.where(sizes > 0, sizes, 0))
        sizes[1:3][~known[:, :2].T] = -1
        local = time % DAY / DAY * 2 * np.pi
        return np.concatenate([sizes, [np.sin(local), np.cos(local)]]).astype(np.float32)

    def _categories(
        self, requests: Requests, shortlist: Shortlist, coded: Sequence[NDArray[np.int64]]
    ) -> NDArray[np.int32]:
        row, page = shortlist.row, shortlist.page
        last = requests.history_page[:, 0]
        per_request: dict[str, NDArray[Any]] = {
            **dict(zip(_ATTRIBUTES, coded, strict=True)),
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
        codes = np.empty((len(CATEGORICAL), len(row)), np.int32)
        for column, name in enumerate(CATEGORICAL):
            codes[column] = per_candidate[name] if name in per_candidate else per_request[name][row]
        return codes
