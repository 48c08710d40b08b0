"""Load a trained ranker and score candidates with it: the second stage, offline and in the server."""

from __future__ import annotations

import json
from pathlib import Path

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
        self._rank = self._model.signatures["serving_default"]

    def __call__(self, numeric: NDArray[np.float32], categorical: NDArray[np.str_]) -> NDArray[np.float32]:
        """Probability that each of N candidates is opened.

        Parameters
        ----------
        numeric : array of float32, shape (N, len(NUMERIC))
        categorical : array of str, shape (N, len(CATEGORICAL))
        """
        found = np.empty(len(numeric), np.float32)
        for start in range(0, len(numeric), _ROWS):
            part = slice(start, start + _ROWS)
            text = np.char.encode(categorical[part], "utf-8").astype(object)
            scores = self._rank(
                numeric=tf.constant(numeric[part], tf.float32), categorical=tf.constant(text, tf.string)
            )
            found[part] = scores["score"].numpy()
        return found
