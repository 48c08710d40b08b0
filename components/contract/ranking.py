"""Load a trained ranker and score candidates with it: the second stage, offline and in the server.

Scoring is NumPy over the exported weights, its widest part a compiled loop where there is one. The network
is small, so that TensorFlow's start, memory and size would cost a server far more than the arithmetic does.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from components.contract.attention import Attention
from components.contract.encoding import find
from components.contract.errors import DataError, ReleaseError
from components.contract.features import CATEGORICAL, NUMERIC, PAGE
from components.contract.first_layer import FirstLayer
from components.contract.history import NO_HISTORY, History, Latest
from components.contract.kernels import library

# Standardised values beyond this are outliers of the training log.
CLIP = 5.0
_ROWS = 8192


class _Network:
    """One member's forward pass; see ``components.ranker.deepfm.DeepFM``, whose weights it holds.

    The first layer, the sum of the factorisation machine's vectors and the linear part are linear in the
    inputs. So they are columns of one matrix, a code's part is looked up, and that of numbers and codes
    which all candidates share, as what a request says of itself, is computed once.

    Attributes
    ----------
    attention : Attention or None
        To the pages of the history.
    """

    def __init__(self, weights: Mapping[str, NDArray[np.float32]]):
        self._w = weights
        edges, self._offsets = weights["edges"], weights["offsets"].astype(np.int64)
        self._layers = [
            (weights[f"dense_{n}"], weights[f"dense_bias_{n}"])
            for n in range(sum(name.startswith("dense_bias_") for name in weights))
        ]
        self._cross = [
            (weights[f"cross_in_{n}"], weights[f"cross_out_{n}"], weights[f"cross_bias_{n}"])
            for n in range(sum(name.startswith("cross_bias_") for name in weights))
        ]
        # A number's inputs: its standardised value and the part of each bin below it; (1 + bins, F, 1).
        self._from = np.concatenate([weights["mean"][None], edges.T[:-1]])[:, :, None]
        self._per_width = 1 / np.concatenate([weights["scale"][None], np.diff(edges.T, axis=0)])[:, :, None]

        (fields, inputs), size = edges.shape, weights["embedding"].shape[1]
        vectors = weights.get("numeric_embedding", np.zeros((fields, 0), np.float32))
        coded = weights["embedding"][:, : vectors.shape[1]]
        self._number_squares, self._code_squares = (np.square(v).sum(axis=1) for v in (vectors, coded))
        self._share = np.float32(0.5 / (fields + len(self._offsets)))
        width = fields * inputs + len(self._offsets) * size
        first = self._layers[0][0] if self._layers else np.zeros((width, 0), np.float32)
        by_value, by_bin, by_code, self._by_interest = np.split(first, [fields, fields * inputs, width])
        self._units = first.shape[1]
        # Columns: the first layer, the vectors' sum, the linear part.
        self._of_numbers = np.zeros((inputs, fields, self._units + vectors.shape[1] + 1), np.float32)
        self._of_numbers[0] = np.concatenate([by_value, vectors, weights["numeric_linear"]], axis=1)
        by_bin = by_bin.reshape(fields, inputs - 1, self._units)
        self._of_numbers[1:, :, : self._units] = by_bin.transpose(1, 0, 2)
        parts = np.split(weights["embedding"], self._offsets[1:])
        matrices = by_code.reshape(len(parts), size, self._units)
        hidden = [part @ matrix for part, matrix in zip(parts, matrices, strict=True)]
        self._of_codes = np.concatenate([np.concatenate(hidden), coded, weights["linear"]], axis=1)
        self.attention = Attention(weights) if "attention_in" in weights else None
        if len(self._by_interest) != (2 * size if self.attention else 0):
            raise ValueError("the first layer has inputs that there are no weights for")
        # The compiled loop rectifies the first layer, and what the history adds comes before that.
        kernels = None if self.attention else library()
        squares = (self._number_squares, self._code_squares)
        self._first = kernels and FirstLayer(
            kernels, weights, self._of_numbers, self._of_codes, squares, self._units, float(self._share), CLIP
        )

    def __call__(
        self, numeric: NDArray[np.float32], codes: NDArray[np.int32], latest: Latest | None = None
    ) -> NDArray[np.float32]:
        """Logits, (N,); ``latest`` is needed where there is attention."""
        number, row = np.ascontiguousarray(numeric.T), codes.T + self._offsets[:, None]
        if self._first:
            hidden, logits = self._first(number, row)
        else:
            hidden, logits = self._linear(number, row, self._interest(row[PAGE], latest))
        if self._cross:
            logits += self._crossed(number, row)
        if self._layers:
            for matrix, bias in self._layers[1:]:
                hidden = hidden @ matrix
                hidden += bias
                np.maximum(hidden, 0, out=hidden)
            logits += (hidden @ self._w["output"])[:, 0]
        return logits

    def _interest(self, candidate: NDArray[np.int64], latest: Latest | None) -> NDArray[np.float32] | None:
        """What the history adds to the first layer of each candidate, (N, units)."""
        if self.attention is None:
            return None
        assert latest is not None
        table = self._w["embedding"]
        vectors = table[latest.page + self._offsets[PAGE]]
        return self.attention(latest, vectors, table[candidate]) @ self._by_interest

    def _linear(
        self, number: NDArray[np.float32], row: NDArray[np.int64], more: NDArray[np.float32] | None
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """What :class:`FirstLayer` gives, without compiled loops; ``more`` is added before it rectifies."""
        fixed, same = (number == number[:, :1]).all(axis=1), (row == row[:, :1]).all(axis=1)
        sums, squares = self._sums(number[~fixed], ~fixed, row[~same])
        shared, shared_squares = self._sums(number[fixed, :1], fixed, row[same, :1])
        sums += shared
        squares += shared_squares
        first, vectors, linear = np.split(sums, [self._units, sums.shape[1] - 1], axis=1)
        logits = linear[:, 0] + self._w["bias"]
        logits += self._share * (np.square(vectors).sum(axis=1) - squares)
        if self._layers:
            first = first + self._layers[0][1]
            if more is not None:
                first += more
            np.maximum(first, 0, out=first)
        return first, logits

    def _sums(
        self, number: NDArray[np.float32], fields: NDArray[np.bool_], row: NDArray[np.int64]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """What numbers (F, N) and codes (C, N) add to the sums, (N, columns), and to the squares, (N,)."""
        inputs, matrix = self._inputs(number, fields), self._of_numbers[:, fields]
        sums = inputs.reshape(-1, number.shape[1]).T @ matrix.reshape(-1, matrix.shape[2])
        squares = np.square(inputs[0]).T @ self._number_squares[fields]
        for code in row:
            sums += self._of_codes[code]
            squares += self._code_squares[code]
        return sums, squares

    def _inputs(self, number: NDArray[np.float32], fields: NDArray[np.bool_] | slice) -> NDArray[np.float32]:
        """The inputs that numbers make, (1 + bins, F, N)."""
        inputs = number - self._from[:, fields]
        inputs *= self._per_width[:, fields]
        np.clip(inputs[0], -CLIP, CLIP, out=inputs[0])
        np.clip(inputs[1:], 0, 1, out=inputs[1:])
        return inputs

    def _crossed(self, number: NDArray[np.float32], row: NDArray[np.int64]) -> NDArray[np.float32]:
        """What the cross network adds to the logits, (N,)."""
        inputs = self._inputs(number, slice(None))
        binned, coded = inputs[1:].transpose(2, 1, 0), self._w["embedding"][row.T]
        parts = [inputs[0].T, binned.reshape(len(binned), -1), coded.reshape(len(coded), -1)]
        whole = np.concatenate(parts, axis=1)
        crossed = whole
        for reduce, expand, bias in self._cross:
            crossed = whole * (crossed @ reduce @ expand + bias) + crossed
        return (crossed @ self._w["cross_output"])[:, 0]


class Ranker:
    """What the ranker step exports.

    Parameters
    ----------
    path : Path or str
        Folder with ``weights.npz`` and ``features.json``.

    Attributes
    ----------
    history_pages : int
        Latest pages of a history that it looks at; 0: none.

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
            pages = (net.attention.pages for net in self._members if net.attention)
            self.history_pages = max(pages, default=0)
        except (KeyError, ValueError) as error:
            raise ReleaseError(f"{path}: weights.npz is incomplete ({error}); train it again") from error

    def bind(self, values: Mapping[str, NDArray[np.str_]]) -> BoundRanker:
        """Look all values of a catalogue up once, so that scoring handles codes and no text.

        Parameters
        ----------
        values : mapping of str to array of str
            What the codes of each categorical feature stand for (``FeatureBuilder.values``).
        """
        return BoundRanker(self, [self._codes(place, values[name]) for place, name in enumerate(CATEGORICAL)])

    def _codes(self, column: int, text: NDArray[np.str_]) -> NDArray[np.int32]:
        known = self._values[column]
        return np.maximum(find(known, text, np.argsort(known)), 0).astype(np.int32)

    def __call__(
        self, numeric: NDArray[np.float32], categorical: NDArray[np.str_], latest: Latest | None = None
    ) -> NDArray[np.float32]:
        """Probability that each of N candidates is opened.

        Parameters
        ----------
        numeric : array of float32, shape (N, len(NUMERIC))
        categorical : array of str, shape (N, len(CATEGORICAL))
        latest : Latest, optional
            Of texts; needed where the ranker looks at histories.

        Raises
        ------
        DataError
            It does, and none are given.
        """
        codes = [self._codes(column, categorical[:, column]) for column in range(len(CATEGORICAL))]
        if latest is not None:
            latest = latest._replace(page=self._codes(PAGE, latest.page))
        elif self.history_pages:
            raise DataError(f"the ranker looks at the latest {self.history_pages} pages, and none are given")
        return self.probability(numeric, np.stack(codes, axis=1), latest)

    def probability(
        self, numeric: NDArray[np.float32], codes: NDArray[np.int32], latest: Latest | None = None
    ) -> NDArray[np.float32]:
        """The same from the ranker's own codes, in bounded memory."""
        found = np.empty(len(numeric), np.float32)
        for start in range(0, len(numeric), _ROWS):
            part = slice(start, start + _ROWS)
            own = None if latest is None else latest.of(part)
            logits = sum(net(numeric[part], codes[part], own) for net in self._members) / len(self._members)
            found[part] = 1 / (1 + np.exp(-(self._slope * logits + self._intercept)))
        return found


class BoundRanker:
    """A ranker that takes a catalogue's own codes; made by :meth:`Ranker.bind`."""

    def __init__(self, ranker: Ranker, tables: list[NDArray[np.int32]]):
        self._ranker, self._pages = ranker, tables[PAGE]
        self._codes = np.concatenate(tables)
        self._start = np.cumsum([0, *(len(table) for table in tables[:-1])])

    def __call__(
        self,
        numeric: NDArray[np.float32],
        categorical: NDArray[np.int32],
        history: History = NO_HISTORY,
    ) -> NDArray[np.float32]:
        """Probability that each of N candidates is opened.

        Parameters
        ----------
        numeric : array of float32, shape (N, len(NUMERIC))
        categorical : array of int32, shape (N, len(CATEGORICAL))
        history : History
            Needed where the ranker looks at histories.

        Raises
        ------
        DataError
            It does, and the histories hold fewer pages than it looks at.
        """
        latest = None
        if self._ranker.history_pages:
            known = history.latest(self._ranker.history_pages)
            latest = known._replace(page=self._pages[known.page])
        return self._ranker.probability(numeric, self._codes[categorical + self._start], latest)
