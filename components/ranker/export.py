"""The SavedModel: text and numbers in, calibrated probabilities out, every lookup inside."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.contract.features import CATEGORICAL, NUMERIC, PAGE
from components.contract.files import atomic_folder
from components.contract.history import Latest
from components.contract.tf import tf
from components.ranker.training import Trained


class _Exported(tf.Module):
    def __init__(self, trained: Trained, values: dict[str, NDArray[np.str_]]):
        super().__init__(name="waymark_ranker")
        self.members = trained.members
        self.slope, self.intercept = trained.slope, trained.intercept
        self.tables = [_table(values[name]) for name in CATEGORICAL]
        pages = self.members[0].history_pages
        numeric = tf.TensorSpec((None, len(NUMERIC)), tf.float32, name="numeric")
        codes = tf.TensorSpec((None, len(CATEGORICAL)), tf.int32, name="codes")
        text = tf.TensorSpec((None, len(CATEGORICAL)), tf.string, name="categorical")
        self.score = tf.function(self._score, input_signature=[numeric, codes, *_latest(pages, tf.int32)])
        self.rank = tf.function(self._rank, input_signature=[numeric, text, *_latest(pages, tf.string)])

    @tf.function(input_signature=[tf.TensorSpec((None, len(CATEGORICAL)), tf.string, name="categorical")])
    def encode(self, categorical: Any) -> Any:
        """Codes of categorical features given as text, shape (N, C)."""
        columns = tf.unstack(categorical, axis=1)
        codes = [table.lookup(column) for table, column in zip(self.tables, columns, strict=True)]
        return {"codes": tf.stack(codes, axis=1)}

    def _score(self, numeric: Any, codes: Any, *history: Any) -> Any:
        """Probability that each candidate is opened, shape (N,)."""
        latest = Latest(*history) if history else None
        logits = tf.add_n([net(numeric, codes, latest) for net in self.members]) / len(self.members)
        return {"score": tf.sigmoid(self.slope * logits + self.intercept)}

    def _rank(self, numeric: Any, categorical: Any, *history: Any) -> Any:
        """The same from text, for clients that hold it."""
        if history:
            row, page, age = history
            history = (row, self.tables[PAGE].lookup(page), age)
        return self._score(numeric, self.encode(categorical)["codes"], *history)


def _latest(pages: int, kind: Any) -> list[Any]:
    """Inputs that hold a ``Latest``, whose pages are of a kind; none where no history is looked at."""
    if not pages:
        return []
    return [
        tf.TensorSpec((None,), tf.int32, name="history_row"),
        tf.TensorSpec((None, pages), kind, name="history_page"),
        tf.TensorSpec((None, pages), tf.float32, name="history_age"),
    ]


def _table(values: NDArray[np.str_]) -> Any:
    keys = tf.constant([value.encode() for value in values.tolist()], tf.string)
    entries = tf.lookup.KeyValueTensorInitializer(keys, tf.range(len(values), dtype=tf.int32))
    return tf.lookup.StaticHashTable(entries, default_value=0)


def save(trained: Trained, values: dict[str, NDArray[np.str_]], path: Path | str) -> None:
    """Write ``saved_model/``, the same as plain ``weights.npz``, and ``features.json`` (the inputs' order).

    :class:`components.contract.ranking.Ranker` scores from the weights, without TensorFlow; the
    SavedModel is for TensorFlow's own servers and tools.
    """
    with atomic_folder(path) as aside:
        exported = _Exported(trained, values)
        signatures = {
            "serving_default": exported.rank,
            "encode": exported.encode,
            "score": exported.score,
        }
        tf.saved_model.save(exported, str(aside / "saved_model"), signatures=signatures)
        numbers = {
            f"{n}.{name}": v for n, net in enumerate(trained.members) for name, v in net.weights().items()
        }
        numbers |= {f"values.{name}": values[name] for name in CATEGORICAL}
        with (aside / "weights.npz").open("wb") as handle:
            np.savez(handle, slope=trained.slope, intercept=trained.intercept, **numbers)  # type: ignore[arg-type]
        (aside / "features.json").write_text(json.dumps({"numeric": NUMERIC, "categorical": CATEGORICAL}))
