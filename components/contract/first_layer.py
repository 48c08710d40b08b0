"""The linear parts of the ranker's network from tables, by a compiled loop (``kernels/first_layer.c``)."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from components.contract.kernels import Kernel, address, aligned, scratch, threads

_BLOCK_ROWS = 64


class FirstLayer:
    """First layer, factorisation machine and linear part of ``ranking._Network`` in one pass.

    What a number adds to them is a broken line: its standardised value is cut off at both ends, and a bin
    fills from its lower border to its upper one. So each column's values at the knots are all there is
    to know, and a number costs two rows of a table instead of one for each bin.

    Parameters
    ----------
    kernels : ctypes.CDLL
    weights : mapping of str to array of float32
        A member's; see ``components.ranker.deepfm.DeepFM.weights``.
    of_numbers : array of float32, shape (1 + bins, F, columns)
        What each input of a number adds to each column: the first layer's units, the vectors' sum, the
        linear part.
    of_codes : array of float32, shape (V, columns)
        The same of each value of the categorical features.
    squares : pair of arrays of float32, shapes (F,) and (V,)
        Squared lengths of the numbers' and the values' vectors.
    units : int
        Of the first layer.
    share : float
        Of the factorisation machine's sum of products in the logit.
    clip : float
        Bound of standardised values.
    """

    def __init__(
        self,
        kernels: ctypes.CDLL,
        weights: Mapping[str, NDArray[np.float32]],
        of_numbers: NDArray[np.float32],
        of_codes: NDArray[np.float32],
        squares: tuple[NDArray[np.float32], NDArray[np.float32]],
        units: int,
        share: float,
        clip: float,
    ):
        mean, scale = (weights[name].astype(np.float64) for name in ("mean", "scale"))
        edges = weights["edges"].astype(np.float64)
        ends = np.stack([mean - clip * scale, mean + clip * scale], axis=1)
        knot = np.sort(np.concatenate([edges, ends], axis=1).astype(np.float32), axis=1)
        at = knot.astype(np.float64)
        standard = np.clip((at - mean[:, None]) / scale[:, None], -clip, clip)
        filled = (at[:, :, None] - edges[:, None, :-1]) / np.diff(edges, axis=1)[:, None]
        inputs = np.concatenate([standard[:, :, None], np.clip(filled, 0, 1)], axis=2)
        value = np.einsum("fki,ifc->fkc", inputs, of_numbers.astype(np.float64))
        gap = np.diff(knot, axis=1)
        columns = value.shape[2]
        start = np.zeros(columns)
        if "dense_bias_0" in weights:
            start[:units] = weights["dense_bias_0"]
        start[-1] = np.squeeze(weights["bias"])
        self._first_layer = Kernel(kernels, "first_layer", "i" * 7 + "p" * 7 + "f" + "p" * 4 + "fi" + "p" * 3)
        self._units, self._vectors = units, columns - units - 1
        # Rows of whole registers.
        self._columns = -(-columns // 16) * 16
        self._arrays = [
            aligned(np.asarray(array, np.float32))
            for array in (
                knot,
                np.divide(1, gap, out=np.zeros_like(gap), where=gap > 0),
                self._padded(value),
                mean,
                1 / scale,
                squares[0],
                self._padded(of_codes),
                squares[1],
                self._padded(start),
            )
        ]
        *of_number, code_value, code_square, biases = map(address, self._arrays)
        self._of_number = (*of_number, clip)
        self._of_code = (code_value, code_square, biases, share)
        self._fields, self._knots = knot.shape

    def _padded(self, array: NDArray[np.floating]) -> NDArray[np.floating]:
        widths = [(0, 0)] * (array.ndim - 1) + [(0, self._columns - array.shape[-1])]
        return np.pad(array, widths)

    def __call__(
        self, number: NDArray[np.float32], row: NDArray[np.int64]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """The first hidden layer, rectified, (N, units), and the rest's part of the logits, (N,).

        Parameters
        ----------
        number : array of float32, shape (F, N)
        row : array of int64, shape (C, N)
            Rows of ``of_codes``.
        """
        number, row = np.ascontiguousarray(number), np.ascontiguousarray(row)
        count = number.shape[1]
        hidden, logit = np.empty((count, self._units), np.float32), np.empty(count, np.float32)
        sizes = (count, self._fields, self._knots, len(row), self._units, self._vectors, self._columns)
        many = threads()
        work = scratch(many * (_BLOCK_ROWS + 2) * self._columns * 4)
        self._first_layer(*sizes, number, *self._of_number, row, *self._of_code, many, work, hidden, logit)
        return hidden, logit
