"""A chain's days as they are delivered: rhythm, growth, hires, new pages, campaigns, late rows; no faults.

Made for the tests of validation and blind to its thresholds: what varies here varies because shops do.
Each day is drawn from its own seed, so that any day can be made again.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

import numpy as np
import polars as pl

from components.contract import columns as c

START = date(2026, 1, 5)  # a Monday
_BEGIN = datetime.combine(START, time(), UTC)
ROLES = {"cashier": 0.34, "stocker": 0.24, "baker": 0.12, "butcher": 0.08, "driver": 0.07, "supervisor": 0.15}
SHIFTS = {"early": 0.5, "late": 0.32, "night": 0.18}
REGIONS = ("North", "South", "East", "West", "Coast")
DEPARTMENTS = ("checkout", "fresh", "grocery", "logistics", "office")
TOPICS = ("safety", "till", "stock", "fresh", "service", "hygiene", "law", "tools", "culture", "health")
FORMATS = ("video", "text", "quiz")
_WEEK = np.array([1.0, 0.97, 0.98, 1.02, 1.12, 0.95, 0.55])
_PEAKS = {"early": (6.8, 10.5), "late": (14.2, 18.4), "night": (22.4, 2.4)}
_HOLIDAY, _CAMPAIGN = 17, 13  # every so many days one begins
_CAMPAIGN_DAYS = 9


@dataclass
class Chain:
    """A chain of shops.

    Parameters
    ----------
    seed : int
    people, stores, pages : int
        At the start; people and pages grow.
    horizon : int
        Days until which hires and new pages are drawn.
    """

    seed: int
    people: int = 2500
    stores: int = 40
    pages: int = 300
    horizon: int = 120

    def __post_init__(self) -> None:
        rng = np.random.default_rng([self.seed, 0])
        growth = rng.uniform(0.0005, 0.002)
        hires = int(self.people * growth * self.horizon)
        total = self.people + hires
        size = rng.lognormal(0, 0.5, self.stores)
        self.store = rng.choice(self.stores, total, p=size / size.sum())
        self.region_of = rng.choice(len(REGIONS), self.stores)
        self.role = rng.choice(list(ROLES), total, p=list(ROLES.values()))
        self.shift = rng.choice(list(SHIFTS), total, p=list(SHIFTS.values()))
        self.department = rng.choice(DEPARTMENTS, total)
        self.rate = np.minimum(rng.lognormal(np.log(0.36), 0.5, total), 0.95)
        # Some are promoted or move to another store.
        self.moved = np.where(
            rng.random(total) < 0.0006 * self.horizon, rng.integers(0, self.horizon, total), self.horizon
        )
        self.new_role = rng.choice(list(ROLES), total, p=list(ROLES.values()))
        self.new_store = np.where(rng.random(total) < 0.3, rng.integers(0, self.stores, total), self.store)
        joined = rng.integers(0, self.horizon, hires)
        self.hired = np.concatenate([-rng.exponential(700, self.people).astype(int) - 1, joined])
        new = int(rng.uniform(1, 3) * self.horizon)
        published = np.concatenate(
            [-rng.integers(5, 900, self.pages), np.sort(rng.integers(0, self.horizon, new))]
        )
        # Nothing is published at weekends.
        self.published = np.where(published % 7 >= 5, published - published % 7 + 7, published)
        count = len(published)
        self.topic = rng.choice(TOPICS, count, p=rng.dirichlet(np.full(len(TOPICS), 8)))
        self.format = rng.choice(FORMATS, count, p=[0.5, 0.3, 0.2])
        self.duration = np.round(rng.lognormal(np.log(180), 0.6, count))
        self.appeal = rng.lognormal(0, 0.8, count)
        self.first_campaign = int(rng.integers(0, _CAMPAIGN))
        self.first_holiday = int(rng.integers(0, _HOLIDAY))
        self.trend = rng.normal(0, 0.001)

    def place(self, day: int) -> tuple[np.ndarray, np.ndarray]:
        """Role and store of everybody on a day."""
        moved = self.moved <= day
        return np.where(moved, self.new_role, self.role), np.where(moved, self.new_store, self.store)

    def associates(self, day: int) -> pl.DataFrame:
        """The associates table at the end of a day."""
        here = np.flatnonzero(self.hired <= day)
        role, store = self.place(day)
        return pl.DataFrame(
            {
                c.ASSOCIATE_ID: [f"A{i:05d}" for i in here],
                "role": role[here],
                "department": self.department[here],
                "store": [f"S{i:03d}" for i in store[here]],
                "region": np.array(REGIONS)[self.region_of[store[here]]],
                "shift": self.shift[here],
                "hired_at": [_BEGIN + timedelta(days=int(d)) for d in self.hired[here]],
            }
        )

    def catalogue(self, day: int) -> pl.DataFrame:
        """The pages table at the end of a day."""
        here = np.flatnonzero(self.published <= day)
        return pl.DataFrame(
            {
                c.PAGE_ID: [f"P{i:04d}" for i in here],
                "title": [f"{self.topic[i].capitalize()}, lesson {i}" for i in here],
                "topic": self.topic[here],
                "format": self.format[here],
                "duration_seconds": self.duration[here],
                "published_at": [_BEGIN + timedelta(days=int(d), hours=9) for d in self.published[here]],
            }
        )

    def events(self, day: int) -> pl.DataFrame:
        """All events that happen on a day's shifts, with the day on which they arrive."""
        rng = np.random.default_rng([self.seed, 1, day])
        here = self.hired <= day
        role, store = self.place(day)
        level = _WEEK[day % 7] * np.exp(self.trend * day + rng.normal(0, 0.03))
        if (day - self.first_holiday) % _HOLIDAY == 0:
            level *= 0.7
        place = np.exp(rng.normal(0, 0.05, len(REGIONS)))[self.region_of[store]]
        place = place * np.exp(rng.normal(0, 0.12, self.stores))[store]
        begun = (day - self.first_campaign) % _CAMPAIGN
        number = (day - self.first_campaign) // _CAMPAIGN
        whom = list(ROLES)[np.random.default_rng([self.seed, 2, max(0, number)]).integers(len(ROLES))]
        on = (begun < _CAMPAIGN_DAYS) & (number >= 0)
        aimed = (role == whom) & on
        chance = np.where(here, self.rate * level * place * np.where(aimed, 1.1, 1), 0)
        active = np.flatnonzero(rng.random(len(chance)) < chance)
        peaks = np.array([_PEAKS[shift] for shift in self.shift[active]])
        peak = peaks[np.arange(len(active)), rng.integers(0, 2, len(active))]
        clock = ((peak + rng.normal(0, 0.9, len(active))) % 24) * 3600

        there = np.flatnonzero(self.published < day)
        age = day - self.published[there]
        weight = self.appeal[there] * (1 + 3 * np.exp(-age / 5))
        weight = weight / weight.sum()
        parts = []
        shown = there[rng.choice(len(there), (len(active), 8), p=weight)]
        parts.append(_rows(np.repeat(active, 8), shown.ravel(), c.IMPRESSION, np.repeat(clock, 8),
                           position=np.tile(np.arange(8), len(active))))  # fmt: skip
        views = 1 + rng.poisson(1.1, len(active))
        who = np.repeat(np.arange(len(active)), views)
        page = there[rng.choice(len(there), len(who), p=weight)]
        if on:
            # The mandatory page comes first, for those who have not done it yet.
            first = np.r_[True, who[1:] != who[:-1]]
            due = first & aimed[active[who]] & (rng.random(len(who)) < 0.6 * 0.75**begun)
            page = np.where(due, there[int(number) % len(there)], page)
        progress = np.where(rng.random(len(who)) < 0.55, 1.0, rng.beta(1.4, 2, len(who)).round(3))
        dwell = np.maximum(2, self.duration[page] * progress * np.exp(rng.normal(0, 0.3, len(who)))).round(1)
        passed = np.cumsum(dwell + rng.uniform(5, 60, len(who)))
        starts = np.r_[0, np.cumsum(views)[:-1]]
        begin = clock[who] + 3 + passed - dwell - (passed - dwell)[starts][who]
        parts.append(_rows(active[who], page, c.VIEW, begin, dwell=dwell, progress=progress))
        done = progress == 1
        end = begin + dwell
        parts.append(_rows(active[who[done]], page[done], c.COMPLETE, end[done], progress=progress[done]))
        rates = done & (rng.random(len(who)) < 0.25)
        stars = rng.choice([1, 2, 3, 4, 5], rates.sum(), p=[0.04, 0.08, 0.2, 0.38, 0.3]).astype(float)
        parts.append(_rows(active[who[rates]], page[rates], c.RATE, end[rates] + 3, rating=stars))
        likes = done & (rng.random(len(who)) < 0.08)
        parts.append(_rows(active[who[likes]], page[likes], c.LIKE, end[likes] + 5))
        skips = rng.random(len(active)) < 0.15
        parts.append(_rows(active[skips], shown[skips, 0], c.SKIP, clock[skips] + 1))
        rows = pl.concat(parts)
        midnight = _BEGIN + timedelta(days=day)
        late = np.where(rng.random(rows.height) < 0.02, rng.integers(1, 4, rows.height), 0)
        return rows.select(
            pl.format("E{}-{}", pl.lit(day), pl.int_range(pl.len())).alias(c.EVENT_ID),
            pl.format("A{}", pl.col("who").cast(pl.String).str.zfill(5)).alias(c.ASSOCIATE_ID),
            pl.format("P{}", pl.col("page").cast(pl.String).str.zfill(4)).alias(c.PAGE_ID),
            c.EVENT_TYPE,
            (pl.lit(midnight) + pl.duration(microseconds=(pl.col("seconds") * 1e6).cast(pl.Int64))).alias(
                c.TIMESTAMP
            ),
            *(pl.col(name).fill_nan(None) for name in (c.DWELL, c.PROGRESS, c.RATING)),
            pl.when(pl.col(c.POSITION) >= 0).then(c.POSITION).cast(pl.Int32).alias(c.POSITION),
            (day + pl.Series("arrives", late)).alias("arrives"),
        )

    def delivery(self, day: int) -> dict[str, pl.DataFrame]:
        """What arrives at the end of a day: its events, late ones of days before, and the other tables."""
        parts = [self.events(day - back).filter(pl.col("arrives") == day) for back in range(min(day, 3) + 1)]
        return {
            "events": pl.concat(parts).drop("arrives").sort(c.TIMESTAMP, c.EVENT_ID),
            "pages": self.catalogue(day),
            "associates": self.associates(day),
        }


def _rows(who, page, kind, seconds, *, dwell=None, progress=None, rating=None, position=None) -> pl.DataFrame:
    nothing = np.full(len(who), np.nan)
    return pl.DataFrame(
        {
            "who": np.asarray(who, np.int64),
            "page": np.asarray(page, np.int64),
            c.EVENT_TYPE: np.full(len(who), kind),
            "seconds": np.asarray(seconds, np.float64),
            c.DWELL: nothing if dwell is None else dwell,
            c.PROGRESS: nothing if progress is None else progress,
            c.RATING: nothing if rating is None else rating,
            c.POSITION: np.full(len(who), -1) if position is None else position,
        }
    )
