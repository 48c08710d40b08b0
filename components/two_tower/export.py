"""The trained towers as files: vectors, NumPy weights and a SavedModel."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.contract.query_tower import QueryTower, Vocabulary
from components.contract.tf import tf
from components.two_tower.model import TwoTower, query_vectors


def query_tower(
    model: TwoTower,
    page_ids: NDArray[np.str_],
    associates: Vocabulary,
    attributes: dict[str, Vocabulary],
) -> QueryTower:
    """The query tower in NumPy."""
    return QueryTower(
        page_ids=page_ids,
        known=np.ones(len(page_ids), np.bool_),
        associates=associates,
        attributes=attributes,
        weights={
            "history": model.page_embeddings().numpy(),
            **{name: variable.numpy() for name, variable in model.query_weights.items()},
        },
    )


class QueryModule(tf.Module):
    """The query tower with its string lookups, for a SavedModel.

    Its default signature takes ``associate_id`` (B,), one string tensor (B,) for each attribute,
    ``history_pages`` (B, L) page ids ("" pads) and ``history_age_seconds`` (B, L), and gives
    ``query`` (B, D). L is the tower's history size.
    """

    def __init__(self, tower: QueryTower) -> None:
        super().__init__()
        self.weights = {name: tf.Variable(value, trainable=False) for name, value in tower.weights.items()}
        self.pages = _lookup(tower.page_ids, np.arange(len(tower.page_ids)), -1)
        self.associates = _lookup(tower.associates.values, np.arange(len(tower.associates)) + 1, 0)
        self.attributes = {}
        offset = 0
        for name, vocabulary in tower.attributes.items():
            numbers = offset + 1 + np.arange(len(vocabulary))
            self.attributes[name] = _lookup(vocabulary.values, numbers, offset)
            offset += len(vocabulary) + 1
        kinds = {
            **{name: ([None], tf.string) for name in ("associate_id", *tower.attributes)},
            "history_pages": ([None, tower.history_size], tf.string),
            "history_age_seconds": ([None, tower.history_size], tf.float32),
        }
        self.signature = self.query.get_concrete_function(
            {name: tf.TensorSpec(shape, kind, name) for name, (shape, kind) in kinds.items()}
        )

    @tf.function
    def query(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """Query vectors of a batch."""
        rows = [table.lookup(inputs[name]) for name, table in self.attributes.items()]
        vectors = query_vectors(
            self.weights,
            self.associates.lookup(inputs["associate_id"]),
            tf.stack(rows, axis=1),
            self.pages.lookup(inputs["history_pages"]),
            inputs["history_age_seconds"],
        )
        return {"query": vectors}


def _lookup(keys: NDArray[np.str_], numbers: NDArray[np.integer], default: int) -> Any:
    """Hash table from strings to int32."""
    # TensorFlow refuses an empty table; "" means the default anyway.
    initial = tf.lookup.KeyValueTensorInitializer(
        tf.constant(["", *keys.tolist()], tf.string), tf.constant([default, *numbers.tolist()], tf.int32)
    )
    return tf.lookup.StaticHashTable(initial, default)


def save_query_model(tower: QueryTower, folder: Path) -> None:
    """Write the query tower as a SavedModel."""
    module = QueryModule(tower)
    tf.saved_model.save(module, str(folder), signatures={"serving_default": module.signature})
