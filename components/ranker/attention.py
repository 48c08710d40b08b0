"""Attention of a candidate to the pages that its associate opened latest.

Zhou et al., "Deep Interest Network for Click-Through Rate Prediction", KDD 2018. A small network sees an
earlier page, the candidate and their product, and says how much the one speaks for the other; the pages'
vectors are summed by these weights. As in the paper the weights are not made to sum to one: how long the
sum is says how much speaks for the candidate at all.

The paper's network does not know when a page was opened. Here each place in the history (latest first) has
a bias of its own, and the time since then is one more input. And beside the sum stands its product with the
candidate, which says how far they agree: a network of sums alone learns products slowly, if at all.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from components.contract.tf import tf


class Attention(tf.Module):
    """Sums the vectors of a request's latest pages, each as far as it speaks for the candidate.

    Parameters
    ----------
    dimensions : int
        k, the size of a page's embedding.
    pages : int
        n, the places of the history that are looked at.
    units : int
        Of the small network's hidden layer.
    draw : numpy.random.Generator
        Initial weights are drawn from it.
    """

    def __init__(self, dimensions: int, pages: int, units: int, draw: np.random.Generator):
        super().__init__(name="attention")
        into = draw.normal(0, np.sqrt(2 / (3 * dimensions)), (3 * dimensions, units))
        out = draw.normal(0, np.sqrt(1 / units), (units, 1))
        self.into = tf.Variable(into.astype(np.float32), name="attention_in")
        self.place = tf.Variable(tf.zeros((pages, units)), name="attention_place")
        self.age = tf.Variable(tf.zeros(units), name="attention_age")
        self.out = tf.Variable(out.astype(np.float32), name="attention_out")
        self.bias = tf.Variable(0.0, name="attention_bias")

    def __call__(self, row: Any, known: Any, age: Any, vectors: Any, candidate: Any) -> Any:
        """What each candidate's request is interested in, as far as it speaks for the candidate.

        Parameters
        ----------
        row : int32 tensor, shape (N,)
            Each candidate's request.
        known : bool tensor, shape (B, n)
            Where there is a page that is known; the others count as none.
        age : float32 tensor, shape (B, n)
            See :class:`components.contract.history.Latest`.
        vectors : float32 tensor, shape (B, n, k)
            The pages' embeddings.
        candidate : float32 tensor, shape (N, k)
            The candidates' own.

        Returns
        -------
        float32 tensor, shape (N, 2 * k)
            The sum, and its product with the candidate.
        """
        vectors = tf.where(known[:, :, None], vectors, 0.0)
        of_page, of_candidate, of_both = tf.split(self.into, 3)
        said = tf.tensordot(vectors, of_page, 1) + self.place + age[:, :, None] * self.age
        pages = tf.gather(vectors, row)
        hidden = tf.gather(said, row) + (candidate @ of_candidate)[:, None]
        hidden = tf.nn.relu(hidden + tf.tensordot(pages * candidate[:, None], of_both, 1))
        weight = tf.sigmoid(tf.tensordot(hidden, self.out, 1) + self.bias)
        found = tf.reduce_sum(weight * pages, axis=1)
        return tf.concat([found, found * candidate], axis=1)

    def weights(self) -> dict[str, Any]:
        """The variables by the names under which they are exported."""
        return {
            "attention_in": self.into,
            "attention_place": self.place,
            "attention_age": self.age,
            "attention_out": self.out,
            "attention_bias": self.bias,
        }
