"""A server for a million associates: ``python -m tests.benchmarks.server.capacity [--home HOME]``.

The release is another one's with more people: their attributes and embeddings are drawn from its
associates, their pages at random. So is what the store knows of them when the server starts.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import polars as pl
import typer
from redis import Redis
from rich.console import Console

from components.contract import columns as c
from components.contract.dataset import INTERACTION_SCHEMA, Dataset
from components.contract.query_tower import QueryTower, Vocabulary
from components.contract.release import MANIFEST, Release, current, publish, write_release
from components.contract.time import DAY
from serving.stores import open_store
from serving.stores.base import StoredEvent
from tests.benchmarks.data.generate import ids
from tests.benchmarks.quality.machine import describe
from tests.benchmarks.server import load as l
from tests.benchmarks.server.measure import opened
from tests.benchmarks.server.prepare import make_release, need_wrk, people_and_pages
from tests.support.process import ROOT
from tests.support.running import Running, serving

console = Console(stderr=True)
_BATCH = 5000


def grow(release: Release, home: Path, associates: int, pages: int, seed: int = 5) -> Release:
    """A release like another, of so many associates who opened so many pages each, or a few fewer."""
    draw = np.random.default_rng(seed)
    dataset = Dataset.load(release.root)
    names = ids("A", np.arange(associates), 8)
    like = draw.integers(0, dataset.associates.height, associates)
    people = dataset.associates[like].with_columns(names.alias(c.ASSOCIATE_ID))
    tower = QueryTower.load(release.part("two_tower"))
    own = tower.encode_associates(dataset.associates[c.ASSOCIATE_ID].to_numpy().astype(np.str_))[like]
    weights = tower.weights["associate"]
    grown = replace(
        tower,
        associates=Vocabulary.of(names.to_numpy().astype(np.str_)),
        weights={**tower.weights, "associate": np.concatenate([weights[:1], weights[own]])},
    )
    bigger = replace(dataset, associates=people, interactions=_history(dataset, associates, pages, draw))

    def fill(folder: Path) -> None:
        skipped = shutil.ignore_patterns(MANIFEST, "lists", "associates.parquet", "interactions.parquet")
        shutil.copytree(release.root, folder, dirs_exist_ok=True, ignore=skipped)
        bigger.associates.write_parquet(folder / "associates.parquet")
        bigger.interactions.write_parquet(folder / "interactions.parquet")
        grown.save(folder / "sources" / "two_tower")

    made = write_release(home, fill, kind="daily", last_event=dataset.meta["span"][1])
    return publish(home, made.name)


def _history(dataset: Dataset, associates: int, pages: int, draw: np.random.Generator) -> pl.DataFrame:
    """Interactions by associate and time; popular pages more often."""
    many = len(dataset.page_ids)
    pair = np.repeat(np.arange(associates, dtype=np.int64), pages) * many
    pair = np.unique(pair + (draw.random(len(pair)) ** 2 * many).astype(np.int64))
    who = (pair // many).astype(np.int32)
    first, last = dataset.meta["span"]
    time = first + draw.random(len(pair)) * (last - first)
    order = np.lexsort((time, who))
    held = np.bincount(who, minlength=associates)
    ordinal = (np.arange(len(who)) - np.repeat(np.cumsum(held) - held, held)).astype(np.int32)
    return pl.DataFrame(
        {
            c.ASSOCIATE: who,
            c.PAGE: (pair % many).astype(np.int32)[order],
            c.TIME: time[order],
            c.ORDINAL: ordinal,
            c.SESSION: ordinal,
            c.STAGE: np.zeros(len(who), np.int8),
        },
        schema=INTERACTION_SCHEMA,
    )


def activity(people: pl.Series, pages: list[str], each: int, after: float) -> Iterator[list[StoredEvent]]:
    """Batches of views since the release, ``each`` of everybody, in the order of time."""
    draw = np.random.default_rng(9)
    total = each * len(people)
    for start in range(0, total, _BATCH):
        rows = []
        for number in range(start, min(start + _BATCH, total)):
            who, page = people[number % len(people)], pages[int(draw.random() ** 2 * len(pages))]
            row = {"event_id": f"c{number}", "associate_id": who, "page_id": page, "event_type": "view"}
            at = after + number / total * DAY
            text = json.dumps({**row, "timestamp": at, "request_id": f"r{number:032x}"})
            rows.append(StoredEvent(f"c{number}", who, page, "view", at, text))
        yield rows


def measure(home: Path, kind: str, each: int, seconds: float) -> dict[str, Any]:
    """Fill a store, start a server over it, ask for people from everywhere in the release."""
    release = current(home)
    assert release is not None
    dataset = Dataset.load(release.root)
    people, (asked, pages) = dataset.associates[c.ASSOCIATE_ID], people_and_pages(home, 20_000)
    found: dict[str, Any] = {"events_in_store": each * len(people)}
    with tempfile.TemporaryDirectory() as name, opened(kind, Path(name)) as address:
        folder, began = Path(name), time.monotonic()
        store = open_store(address)
        for batch in activity(people, pages, each, dataset.meta["span"][1]):
            store.append(batch)
        store.close()
        found["filled_seconds"] = time.monotonic() - began
        if kind == "redis":
            with Redis.from_url(address) as client:
                found["store_bytes"] = client.info("memory")["used_memory"]
        else:
            found["store_bytes"] = sum(file.stat().st_size for file in folder.iterdir() if file.is_file())
        found["store_bytes_per_event"] = found["store_bytes"] / max(found["events_in_store"], 1)
        arguments = ("--store", address, "--log-level", "warning")

        def start() -> contextlib.AbstractContextManager[Running]:
            log = folder / "serving.log"
            return serving(home, log, *arguments, patience=1800, WAYMARK_SERVING_DRAIN_SECONDS="0")

        # The very first one counts all of the store's log; it leaves a checkpoint from which others begin.
        with start() as server:
            found["seconds_to_ready_first"], found["cpu_seconds_first"] = server.seconds, server.cpu()
        with start() as server:
            found["seconds_to_ready"], found["cpu_seconds"] = server.seconds, server.cpu()
            found["rss_mb_ready"] = server.rss() / 1e6
            loads = [l.drive(server, l.write_predict(folder, asked), n, seconds) for n in (1, 8)]
            found["rss_mb_busy"], found["peak_mb"] = server.rss() / 1e6, server.rss(peak=True) / 1e6
    found |= {"p50_ms": loads[0].p50, "p99_ms": loads[0].p99, "cpu_ms": loads[0].cpu}
    found |= {"per_second": loads[1].rate, "errors": loads[0].errors + loads[1].errors}
    return found


def main(
    home: Annotated[
        Path | None,
        typer.Option(envvar="BENCH_HOME", help="A HOME whose release is grown; else one is made under OUT."),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for releases and figures.")] = ROOT / "build/bench",
    associates: Annotated[list[int] | None, typer.Option(help="Sizes; 1,000,000 if not given.")] = None,
    pages: Annotated[int, typer.Option(help="Pages that each has opened.", min=1)] = 20,
    events: Annotated[int, typer.Option(help="Of each associate in the store.", min=0)] = 1,
    store: Annotated[list[str] | None, typer.Option(help="embedded, redis; both if not given.")] = None,
    seconds: Annotated[float, typer.Option(help="Of each run of wrk.", min=1)] = 5,
) -> None:
    """Measure time to ready, memory and speed of one worker for many associates."""
    need_wrk()
    out.mkdir(parents=True, exist_ok=True)
    base = current(home or make_release(out))
    if base is None:
        raise typer.BadParameter(f"{home} holds no release", param_hint="--home")
    results: list[dict[str, Any]] = []
    for size in associates or [1_000_000]:
        with tempfile.TemporaryDirectory(dir=out) as name:
            grown = grow(base, Path(name), size, pages)
            files = grown.manifest.files.values()
            for kind in store or ["embedded", "redis"]:
                found = {"associates": size, "pages_each": pages, "store": kind}
                found["release_mb"] = sum(file.size for file in files) / 1e6
                results.append(found | measure(Path(name), kind, events, seconds))
                console.print(results[-1])
    whole = {"machine": describe(), "results": results}
    (out / "capacity.json").write_text(json.dumps(whole, indent=1))
    typer.echo(json.dumps(whole, indent=1))


if __name__ == "__main__":
    typer.run(main)
