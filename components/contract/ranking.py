"""Load a trained ranker and score candidates with it: the second stage, offline and in the server.

Scoring is plain NumPy over the exported weights. The network is small, so that TensorFlow's start,
memory and size would cost a server far more than the arithmetic does.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.contract.encoding import find
from components.contract.errors import ReleaseError
from components.contract.features import CATEGORICAL, NUMERIC

# Standardised values beyond this are outliers of the training log.
CLIP = 5.0
_ROWS = 8192


class _Network:
    """One member's forward pass; see ``components.ranker.deepfm.DeepFM``, whose weights it holds."""

    def __init__(self, weights: Mapping[str, NDArray[np.float32]]):
        self._w = weights
        edges = weights["edges"]
        self._left, self._per_width = edges[:, :-1], 1 / np.diff(edges, axis=1)
        self._offsets = weights["offsets"].astype(np.int64)
        self._layers = [
            (weights[f"dense_{n}"], weights[f"dense_bias_{n}"])
            for n in range(sum(name.startswith("dense_bias_") for name in weights))
        ]
        self._cross = [
            (weights[f"cross_in_{n}"], weights[f"cross_out_{n}"], weights[f"cross_bias_{n}"])
            for n in range(sum(name.startswith("cross_bias_") for name in weights))
        ]

    def __call__(self, numeric: NDArray[np.float32], codes: NDArray[np.int32]) -> NDArray[np.float32]:
        """Logits, (N,)."""
        w, rows = self._w, codes + self._offsets
        x = ((numeric - w["mean"]) / w["scale"]).clip(-CLIP, CLIP)
        binned = ((numeric[:, :, None] - self._left) * self._per_width).clip(0, 1)
        embedded = w["embedding"][rows]
        parts: list[NDArray[Any]] = [w["linear"][rows, 0].sum(axis=1), (x @ w["numeric_linear"])[:, 0]]
        if "numeric_embedding" in w:
            parts.append(self._pairs(x, embedded))
        inputs = np.concatenate(
            [x, binned.reshape(len(x), -1), embedded.reshape(len(x), -1)], axis=1, dtype=np.float32
        )
        if self._cross:
            crossed: NDArray[Any] = inputs
            for reduce, expand, bias in self._cross:
                crossed = inputs * (crossed @ reduce @ expand + bias) + crossed
            parts.append((crossed @ w["cross_output"])[:, 0])
        if "output" in w:
            hidden: NDArray[Any] = inputs
            for matrix, bias in self._layers:
                hidden = np.maximum(hidden @ matrix + bias, 0)
            parts.append((hidden @ w["output"])[:, 0])
        return np.sum(parts, axis=0, dtype=np.float32) + w["bias"]

    def _pairs(self, x: NDArray[Any], embedded: NDArray[Any]) -> NDArray[np.float32]:
        """The factorisation machine: sum over pairs of fields, divided by the number of fields."""
        numeric = self._w["numeric_embedding"]
        total = embedded.sum(axis=1) + x @ numeric
        squares = np.square(embedded).sum(axis=1) + np.square(x) @ np.square(numeric)
        fields = embedded.shape[1] + len(numeric)
        return np.float32(0.5 / fields) * (np.square(total) - squares).sum(axis=1)


class Ranker:
    """What the ranker step exports.

    Parameters
    ----------
    path : Path or str
        Folder with ``weights.npz`` and ``features.json``.

    Raises
    ------
    ReleaseError
        The folder is incomplete, or the model takes other features than this code computes.
    """

    def __init__(self, path: Path | str):
        path = Path(path)
        try:
            features = json.loads((path / "features.json").read_text())
            with np.load(path / "weights.npz", allow_pickle=False) as file:
                parts = {name: file[name] for name in file.files}
        except (OSError, ValueError) as error:
            raise ReleaseError(f"{path} holds no ranker: {error}") from error
        if (tuple(features["numeric"]), tuple(features["categorical"])) != (NUMERIC, CATEGORICAL):
            raise ReleaseError(
                f"{path}: the ranker takes other features than this version computes; train it again"
            )
        try:
            self._slope, self._intercept = float(parts.pop("slope")), float(parts.pop("intercept"))
            self._values = [parts.pop(f"values.{name}") for name in CATEGORICAL]
            members = sorted({int(name.split(".")[0]) for name in parts})
            self._members = [
                _Network({name.split(".")[1]: v for name, v in parts.items() if name.startswith(f"{n}.")})
                for n in members
            ]
        except (KeyError, ValueError) as error:
            raise ReleaseError(f"{path}: weights.npz is incomplete ({error}); train it again") from error

    def bind(self, values: Mapping[str, NDArray[np.str_]]) -> BoundRanker:
        """Look all values of a catalogue up once, so that scoring handles codes and no text.

        Parameters
        ----------
        values : mapping of str to array of str
            What the codes of each categorical feature stand for (``FeatureBuilder.values``).
        """
        tables = [self._codes(column, values[name]) for column, name in enumerate(CATEGORICAL)]
        return BoundRanker(self, tables)

    def _codes(self, column: int, text: NDArray[np.str_]) -> NDArray[np.int32]:
        known = self._values[column]
        return np.maximum(find(known, text, np.argsort(known)), 0).astype(np.int32)

    def __call__(self, numeric: NDArray[np.float32], categorical: NDArray[np.str_]) -> NDArray[np.float32]:
        """Probability that each of N candidates is opened.

        Parameters
        ----------
        numeric : array of float32, shape (N, len(NUMERIC))
        categorical : array of str, shape (N, len(CATEGORICAL))
        """
        codes = [self._codes(column, categorical[:, column]) for column in range(len(CATEGORICAL))]
        return self.probability(numeric, np.stack(codes, axis=1))

    def probability(self, numeric: NDArray[np.float32], codes: NDArray[np.int32]) -> NDArray[np.float32]:
        """The same from the ranker's own codes, in bounded memory."""
        found = np.empty(len(numeric), np.float32)
        for start in range(0, len(numeric), _ROWS):
            part = slice(start, start + _ROWS)
            logits = sum(net(numeric[part], codes[part]) for net in self._members) / len(self._members)
            found[part] = 1 / (1 + np.exp(-(self._slope * logits + self._intercept)))
        return found


class BoundRanker:
    """A ranker that takes a catalogue's own codes; made by :meth:`Ranker.bind`."""

    def __init__(self, ranker: Ranker, tables: list[NDArray[np.int32]]):
        self._ranker = ranker
        self._tables = tables

    def __call__(self, numeric: NDArray[np.float32], categorical: NDArray[np.int32]) -> NDArray[np.float32]:
        """Probability that each of N candidates is opened.

        Parameters
        ----------
        numeric : array of float32, shape (N, len(NUMERIC))
        categorical : array of int32, shape (N, len(CATEGORICAL))
        """
        columns = [table[categorical[:, column]] for column, table in enumerate(self._tables)]
        return self._ranker.probability(numeric, np.stack(columns, axis=1))
