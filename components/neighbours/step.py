"""The neighbours step."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from components.contract.dataset import Dataset
from components.contract.settings import section
from components.neighbours.neighbours import NeighbourSettings, fit


def run(
    dataset: Path | str, model_out: Path | str, before_stage: int, settings: Mapping[str, Any] | None = None
) -> dict[str, float]:
    """Write ``ease.npz`` and ``item_knn.npz``; returns key figures."""
    lists = fit(Dataset.load(dataset), before_stage, section(settings, "neighbours", NeighbourSettings))
    names = ("ease", "item_knn")
    for name, found in zip(names, lists, strict=True):
        found.save(Path(model_out) / f"{name}.npz")
    return {
        f"{name}_pages_with_list": int((found.index[:, 0] >= 0).sum())
        for name, found in zip(names, lists, strict=True)
    }
