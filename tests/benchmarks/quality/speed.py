"""Training speed of the ranker against DeepCTR-Torch's DeepFM: same examples, threads, run.

``python -m tests.benchmarks.quality.speed --examples FOLDER``
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from components.contract.examples import Examples
from components.contract.settings import section
from components.ranker.settings import RankerSettings
from tests.benchmarks.quality import environment
from tests.benchmarks.quality.machine import threads

_REQUESTS, _TURNS = 1000, 7
PEERS = {"fit": "DeepCTR-Torch, its own fit", "steps": "DeepCTR-Torch, its network on ready batches"}


class _Worker:
    """A process that runs one pass when told, and waits otherwise."""

    def __init__(self, command: list[str], log: Path):
        pipe = subprocess.PIPE
        with log.open("w") as errors:
            self._process = subprocess.Popen(
                command,
                stdin=pipe,
                stdout=pipe,
                stderr=errors,
                text=True,
                cwd=environment.ROOT,
                env=environment.settings_of(threads()),
            )
        self._log = log

    def rates(self, name: str) -> list[float]:
        """Examples a second of one pass, and examples a second of processor time over all threads."""
        self._process.stdin.write(name + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the worker ended: see {self._log}")
        answer = json.loads(line)
        return [answer["rows"] / answer["seconds"], answer["rows"] / answer["cpu_seconds"]]

    def __enter__(self) -> _Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.stdin.close()
        self._process.wait()


def measure(examples: Path, settings: Mapping[str, Any] | None, logs: Path) -> dict[str, Any]:
    """Interleave passes of both; ratios are medians over turns, with the lowest and highest.

    On a machine that does other work too, wall time says little; the ratio in processor time holds.

    Both train the categorical fields, dimensions, hidden layers, dropout, weight decay and rows a
    batch of the shipped settings. Waymark's network takes numeric features into the factorisation
    machine and hides fields at random besides; its peer does neither.
    """
    data = Examples.load(examples)
    answered = np.unique(data.row[data.label])[:_REQUESTS]
    requests, rows = len(answered), int(np.diff(data.offsets)[answered].sum())
    chosen = section(settings, "ranker", RankerSettings)
    network = {
        "requests": requests,
        "batch_rows": round(rows / requests * chosen.batch_requests),
        **chosen.model_dump(include={"dimensions", "hidden", "dropout", "l2", "learning_rate"}),
    }
    module = [sys.executable, "-m", "tests.benchmarks.quality.product", "speed"]
    ours = [*module, str(examples), str(requests), json.dumps(settings or {})]
    module = [str(environment.ready()), "-m", "tests.benchmarks.quality.peers", "speed"]
    theirs = [*module, str(examples), json.dumps(network)]
    taken: dict[str, list[list[float]]] = {"train": [], "fit": [], "steps": []}
    with (
        _Worker(ours, logs / "speed_waymark.log") as own,
        _Worker(theirs, logs / "speed_deepctr.log") as peer,
    ):
        for turn in range(_TURNS + 1):
            for name, found in taken.items():
                rates = (own if name == "train" else peer).rates(name)
                # The first turn traces, allocates and warms up.
                if turn:
                    found.append(rates)
    wall, processor = np.array([taken[name] for name in ("train", *PEERS)]).transpose(2, 0, 1)
    peers = {
        name: {
            "examples_per_second": round(float(np.median(wall[place]))),
            "ratio": round(float(np.median(wall[0] / wall[place])), 2),
            "ratio_range": np.round(np.quantile(wall[0] / wall[place], [0, 1]), 2).tolist(),
            "cpu_ratio": round(float(np.median(processor[0] / processor[place])), 2),
            "cpu_ratio_range": np.round(np.quantile(processor[0] / processor[place], [0, 1]), 2).tolist(),
        }
        for place, name in enumerate(PEERS, 1)
    }
    return {
        "threads": threads(),
        "rows": rows,
        "turns": _TURNS,
        "network": network,
        "waymark_examples_per_second": round(float(np.median(wall[0]))),
        "peers": peers,
    }


def main(examples: Annotated[Path, typer.Option(help="An examples folder of the candidates step.")]) -> None:
    """Print the ratios as JSON."""
    with tempfile.TemporaryDirectory() as work:
        sys.stdout.write(json.dumps(measure(examples.resolve(), None, Path(work)), indent=1) + "\n")


if __name__ == "__main__":
    typer.run(main)
