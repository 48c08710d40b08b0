"""The transitions step."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from components.contract.dataset import Dataset
from components.contract.settings import section
from components.transitions.transitions import TransitionSettings, fit


def run(
    dataset: Path | str, model_out: Path | str, before_stage: int, settings: Mapping[str, Any] | None = None
) -> dict[str, float]:
    """Write one ``.npz`` of neighbours for each kind of path; returns key figures."""
    found = fit(Dataset.load(dataset), before_stage, section(settings, "transitions", TransitionSettings))
    for name, lists in found.items():
        lists.save(Path(model_out) / f"{name}.npz")
    index = found["transitions"].index
    return {"pages_with_list": int((index[:, 0] >= 0).sum()), "pairs": int((index >= 0).sum())}
