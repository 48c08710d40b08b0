"""The product's training examples as a ranking peer reads them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.evaluate.metrics import ndcg
from components.evaluate.metrics import positions as places

# The product keeps as much to choose its number of epochs.
VALIDATION_SHARE = 0.15


@dataclass(frozen=True)
class Shortlists:
    """N candidates of B requests; arrays as in ``components.contract.examples.Examples``."""

    numeric: NDArray[np.float32]
    categorical: NDArray[np.int32]
    row: NDArray[np.int32]
    label: NDArray[np.bool_]
    names: list[str]
    sizes: list[int]

    @classmethod
    def load(cls, path: Path) -> Shortlists:
        """Read the folder that the candidates step wrote."""
        arrays = ("numeric", "categorical", "row", "label")
        meta = json.loads((path / "meta.json").read_text())
        return cls(
            **{name: np.load(path / f"{name}.npy") for name in arrays},
            names=meta["categorical"],
            sizes=[len(meta["values"][name]) for name in meta["categorical"]],
        )

    def take(self, requests: NDArray[np.int64]) -> Shortlists:
        """The candidates of some requests, given in ascending order and numbered anew."""
        at = np.isin(self.row, requests)
        row = np.searchsorted(requests, self.row[at]).astype(np.int32)
        return Shortlists(self.numeric[at], self.categorical[at], row, self.label[at], self.names, self.sizes)

    def split(self) -> tuple[Shortlists, Shortlists, Shortlists]:
        """All requests whose shortlist holds the opened page; the earlier ones; the latest ones."""
        answered = np.unique(self.row[self.label]).astype(np.int64)
        held = max(1, round(len(answered) * VALIDATION_SHARE))
        return self.take(answered), self.take(answered[:-held]), self.take(answered[-held:])

    def quality(self, score: NDArray[Any]) -> float:
        """Mean NDCG@10 of these shortlists."""
        requests = int(self.row[-1]) + 1
        return float(ndcg(*places(score, self.row, self.label, requests, len(score)), 10).mean())


Ranking = tuple[Callable[[Shortlists], NDArray[Any]], dict[str, Any]]
