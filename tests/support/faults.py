"""Twenty faults of a day's delivery, of sizes laid down before the checks were written."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import numpy as np
import polars as pl

from components.contract import columns as c
from tests.support.days import REGIONS, ROLES, START, Chain

Tables = dict[str, pl.DataFrame]
Fault = Callable[[Tables, Chain, int, np.random.Generator], Tables]


def _events(change: Callable[[pl.DataFrame, np.random.Generator], pl.DataFrame]) -> Fault:
    return lambda tables, chain, day, rng: tables | {"events": change(tables["events"], rng)}


def _column(*expressions: pl.Expr) -> Fault:
    return _events(lambda rows, rng: rows.with_columns(*expressions))


def _again(rows: pl.DataFrame, rng: np.random.Generator, times: int) -> pl.DataFrame:
    """The rows repeated under new ids, some minutes off."""
    copies = pl.concat([rows] * times)
    off = pl.Series(rng.integers(0, 3_600_000_000, copies.height)).cast(pl.Duration("us"))
    return copies.with_columns(
        (pl.col(c.EVENT_ID) + pl.int_range(pl.len()).cast(pl.String)).alias(c.EVENT_ID),
        (pl.col(c.TIMESTAMP).dt.truncate("1h") + off).alias(c.TIMESTAMP),
    )


def _role_mix(tables: Tables, chain: Chain, day: int, rng: np.random.Generator) -> Tables:
    people = tables["associates"]
    wrong = pl.Series(rng.random(people.height) < 0.1)
    roles = pl.Series(rng.choice(list(ROLES), people.height))
    return tables | {
        "associates": people.with_columns(pl.when(wrong).then(roles).otherwise("role").alias("role"))
    }


def _bots(tables: Tables, chain: Chain, day: int, rng: np.random.Generator) -> Tables:
    rows = tables["events"]
    size = 1000
    made = []
    for name in rng.choice(tables["associates"][c.ASSOCIATE_ID].to_numpy(), 3, replace=False):
        visited = tables["pages"].sample(size, with_replacement=True, seed=int(rng.integers(2**31)))
        begin = rows[c.TIMESTAMP].median() + timedelta(seconds=float(rng.uniform(0, 3600)))
        made.append(
            pl.DataFrame(
                {
                    c.EVENT_ID: [f"bot-{name}-{i}" for i in range(size)],
                    c.ASSOCIATE_ID: [name] * size,
                    c.PAGE_ID: visited[c.PAGE_ID],
                    c.EVENT_TYPE: [c.VIEW] * size,
                    c.TIMESTAMP: pl.Series([begin] * size)
                    + pl.Series(np.cumsum(rng.uniform(1, 4, size)) * 1e6)
                    .cast(pl.Int64)
                    .cast(pl.Duration("us")),
                    c.DWELL: rng.uniform(1, 3, size).round(1),
                    c.PROGRESS: np.full(size, 0.05),
                }
            )
        )
    return tables | {"events": pl.concat([rows, *made], how="diagonal_relaxed")}


def _topic(tables: Tables, chain: Chain, day: int, rng: np.random.Generator) -> Tables:
    topic = str(rng.choice(tables["pages"]["topic"].unique().sort().to_numpy()))
    return tables | {
        "pages": tables["pages"].with_columns(pl.col("topic").replace(topic, topic + " and more"))
    }


def _store(tables: Tables, rng: np.random.Generator) -> pl.Expr:
    """Events of a store of middling size."""
    sizes = tables["associates"].group_by("store").len().sort("len", "store")["store"]
    store = sizes[len(sizes) // 2]
    staff = tables["associates"].filter(pl.col("store") == store)[c.ASSOCIATE_ID]
    return pl.col(c.ASSOCIATE_ID).is_in(staff.implode())


def _store_missing(tables: Tables, chain: Chain, day: int, rng: np.random.Generator) -> Tables:
    return tables | {"events": tables["events"].filter(~_store(tables, rng))}


def _store_floods(tables: Tables, chain: Chain, day: int, rng: np.random.Generator) -> Tables:
    rows = tables["events"]
    return tables | {"events": pl.concat([rows, _again(rows.filter(_store(tables, rng)), rng, 9)])}


def _twice(rows: pl.DataFrame, rng: np.random.Generator) -> pl.DataFrame:
    return pl.concat([rows, rows.sample(fraction=0.15, seed=int(rng.integers(2**31)))])


def _missing_day(tables: Tables, chain: Chain, day: int, rng: np.random.Generator) -> Tables:
    return tables | {
        "events": tables["events"].filter(pl.col(c.TIMESTAMP).dt.date() != START + timedelta(days=day))
    }


def _late(rows: pl.DataFrame, rng: np.random.Generator) -> pl.DataFrame:
    return rows.filter(pl.Series(rng.random(rows.height) >= 0.3))


def _prefix(tables: Tables, chain: Chain, day: int, rng: np.random.Generator) -> Tables:
    new = pl.col(c.PAGE_ID).str.replace("P", "PG-")
    return tables | {name: tables[name].with_columns(new) for name in ("events", "pages")}


def _stale(tables: Tables, chain: Chain, day: int, rng: np.random.Generator) -> Tables:
    return tables | {"associates": chain.associates(day - 21)}


def _shifts(tables: Tables, chain: Chain, day: int, rng: np.random.Generator) -> Tables:
    swapped = pl.col("shift").replace({"early": "night", "night": "early"})
    return tables | {"associates": tables["associates"].with_columns(swapped)}


def _skew(tables: Tables, chain: Chain, day: int, rng: np.random.Generator) -> Tables:
    region = str(rng.choice(REGIONS))
    staff = tables["associates"].filter(pl.col("region") == region)[c.ASSOCIATE_ID]
    there = pl.col(c.ASSOCIATE_ID).is_in(staff.implode())
    time = pl.when(there).then(pl.col(c.TIMESTAMP) + timedelta(hours=2)).otherwise(c.TIMESTAMP)
    return tables | {"events": tables["events"].with_columns(time.alias(c.TIMESTAMP))}


# Each with the places, of which one must be named: (checks, table.column).
FAULTS: dict[str, tuple[Fault, set[str]]] = {
    "role mix: 10 % of associates": (_role_mix, {"drift:associates.role"}),
    "timestamps 7 hours off": (
        _column(pl.col(c.TIMESTAMP).dt.offset_by("7h")),
        {"drift:events.timestamp", "clock:events.timestamp"},
    ),
    "dwell empty": (
        _column(pl.lit(None, pl.Float64).alias(c.DWELL)),
        {"presence:events.dwell_seconds", "missing:events.dwell_seconds"},
    ),
    "dwell in milliseconds": (
        _column(pl.col(c.DWELL) * 1000),
        {"drift:events.dwell_seconds", "range:events.dwell_seconds"},
    ),
    "bots: 3 accounts, 1,000 views each": (_bots, {"flood:events.associate_id"}),
    "a topic renamed": (_topic, {"drift:pages.topic", "new_value:pages.topic"}),
    "a store missing": (_store_missing, {"missing_store:associates.store"}),
    "a store floods, 10 times": (_store_floods, {"flood:associates.store"}),
    "15 % of event ids twice": (_events(_twice), {"arrival:events"}),
    "a missing day": (_missing_day, {"missing_day:events.timestamp"}),
    "a spike, 3 times": (
        _events(lambda rows, rng: pl.concat([rows, _again(rows, rng, 2)])),
        {"spike:events.timestamp"},
    ),
    "progress in percent": (_column(pl.col(c.PROGRESS) * 100), {"arrival:events", "quarantine:events"}),
    "ratings inverted": (_column((6 - pl.col(c.RATING)).alias(c.RATING)), {"drift:events.rating"}),
    "views renamed": (
        _column(pl.col(c.EVENT_TYPE).replace(c.VIEW, "opened")),
        {"arrival:events", "quarantine:events"},
    ),
    "30 % of the day late": (_events(_late), {"drop:events.timestamp", "arrival:events"}),
    "page ids with a new prefix": (_prefix, {"drift:events.page_id"}),
    "associates three weeks old": (_stale, {"stale:associates.hired_at", "stale:associates.associate_id"}),
    "early and night shift swapped": (_shifts, {"drift:associates.shift", "drift:events.timestamp"}),
    "impressions stop": (
        _events(lambda rows, rng: rows.filter(pl.col(c.EVENT_TYPE) != c.IMPRESSION)),
        {"drift:events.event_type"},
    ),
    "one region's clock 2 hours off": (_skew, {"drift:events.timestamp", "clock:events.timestamp"}),
}
