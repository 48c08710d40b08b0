"""The ranker step."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from components.contract.examples import Examples
from components.contract.settings import section
from components.ranker.export import save
from components.ranker.settings import RankerSettings
from components.ranker.training import train

# The ranker without one of its parts, to see what the part is worth.
ABLATIONS = {"without_fm": {"use_fm": False}, "without_deep": {"use_deep": False}}


def run(
    examples: Path | str, model_out: Path | str, settings: Mapping[str, Any] | None = None
) -> dict[str, float]:
    """Train and export the ranker, and its ablations under ``ablations/``; returns key figures."""
    chosen = section(settings, "ranker", RankerSettings)
    data = Examples.load(examples)
    started = time.perf_counter()
    trained = train(data, chosen)
    seconds = time.perf_counter() - started
    save(trained, data.values, model_out)
    if chosen.ablations:
        for name, change in ABLATIONS.items():
            reduced = chosen.model_copy(update={**change, "refit": False})
            save(train(data, reduced), data.values, Path(model_out) / "ablations" / name)
    return {**trained.figures, "candidates": len(data.row), "seconds": round(seconds, 1)}
