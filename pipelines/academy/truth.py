"""The true preference of an associate for a page at a time: what the academy's behaviour is drawn from.

A run can be judged against it, because it is kept beside the log and never read by a pipeline.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray
from scipy.special import expit

from components.contract.encoding import find
from components.contract.errors import DataError
from components.contract.files import atomic_folder
from components.contract.time import DAY

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]
Flags = NDArray[np.bool_]
RECENT = 3
# First hour of morning, afternoon, evening and night.
_BANDS = np.array([5, 11, 17, 22])


@dataclass(frozen=True)
class Weights:
    """How strongly each influence moves the log-odds of a useful engagement.

    Attributes
    ----------
    mean : float
        Average preference over available pages; the offset is set to reach it.
    fresh, fresh_days : float
        Gain of a new page and the days in which it decays by e.
    news, news_days, news_base : float
        The same for news, and what an old news page loses.
    next_page, just_before, locked : float
        The page before it on the path is seen; it is among the last three pages; it is not seen.
    momentum : float
        All of the last three pages had this page's topic.
    mandatory : float
        A mandatory page on its due day.
    induction, induction_days : float
        Induction pages for a new hire, and the days in which that decays by e.
    seen : float
        Factor on the preference for a page that the associate has had already.
    """

    mean: float = 0.035
    fresh: float = 0.9
    fresh_days: float = 14.0
    news: float = 2.6
    news_days: float = 3.0
    news_base: float = -0.9
    next_page: float = 1.5
    just_before: float = 0.8
    locked: float = -2.0
    momentum: float = 0.8
    mandatory: float = 2.0
    induction: float = 2.0
    induction_days: float = 12.0
    seen: float = 0.06


def band(times: NDArray[np.float64]) -> NDArray[np.intp]:
    """Part of the day: 0 morning, 1 afternoon, 2 evening, 3 night.

    Examples
    --------
    >>> band(np.array([5, 12, 21, 23, 3]) * 3600.0).tolist()
    [0, 1, 2, 3, 3]
    """
    hours = times % DAY // 3600
    return (np.searchsorted(_BANDS, hours, side="right") - 1) % 4


@dataclass(frozen=True)
class TruePreference:
    """Log-odds model of useful engagement, and all that it needs to know.

    Attributes
    ----------
    associate_ids, page_ids : arrays of str, shapes (A,) and (P,)
    role, department, region : arrays of int32, shape (A,)
    hired_at : array of float64, shape (A,)
        Epoch seconds.
    taste, page_taste : arrays of float32, shapes (A, K) and (P, K)
        Their product is the personal part of the log-odds.
    topic, format : arrays of int32, shape (P,)
    quality : array of float32, shape (P,)
    published_at, retired_at : arrays of float64, shape (P,)
        Epoch seconds; infinity for pages that stay.
    eligible, mandatory : arrays of bool, shape (roles, P)
    assigned_at, due_days : arrays of float64, shape (P,)
        From when a mandatory page is asked for, and in how many days it is due.
    previous : array of int32, shape (P,)
        The page before on the learning path, -1 for none.
    news, induction : arrays of bool, shape (P,)
    role_topic, department_topic, region_topic : arrays of float32, shape (groups, topics)
    campaign : array of float32, shape (days, topics)
        Lift of topics, from the first day on; the last day holds afterwards.
    band_format : array of float32, shape (4, formats)
    start, offset : float
        First second of the log; constant of the log-odds.
    weights : Weights
    """

    associate_ids: NDArray[np.str_]
    role: Ints
    department: Ints
    region: Ints
    hired_at: NDArray[np.float64]
    taste: Floats
    page_ids: NDArray[np.str_]
    page_taste: Floats
    topic: Ints
    format: Ints
    quality: Floats
    published_at: NDArray[np.float64]
    retired_at: NDArray[np.float64]
    eligible: Flags
    mandatory: Flags
    assigned_at: NDArray[np.float64]
    due_days: NDArray[np.float64]
    previous: Ints
    news: Flags
    induction: Flags
    role_topic: Floats
    department_topic: Floats
    region_topic: Floats
    campaign: Floats
    band_format: Floats
    start: float
    offset: float
    weights: Weights

    def score(
        self,
        associate_ids: Sequence[str] | NDArray[np.str_],
        times: Sequence[float] | NDArray[np.float64],
        history: Sequence[Sequence[str] | NDArray[np.str_]],
    ) -> Floats:
        """Probability that each page would be usefully engaged with, if it were looked at.

        Parameters
        ----------
        associate_ids : sequence of str, length B
        times : sequence of float, length B
            Epoch seconds.
        history : sequence of sequences of str, length B
            Ids of the pages that each associate had before, oldest first.

        Returns
        -------
        array of float32, shape (B, P)
            In the order of ``page_ids``; 0 for a page that is not published yet, retired, or not for
            the associate's role.

        Raises
        ------
        DataError
            An associate is not of this academy.
        """
        ids = np.asarray(associate_ids, dtype=np.str_)
        who = find(self.associate_ids, ids, np.argsort(self.associate_ids))
        if (who < 0).any():
            raise DataError(f"associate_id: {ids[who < 0][0]} is not of this academy")
        seen = np.zeros((len(ids), len(self.page_ids)), np.bool_)
        last = np.full((len(ids), RECENT), -1, np.int32)
        lengths = np.fromiter(map(len, history), np.int64, len(ids))
        if lengths.sum():
            pages = np.concatenate([np.asarray(one, dtype=np.str_) for one in history])
            flat = find(self.page_ids, pages, np.argsort(self.page_ids))
            row = np.repeat(np.arange(len(ids)), lengths)
            back = np.repeat(np.cumsum(lengths), lengths) - 1 - np.arange(len(flat))
            seen[row[flat >= 0], flat[flat >= 0]] = True
            recent = back < RECENT
            last[row[recent], back[recent]] = flat[recent]
        return self.given_history(self.base(who, np.asarray(times, np.float64)), seen, last)

    def base(self, who: NDArray[np.integer], times: NDArray[np.float64]) -> Floats:
        """Log-odds apart from the history; -inf for pages that cannot be had.

        Freshness and campaigns move by whole days.

        Parameters
        ----------
        who : array of int, shape (B,)
            Rows of ``associate_ids``.
        times : array of float64, shape (B,)
        """
        topics = self.role_topic[self.role[who]] + self.department_topic[self.department[who]]
        topics += self.region_topic[self.region[who]]
        parts = (self.taste[who], topics, self.band_format[band(times)], self._newcomer(who, times)[:, None])
        logits = np.concatenate(parts, axis=1).astype(np.float32) @ self._page_matrix()
        day = np.floor((times - self.start) / DAY).astype(np.int64)
        for one in np.unique(day):
            rows = np.flatnonzero(day == one)
            logits[rows] += self._day(int(one))
        self._add_mandatory(logits, who, times)
        open_ = (self.published_at <= times[:, None]) & (self.retired_at > times[:, None])
        logits[~(open_ & self.eligible[self.role[who]])] = -np.inf
        return logits

    def given_history(self, base: Floats, seen: Flags, last: Ints) -> Floats:
        """Preference after a history.

        Parameters
        ----------
        base : array of float32, shape (B, P)
            From :meth:`base`; left as it is.
        seen : array of bool, shape (B, P)
        last : array of int32, shape (B, 3)
            The last pages, latest first; -1 where there is none.
        """
        weights = self.weights
        logits = base.copy()
        on_path = np.flatnonzero(self.previous >= 0)
        reached = seen[:, self.previous[on_path]]
        logits[:, on_path] += np.where(reached, np.float32(weights.next_page), np.float32(weights.locked))
        successor = self.successor
        share = np.zeros((len(base), self.role_topic.shape[1]), np.float32)
        for column in last.T:
            rows = np.flatnonzero(column >= 0)
            np.add.at(share, (rows, self.topic[column[rows]]), np.float32(weights.momentum / RECENT))
            rows = rows[successor[column[rows]] >= 0]
            logits[rows, successor[column[rows]]] += np.float32(weights.just_before)
        logits += share[:, self.topic]
        chance = expit(logits)
        chance *= np.where(seen, np.float32(weights.seen), np.float32(1))
        return chance

    @property
    def successor(self) -> Ints:
        """The page after each on its learning path, -1 for none; shape (P,)."""
        after = np.full(len(self.page_ids), -1, np.int32)
        rows = np.flatnonzero(self.previous >= 0)
        after[self.previous[rows]] = rows
        return after

    def _page_matrix(self) -> Floats:
        """Pages' side of the product in :meth:`base`, shape (features, P)."""
        topics = self.topic == np.arange(self.role_topic.shape[1])[:, None]
        formats = self.format == np.arange(self.band_format.shape[1])[:, None]
        return np.concatenate([self.page_taste.T, topics, formats, self.induction[None]]).astype(np.float32)

    def _newcomer(self, who: NDArray[np.integer], times: NDArray[np.float64]) -> NDArray[np.float64]:
        tenure = np.maximum(times - self.hired_at[who], 0) / DAY
        return self.weights.induction * np.exp(-tenure / self.weights.induction_days)

    def _day(self, day: int) -> Floats:
        """What moves pages on a day: quality, freshness, campaigns; shape (P,)."""
        weights = self.weights
        age = np.maximum(self.start + (day + 0.5) * DAY - self.published_at, 0) / DAY
        fresh = np.where(
            self.news,
            weights.news_base + weights.news * np.exp(-age / weights.news_days),
            weights.fresh * np.exp(-age / weights.fresh_days),
        )
        lift = self.campaign[np.clip(day, 0, len(self.campaign) - 1)]
        return (self.offset + self.quality + fresh + lift[self.topic]).astype(np.float32)

    def _add_mandatory(self, logits: Floats, who: NDArray[np.integer], times: NDArray[np.float64]) -> None:
        """Raise mandatory pages from 30 % of the weight when assigned to all of it when due."""
        pages = np.flatnonzero(self.mandatory.any(axis=0))
        assigned = np.maximum(self.assigned_at[pages], self.hired_at[who][:, None])
        elapsed = (times[:, None] - assigned) / (self.due_days[pages] * DAY)
        asked = (elapsed >= 0) & self.mandatory[self.role[who]][:, pages]
        need = np.where(asked, 0.3 + 0.7 * np.clip(elapsed, 0, 1), 0)
        logits[:, pages] += (self.weights.mandatory * need).astype(np.float32)

    def save(self, path: Path | str) -> None:
        """Write ``arrays.npz`` and ``truth.json`` into a folder."""
        values: dict[str, Any] = {field.name: getattr(self, field.name) for field in fields(self)}
        weights = asdict(values.pop("weights"))
        scalars = {name: values.pop(name) for name in ("start", "offset")}
        with atomic_folder(path) as aside:
            np.savez_compressed(aside / "arrays.npz", **values)
            (aside / "truth.json").write_bytes(
                orjson.dumps({"weights": weights} | scalars, option=orjson.OPT_INDENT_2)
            )

    @classmethod
    def load(cls, path: Path | str) -> TruePreference:
        """Read what :meth:`save` wrote.

        Raises
        ------
        DataError
            The folder holds no truth.
        """
        path = Path(path)
        try:
            scalars = orjson.loads((path / "truth.json").read_bytes())
            weights = Weights(**scalars.pop("weights"))
            with np.load(path / "arrays.npz", allow_pickle=False) as arrays:
                return cls(**arrays, **scalars, weights=weights)
        except FileNotFoundError as error:
            raise DataError(
                f"{path} holds no true preference: give the folder truth/ of an academy"
            ) from error
