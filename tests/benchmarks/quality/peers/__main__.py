"""One peer: ``python -m tests.benchmarks.quality.peers NAME WORK OUT``, in .venv-peers."""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from tests.benchmarks.quality.machine import peak_mib
from tests.benchmarks.quality.peers import als, deepctr, logistic, sequential, trees
from tests.benchmarks.quality.peers.shortlists import Ranking, Shortlists
from tests.benchmarks.quality.stages import Scorer, Stage, positions

CATALOGUE: dict[str, Callable[[Stage, Stage], tuple[Scorer, dict[str, Any]]]] = {
    "als": als.fit,
    "sasrec": partial(sequential.fit, "sasrec"),
    "bert4rec": partial(sequential.fit, "bert4rec"),
}
RANKERS: dict[str, Callable[[Shortlists], Ranking]] = {
    "logistic_regression": logistic.fit,
    "lightgbm_lambdarank": trees.fit,
}


def main(name: str, work: Path, out: Path) -> None:
    """Fit and score; write ``OUT.npz`` (places or scores) and ``OUT.json`` (cost and choices)."""
    started = time.perf_counter()
    found: dict[str, Any] = {}
    if name in CATALOGUE:
        training, holdout = (Stage.load(work / "peers" / f"{s}.npz") for s in ("training", "holdout"))
        scorer, chosen = CATALOGUE[name](training, holdout)
        fitted = time.perf_counter()
        found["better"], found["ties"] = positions(holdout, scorer)
    else:
        rank, chosen = RANKERS[name](Shortlists.load(work / "training" / "examples"))
        fitted = time.perf_counter()
        found["score"] = rank(Shortlists.load(work / "holdout" / "examples"))
    cost = {
        "seconds": round(fitted - started, 1),
        "scoring_seconds": round(time.perf_counter() - fitted, 1),
        "peak_mib": peak_mib(),
        "chosen": chosen,
    }
    np.savez(out.with_suffix(".npz"), **found)
    out.with_suffix(".json").write_text(json.dumps(cost))


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    if sys.argv[1] == "speed":
        deepctr.serve_speed(Path(sys.argv[2]), json.loads(sys.argv[3]))
    else:
        main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
