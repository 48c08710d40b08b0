"""The academy's pages: topics, learning paths, texts, dates."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from components.contract import columns as c
from components.contract.time import DAY
from pipelines.academy.laws import Law
from pipelines.academy.people import TASTES
from pipelines.academy.words import (
    ADVERBS,
    COMPLIANCE,
    FORMATS,
    INDUCTION,
    PLACES,
    ROLES,
    SENTENCES,
    TITLES,
    TOPIC_INDEX,
    TOPICS,
    Topic,
)

NEWS = [name for name, *_ in FORMATS].index("news")
_RESTRICTED = 0.25
_RETIRED = 0.04
_LEADERS = (6, 7)
_STRAY = 0.12


@dataclass(frozen=True)
class Catalogue:
    """Pages as arrays, in the order of their learning paths; ids are shuffled.

    Attributes
    ----------
    ids : array of str, shape (P,)
    path : array of int32, shape (P,)
        Pages of one path share a number; a lone page has one of its own.
    topic, format : arrays of int32, shape (P,)
    previous : array of int32, shape (P,)
        Row of the page before on the path, -1 for none.
    published_at, updated_at, retired_at : arrays of float64, shape (P,)
        Epoch seconds; a mandatory page is asked for from ``updated_at`` on.
    duration : array of float64, shape (P,)
    eligible, mandatory : arrays of bool, shape (roles, P)
    due_days, recertify_days : arrays of float64, shape (P,)
        NaN for pages that are not mandatory.
    quality : array of float32, shape (P,)
    taste : array of float32, shape (P, TASTES)
    titles, bodies : lists of str
    """

    ids: NDArray[np.str_]
    path: NDArray[np.int32]
    topic: NDArray[np.int32]
    format: NDArray[np.int32]
    previous: NDArray[np.int32]
    published_at: NDArray[np.float64]
    updated_at: NDArray[np.float64]
    retired_at: NDArray[np.float64]
    duration: NDArray[np.float64]
    eligible: NDArray[np.bool_]
    mandatory: NDArray[np.bool_]
    due_days: NDArray[np.float64]
    recertify_days: NDArray[np.float64]
    quality: NDArray[np.float32]
    taste: NDArray[np.float32]
    titles: list[str]
    bodies: list[str]

    def table(self) -> pl.DataFrame:
        """The contract's pages table, sorted by id."""
        roles = np.array([name for name, *_ in ROLES])

        def instants(seconds: NDArray[np.float64]) -> pl.Series:
            return pl.Series((seconds * 1e6).astype("datetime64[us]")).dt.replace_time_zone("UTC")

        def names(flags: NDArray[np.bool_]) -> list[list[str]]:
            return [roles[column].tolist() for column in flags.T]

        limited = ~self.eligible.all(axis=0)
        before = [[str(self.ids[row])] if row >= 0 else [] for row in self.previous]
        frame = pl.DataFrame(
            {
                c.PAGE_ID: self.ids,
                "title": self.titles,
                "body": self.bodies,
                "topic": np.array([topic.name for topic in TOPICS])[self.topic],
                "format": np.array([name for name, *_ in FORMATS])[self.format],
                "duration_seconds": self.duration,
                "published_at": instants(self.published_at),
                "updated_at": instants(self.updated_at),
                "retired": np.isfinite(self.retired_at),
                "roles": names(self.eligible & limited),
                "mandatory_for": names(self.mandatory),
                "due_days": self.due_days,
                "prerequisites": before,
                "recertify_days": self.recertify_days,
            },
            schema_overrides={
                name: pl.List(pl.String) for name in ("roles", "mandatory_for", "prerequisites")
            },
        )
        return frame.with_columns(pl.col("due_days", "recertify_days").fill_nan(None)).sort(c.PAGE_ID)


def make_catalogue(rng: np.random.Generator, pages: int, start: float, days: int, law: Law) -> Catalogue:
    """Draw pages.

    Parameters
    ----------
    rng : numpy.random.Generator
    pages : int
    start : float
        Epoch seconds of the first day.
    days : int
        Pages go on being published over these days.
    law : Law
        Shares of pages on paths and of news, and how far tastes differ.
    """
    path, first = _paths(rng, pages, law.on_paths)
    groups = int(path[-1]) + 1
    lone = np.bincount(path)[path] == 1
    weight = rng.uniform(0.5, 1.5, len(TOPICS))
    topic = rng.choice(len(TOPICS), groups, p=weight / weight.sum()).astype(np.int32)[path]
    format_ = rng.choice(len(FORMATS), pages, p=[share for _, share, _ in FORMATS]).astype(np.int32)
    # News stands alone.
    format_ = np.where((format_ == NEWS) & ~lone, np.int32(0), format_)
    news = format_ == NEWS
    previous = np.where(first, -1, np.arange(pages) - 1).astype(np.int32)
    published = _published(rng, path, first, news, start, days, law.published_before)
    mandatory = _mandatory(rng, topic, lone & ~news)
    asked = mandatory.any(axis=0)
    assigned = start + np.floor(rng.uniform(-10, days, pages)) * DAY
    retires = lone & ~asked & (published < start) & (rng.random(pages) < _RETIRED)
    median = np.array([seconds for *_, seconds in FORMATS])[format_]
    taste = (
        0.55 * rng.standard_normal((len(TOPICS), TASTES))[topic]
        + 0.5 * rng.standard_normal((groups, TASTES))[path]
        + 0.4 * rng.standard_normal((pages, TASTES))
    )
    titles, bodies = _texts(rng, path, first, lone, topic)
    return Catalogue(
        ids=np.char.add("P", np.char.zfill((rng.permutation(pages) + 1).astype(np.str_), 5)),
        path=path,
        topic=topic,
        format=format_,
        previous=previous,
        published_at=published,
        updated_at=np.where(asked, np.maximum(published, assigned), published),
        retired_at=np.where(retires, start + np.floor(rng.uniform(0.3, 0.95, pages) * days) * DAY, np.inf),
        duration=np.round(median * np.exp(rng.normal(0, 0.4, pages))),
        eligible=_eligible(rng, topic, path) | asked,
        mandatory=mandatory,
        due_days=np.where(asked, rng.choice([14.0, 30.0, 45.0], pages), np.nan),
        recertify_days=np.where(asked, rng.choice([180.0, 365.0, np.nan], pages), np.nan),
        quality=rng.normal(0, 0.6, pages).astype(np.float32),
        # The product with a standard normal of the associate has the law's deviation.
        taste=(law.taste * taste / np.sqrt(TASTES * (0.55**2 + 0.5**2 + 0.4**2))).astype(np.float32),
        titles=titles,
        bodies=bodies,
    )


def _format_shares(news: float) -> NDArray[np.float64]:
    """Shares of the formats, with this share of news and the others in proportion."""
    shares = np.array([share for _, share, *_ in FORMATS])
    others = np.arange(len(shares)) != NEWS
    shares[others] *= (1 - news) / shares[others].sum()
    shares[NEWS] = news
    return shares


def _paths(rng: np.random.Generator, pages: int, share: float) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
    """Number of each page's path, and whether the page begins it; paths first, lone pages last."""
    lengths: list[int] = []
    while sum(lengths) + 8 <= share * pages + 4:
        lengths.append(int(rng.integers(3, 9)))
    lengths += [1] * (pages - sum(lengths))
    path = np.repeat(np.arange(len(lengths)), lengths).astype(np.int32)
    return path, np.diff(path, prepend=-1) != 0


def _published(
    rng: np.random.Generator,
    path: NDArray[np.int32],
    first: NDArray[np.bool_],
    news: NDArray[np.bool_],
    start: float,
    days: int,
    early: float,
) -> NDArray[np.float64]:
    """Whole paths appear at once or page by page; each page at six in the morning."""
    groups = int(path[-1]) + 1
    before = rng.random(groups) < early
    day = np.where(before, -np.ceil(rng.uniform(3, 400, groups)), np.floor(rng.uniform(0, days, groups)))[
        path
    ]
    # Old news has left the platform: nearly all of it is of the period.
    day = np.where(news, np.floor(rng.uniform(-5, days, len(path))), day)
    wait = np.where(first, 0, rng.integers(0, 4, len(path)))
    since = np.cumsum(wait)
    delay = since - since[np.searchsorted(path, path)]
    late = np.minimum(day + delay, np.where(day < 0, -1, days - 1))
    return start + late * DAY + 6 * 3600


def _mandatory(
    rng: np.random.Generator, topic: NDArray[np.int32], may: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Some lone pages of the topics that the law asks for: for all, or for three roles."""
    compliance = np.isin(topic, [TOPIC_INDEX[name] for name in COMPLIANCE])
    chosen = may & compliance & (rng.random(len(topic)) < 0.4)
    everyone = rng.random(len(topic)) < 0.5
    some = rng.random((len(ROLES), len(topic))).argsort(axis=0) < 3
    return chosen & (everyone | some)


def _eligible(
    rng: np.random.Generator, topic: NDArray[np.int32], path: NDArray[np.int32]
) -> NDArray[np.bool_]:
    """Most pages are for all; the others for the roles that the topic belongs to, and leaders."""
    groups = int(path[-1]) + 1
    core = np.zeros((len(ROLES), len(TOPICS)), np.bool_)
    for role, (_, _, names, _) in enumerate(ROLES):
        core[role, [TOPIC_INDEX[name] for name in names]] = True
    core[_LEADERS, :] = True
    leading = topic == TOPIC_INDEX["leading a team"]
    chance = np.where(leading, 0.8, np.where(topic == INDUCTION, 0.0, _RESTRICTED))
    restricted = rng.random(groups)[path] < chance
    return core[:, topic] | ~restricted


# A page is read between two customers.
_MOST_WORDS = 300


def _texts(
    rng: np.random.Generator,
    path: NDArray[np.int32],
    first: NDArray[np.bool_],
    lone: NDArray[np.bool_],
    topic: NDArray[np.int32],
) -> tuple[list[str], list[str]]:
    """Titles and bodies. Pages of one path share a subject and most of their words; some sentences stray."""
    groups = int(path[-1]) + 1
    subject = rng.integers(0, 2**16, groups)
    nouns = rng.random((groups, 12)).argsort(axis=1)[:, :6]
    sizes = rng.integers(8, 21, len(path))
    titles, bodies = [], []
    number = 0
    for page, group in enumerate(path):
        number = 1 if first[page] else number + 1
        own = TOPICS[topic[page]]
        about = own.subjects[subject[group] % len(own.subjects)]
        title = _fill(rng, TITLES[rng.integers(len(TITLES))], own, about, nouns[group])
        titles.append(title if lone[page] else f"{about[0].upper()}{about[1:]}, part {number}: {title}")
        stray = rng.random(sizes[page]) < _STRAY
        picks = rng.integers(0, len(SENTENCES), sizes[page])
        near = TOPICS[(topic[page] + 1) % len(TOPICS)]
        sentences = [
            _fill(rng, SENTENCES[pick], near if off else own, about, nouns[group])
            for pick, off in zip(picks, stray, strict=True)
        ]
        ends = np.cumsum([sentence.count(" ") + 1 for sentence in sentences])
        bodies.append(" ".join(sentences[: np.searchsorted(ends, _MOST_WORDS, side="right")]))
    return titles, bodies


def _fill(
    rng: np.random.Generator, pattern: str, topic: Topic, subject: str, nouns: NDArray[np.int64]
) -> str:
    draws = rng.integers(0, 2**16, 6).tolist()
    n, m = (topic.nouns[nouns[i]] for i in _two(draws[0], draws[1], len(nouns)))
    v, w = (topic.verbs[i] for i in _two(draws[2], draws[3], len(topic.verbs)))
    a, p = ADVERBS[draws[4] % len(ADVERBS)], PLACES[draws[5] % len(PLACES)]
    text = pattern.format(s=subject, n=n, m=m, v=v, w=w, a=a, p=p)
    return text[0].upper() + text[1:]


def _two(first: int, second: int, size: int) -> tuple[int, int]:
    """Two different numbers below ``size`` from two draws."""
    return first % size, (first + 1 + second % (size - 1)) % size
