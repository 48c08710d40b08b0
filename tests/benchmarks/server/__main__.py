"""``python -m tests.benchmarks.server [--home HOME] [--out FOLDER] [--quick]``."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from tests.benchmarks.quality.machine import describe
from tests.benchmarks.server.fuzz import fuzz
from tests.benchmarks.server.measure import measure
from tests.benchmarks.server.prepare import make_release, need_wrk
from tests.benchmarks.server.report import render
from tests.support.process import ROOT

console = Console(stderr=True)


def main(
    home: Annotated[
        Path | None,
        typer.Option(envvar="BENCH_HOME", help="A HOME with a release; else one is made under OUT."),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for the release, the figures and the tables.")] = ROOT
    / "build/bench",
    store: Annotated[list[str] | None, typer.Option(help="embedded, redis; both if not given.")] = None,
    seconds: Annotated[float, typer.Option(help="Of each run of wrk.", min=1)] = 5,
    rounds: Annotated[int, typer.Option(help="Runs of each; the median counts.", min=1)] = 3,
    requests: Annotated[int, typer.Option(help="Requests of the fuzzing; 0 leaves it out.", min=0)] = 20_000,
    quick: Annotated[bool, typer.Option(help="One short run of each: shows that it works.")] = False,
) -> None:
    """Measure the server beside an empty one, over each store, then send it what nobody would."""
    need_wrk()
    out.mkdir(parents=True, exist_ok=True)
    if home is None:
        home = make_release(out)
    if quick:
        seconds, rounds = 1, 1
    load = os.getloadavg()[0]
    found = {"machine": describe(), "load_before": round(load, 1), "stores": {}}
    if load > 1:
        console.print(f"[yellow]the machine is busy (load {load:.1f}): look at ratios, not at times")
    for kind in store or ["embedded", "redis"]:
        found["stores"][kind] = measure(
            home, kind, seconds=seconds, rounds=rounds, people=5000, tell=console.print
        )
    (out / "serving.json").write_text(json.dumps(found, indent=1))
    (out / "serving.md").write_text(render(found))
    typer.echo(render(found))
    if requests:
        with tempfile.TemporaryDirectory() as folder:
            found["fuzz"] = fuzz(home, Path(folder), requests, console.print)
        (out / "serving.json").write_text(json.dumps(found, indent=1))
        typer.echo(f"fuzzing: {found['fuzz']}")
        if found["fuzz"]["failures"]:
            raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
