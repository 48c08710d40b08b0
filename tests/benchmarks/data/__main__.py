"""``python -m tests.benchmarks.data --out FOLDER``: the data path at scale, as JSON and a Markdown table."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import typer
from rich.console import Console

from components.contract import columns as c
from components.contract.dataset import Dataset
from components.contract.files import atomic_file
from components.contract.query_tower import QueryTower
from components.contract.sources import Vectors
from components.lists.best import BLOCK, Lister
from tests.benchmarks.data import generate, listing
from tests.benchmarks.data.report import markdown
from tests.benchmarks.quality.machine import describe

ROOT = Path(__file__).parents[3]
console = Console(stderr=True)


def job(*arguments: str | Path) -> dict[str, Any]:
    """Measure a job in a process of its own."""
    command = [sys.executable, "-m", "tests.benchmarks.data.job", *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{arguments[0]} ended with {done.returncode}:\n{done.stderr[-3000:]}")
    found = json.loads(done.stdout.strip().rsplit("\n", 1)[-1])
    name = " ".join([str(arguments[0]), Path(arguments[1]).name])
    times = f"{found['seconds']:.1f} s, {found['cpu_seconds']:.1f} s of processors"
    console.print(f"{name}: {times}, {found['peak_mib']} MiB")
    return found


def best(found: list[dict[str, Any]]) -> dict[str, Any]:
    """The fastest of some runs; its times are its own, the peak is the highest."""
    return {
        **min(found, key=lambda run: run["seconds"]),
        "peak_mib": max(run["peak_mib"] for run in found),
        "runs": len(found),
    }


def same(one: Path, other: Path, tables: tuple[str, ...] = ("interactions", "page_days")) -> bool:
    """Whether tables are equal, row for row."""
    return all(
        pl.read_parquet(one / f"{name}.parquet").equals(pl.read_parquet(other / f"{name}.parquet"))
        for name in tables
    )


def measure_sizes(work: Path, sizes: list[int], turns: int, plain_up_to: int) -> list[dict[str, Any]]:
    """Preprocess and the Polars program, taking turns, on logs of several sizes."""
    rows = []
    for size in sizes:
        tables = work / f"tables-{size}"
        generate.write_tables(tables, size)
        ours: list[dict[str, Any]] = []
        theirs: list[dict[str, Any]] = []
        for _ in range(turns if size <= plain_up_to else 1):
            ours.append(job("preprocess", tables, work / f"ours-{size}"))
            if size <= plain_up_to:
                theirs.append(job("plain", tables, work / f"plain-{size}"))
        row: dict[str, Any] = {"events": size, "preprocess": best(ours)}
        if theirs:
            row |= {"polars": best(theirs), "equal": same(work / f"ours-{size}", work / f"plain-{size}")}
        rows.append(row)
    return rows


def measure_growth(work: Path, size: int) -> dict[str, Any]:
    """A daily run: the state has all days but the last, whose file also brings late events."""
    tables, before = work / f"tables-{size}", work / f"before-{size}"
    before.mkdir(exist_ok=True)
    for name in ("pages", "associates"):
        shutil.copy(tables / f"{name}.parquet", before / f"{name}.parquet")
    last = generate.START + 86_400 * (generate.DAYS - 1)
    second, day = pl.col(c.TIMESTAMP).dt.epoch("s"), pl.col(c.TIMESTAMP).dt.epoch("d")
    late = day.is_in([last // 86_400 - 1, last // 86_400 - 3]) & (pl.col(c.EVENT_ID).hash() % 1000 == 0)
    log = pq.ParquetFile(tables / "events.parquet")
    with pq.ParquetWriter(before / "events.parquet", log.schema_arrow, compression="zstd") as writer:
        for batch in log.iter_batches(122_880):
            kept = pl.DataFrame(batch).filter(second < last, ~late).to_arrow().cast(log.schema_arrow)
            writer.write_table(kept)
    home = work / f"home-{size}"
    first = job("preprocess", before, work / f"before-out-{size}", home)
    state = sum(path.stat().st_size for path in (home / "state").iterdir())
    daily = job("preprocess", tables, work / f"daily-{size}", home)
    return {
        "events": size,
        "first": first,
        "daily": daily,
        "state_mib": state / 2**20,
        "equal": same(
            work / f"daily-{size}",
            work / f"ours-{size}",
            ("pages", "associates", "interactions", "page_days"),
        ),
    }


def measure_elements(work: Path, size: int) -> dict[str, Any]:
    """Beam, event by event, beside our step on the same log."""
    tables = work / f"tables-{size}"
    if not tables.exists():
        generate.write_tables(tables, size)
    found = {
        "events": size,
        "elementwise": job("elementwise", tables, work / f"elements-{size}"),
        "preprocess": job("preprocess", tables, work / f"ours-{size}"),
    }
    return {**found, "equal": same(work / f"elements-{size}", work / f"ours-{size}")}


def measure_lists(work: Path, associates: int, pages: int, size: int, dimensions: int) -> dict[str, Any]:
    """Lists of all associates, a sample of them against brute force, and loading them into Redis."""
    from redis import Redis

    from tests.support.redis import RedisServer

    folder = work / f"lists-{associates}"
    shutil.rmtree(folder, ignore_errors=True)
    listing.write(folder, associates, pages, dimensions, opened=15)
    found: dict[str, Any] = {"associates": associates, "pages": pages, "dimensions": dimensions, "size": size}
    found["lists"] = job("lists", folder, str(size))
    found["bytes_per_associate"] = found["lists"]["figures"]["bytes_per_associate"]
    found["equal"] = exact(folder, size)
    (folder / "redis").mkdir()
    server = RedisServer(folder / "redis")
    server.start()
    try:
        with Redis.from_url(server.url) as client:
            empty = client.info("memory")["used_memory"]
            found["load"] = job("load", folder, server.url)
            used = client.info("memory")["used_memory"] - empty
    finally:
        server.kill()
    found["redis_bytes_per_associate"] = used / associates
    shutil.rmtree(folder)
    return found


def exact(folder: Path, size: int) -> bool:
    """Whether lists are those of sorting every page's score, for some blocks."""
    data = Dataset.load(folder / "dataset")
    tower = QueryTower.load(folder / "two_tower")
    lister = Lister(data, Vectors.load(folder / "two_tower" / "vectors.npz"), tower, size)
    wanted = BLOCK * np.unique(np.linspace(0, (data.associates.height - 1) // BLOCK, 5).astype(int))
    written = np.load(folder / "lists" / "page.npy", mmap_mode="r")
    for first in wanted:
        stop = min(first + BLOCK, data.associates.height)
        scores = lister.scores(lister.requests(first, stop))
        order = np.argsort(-scores, axis=1, kind="stable")[:, :size]
        order = np.where(np.isneginf(np.take_along_axis(scores, order, axis=1)), -1, order)
        if not np.array_equal(order, written[first:stop]):
            return False
    return True


def main(
    out: Annotated[Path, typer.Option(help="Folder for the report, and meanwhile for the data.")],
    sizes: Annotated[str, typer.Option(help="Events of the logs, apart by commas.")] = "1e6,1e7,5e7",
    turns: Annotated[int, typer.Option(help="Runs of each program; the fastest counts.", min=1)] = 2,
    plain_up_to: Annotated[float, typer.Option(help="Largest log for Polars, in memory.")] = 1e7,
    elements: Annotated[float, typer.Option(help="Events for Beam event by event.")] = 1e6,
    daily: Annotated[float, typer.Option(help="Events of the log that grows by a day.")] = 1e7,
    associates: Annotated[int, typer.Option(help="Associates that get lists; 0: none.")] = 1_000_000,
) -> None:
    """Measure the data path."""
    work = out / "work"
    work.mkdir(parents=True, exist_ok=True)
    result: dict[str, Any] = {"machine": describe(), "days": generate.DAYS, "pages": generate.PAGES}
    counts = [int(float(size)) for size in sizes.split(",")]
    parts: dict[str, Callable[[], Any]] = {
        "sizes": lambda: measure_sizes(work, counts, turns, int(plain_up_to)),
        "elements": lambda: measure_elements(work, int(elements)),
        "growth": lambda: measure_growth(work, int(daily)),
        "lists": lambda: measure_lists(work, associates, generate.PAGES, 200, 64),
    }
    for name, measure in parts.items():
        if name != "lists" or associates:
            result[name] = measure()
            # What was measured stays, also when a later part fails.
            with atomic_file(out / "data.json") as file:
                file.write_text(json.dumps(result, indent=1))
    shutil.rmtree(work)
    text = markdown(result)
    with atomic_file(out / "data.md") as file:
        file.write_text(text)
    sys.stdout.write(text)


if __name__ == "__main__":
    typer.run(main)
