"""Shortlists with features and labels: what the candidates step writes, ranker and evaluate read."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from components.contract.errors import DataError
from components.contract.features import CATEGORICAL, NUMERIC
from components.contract.files import atomic_folder
from components.contract.history import History
from components.contract.ragged import gather

# Columns of the requests: what came of the page that was opened, 0 to 1; NaN where unknown.
OUTCOMES = ("completion", "dwell")
# The pages before the request, latest first, as in ``Requests``; examples of earlier versions lack them.
HISTORY_COLUMNS = ("history_page", "history_time")
_ARRAYS = (
    "numeric",
    "categorical",
    "row",
    "page",
    "label",
    "position",
    "source_better",
    "source_ties",
    "source_top",
)


@dataclass(frozen=True)
class Examples:
    """The shortlists of B requests, flattened to N candidates.

    Attributes
    ----------
    requests : polars.DataFrame
        B rows in time order: associate_id, time (epoch seconds), target (page row), role, shift,
        history_count, page_age_days (of the target; null where nobody had opened it),
        ``OUTCOMES`` of the target, and ``HISTORY_COLUMNS``.
    numeric : array of float32, shape (N, len(NUMERIC))
    categorical : array of int32, shape (N, len(CATEGORICAL))
    row, page : arrays of int32, shape (N,)
    label : array of bool, shape (N,)
        True for the page that was opened.
    position : array of int8, shape (N,)
        Place in the list that the associate was shown just before, 0 the top; -1 if not shown. What
        was shown is opened more, whatever it is worth: training takes it into account.
    source_better, source_ties : arrays of int32, shape (B, S)
        For each source alone over the whole catalogue: pages that score above the target, and
        pages that tie with it.
    source_top : array of int32, shape (B, S, 10)
        Each source's own ten best; -1 pads.
    values : dict of str to array of str
        What the categorical codes stand for.
    sources : tuple of str
        The S sources.
    """

    requests: pl.DataFrame
    numeric: NDArray[np.float32]
    categorical: NDArray[np.int32]
    row: NDArray[np.int32]
    page: NDArray[np.int32]
    label: NDArray[np.bool_]
    position: NDArray[np.int8]
    source_better: NDArray[np.int32]
    source_ties: NDArray[np.int32]
    source_top: NDArray[np.int32]
    values: dict[str, NDArray[np.str_]]
    sources: tuple[str, ...]

    def __len__(self) -> int:
        return self.requests.height

    @property
    def offsets(self) -> NDArray[np.int64]:
        """Where each request's candidates begin and end, shape (B + 1,)."""
        return np.searchsorted(self.row, np.arange(len(self) + 1))

    @property
    def history(self) -> History:
        """What the candidates' requests know of earlier pages; of no page where it was not kept."""
        time = self.requests["time"].to_numpy()
        if not set(HISTORY_COLUMNS) <= set(self.requests.columns):
            nothing = np.empty((len(self), 0))
            return History(np.asarray(self.row), nothing.astype(np.int32), nothing, time)
        page, opened = (self.requests[name].to_numpy() for name in HISTORY_COLUMNS)
        return History(np.asarray(self.row), page, opened, time)

    def take(self, requests: NDArray[np.integer[Any]]) -> Examples:
        """Give the examples of these requests, in this order."""
        at, row = gather(self.offsets, requests)
        return replace(
            self,
            requests=self.requests[requests.tolist()],
            row=row,
            numeric=self.numeric[at],
            categorical=self.categorical[at],
            page=self.page[at],
            label=self.label[at],
            position=self.position[at],
            source_better=self.source_better[requests],
            source_ties=self.source_ties[requests],
            source_top=self.source_top[requests],
        )

    @classmethod
    def concatenate(cls, parts: Sequence[Examples]) -> Examples:
        """Join examples over the same catalogue, in time order."""
        joined = {
            name: np.concatenate([getattr(part, name) for part in parts]) for name in _ARRAYS if name != "row"
        }
        first = np.cumsum([0] + [len(part) for part in parts])
        row = np.concatenate(
            [part.row + np.int32(start) for part, start in zip(parts, first[:-1], strict=True)]
        )
        requests = pl.concat([part.requests for part in parts])
        whole = replace(parts[0], requests=requests, row=row, **joined)  # type: ignore[arg-type]
        return whole.take(np.argsort(requests["time"].to_numpy(), kind="stable"))

    def save(self, path: Path | str) -> None:
        """Write the folder, whole or not at all."""
        with atomic_folder(path) as aside:
            self.requests.write_parquet(aside / "requests.parquet")
            for name in _ARRAYS:
                np.save(aside / f"{name}.npy", getattr(self, name))
            meta: dict[str, Any] = {
                "numeric": NUMERIC,
                "categorical": CATEGORICAL,
                "sources": self.sources,
                "values": {name: values.tolist() for name, values in self.values.items()},
            }
            (aside / "meta.json").write_text(json.dumps(meta))

    @classmethod
    def load(cls, path: Path | str) -> Examples:
        """Read what :meth:`save` wrote; arrays are memory-mapped.

        Raises
        ------
        DataError
            The folder is no set of examples, or was made by a version with other features.
        """
        path = Path(path)
        try:
            meta = json.loads((path / "meta.json").read_text())
            arrays = {name: np.load(path / f"{name}.npy", mmap_mode="r") for name in _ARRAYS}
            requests = pl.read_parquet(path / "requests.parquet")
        except FileNotFoundError as error:
            raise DataError(f"{path} holds no examples: {error}") from error
        if (tuple(meta["numeric"]), tuple(meta["categorical"])) != (NUMERIC, CATEGORICAL):
            raise DataError(f"{path}: made with other features; run the candidates step again")
        return cls(
            requests=requests,
            values={name: np.asarray(values, np.str_) for name, values in meta["values"].items()},
            sources=tuple(meta["sources"]),
            **arrays,
        )
