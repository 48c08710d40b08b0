"""DeepFM: linear part + factorisation machine + deep network over the same embeddings.

Guo et al., "DeepFM: A Factorization-Machine based Neural Network for CTR Prediction", IJCAI 2017.
A numeric feature's embedding is a vector times its standardised value, as in Rendle's FM. The deep network
also reads numbers piecewise: each of a feature's bins holds how much of the bin lies below the value, 0
to 1 (Gorishniy et al., "On Embeddings for Numerical Features in Tabular Deep Learning", NeurIPS 2022).
It may read the history's pages too, as a candidate attends to them (:mod:`components.ranker.attention`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.contract.examples import OUTCOMES
from components.contract.features import PAGE
from components.contract.history import Latest
from components.contract.ranking import CLIP
from components.contract.tf import tf
from components.ranker.attention import Attention
from components.ranker.settings import RankerSettings

# Places of the shown list that are told apart; lower ones count as the last of these.
POSITIONS = 20


def bin_edges(values: NDArray[np.float32], bins: int) -> NDArray[np.float32]:
    """Borders of equally filled bins of each column, (F, bins + 1), strictly ascending.

    A value that fills more than one bin by itself, as zeros often do, gets the lowest bin, and the
    others are divided among the rest. What bins are then left over lie above all values and stay empty.

    Examples
    --------
    >>> bin_edges(np.array([[0.0], [0.0], [0.0], [1.0], [2.0]], np.float32), 2).tolist()
    [[0.0, 1.0, 2.0]]
    """
    edges = np.empty((values.shape[1], bins + 1), np.float32)
    for feature, column in enumerate(values.T):
        found = np.unique(np.quantile(column, np.linspace(0, 1, bins + 1)))
        rest = column[column > found[0]]
        if len(found) < bins + 1 and len(rest):
            found = np.unique(np.append(np.quantile(rest, np.linspace(0, 1, bins)), found[0]))
        spare = found[-1] + np.arange(1, bins + 2 - len(found))
        edges[feature] = np.concatenate([found, spare])
    # Borders closer than single precision can tell apart would divide by nothing.
    gaps = np.maximum(np.diff(edges, axis=1), 1e-4)
    return np.concatenate([edges[:, :1], edges[:, :1] + np.cumsum(gaps, axis=1)], axis=1).astype(np.float32)


class DeepFM(tf.Module):
    """Scores candidates from encoded features.

    Parameters
    ----------
    sizes : sequence of int
        Number of codes of each categorical feature, 0 (unknown) included.
    mean, scale : arrays of float32, shape (F,)
        Standardise the numeric features.
    edges : array of float32, shape (F, bins + 1)
        Ascending borders of each numeric feature's bins; see :func:`bin_edges`.
    settings : RankerSettings
    seed : int

    Attributes
    ----------
    history_pages : int
        Latest pages of a history that candidates attend to; 0: none.
    """

    def __init__(
        self,
        sizes: Sequence[int],
        mean: NDArray[np.float32],
        scale: NDArray[np.float32],
        edges: NDArray[np.float32],
        settings: RankerSettings,
        seed: int,
    ):
        super().__init__(name="deepfm")
        self.settings = settings
        self._seed = seed
        fields, numeric, k = len(sizes), len(mean), settings.dimensions
        self._fields = fields + numeric
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
        self.edges = tf.constant(edges, tf.float32)
        bins = edges.shape[1] - 1
        self.numeric_embedding = normal((numeric, k), 0.05, "numeric_embedding")
        self.numeric_linear = tf.Variable(tf.zeros((numeric, 1)), name="numeric_linear")
        self.bias = tf.Variable(0.0, name="bias")
        self.layers: list[tuple[Any, Any]] = []
        whole = width = numeric * (1 + bins) + fields * k
        self.history_pages = settings.history_pages if settings.use_deep else 0
        width += 2 * k if self.history_pages else 0
        for depth, units in enumerate(settings.hidden if settings.use_deep else ()):
            weights = normal((width, units), float(np.sqrt(2 / width)), f"dense_{depth}")
            self.layers.append((weights, tf.Variable(tf.zeros(units), name=f"dense_bias_{depth}")))
            width = units
        # Wang et al., "DCN V2", WWW 2021: x <- x0 * (U V x + b) + x, beside the deep network.
        rank, small = settings.cross_rank, float(np.sqrt(1 / whole))
        self.cross: list[tuple[Any, Any, Any]] = [
            (
                normal((whole, rank), small, f"cross_in_{depth}"),
                normal((rank, whole), small, f"cross_out_{depth}"),
                tf.Variable(tf.zeros(whole), name=f"cross_bias_{depth}"),
            )
            for depth in range(settings.cross_layers)
        ]
        self.cross_output = normal((whole, 1), small, "cross_output") if self.cross else None
        self.output = normal((width, 1), float(np.sqrt(1 / width)), "output") if settings.use_deep else None
        # Ma et al., "Entire Space Multi-Task Model", SIGIR 2018, whose towers share the layers below.
        headed = settings.use_deep and settings.head_weight > 0
        deviation = float(np.sqrt(1 / width))
        self.heads = {name: normal((width, 1), deviation, name) for name in OUTCOMES} if headed else {}
        self.head_bias = {name: tf.Variable(0.0, name=f"{name}_bias") for name in self.heads}
        self.shares = {"completion": settings.completion_share, "dwell": settings.dwell_share}
        # Zhao et al., "Recommending What Video to Watch Next", RecSys 2019: position as a shallow tower that
        # serving leaves out. Row 0 is for pages that were not shown.
        self.position = (
            tf.Variable(tf.zeros(POSITIONS + 1), name="position") if settings.use_position else None
        )
        # Last, so that without it all other weights are drawn as ever.
        pages, units = self.history_pages, settings.attention_units
        self.attention = Attention(k, pages, units, draw) if pages else None

    def __call__(self, numeric: Any, codes: Any, latest: Latest | None = None) -> Any:
        """Logits of N candidates by the stated rule: the view's, and the shares of the heads', summed.

        Parameters
        ----------
        numeric : float32 tensor, shape (N, F)
        codes : int32 tensor, shape (N, C)
        latest : Latest, optional
            Of tensors; needed where candidates attend to the history.

        Returns
        -------
        float32 tensor, shape (N,)
        """
        logits = self.logits(numeric, codes, latest)
        return logits["view"] + sum(self.shares[name] * logits[name] for name in self.heads)

    def position_logits(self, position: Any) -> Any:
        """What being shown at a place adds to the view's logit; 0 where position is not used.

        Parameters
        ----------
        position : int32 tensor, shape (N,)
            0 the top; -1: not shown.
        """
        if self.position is None:
            return tf.zeros(tf.shape(position))
        return tf.gather(self.position, tf.minimum(position + 1, POSITIONS))

    def logits(
        self, numeric: Any, codes: Any, latest: Latest | None = None, step: Any = None
    ) -> dict[str, Any]:
        """Logits of N candidates to be viewed, and once viewed to be completed and dwelt on.

        Parameters
        ----------
        numeric : float32 tensor, shape (N, F)
        codes : int32 tensor, shape (N, C)
        latest : Latest, optional
            Of tensors; needed where candidates attend to the history.
        step : int32 scalar tensor, optional
            Given in training: seeds the dropout of this step.

        Returns
        -------
        dict of str to float32 tensor, shape (N,)
            "view" and the heads.
        """
        x = tf.clip_by_value((numeric - self.mean) / self.scale, -CLIP, CLIP)
        left, right = self.edges[:, :-1], self.edges[:, 1:]
        binned = tf.clip_by_value((numeric[:, :, None] - left) / (right - left), 0.0, 1.0)
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
            # The mean over fields: the sum over thousands of pairs would drown the other parts.
            logit += 0.5 / self._fields * tf.reduce_sum(tf.square(total) - squares, axis=1, keepdims=True)
        flat = tf.reshape(embedded, (-1, embedded.shape[1] * embedded.shape[2]))
        bins = tf.reshape(binned, (-1, binned.shape[1] * binned.shape[2]))
        inputs = tf.concat([x, bins, flat], axis=1)
        if self.cross:
            crossed = inputs
            for reduce, expand, bias in self.cross:
                crossed = inputs * (crossed @ reduce @ expand + bias) + crossed
            logit += crossed @ self.cross_output
        if self.settings.use_deep:
            hidden = inputs
            if self.attention is not None:
                interest = self._interest(latest, embedded[:, PAGE], step)
                hidden = tf.concat([inputs, interest], axis=1)
            for depth, (weights, bias) in enumerate(self.layers):
                hidden = tf.nn.relu(hidden @ weights + bias)
                rate = self.settings.dropout
                if step is not None and rate:
                    kept = self._keep(tf.shape(hidden), rate, step, depth + 1)
                    hidden = tf.where(kept, hidden / (1 - rate), 0.0)
            logit += hidden @ self.output
        found = {"view": logit[:, 0]}
        for name, matrix in self.heads.items():
            found[name] = (hidden @ matrix)[:, 0] + self.head_bias[name]
        return found

    def _interest(self, latest: Latest | None, candidate: Any, step: Any) -> Any:
        """What the history, as far as it speaks for each candidate, adds to the inputs, (N, 2 * k)."""
        assert self.attention is not None
        assert latest is not None
        page = latest.page
        if step is not None:
            # A hidden page is one that is not known, as in the candidates' codes.
            rate, layer = self.settings.field_dropout, len(self.layers) + 1
            page = tf.where(self._keep(tf.shape(page), rate, step, layer), page, 0)
        vectors = tf.gather(self.embedding, page + self.offsets[PAGE])
        return self.attention(latest.row, page > 0, latest.age, vectors, candidate)

    def _keep(self, shape: Any, rate: float, step: Any, layer: int) -> Any:
        seed = tf.stack([tf.constant((self._seed * 1000 + layer) % 2**31, tf.int32), step])
        return tf.random.stateless_uniform(shape, seed) >= rate

    def weights(self) -> dict[str, NDArray[np.generic]]:
        """All that scoring needs, by name; :mod:`components.contract.ranking` reads it.

        The heads are linear in the last hidden layer, as the view's logit is, so their shares go into
        its weights.
        """
        parts = {
            "mean": self.mean,
            "scale": self.scale,
            "edges": self.edges,
            "offsets": self.offsets,
            "embedding": self.embedding,
            "linear": self.linear,
            "numeric_linear": self.numeric_linear,
            "bias": self.bias,
        }
        if self.settings.use_fm:
            parts["numeric_embedding"] = self.numeric_embedding
        for depth, (matrix, bias) in enumerate(self.layers):
            parts |= {f"dense_{depth}": matrix, f"dense_bias_{depth}": bias}
        for depth, (reduce, expand, bias) in enumerate(self.cross):
            parts |= {f"cross_in_{depth}": reduce, f"cross_out_{depth}": expand, f"cross_bias_{depth}": bias}
        if self.attention is not None:
            parts |= self.attention.weights()
        for name in ("output", "cross_output"):
            if getattr(self, name) is not None:
                parts[name] = getattr(self, name)
        found = {name: value.numpy() for name, value in parts.items()}
        for name, matrix in self.heads.items():
            found["output"] = found["output"] + self.shares[name] * matrix.numpy()
            found["bias"] = found["bias"] + np.float32(self.shares[name] * self.head_bias[name].numpy())
        return found

    @property
    def decayed(self) -> list[Any]:
        """The variables that weight decay applies to: all matrices."""
        return [variable for variable in self.trainable_variables if len(variable.shape) > 1]
