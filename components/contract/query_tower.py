"""The two-tower model's query side in NumPy, so that serving needs no TensorFlow.

The two_tower step trains it, exports its weights here as ``query.npz`` with ``query.json``, and
tests that both give the same vectors.
"""

from __future__ import annotations

import ctypes
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.contract.encoding import Codes, find
from components.contract.files import atomic_file
from components.contract.kernels import Kernel, library, scratch
from components.contract.sources import Vectors
from components.contract.time import DAY

_HOUR = 3600.0
# Vocabularies of at most so many values are looked up in a hash table.
_FEW = 1000
Strings = Sequence[str | None] | NDArray[np.str_]


@dataclass(frozen=True)
class Vocabulary:
    """Numbers for strings: 1, 2, ... in the order of ``values``; 0 for anything else.

    Examples
    --------
    >>> Vocabulary.of(["b", "a", "b", None])(["a", None, "c", "b"]).tolist()
    [1, 0, 0, 2]
    """

    values: NDArray[np.str_]

    @classmethod
    def of(cls, values: Strings) -> Vocabulary:
        """The distinct values, sorted; missing and empty ones have no number."""
        found = np.unique(_text(values))
        return cls(found[found != ""])

    def __len__(self) -> int:
        return len(self.values)

    @cached_property
    def _few(self) -> Codes | None:
        return Codes(["", *self.values.tolist()], missing=0) if len(self) <= _FEW else None

    def __call__(self, values: Strings) -> NDArray[np.int32]:
        """Look up numbers."""
        if self._few is not None:
            return self._few(_text(values)).astype(np.int32)
        return (find(self.values, _text(values)) + 1).astype(np.int32)


def _text(values: Strings) -> NDArray[np.str_]:
    if isinstance(values, np.ndarray) and values.dtype.kind == "U":
        return values
    return np.array(["" if value is None else str(value) for value in values], dtype=np.str_)


@dataclass(frozen=True)
class QueryTower:
    """Turns associates and their recent pages into query vectors.

    A query is the recency-weighted mean of the embeddings of the associate's latest pages, moved by
    a two-layer network that also sees the latest page, the attributes, the associate's own
    embedding (if there is one) and how long ago the last visit was; scaled to unit length.

    Attributes
    ----------
    page_ids : array of str, shape (P,)
        Pages of ``history``, the catalogue that history rows refer to.
    known : array of bool, shape (P,)
        False for pages that the tower has no embedding of; they are passed over.
    associates : Vocabulary
    attributes : dict of str to Vocabulary
        In the order of the columns that :meth:`encode_attributes` returns.
    weights : dict of str to array of float32
        ``history`` (P, D), ``associate`` (1 + associates, D), ``attribute`` (all values and an
        unknown for each attribute, D), ``position`` (L,), ``age`` (), ``hidden`` (I, H),
        ``hidden_bias`` (H,), ``output`` (H, D), ``output_bias`` (D,).
    """

    page_ids: NDArray[np.str_]
    known: NDArray[np.bool_]
    associates: Vocabulary
    attributes: dict[str, Vocabulary]
    weights: dict[str, NDArray[np.float32]]

    @property
    def dimensions(self) -> int:
        """Length of the query vectors."""
        return self.weights["output"].shape[1]

    @property
    def history_size(self) -> int:
        """Latest pages that are looked at; older ones are ignored."""
        return len(self.weights["position"])

    def encode_associates(self, ids: Strings) -> NDArray[np.int32]:
        """Numbers of associates, shape (B,); 0 for associates without an embedding of their own."""
        return self.associates(ids)

    def encode_attributes(self, attributes: Mapping[str, Strings]) -> NDArray[np.int32]:
        """Rows of the attribute table, shape (B, attributes).

        Parameters
        ----------
        attributes : mapping of str to sequence
            Values of each attribute, all of the same length B; None, "" and new values count as
            unknown, and so does an attribute that is not given. At least one must be.
        """
        size = len(next(iter(attributes.values())))
        rows = np.empty((size, len(self.attributes)), np.int32)
        offset = 0
        for column, (name, vocabulary) in enumerate(self.attributes.items()):
            rows[:, column] = offset + (vocabulary(attributes[name]) if name in attributes else 0)
            offset += len(vocabulary) + 1
        return rows

    def align(self, catalogue: NDArray[np.str_]) -> QueryTower:
        """The same tower for history rows of another catalogue."""
        if np.array_equal(self.page_ids, catalogue):
            return self
        history = Vectors(self.page_ids, self.weights["history"]).align(catalogue).vectors
        known = Vectors(self.page_ids, self.known[:, None].astype(np.float32)).align(catalogue).vectors
        return replace(
            self,
            page_ids=catalogue,
            known=known[:, 0] > 0,
            weights={**self.weights, "history": history},
        )

    @cached_property
    def _compiled(self) -> _CompiledTower | None:
        kernels = library()
        return None if kernels is None else _CompiledTower(kernels, self.known, self.weights)

    def __call__(
        self,
        associates: NDArray[np.int32],
        attributes: NDArray[np.int32],
        history_pages: NDArray[np.int32],
        history_age_seconds: NDArray[np.floating],
    ) -> NDArray[np.float32]:
        """Query vectors, shape (B, D), unit length.

        Parameters
        ----------
        associates : array of int32, shape (B,)
            From :meth:`encode_associates`.
        attributes : array of int32, shape (B, attributes)
            From :meth:`encode_attributes`.
        history_pages : array of int32, shape (B, L)
            Rows of the catalogue, most recent first; -1 pads. L is free.
        history_age_seconds : array of float, shape (B, L)
            Time since each visit; any value where padded.
        """
        if self._compiled:
            return self._compiled(associates, attributes, history_pages, history_age_seconds)
        w = self.weights
        page = history_pages[:, : self.history_size]
        valid = page >= 0
        if len(self.known):
            valid &= self.known[page]
        else:
            valid = np.zeros_like(valid)
        age = np.where(valid, np.maximum(history_age_seconds[:, : self.history_size], 0), 0)
        age = age.astype(np.float32)
        count = valid.sum(axis=1, dtype=np.float32)
        weight = np.where(
            valid, np.exp(w["position"][: page.shape[1]] - w["age"] * np.log1p(age / np.float32(_HOUR))), 0
        ).astype(np.float32)
        weight /= np.maximum(weight.sum(axis=1, keepdims=True), np.float32(1e-12))
        table = w["history"] if len(self.known) else np.zeros((1, self.dimensions), np.float32)
        embedded = table[np.where(valid, page, 0)]
        mean = np.einsum("bl,bld->bd", weight, embedded)
        first = valid.argmax(axis=1) if page.shape[1] else np.zeros(len(page), np.int64)
        rows = np.arange(len(page))
        any_page = (count > 0).astype(np.float32)
        if page.shape[1]:
            latest = embedded[rows, first] * any_page[:, None]
            since = np.log1p(age[rows, first] / np.float32(DAY)) * any_page
        else:
            latest, since = np.zeros_like(mean), np.zeros_like(count)
        inputs = np.concatenate(
            [
                mean,
                latest,
                w["attribute"][attributes].sum(axis=1),
                w["associate"][associates],
                np.stack([any_page, np.log1p(count), since], axis=1),
            ],
            axis=1,
        )
        hidden = np.maximum(inputs @ w["hidden"] + w["hidden_bias"], 0)
        query = mean + hidden @ w["output"] + w["output_bias"]
        norm = np.sqrt(np.maximum((query * query).sum(axis=1, keepdims=True), np.float32(1e-12)))
        return (query / norm).astype(np.float32)

    def save(self, folder: Path | str) -> None:
        """Write ``query.npz`` (weights) and ``query.json`` (vocabularies) into a folder."""
        folder = Path(folder)
        with atomic_file(folder / "query.npz") as aside, aside.open("wb") as handle:
            arrays: dict[str, Any] = {"page_ids": self.page_ids, "known": self.known, **self.weights}
            np.savez(handle, **arrays)
        names = {
            "associates": self.associates.values.tolist(),
            "attributes": {name: v.values.tolist() for name, v in self.attributes.items()},
        }
        with atomic_file(folder / "query.json") as aside:
            aside.write_text(json.dumps(names, ensure_ascii=False), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path | str) -> QueryTower:
        """Read what :meth:`save` wrote."""
        folder = Path(folder)
        with np.load(folder / "query.npz", allow_pickle=False) as file:
            weights = {name: file[name] for name in file.files}
        names = json.loads((folder / "query.json").read_text(encoding="utf-8"))
        return cls(
            page_ids=weights.pop("page_ids"),
            known=weights.pop("known"),
            associates=Vocabulary(np.array(names["associates"], dtype=np.str_)),
            attributes={
                name: Vocabulary(np.array(values, dtype=np.str_))
                for name, values in names["attributes"].items()
            },
            weights=weights,
        )


class _CompiledTower:
    """:meth:`QueryTower.__call__` by the compiled loop ``query``."""

    def __init__(
        self, kernels: ctypes.CDLL, known: NDArray[np.bool_], weights: Mapping[str, NDArray[np.float32]]
    ):
        self._query = Kernel(kernels, "query", "i" * 6 + "p" * 9 + "f" + "p" * 6)
        names = ("history", "associate", "attribute", "position")
        layers = ("hidden", "hidden_bias", "output", "output_bias")
        self._known = np.ascontiguousarray(known)
        self._tables = [np.ascontiguousarray(weights[name], np.float32) for name in names]
        self._layers = [np.ascontiguousarray(weights[name], np.float32) for name in layers]
        self._age = float(weights["age"])
        self._units, self._size = weights["output"].shape

    def __call__(
        self,
        associates: NDArray[np.int32],
        attributes: NDArray[np.int32],
        history_pages: NDArray[np.int32],
        history_age_seconds: NDArray[np.floating],
    ) -> NDArray[np.float32]:
        batch, length = history_pages.shape
        found = np.empty((batch, self._size), np.float32)
        self._query(
            *(batch, length, len(self._tables[-1]), self._size, attributes.shape[1], self._units),
            np.ascontiguousarray(associates, np.int32),
            np.ascontiguousarray(attributes, np.int32),
            np.ascontiguousarray(history_pages, np.int32),
            np.ascontiguousarray(history_age_seconds, np.float64),
            self._known,
            *self._tables,
            self._age,
            *self._layers,
            scratch(4 * (4 * self._size + 3 + self._units)),
            found,
        )
        return found
