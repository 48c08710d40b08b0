"""Load a trained ranker and score candidates with it: the second stage, offline and in the server."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.contract.errors import ReleaseError
from components.contract.features import CATEGORICAL, NUMERIC
from components.contract.tf import tf

_ROWS = 65536


class Ranker:
    """The SavedModel that the ranker step exports.

    Parameters
    ----------
    path : Path or str
        Folder with ``saved_model/`` and ``features.json``.

    Raises
    ------
    ReleaseError
        The folder is incomplete, or the model takes other features than this code computes.
    """

    def __init__(self, path: Path | str):
        path = Path(path)
        try:
            features = json.loads((path / "features.json").read_text())
            self._model = tf.saved_model.load(str(path / "saved_model"))
        except OSError as error:
            raise ReleaseError(f"{path} holds no ranker: {error}") from error
        if (tuple(features["numeric"]), tuple(features["categorical"])) != (NUMERIC, CATEGORICAL):
            raise ReleaseError(
                f"{path}: the ranker takes other features than this version computes; train it again"
            )
        self._signatures = self._model.signatures
        missing = {"serving_default", "encode", "score"} - set(self._signatures)
        if missing:
            raise ReleaseError(f"{path}: the ranker lacks the signatures {sorted(missing)}; train it again")

    def bind(self, values: Mapping[str, NDArray[np.str_]]) -> BoundRanker:
        """Look all values of a catalogue up once, so that scoring handles codes and no text.

        Parameters
        ----------
        values : mapping of str to array of str
            What the codes of each categorical feature stand for (``FeatureBuilder.values``).
        """
        tables = []
        for column, name in enumerate(CATEGORICAL):
            text = np.full((len(values[name]), len(CATEGORICAL)), b"", dtype=object)
            text[:, column] = np.char.encode(values[name], "utf-8")
            codes = self._signatures["encode"](categorical=tf.constant(text, tf.string))["codes"]
            tables.append(codes.numpy()[:, column])
        return BoundRanker(self._signatures["score"], tables)

    def __call__(self, numeric: NDArray[np.float32], categorical: NDArray[np.str_]) -> NDArray[np.float32]:
        """Probability that each of N candidates is opened.

        Parameters
        ----------
        numeric : array of float32, shape (N, len(NUMERIC))
        categorical : array of str, shape (N, len(CATEGORICAL))
        """
        text = np.char.encode(categorical, "utf-8").astype(object)
        rank = self._signatures["serving_default"]
        scores = rank(numeric=tf.constant(numeric, tf.float32), categorical=tf.constant(text, tf.string))
        return scores["score"].numpy()


class BoundRanker:
    """A ranker that takes a catalogue's own codes; made by :meth:`Ranker.bind`."""

    def __init__(self, score: Any, tables: list[NDArray[np.int32]]):
        self._score = score
        self._tables = tables

    def __call__(self, numeric: NDArray[np.float32], categorical: NDArray[np.int32]) -> NDArray[np.float32]:
        """Probability that each of N candidates is opened, in bounded memory.

        Parameters
        ----------
        numeric : array of float32, shape (N, len(NUMERIC))
        categorical : array of int32, shape (N, len(CATEGORICAL))
        """
        found = np.empty(len(numeric), np.float32)
        for start in range(0, len(numeric), _ROWS):
            part = slice(start, start + _ROWS)
            codes = np.empty(categorical[part].shape, np.int32)
            for column, table in enumerate(self._tables):
                codes[:, column] = table[categorical[part, column]]
            scores = self._score(numeric=tf.constant(numeric[part]), codes=tf.constant(codes))
            found[part] = scores["score"].numpy()
        return found
