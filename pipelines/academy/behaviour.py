"""What associates do: log in by shift, look at a list, click, look things up, watch, finish, rate.

Position bias follows the examination model: a page is clicked when it is looked at, which its
position decides, and wanted, which the true preference decides (Craswell et al., 2008, An
experimental comparison of click position-bias models).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from components.contract import columns as c
from components.contract.tables import TABLES
from components.contract.time import DAY
from pipelines.academy.catalogue import Catalogue
from pipelines.academy.people import People, choose
from pipelines.academy.truth import RECENT, TruePreference

LIST = 10
LEGACY = "legacy-1"
_CLICKS = 3
_LOOKUPS = 6
_BUSY = 0.95
_CELLS = 2**22
# Hours around which logins of a shift gather: its start, its break.
_PEAKS = np.array([[6.75, 10.5], [14.25, 18.5], [22.5, 26.5]])


def examination(position: NDArray[np.integer]) -> NDArray[np.float64]:
    """Chance that a position of the list is looked at; 0 is the top.

    Examples
    --------
    >>> examination(np.array([0, 3, 9])).round(2).tolist()
    [1.0, 0.38, 0.2]
    """
    return np.asarray((position + 1.0) ** -0.7, np.float64)


@dataclass
class Behaviour:
    """The platform as it runs from day to day.

    Attributes
    ----------
    people, pages, truth
        Who, what, and what they want.
    start : float
    days : int
    seed : int
    seen : array of bool, shape (A, P)
    last : array of int32, shape (A, 3)
        Latest pages, latest first.
    popularity : array of float64, shape (roles, P)
        Decayed views by role: what the legacy list goes by.
    """

    people: People
    pages: Catalogue
    truth: TruePreference
    start: float
    days: int
    seed: int
    seen: NDArray[np.bool_] = field(init=False)
    last: NDArray[np.int32] = field(init=False)
    popularity: NDArray[np.float64] = field(init=False)

    def __post_init__(self) -> None:
        associates, pages = len(self.people.ids), len(self.pages.ids)
        self.seen = np.zeros((associates, pages), np.bool_)
        self.last = np.full((associates, RECENT), -1, np.int32)
        self.popularity = np.zeros((len(self.pages.eligible), pages))
        self._successor = self.truth.successor

    def day(self, day: int) -> pl.DataFrame:
        """Run one day; days must be run in order.

        Returns
        -------
        polars.DataFrame
            The contract's events in time order, without ``event_id``.
        """
        rng = np.random.default_rng([self.seed, 1, day])
        began = self.start + day * DAY
        who, when = self._logins(rng, day)
        again = rng.random(len(who)) < 0.12
        later = when[again] + rng.uniform(1.5, 5, again.sum()) * 3600
        evening = later < began + DAY
        waves = [(who, when), (who[again][evening], later[evening])]
        rows = int(np.clip(_CELLS // len(self.pages.ids), 64, 2048))
        log = _Log()
        sources = self._legacy_sources(began)
        views = np.zeros_like(self.popularity)
        for number, (group, times) in enumerate(waves):
            for at in range(0, len(group), rows):
                requests = np.char.add(
                    f"R{day:04d}{number}", np.arange(at, min(at + rows, len(group))).astype(np.str_)
                )
                part = slice(at, at + rows)
                self._sessions(rng, group[part], times[part], requests, sources, views, log)
        self.popularity = 0.95 * self.popularity + views
        return log.table(self.people.ids, self.pages.ids, began + DAY if day == self.days - 1 else np.inf)

    def _logins(self, rng: np.random.Generator, day: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Who logs in and when: working days, personal rate, the hours of the shift."""
        people = self.people
        began = self.start + day * DAY
        tenure = (began - people.hired_at) / DAY
        rate = np.minimum(people.rate * np.where(tenure < 14, 2.0, 1.0), _BUSY)
        working = (day + people.rest) % 7 >= 2
        who = np.flatnonzero((tenure >= 0) & working & (rng.random(len(rate)) < rate))
        peaks = _PEAKS[people.shift[who], rng.integers(0, 2, len(who))]
        hour = (peaks + rng.normal(0, 0.9, len(who))) % 24
        return who, began + hour * 3600

    def _legacy_sources(self, began: float) -> NDArray[np.float64]:
        """Cumulated chances of pages in the popular, new and random slots; shape (3, roles, P)."""
        pages = self.pages
        there = pages.eligible & (pages.published_at <= began) & (pages.retired_at > began + DAY)
        age = (began - pages.published_at) / DAY
        new = np.exp(-np.clip(age, 0, None) / 7) * (age < 30)
        weights = np.stack(
            [self.popularity + 0.3, np.broadcast_to(new + 1e-6, there.shape), np.ones(there.shape)]
        )
        return np.cumsum(weights * there, axis=2)

    def _lists(
        self, rng: np.random.Generator, who: NDArray[np.int64], sources: NDArray[np.float64]
    ) -> NDArray[np.int64]:
        """The legacy recommender's lists, shape (B, LIST); -1 where it found no more pages.

        Half of its slots hold what is popular in the role, a fifth new pages, a fifth any page, a
        tenth the next page of a path.
        """
        draws = 3 * LIST
        kind = choose(rng, np.tile([0.5, 0.2, 0.2, 0.1], (len(who) * draws, 1))).reshape(-1, draws)
        position = rng.random(kind.shape)
        found = np.zeros(kind.shape, np.int64)
        role = self.people.role[who]
        for slot in range(3):
            for one in np.unique(role):
                chances = sources[slot, one]
                mine = (role == one)[:, None] & ((kind == slot) | ((slot == 2) & (kind == 3)))
                place = np.searchsorted(chances, position[mine] * chances[-1], side="right")
                found[mine] = np.minimum(place, len(chances) - 1)
        recent = np.take_along_axis(self.last[who], rng.integers(0, RECENT, kind.shape), axis=1)
        after = np.where(recent >= 0, self._successor[recent], -1)
        there = np.diff(sources[2], axis=1, prepend=0)[role[:, None], after] > 0
        found = np.where((kind == 3) & (after >= 0) & there, after, found)
        # A page that is drawn twice, or was seen, gives its slot to the next draw.
        order = np.argsort(found, axis=1, kind="stable")
        ranked = np.take_along_axis(found, order, axis=1)
        repeated = np.zeros(kind.shape, np.bool_)
        np.put_along_axis(repeated, order, np.diff(ranked, axis=1, prepend=-1) == 0, axis=1)
        keep = ~repeated & ~self.seen[who[:, None], found] & (sources[2, role, -1] > 0)[:, None]
        place = np.cumsum(keep, axis=1) - 1
        rows, columns = np.nonzero(keep & (place < LIST))
        lists = np.full((len(who), LIST), -1, np.int64)
        lists[rows, place[rows, columns]] = found[rows, columns]
        return lists

    def _sessions(
        self,
        rng: np.random.Generator,
        who: NDArray[np.int64],
        times: NDArray[np.float64],
        requests: NDArray[np.str_],
        sources: NDArray[np.float64],
        views: NDArray[np.float64],
        log: _Log,
    ) -> None:
        """One session of each associate: the list, clicks on it from the top, then look-ups."""
        base = self.truth.base(who, times)
        wanted = self.truth.given_history(base, self.seen[who], self.last[who])
        lists = self._lists(rng, who, sources)
        rows, positions = np.nonzero(lists >= 0)
        shown = lists[rows, positions]
        log.add(c.IMPRESSION, who[rows], shown, times[rows], request=requests[rows], position=positions)
        chance = wanted[rows, shown]
        looked = rng.random(len(rows)) < examination(positions)
        hit = looked & (rng.random(len(rows)) < chance)
        dismissed = looked & ~hit & (rng.random(len(rows)) < 0.05 * (1 - chance))
        log.add(
            c.SKIP,
            who[rows[dismissed]],
            shown[dismissed],
            times[rows[dismissed]] + rng.uniform(2, 15, dismissed.sum()),
            request=requests[rows[dismissed]],
            position=positions[dismissed],
        )
        clicked = np.zeros(lists.shape, np.bool_)
        clicked[rows[hit], positions[hit]] = True
        turn = np.cumsum(clicked, axis=1)
        clicks = np.minimum(turn[:, -1], _CLICKS)
        steps = clicks + np.minimum(rng.poisson(self.people.appetite[who]), _LOOKUPS)
        clock = times + rng.uniform(10, 40, len(who))
        for step in range(int(steps.max(initial=0))):
            active = np.flatnonzero(step < steps)
            from_list = step < clicks[active]
            position = np.argmax(clicked[active] & (turn[active] == step + 1), axis=1)
            if step:
                wanted[active] = self.truth.given_history(
                    base[active], self.seen[who[active]], self.last[who[active]]
                )
            # One look-up in seven wanders through the menu, past what is popular in the role.
            menu = np.diff(sources[0], axis=1, prepend=0)[self.people.role[who[active]]]
            wander = rng.random(len(active)) < 1 / 7
            search = np.where(wander[:, None], menu, wanted[active]).astype(np.float64)
            possible = from_list | (search.sum(axis=1) > 0)
            page = np.where(
                from_list, lists[active, position], np.minimum(choose(rng, search), len(menu.T) - 1)
            )
            active, page, position, from_list = (
                values[possible] for values in (active, page, position, from_list)
            )
            request = np.where(from_list, requests[active], "")
            stay = self._view(rng, log, who[active], page, clock[active], wanted[active, page], request,
                              np.where(from_list, position, -1))  # fmt: skip
            clock[active] += stay + rng.uniform(5, 90, len(active))
            self.seen[who[active], page] = True
            self.last[who[active]] = np.column_stack([page, self.last[who[active], :-1]])
            np.add.at(views, (self.people.role[who[active]], page), 1)

    def _view(
        self,
        rng: np.random.Generator,
        log: _Log,
        who: NDArray[np.int64],
        page: NDArray[np.int64],
        clock: NDArray[np.float64],
        chance: NDArray[np.float32],
        request: NDArray[np.str_],
        position: NDArray[np.int64],
    ) -> NDArray[np.float64]:
        """Log a view and what comes of it; gives the seconds that it took."""
        size = len(who)
        asked = self.pages.mandatory[self.people.role[who], page]
        done = rng.random(size) < np.clip(0.35 + 0.75 * np.sqrt(chance) + 0.2 * asked, 0, 0.97)
        progress = np.where(done, 1.0, rng.beta(1.4, 2.0, size))
        pace = np.exp(rng.normal(0, 0.25, size)) * (0.8 + 0.5 * np.sqrt(chance))
        # Nobody stays for more than 25 minutes: a session has no gap of 30.
        stay = np.clip(self.pages.duration[page] * progress * pace, 2, 1500)
        log.add(c.VIEW, who, page, clock, dwell=stay.round(1), progress=progress.round(3), request=request,
                position=position)  # fmt: skip
        end = clock + stay
        log.add(
            c.COMPLETE, who[done], page[done], end[done], progress=np.ones(done.sum()), request=request[done]
        )
        liking = 3.1 + 2.0 * chance + 0.6 * self.pages.quality[page] + self.people.generosity[who]
        stars = np.clip(np.round(liking + rng.normal(0, 0.6, size)), 1, 5)
        rates = done & (rng.random(size) < 0.12)
        log.add(c.RATE, who[rates], page[rates], end[rates] + 3, rating=stars[rates])
        for kind, share in ((c.LIKE, 0.10), (c.BOOKMARK, 0.03), (c.COMMENT, 0.012)):
            does = done & (rng.random(size) < share * np.clip((stars - 1) / 3, 0, 1))
            log.add(kind, who[does], page[does], end[does] + 5)
        return stay


class _Log:
    """Events of a day, as arrays by kind."""

    def __init__(self) -> None:
        self.parts: list[dict[str, NDArray[Any]]] = []

    def add(
        self,
        kind: str,
        who: NDArray[np.int64],
        page: NDArray[np.int64],
        time: NDArray[np.float64],
        *,
        dwell: NDArray[np.float64] | None = None,
        progress: NDArray[np.float64] | None = None,
        rating: NDArray[np.float64] | None = None,
        request: NDArray[np.str_] | None = None,
        position: NDArray[np.int64] | None = None,
    ) -> None:
        """Add events; absent columns are NaN, "" and -1 until the table is made."""
        size = len(who)
        nothing = np.full(size, np.nan)
        self.parts.append(
            {
                "who": who,
                "page": page,
                c.EVENT_TYPE: np.full(size, kind, "<U10"),
                c.TIMESTAMP: time,
                c.DWELL: nothing if dwell is None else dwell,
                c.PROGRESS: nothing if progress is None else progress,
                c.RATING: nothing if rating is None else rating,
                c.REQUEST_ID: np.full(size, "") if request is None else request,
                c.POSITION: np.full(size, -1) if position is None else position,
            }
        )

    def table(self, associates: NDArray[np.str_], pages: NDArray[np.str_], end: float) -> pl.DataFrame:
        """The contract's events before ``end``, in time order."""
        names = self.parts[0] if self.parts else {}
        joined = {name: np.concatenate([part[name] for part in self.parts]) for name in names}
        if not joined:
            return pl.DataFrame(schema=TABLES["events"].schema).drop(c.EVENT_ID)
        kept = joined[c.TIMESTAMP] < end
        joined = {name: values[kept] for name, values in joined.items()}
        order = np.lexsort((joined["page"], joined["who"], joined[c.TIMESTAMP]))
        joined = {name: values[order] for name, values in joined.items()}
        micros = (joined[c.TIMESTAMP] * 1e6).astype("datetime64[us]")
        request = pl.Series(joined[c.REQUEST_ID]).replace("", None)
        return pl.DataFrame(
            {
                c.ASSOCIATE_ID: associates[joined["who"]],
                c.PAGE_ID: pages[joined["page"]],
                c.EVENT_TYPE: joined[c.EVENT_TYPE],
                c.TIMESTAMP: pl.Series(micros).dt.replace_time_zone("UTC"),
                c.DWELL: pl.Series(joined[c.DWELL]).fill_nan(None),
                c.PROGRESS: pl.Series(joined[c.PROGRESS]).fill_nan(None),
                c.RATING: pl.Series(joined[c.RATING]).fill_nan(None),
                c.REQUEST_ID: request,
                c.POSITION: pl.Series(joined[c.POSITION]).cast(pl.Int32).replace(-1, None),
                c.RELEASE: request.is_not_null()
                .to_frame()
                .select(pl.when(pl.first()).then(pl.lit(LEGACY)))
                .to_series(),
            }
        )
