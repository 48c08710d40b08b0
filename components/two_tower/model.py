"""The two towers and their loss, with TensorFlow Recommenders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.contract.tf import tf
from components.contract.time import DAY

# isort: split
# After TensorFlow, whose import settles which Keras both use.
import tensorflow_recommenders as tfrs

from components.two_tower.settings import TwoTowerSettings
from components.two_tower.softmax import InBatchSoftmax

_HOUR = 3600.0
_SCALARS = 3


@dataclass(frozen=True)
class PageFeatures:
    """What is known of the pages of a catalogue.

    Attributes
    ----------
    number : array of int32, shape (P,)
        Row in the table of page embeddings; 0 for pages that training does not see.
    attributes : array of int32, shape (P, B)
        Rows in the table of page attributes.
    content : array of float32, shape (P, C)
        Content vectors; C may be 0.
    """

    number: NDArray[np.int32]
    attributes: NDArray[np.int32]
    content: NDArray[np.float32]


def query_vectors(weights: Mapping[str, Any], associate: Any, attributes: Any, history: Any, age: Any) -> Any:
    """The query tower: unit vectors, shape (B, D).

    Parameters
    ----------
    weights : mapping of str to tensor
        As in :class:`components.contract.query_tower.QueryTower`.
    associate : int tensor, shape (B,)
    attributes : int tensor, shape (B, A)
    history : int tensor, shape (B, L)
        Page rows, most recent first; -1 where there is none.
    age : float tensor, shape (B, L)
        Seconds since each visit.
    """
    valid = tf.cast(history >= 0, tf.float32)
    age = tf.maximum(age, 0) * valid
    weight = valid * tf.exp(weights["position"] - weights["age"] * tf.math.log1p(age / _HOUR))
    weight /= tf.maximum(tf.reduce_sum(weight, axis=1, keepdims=True), 1e-12)
    embedded = tf.gather(weights["history"], tf.maximum(history, 0))
    mean = tf.linalg.matvec(embedded, weight, transpose_a=True)
    count = tf.reduce_sum(valid, axis=1)
    # The first page that is there: equal times may leave a gap before it.
    place = tf.argmax(valid, axis=1)
    # Looked up by itself, and not taken from the history's: that gradient would be as large as they are.
    first = tf.maximum(tf.gather(history, place, batch_dims=1), 0)
    latest = tf.gather(weights["history"], first) * tf.minimum(count, 1)[:, None]
    since = tf.math.log1p(tf.gather(age, place, batch_dims=1) / DAY)
    inputs = tf.concat(
        [
            mean,
            latest,
            tf.reduce_sum(tf.gather(weights["attribute"], attributes), axis=1),
            tf.gather(weights["associate"], associate),
            tf.stack([tf.minimum(count, 1), tf.math.log1p(count), since], axis=1),
        ],
        axis=1,
    )
    hidden = tf.nn.relu(inputs @ weights["hidden"] + weights["hidden_bias"])
    return tf.math.l2_normalize(mean + hidden @ weights["output"] + weights["output_bias"], axis=1)


class TwoTower(tfrs.Model):
    """Query tower and page tower over one table of page embeddings, with in-batch softmax.

    A page embedding is the sum of embeddings of the page's id and attributes and of a projection
    of its content vector, so that a new page has one from the start. The page tower adds a
    two-layer network to it; the query tower starts from the recency-weighted mean of the
    embeddings of the latest pages (see ``components.contract.query_tower``, which is its NumPy
    twin). Both give unit vectors. The softmax over the batch's pages is corrected for their
    sampling probability (Yi et al., RecSys 2019).

    Parameters
    ----------
    pages : PageFeatures
    associates : int
        Rows of the table of associates, the unknown one included.
    attributes : sequence of int
        The same for each attribute; their tables lie one below the other, unknown first.
    settings : TwoTowerSettings
    """

    def __init__(
        self, pages: PageFeatures, associates: int, attributes: Sequence[int], settings: TwoTowerSettings
    ) -> None:
        super().__init__()
        d, hidden = settings.dimensions, settings.hidden
        self._settings = settings
        self._number = tf.constant(pages.number)
        self._page_attributes = tf.constant(pages.attributes)
        self._content = tf.constant(pages.content)
        self._unknown = tf.constant(np.cumsum([0, *attributes[:-1]]), tf.int32)
        self._random = tf.random.Generator.from_seed(settings.seed)

        def table(name: str, *shape: int) -> Any:
            initial = tf.random_normal_initializer(stddev=1 / np.sqrt(d), seed=settings.seed)
            return self.add_weight(name=name, shape=shape, initializer=initial)

        def dense(name: str, *shape: int) -> Any:
            return self.add_weight(
                name=name, shape=shape, initializer=tf.keras.initializers.GlorotUniform(settings.seed)
            )

        def zeros(name: str, *shape: int) -> Any:
            return self.add_weight(name=name, shape=shape, initializer="zeros")

        self.page = table("page", int(pages.number.max(initial=0)) + 1, d)
        self.page_attribute = table("page_attribute", int(pages.attributes.max(initial=0)) + 1, d)
        self.content_projection = dense("content_projection", max(1, pages.content.shape[1]), d)
        self.page_hidden = dense("page_hidden", d, hidden)
        self.page_hidden_bias = zeros("page_hidden_bias", hidden)
        self.page_output = dense("page_output", hidden, d)
        self.page_output_bias = zeros("page_output_bias", d)

        self.associate = table("associate", associates, d)
        self.attribute = table("attribute", sum(attributes), d)
        self.position = self.add_weight(
            name="position",
            shape=(settings.history_size,),
            # Each page further back starts with 0.8 of the weight of the one before.
            initializer=tf.constant_initializer(np.log(0.8) * np.arange(settings.history_size)),
        )
        self.age = zeros("age")
        self.hidden = dense("hidden", 4 * d + _SCALARS, hidden)
        self.hidden_bias = zeros("hidden_bias", hidden)
        self.output_kernel = dense("output", hidden, d)
        self.output_bias = zeros("output_bias", d)

        self.task = InBatchSoftmax(
            temperature=settings.temperature,
            num_hard_negatives=settings.hard_negatives or None,
            remove_accidental_hits=True,
        )

    def _kept(self, shape: Any, training: bool) -> Any:
        """1 where a feature is known to the step, 0 where training hides it."""
        if not training or not self._settings.dropout:
            return tf.ones(shape, tf.int32)
        return tf.cast(self._random.uniform(shape) >= self._settings.dropout, tf.int32)

    def page_embeddings(self, training: bool = False) -> Any:
        """Embeddings of all pages of the catalogue, shape (P, D)."""
        number = self._number * self._kept(tf.shape(self._number), training)
        embedding = tf.gather(self.page, number)
        embedding += tf.reduce_sum(tf.gather(self.page_attribute, self._page_attributes), axis=1)
        if self._content.shape[1]:
            embedding += self._content @ self.content_projection
        return embedding

    def page_vectors(self, embeddings: Any) -> Any:
        """The page tower: unit vectors from embeddings, shape (N, D)."""
        hidden = tf.nn.relu(embeddings @ self.page_hidden + self.page_hidden_bias)
        return tf.math.l2_normalize(embeddings + hidden @ self.page_output + self.page_output_bias, axis=1)

    @property
    def query_weights(self) -> dict[str, Any]:
        """Weights of the query tower but for the page embeddings, by their names in ``QueryTower``."""
        return {
            "associate": self.associate,
            "attribute": self.attribute,
            "position": self.position,
            "age": self.age,
            "hidden": self.hidden,
            "hidden_bias": self.hidden_bias,
            "output": self.output_kernel,
            "output_bias": self.output_bias,
        }

    def compute_loss(self, inputs: dict[str, Any], training: bool = False) -> Any:
        """Mean softmax loss of a batch (see ``Examples.batch``)."""
        embeddings = self.page_embeddings(training)
        associate = inputs["associate"] * self._kept(tf.shape(inputs["associate"]), training)
        kept = self._kept(tf.shape(inputs["attributes"]), training)
        attributes = inputs["attributes"] * kept + self._unknown * (1 - kept)
        weights = {"history": embeddings, **self.query_weights}
        query = query_vectors(weights, associate, attributes, inputs["history"], inputs["age"])
        candidates = self.page_vectors(tf.gather(embeddings, inputs["page"]))
        loss = self.task(
            query,
            candidates,
            sample_weight=inputs["weight"],
            candidate_sampling_probability=inputs["probability"],
            candidate_ids=inputs["page"],
        )
        return loss / tf.cast(tf.shape(query)[0], tf.float32)
