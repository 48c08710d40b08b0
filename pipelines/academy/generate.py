"""Make an academy: pages, associates, a log of events, and the truth behind it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import orjson
import polars as pl
from numpy.typing import NDArray

from components.contract import columns as c
from components.contract.errors import DataError
from components.contract.files import atomic_file, atomic_folder
from components.contract.time import DAY
from pipelines.academy.behaviour import Behaviour
from pipelines.academy.catalogue import NEWS, Catalogue, make_catalogue
from pipelines.academy.laws import LAWS, Law
from pipelines.academy.people import People, make_people
from pipelines.academy.truth import RECENT, TruePreference
from pipelines.academy.words import (
    DEPARTMENTS,
    FORMATS,
    INDUCTION,
    REGIONS,
    ROLES,
    SEASONS,
    TOPIC_INDEX,
    TOPICS,
)

START = dt.datetime(2026, 9, 1, tzinfo=dt.UTC)
# Campaigns are known for so long after the log's end, so that later requests can be judged.
_AFTER = 30


def make_academy(
    out: Path | str,
    associates: int = 2000,
    pages: int = 600,
    days: int = 60,
    seed: int = 7,
    progress: Callable[[int, int], None] | None = None,
    law: str = "mixed",
) -> dict[str, float | int]:
    """Generate a training platform's log in the contract's tables.

    Writes ``events.parquet/date=YYYY-MM-DD/part-0.parquet``, ``pages.parquet``,
    ``associates.parquet``, ``truth/`` (:class:`TruePreference`) and, last of all, ``academy.json``
    with the arguments and the figures that are returned. One seed gives the same academy each time.

    Parameters
    ----------
    out : Path or str
        Folder to write; made if it is missing, its earlier academy is replaced.
    associates, pages, days : int
        Size. Memory grows with associates x pages (one byte each), not with days.
    seed : int
    progress : callable, optional
        Called with the days done and the days in all, after each day.
    law : str
        What rules the behaviour: a name in ``LAWS``.

    Returns
    -------
    dict
        ``associates``, ``pages``, ``events``, counts of each event type, ``click_rate`` (views from
        the list to impressions), ``mean_preference`` (of an available page, for an average request
        at the end) and ``best_preference`` (mean of the ten best pages of each such request).

    Raises
    ------
    DataError
        A size is not positive, there are too few pages for a learning path, or the law is unknown.
    """
    for name, value, least in (("associates", associates, 1), ("pages", pages, 10), ("days", days, 1)):
        if value < least:
            raise DataError(f"{name}: must be at least {least} (got {value})")
    if law not in LAWS:
        raise DataError(f"law: {law} is none of {', '.join(LAWS)}")
    out = Path(out)
    start = START.timestamp()
    rng = np.random.default_rng([seed, 0])
    people = make_people(rng, associates, start, days)
    catalogue = make_catalogue(rng, pages, start, days, LAWS[law])
    truth = _truth(rng, people, catalogue, start, days, LAWS[law])
    behaviour = Behaviour(people, catalogue, truth, start, days, seed)

    (out / "academy.json").unlink(missing_ok=True)
    for table, frame in (("pages", catalogue.table()), ("associates", people.table())):
        with atomic_file(out / f"{table}.parquet") as aside:
            frame.write_parquet(aside, compression="zstd")
    truth.save(out / "truth")
    counts: dict[str, int] = dict.fromkeys(c.EVENT_TYPES, 0)
    total = clicks = 0
    with atomic_folder(out / "events.parquet") as aside:
        late = None
        for day in range(days):
            events = behaviour.day(day)
            # Sessions run on past midnight: those events belong to the next day's file.
            events = (
                events if late is None else pl.concat([late, events]).sort(c.TIMESTAMP, maintain_order=True)
            )
            midnight = START + dt.timedelta(days=day + 1)
            late = events.filter(pl.col(c.TIMESTAMP) >= midnight)
            events = events.filter(pl.col(c.TIMESTAMP) < midnight)
            number = pl.int_range(total, total + events.height, eager=True).cast(pl.String).str.zfill(10)
            events = events.with_columns(("E" + number).alias(c.EVENT_ID))
            part = aside / f"date={START + dt.timedelta(days=day):%Y-%m-%d}" / "part-0.parquet"
            part.parent.mkdir()
            events.write_parquet(part, compression="zstd")
            total += events.height
            for kind, count in events[c.EVENT_TYPE].value_counts().rows():
                counts[kind] += count
            clicks += events.filter(pl.col(c.EVENT_TYPE) == c.VIEW, pl.col(c.POSITION).is_not_null()).height
            if progress is not None:
                progress(day + 1, days)
    figures: dict[str, float | int] = {"associates": associates, "pages": pages, "events": total, **counts}
    figures["click_rate"] = round(clicks / max(1, counts[c.IMPRESSION]), 4)
    figures |= _levels(behaviour)
    arguments = {"associates": associates, "pages": pages, "days": days, "seed": seed, "law": law}
    with atomic_file(out / "academy.json") as aside_file:
        text = orjson.dumps({"arguments": arguments, "figures": figures}, option=orjson.OPT_INDENT_2)
        aside_file.write_bytes(text)
    return figures


def _truth(
    rng: np.random.Generator, people: People, pages: Catalogue, start: float, days: int, law: Law
) -> TruePreference:
    role_topic = rng.normal(0, 0.45, (len(ROLES), len(TOPICS)))
    department_topic = rng.normal(0, 0.2, (len(DEPARTMENTS), len(TOPICS)))
    for row, (_, _, names, _) in enumerate(ROLES):
        role_topic[row, [TOPIC_INDEX[name] for name in names]] += rng.uniform(1.0, 2.0, len(names))
    for row, (_, names, _) in enumerate(DEPARTMENTS):
        department_topic[row, [TOPIC_INDEX[name] for name in names]] += rng.uniform(0.5, 1.1, len(names))
    truth = TruePreference(
        associate_ids=people.ids,
        role=people.role,
        department=people.department,
        region=people.region,
        hired_at=people.hired_at,
        taste=people.taste,
        page_ids=pages.ids,
        page_taste=pages.taste,
        topic=pages.topic,
        format=pages.format,
        quality=pages.quality,
        published_at=pages.published_at,
        retired_at=pages.retired_at,
        eligible=pages.eligible,
        mandatory=pages.mandatory,
        assigned_at=pages.updated_at,
        due_days=pages.due_days,
        previous=pages.previous,
        news=pages.format == NEWS,
        induction=pages.topic == INDUCTION,
        role_topic=(law.needs * role_topic).astype(np.float32),
        department_topic=(law.needs * department_topic).astype(np.float32),
        region_topic=(law.needs * rng.normal(0, 0.2, (len(REGIONS), len(TOPICS)))).astype(np.float32),
        campaign=np.float32(law.campaigns) * _campaigns(rng, days),
        band_format=rng.normal(0, 0.4, (4, len(FORMATS))).astype(np.float32),
        start=start,
        offset=0.0,
        weights=law.weights,
    )
    return replace(truth, offset=_offset(truth, rng, days))


def _campaigns(rng: np.random.Generator, days: int) -> NDArray[np.float32]:
    """Lift of each topic by day: the year's seasons, and a surge of some topic about every ten days."""
    length = days + _AFTER
    lift = np.zeros((length, len(TOPICS)))
    day = np.arange(length)

    def raise_topic(topic: int, centre: float, width: float, height: float) -> None:
        lift[:, topic] += height * np.exp(-0.5 * ((day - centre) / (width / 2)) ** 2)

    for _, month, date, width, names in SEASONS:
        heights = rng.uniform(1.0, 1.8, len(names))
        for year in range(START.year - 1, (START + dt.timedelta(days=length)).year + 2):
            centre = (dt.datetime(year, month, date, tzinfo=dt.UTC) - START).days
            for name, height in zip(names, heights, strict=True):
                raise_topic(TOPIC_INDEX[name], centre, width, height)
    for _ in range(max(1, length // 10)):
        raise_topic(
            int(rng.integers(len(TOPICS))), rng.uniform(0, length), rng.uniform(4, 9), rng.uniform(0.8, 1.8)
        )
    return lift.astype(np.float32)


def _offset(truth: TruePreference, rng: np.random.Generator, days: int) -> float:
    """Constant of the log-odds that gives the wanted average preference, by bisection."""
    size = min(len(truth.associate_ids), 256)
    who = rng.choice(len(truth.associate_ids), size, replace=False)
    base = truth.base(who, truth.start + rng.uniform(0, days, size) * DAY)
    seen = np.zeros(base.shape, np.bool_)
    last = np.full((size, RECENT), -1, np.int32)
    there = np.isfinite(base)
    low, high = -20.0, 20.0
    for _ in range(40):
        middle = (low + high) / 2
        level = truth.given_history(base + np.float32(middle), seen, last)[there].mean() if there.any() else 1
        low, high = (middle, high) if level < truth.weights.mean else (low, middle)
    return (low + high) / 2


def _levels(behaviour: Behaviour) -> dict[str, float]:
    """Average preference and that of the ten best pages, for a sample of requests at the log's end."""
    truth = behaviour.truth
    rng = np.random.default_rng([behaviour.seed, 2])
    who = rng.choice(len(truth.associate_ids), min(len(truth.associate_ids), 512), replace=False)
    base = truth.base(who, np.full(len(who), truth.start + behaviour.days * DAY - 1))
    chance = truth.given_history(base, behaviour.seen[who], behaviour.last[who])
    best = -np.sort(-chance, axis=1)[:, :10]
    there = np.isfinite(base)
    mean = float(chance[there].mean()) if there.any() else 0.0
    return {"mean_preference": round(mean, 4), "best_preference": round(float(best.mean()), 4)}
