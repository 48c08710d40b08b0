"""DeepFM: linear part + factorisation machine + deep network over the same embeddings.

Guo et al., "DeepFM: A Factorization-Machine based Neural Network for CTR Prediction", IJCAI 2017.
A numeric feature's embedding is a vector times its standardised value, as in Rendle's FM.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.contract.tf import tf
from components.ranker.settings import RankerSettings

# Standardised values beyond this are outliers of the training log.
_CLIP = 5.0


class DeepFM(tf.Module):
    """Scores candidates from encoded features.

    Parameters
    ----------
    sizes : sequence of int
        Number of codes of each categorical feature, 0 (unknown) included.
    mean, scale : arrays of float32, shape (F,)
        Standardise the numeric features.
    settings : RankerSettings
    seed : int
    """

    def __init__(
        self,
        sizes: Sequence[int],
        mean: NDArray[np.float32],
        scale: NDArray[np.float32],
        settings: RankerSettings,
        seed: int,
    ):
        super().__init__(name="deepfm")
        self.settings = settings
        self._seed = seed
        fields, numeric, k = len(sizes), len(mean), settings.dimensions
        draw = np.random.default_rng(seed)

        def normal(shape: tuple[int, ...], deviation: float, name: str) -> Any:
            return tf.Variable(draw.normal(0, deviation, shape).astype(np.float32), name=name)

        self.mean = tf.constant(mean, tf.float32)
        self.scale = tf.constant(scale, tf.float32)
        # One table for all categorical fields: field f's code c is row offsets[f] + c.
        self.offsets = tf.constant(np.concatenate([[0], np.cumsum(sizes)[:-1]]), tf.int32)
        total = int(np.sum(sizes))
        self.embedding = normal((total, k), 0.01, "embedding")
        self.linear = tf.Variable(tf.zeros((total, 1)), name="linear")
        self.numeric_embedding = normal((numeric, k), 0.05, "numeric_embedding")
        self.numeric_linear = tf.Variable(tf.zeros((numeric, 1)), name="numeric_linear")
        self.bias = tf.Variable(0.0, name="bias")
        self.layers: list[tuple[Any, Any]] = []
        width = numeric + fields * k
        for depth, units in enumerate(settings.hidden if settings.use_deep else ()):
            weights = normal((width, units), float(np.sqrt(2 / width)), f"dense_{depth}")
            self.layers.append((weights, tf.Variable(tf.zeros(units), name=f"dense_bias_{depth}")))
            width = units
        self.output = normal((width, 1), float(np.sqrt(1 / width)), "output") if settings.use_deep else None

    def __call__(self, numeric: Any, codes: Any, step: Any = None) -> Any:
        """Logits of N candidates.

        Parameters
        ----------
        numeric : float32 tensor, shape (N, F)
        codes : int32 tensor, shape (N, C)
        step : int32 scalar tensor, optional
            Given in training: seeds the dropout of this step.

        Returns
        -------
        float32 tensor, shape (N,)
        """
        x = tf.clip_by_value((numeric - self.mean) / self.scale, -_CLIP, _CLIP)
        if step is not None:
            codes = tf.where(self._keep(tf.shape(codes), self.settings.field_dropout, step, 0), codes, 0)
        rows = codes + self.offsets
        embedded = tf.gather(self.embedding, rows)
        logit = tf.reduce_sum(tf.gather(self.linear, rows), axis=1) + x @ self.numeric_linear + self.bias
        if self.settings.use_fm:
            total = tf.reduce_sum(embedded, axis=1) + x @ self.numeric_embedding
            squares = tf.reduce_sum(tf.square(embedded), axis=1) + tf.square(x) @ tf.square(
                self.numeric_embedding
            )
            logit += 0.5 * tf.reduce_sum(tf.square(total) - squares, axis=1, keepdims=True)
        if self.settings.use_deep:
            flat = tf.reshape(embedded, (-1, embedded.shape[1] * embedded.shape[2]))
            hidden = tf.concat([x, flat], axis=1)
            for depth, (weights, bias) in enumerate(self.layers):
                hidden = tf.nn.relu(hidden @ weights + bias)
                rate = self.settings.dropout
                if step is not None and rate:
                    kept = self._keep(tf.shape(hidden), rate, step, depth + 1)
                    hidden = tf.where(kept, hidden / (1 - rate), 0.0)
            logit += hidden @ self.output
        return logit[:, 0]

    def _keep(self, shape: Any, rate: float, step: Any, layer: int) -> Any:
        seed = tf.stack([tf.constant((self._seed * 1000 + layer) % 2**31, tf.int32), step])
        return tf.random.stateless_uniform(shape, seed) >= rate

    @property
    def decayed(self) -> list[Any]:
        """The variables that weight decay applies to: all matrices."""
        return [variable for variable in self.trainable_variables if len(variable.shape) > 1]
