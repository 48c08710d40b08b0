"""``python -m serving.stores.drain``: move events and answers out of a store into Parquet, exactly once."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, NamedTuple
from uuid import uuid4

import orjson
import structlog
import typer

from components.contract.commands import run as run_commands
from components.contract.errors import WaymarkError
from components.contract.time import DAY
from serving.stores import Store, StoreError, StoreSettings, open_store
from serving.stores.partitions import bury, event_rows, impression_rows, sweep, write

log = structlog.get_logger()
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
_LEASE = "drain"
# Rows that one claim takes, and so a file holds at most.
_LIMIT = 10_000


class Drained(NamedTuple):
    """What a drain moved.

    Attributes
    ----------
    events, answers : int
        Rows moved.
    deleted : int
        Rows of forgotten people deleted from files.
    trimmed : int
        Rows that the store let go of.
    """

    events: int
    answers: int
    deleted: int
    trimmed: int


class BusyError(WaymarkError):
    """Another drain of the same store runs."""


def drain(
    store: Store,
    folder: Path,
    *,
    settings: StoreSettings | None = None,
    limit: int = _LIMIT,
    lease_seconds: float = 60,
) -> Drained:
    """Move what a store holds to files, once; see :mod:`serving.stores.partitions` for the files.

    A claim is settled when its files are on disk. A drain that is killed before gets the same claim
    again, and writes the same files.

    Parameters
    ----------
    store : Store
    folder : Path
    settings : StoreSettings, optional
        ``log_days``: how long the store keeps what was drained.
    limit : int
        Rows of a claim.
    lease_seconds : float
        So long after the last sign of life of a drain another one may begin.

    Raises
    ------
    BusyError
        Another drain runs.
    StoreError
        The store does not answer. What was moved so far is safe.
    """
    kept = (settings or StoreSettings()).log_days * DAY
    with _lease(store, lease_seconds) as renew:
        sweep(folder)
        events = _move(folder, "events", store.claim, event_rows, store.settle, limit, renew)
        answers = _move(
            folder, "impressions", store.claim_answers, impression_rows, store.settle_answers, limit, renew
        )
        # After the claims: who was forgotten while they were written is found in their files.
        deleted = bury(folder, store.forgotten(), time.time())
        trimmed = store.trim(time.time() - kept)
    moved = Drained(events, answers, deleted, trimmed)
    log.info("store drained", **moved._asdict())
    return moved


def _move(
    folder: Path,
    table: str,
    claim: Callable[[int], tuple[list[Any], str]],
    rows_of: Callable[[list[Any]], Any],
    settle: Callable[[str], None],
    limit: int,
    renew: Callable[[], None],
) -> int:
    moved, again = 0, True
    first = True
    while again:
        renew()
        taken, name = claim(limit)
        if not name:
            break
        rows, bad = rows_of(taken)
        write(folder, table, rows, bad, name)
        settle(name)
        moved += len(taken)
        log.info("drained", table=table, claim=name, rows=rows.height, bad=bad.height)
        # The first may be what a killed drain left; a later one that is not full is the end.
        again, first = first or len(taken) >= limit, False
    return moved


@contextmanager
def _lease(store: Store, seconds: float) -> Iterator[Callable[[], None]]:
    """Hold the store's drain lease; gives a function that renews it."""
    owner = uuid4().hex

    def until(moment: float) -> bytes:
        return orjson.dumps({"owner": owner, "until": moment})

    held = store.get(_LEASE)
    if held is not None and orjson.loads(held)["until"] > time.time():
        raise BusyError("another drain of this store runs")

    def renew() -> None:
        nonlocal held
        wanted = until(time.time() + seconds)
        if not store.put_if(_LEASE, wanted, held):
            raise BusyError("another drain of this store took over")
        held = wanted

    renew()
    try:
        yield renew
    finally:
        store.put_if(_LEASE, until(0), held)


@app.command()
def main(
    store: Annotated[
        str,
        typer.Option(help="Address: redis://HOST:PORT/DB, sqlite:///PATH or a path.", envvar="WAYMARK_STORE"),
    ],
    out: Annotated[Path, typer.Option(help="Folder of the files: HOME/feedback is read by the pipelines.")],
    every: Annotated[float, typer.Option(help="Seconds between two drains; 0: drain once.", min=0)] = 0,
) -> None:
    """Move events and answers out of a store into Parquet files that the pipelines read.

    Example: python -m serving.stores.drain --store build/home/store/events.sqlite --out build/home/feedback
    """
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    opened = open_store(store)
    while True:
        try:
            drain(opened, out)
        except (BusyError, StoreError) as error:
            if not every:
                raise
            log.warning("drain failed", error=str(error))
        if not every:
            break
        time.sleep(every)


if __name__ == "__main__":
    run_commands(app)
