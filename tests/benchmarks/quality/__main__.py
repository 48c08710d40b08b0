"""``python -m tests.benchmarks.quality --data DIR --protocol lastout|live [--out FOLDER]``."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console

from components.contract import columns as c
from components.contract.examples import Examples
from components.contract.files import atomic_file
from components.contract.ranking import Ranker
from components.evaluate import metrics as m
from components.evaluate.evaluation import K, judge, ranker_scores
from pipelines.cli import Protocol, SetOptions, SettingsFile, read_settings
from pipelines.protocol import evaluate_protocol
from tests.benchmarks.quality import environment
from tests.benchmarks.quality.comparison import Places, row
from tests.benchmarks.quality.machine import Steps, describe, threads
from tests.benchmarks.quality.peers.__main__ import CATALOGUE, RANKERS
from tests.benchmarks.quality.product import VARIANTS, write_stages
from tests.benchmarks.quality.report import render
from tests.benchmarks.quality.speed import measure

console = Console(stderr=True)


def run_job(python: str | Path, module: str, arguments: list[str], out: Path) -> tuple[dict[str, Any], Any]:
    """Run one peer as a process of its own; returns its cost and what it found.

    Raises
    ------
    RuntimeError
        It failed; the message holds the end of its log.
    """
    log = out.with_suffix(".log")
    command = [str(python), "-m", f"tests.benchmarks.quality.{module}", *arguments, str(out)]
    with log.open("w") as lines:
        done = subprocess.run(
            command, cwd=environment.ROOT, env=environment.settings_of(threads()), stdout=lines, stderr=lines
        )
    if done.returncode:
        tail = "\n".join(log.read_text().splitlines()[-15:])
        raise RuntimeError(f"{out.name} ended with {done.returncode}; {log}:\n{tail}")
    return json.loads(out.with_suffix(".json").read_text()), np.load(out.with_suffix(".npz"))


def compare(work: Path, settings: dict[str, Any], pages: int, tell: Any) -> dict[str, Any]:
    """Everything beside Waymark, on the artifacts of a finished evaluation."""
    write_stages(work, settings)
    examples = Examples.load(work / "holdout" / "examples")
    associate = examples.requests[c.ASSOCIATE_ID].to_numpy().astype(np.str_)

    def places(score: Any) -> Places:
        return m.positions(
            score, np.asarray(examples.row), np.asarray(examples.label), len(examples), max(pages, K)
        )

    own = places(ranker_scores(Ranker(work / "ranker"), examples))
    catalogue, rankers = {}, {}
    for column, name in enumerate(examples.sources):
        better = examples.source_better[:, column].astype(np.int64)
        catalogue[name] = row(own, (better, examples.source_ties[:, column].astype(np.int64)), associate, {})
    peers_python = environment.ready()
    for name in (*CATALOGUE, *RANKERS):
        tell(name)
        cost, found = run_job(peers_python, "peers", [name, str(work)], work / "peers" / name)
        if name in CATALOGUE:
            catalogue[name] = row(own, (found["better"], found["ties"]), associate, cost)
        else:
            rankers[name] = row(own, places(found["score"]), associate, cost)
    waymark = judge(*own, associate)
    for name in VARIANTS:
        tell(name)
        arguments = [name, str(work), json.dumps(settings)]
        cost, found = run_job(sys.executable, "product", arguments, work / "peers" / name)
        if name == "waymark":
            # Trained once more only to see its cost alone; the figures are the evaluation's.
            waymark |= cost
        else:
            rankers[name] = row(own, places(found["score"]), associate, cost)
    return {"waymark": waymark, "catalogue": catalogue, "rankers": rankers}


def main(
    data: Annotated[Path, typer.Option(help="Folder of contract tables.", exists=True, file_okay=False)],
    protocol: Annotated[Protocol, typer.Option(help="lastout: each last page; live: a walk in time.")],
    out: Annotated[Path, typer.Option(help="Where artifacts and the report go.")] = Path("build/quality"),
    settings: SettingsFile = None,
    set_: SetOptions = None,
    reuse: Annotated[bool, typer.Option("--reuse", help="Keep the product's run that OUT holds.")] = False,
) -> None:
    """Measure peers side by side with Waymark; write OUT/peers.json and OUT/peers.html."""
    started = time.perf_counter()
    chosen = read_settings(settings, set_)
    out = out.resolve()
    work = out / "work"
    kept = out / "evaluation.json"
    with console.status("starting") as status:
        if not (reuse and kept.exists()):
            steps = Steps(status.update)
            evaluation = evaluate_protocol(data, protocol.value, chosen, work, steps)
            steps("")
            with atomic_file(kept) as aside:
                aside.write_text(json.dumps({"evaluation": evaluation, "steps": steps.found}))
        run = json.loads(kept.read_text())
        found = {
            "protocol": protocol.value,
            "data": str(data),
            "command": " ".join(["python -m tests.benchmarks.quality", *sys.argv[1:]]),
            "machine": describe(),
            "pages": run["evaluation"]["pages"],
            **compare(work, chosen, run["evaluation"]["pages"], status.update),
            "steps": run["steps"],
            "evaluation": run["evaluation"],
        }
        status.update("speed")
        found["speed"] = measure(work / "training" / "examples", chosen, work / "peers")
    found["seconds"] = round(time.perf_counter() - started)
    with atomic_file(out / "peers.json") as aside:
        aside.write_text(json.dumps(found, indent=1))
    with atomic_file(out / "peers.html") as aside:
        aside.write_text(render(found))
    console.print(f"{out}/peers.html, {out}/peers.json")


if __name__ == "__main__":
    typer.run(main)
