"""Waymark's side of the comparison: what peers are given, and its ranker under other settings."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from components.candidates.examples import CandidateSettings
from components.contract import columns as c
from components.contract.dataset import Dataset
from components.contract.examples import Examples
from components.contract.requests import requests_of_stage
from components.contract.settings import section
from components.contract.tf import tf
from components.ranker.settings import RankerSettings
from components.ranker.training import _Trainer, score, train
from tests.benchmarks.quality.machine import peak_mib, take_turns
from tests.benchmarks.quality.stages import Stage

# Changes to the ranker's settings, each trained on the same examples as the shipped one.
VARIANTS: dict[str, dict[str, Any]] = {
    "waymark": {},
    "fm_only": {"use_deep": False},
    "mlp_only": {"use_fm": False},
    "dcn_v2": {"use_fm": False, "cross_layers": 2},
}


def write_stages(work: Path, settings: Mapping[str, Any]) -> None:
    """Write what peers learn from and are asked: ``work/peers/training.npz`` and ``holdout.npz``."""
    dataset = Dataset.load(work / "dataset")
    limits = section(settings, "candidates", CandidateSettings)
    (work / "peers").mkdir(exist_ok=True)
    for name, stage, limit in (
        ("training", c.TRAIN, limits.train_requests),
        ("holdout", c.HOLDOUT, limits.holdout_requests),
    ):
        requests = requests_of_stage(dataset, stage, limit, limits.seed)
        before = dataset.before(stage)
        Stage(
            user=before[c.ASSOCIATE].to_numpy(),
            page=before[c.PAGE].to_numpy(),
            time=before[c.TIME].to_numpy(),
            history=requests.history_page,
            seen_row=requests.seen_row,
            seen_page=requests.seen_page,
            target=requests.target,
            pages=dataset.n_pages,
        ).save(work / "peers" / f"{name}.npz")


def train_variant(name: str, work: Path, settings: Mapping[str, Any], out: Path) -> None:
    """Train the ranker as a variant; write ``OUT.npz`` and ``OUT.json`` like a peer."""
    started = time.perf_counter()
    chosen = section(settings, "ranker", RankerSettings).model_copy(update=VARIANTS[name])
    trained = train(Examples.load(work / "training" / "examples"), chosen)
    fitted = time.perf_counter()
    holdout = Examples.load(work / "holdout" / "examples")
    found = score(trained.members, holdout.numeric, holdout.categorical, holdout.history)
    cost = {
        "seconds": round(fitted - started, 1),
        "scoring_seconds": round(time.perf_counter() - fitted, 1),
        "peak_mib": peak_mib(),
        "chosen": {**VARIANTS[name], "epochs": trained.figures["epochs"]},
    }
    np.savez(out.with_suffix(".npz"), score=found)
    out.with_suffix(".json").write_text(json.dumps(cost))


def serve_speed(examples: Path, requests: int, settings: Mapping[str, Any]) -> None:
    """Take turns: "train" is one pass of the shipped ranker's own training."""
    tf.config.experimental.enable_op_determinism()
    data = Examples.load(examples)
    chosen = section(settings, "ranker", RankerSettings)
    trainer = _Trainer(data, chosen, chosen.seed)
    answered = np.unique(data.row[data.label]).astype(np.int64)[:requests]
    rows = int(np.diff(data.offsets)[answered].sum())

    def one_pass() -> int:
        trainer.epoch(answered)
        return rows

    take_turns({"train": one_pass})


if __name__ == "__main__":
    job, *rest = sys.argv[1:]
    if job == "speed":
        serve_speed(Path(rest[0]), int(rest[1]), json.loads(rest[2]))
    else:
        train_variant(job, Path(rest[0]), json.loads(rest[1]), Path(rest[2]))
