"""Load a release's precomputed lists into a store: ``python -m serving.stores.lists``."""

from __future__ import annotations

import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Annotated

import structlog
import typer
from rich.console import Console
from rich.progress import Progress

from components.contract import packed
from components.contract.commands import run as run_commands
from components.contract.release import Release, load
from components.contract.time import DAY
from serving.stores import Store, open_store

log = structlog.get_logger()
err = Console(stderr=True)
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


def load_lists(
    release: Release, store: Store, console: Console | None = None
) -> dict[str, float | int | str]:
    """Put all lists of a release into a store, under the release's name.

    Doing so again, or after a run that died, changes nothing: a list replaces itself.

    Parameters
    ----------
    release : Release
    store : Store
    console : Console, optional
        Shows progress.

    Returns
    -------
    dict
        ``release``, ``associates``, ``bytes_per_associate`` (of the packed values), ``per_second``.

    Raises
    ------
    DataError, ReleaseError
        The release has no lists.
    StoreError
        The store cannot be reached.
    """
    started = time.perf_counter()
    _, blocks = packed.read(release.part("lists"))
    associates = size = 0
    shown = Progress(console=console or err, transient=True, disable=console is None)
    # The next block is packed while the store takes one.
    with shown as progress, ThreadPoolExecutor(1) as pool:
        task = progress.add_task("associates", total=None)
        taken: Future[None] | None = None
        for block in blocks:
            values = block.packed()
            lists = dict(zip(block.associate_id, values, strict=True))
            if taken:
                taken.result()
            taken = pool.submit(store.put_lists, release.name, lists)
            associates += len(values)
            size += sum(map(len, values))
            progress.update(task, completed=associates)
        if taken:
            taken.result()
    seconds = time.perf_counter() - started
    figures: dict[str, float | int | str] = {
        "release": release.name,
        "associates": associates,
        "bytes_per_associate": size / associates if associates else 0,
        "per_second": associates / seconds,
    }
    log.info("lists.loaded", **figures)
    return figures


@app.command()
def main(
    home: Annotated[Path, typer.Option(help="Folder of the releases; the current one's lists are loaded.")],
    store: Annotated[str, typer.Option(help="redis://HOST:PORT/DB, rediss://..., or a file of SQLite.")],
    retire_days: Annotated[
        float, typer.Option(help="The lists of the release before it are kept so long.", min=0)
    ] = 2,
) -> None:
    """Load the current release's precomputed lists into a store.

    The release holds some where the pipelines ran with lists.size set:

    python -m pipelines run daily_candidates --data data --home home --set lists.size=200

    python -m serving.stores.lists --home home --store redis://localhost:6379/0
    """
    release = load(home)
    opened = open_store(store)
    try:
        figures = load_lists(release, opened, err)
        before = release.manifest.lineage.parent
        if before and before != release.name:
            opened.retire_lists(before, DAY * retire_days)
    finally:
        opened.close()
    for name, value in figures.items():
        typer.echo(f"{name}: {value:,.0f}" if isinstance(value, float | int) else f"{name}: {value}")


if __name__ == "__main__":
    run_commands(app)
