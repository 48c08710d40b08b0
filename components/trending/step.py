"""The trending step: the counters as they stand at the last event that it may see."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from components.contract import columns as c
from components.contract.dataset import Dataset
from components.contract.trends import TRENDS, empty_counters, openings


def run(
    dataset: Path | str, model_out: Path | str, before_stage: int, settings: Mapping[str, Any] | None = None
) -> dict[str, float]:
    """Write ``counters.npz``; returns key figures. It has no settings of its own."""
    data = Dataset.load(dataset)
    counters = empty_counters(data)
    counters.add(openings(data, data.column(c.STAGE) < before_stage))
    counters.save(Path(model_out) / "counters.npz")
    return {
        "pages_opened": int((counters.counts["popularity"] > 0).any(axis=0).sum()),
        **{f"total_{trend.name}": float(counters.counts[trend.name].sum()) for trend in TRENDS},
    }
