"""The softmax over a step's pages, with a gradient that needs no matrix but the softmax itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from components.contract.tf import tf

# isort: split
# After TensorFlow, whose import settles which Keras both use.
import tensorflow_recommenders as tfrs

# A page that the softmax gives nothing keeps a finite loss; the gradient does not read it.
_SMALLEST = 1e-37


class InBatchSoftmax(tfrs.tasks.Retrieval):
    """The loss of TensorFlow Recommenders' retrieval task in a third of its time.

    The task's own call makes some ten matrices of B x B: labels, temperature, sampling
    correction, equal pages, cross-entropy and their gradients. The same loss needs one. A page
    that comes several times is scored once, with the logarithm of how often it comes;
    temperature and corrections are part of the product of queries and pages; and what a softmax
    is multiplied with in its gradient is multiplied into the vectors instead.

    With hard negatives the task's own call is taken.
    """

    def call(
        self,
        query_embeddings: Any,
        candidate_embeddings: Any,
        *,
        sample_weight: Any,
        candidate_sampling_probability: Any,
        candidate_ids: Any,
    ) -> Any:
        """Sum of the examples' weighted losses.

        Parameters
        ----------
        query_embeddings, candidate_embeddings : float tensors, shape (B, D)
            Query i answers to candidate i; the others are its negatives, but for the same page.
        sample_weight : float tensor, shape (B,)
        candidate_sampling_probability : float tensor, shape (B,)
        candidate_ids : int tensor, shape (B,)
            Rows of one id have one embedding.
        """
        if self._num_hard_negatives is not None:
            return super().call(
                query_embeddings,
                candidate_embeddings,
                sample_weight=sample_weight,
                candidate_sampling_probability=candidate_sampling_probability,
                candidate_ids=candidate_ids,
                compute_metrics=False,
            )
        pages, own, count = tf.unique_with_counts(candidate_ids)
        first = tf.math.unsorted_segment_min(tf.range(tf.size(own)), own, tf.size(pages))
        count = tf.cast(count, tf.float32)
        offset = tf.math.log(count / tf.gather(candidate_sampling_probability, first))
        return _loss(own, tf.gather(count, own), offset, sample_weight)(
            query_embeddings / self._temperature, tf.gather(candidate_embeddings, first)
        )


def _loss(own: Any, count: Any, offset: Any, weight: Any) -> Callable[[Any, Any], Any]:
    """The loss as a function of queries (B, D) and different pages (U, D).

    Parameters
    ----------
    own : int tensor, shape (B,)
        Row of each query's page.
    count : float tensor, shape (B,)
        How often that page is in the batch.
    offset : float tensor, shape (U,)
        What is added to a page's scores: the logarithm of how often it comes and of one over its
        sampling probability.
    weight : float tensor, shape (B,)
    """

    @tf.custom_gradient
    def loss(query: Any, page: Any) -> tuple[Any, Callable[[Any], tuple[Any, Any]]]:
        columns = tf.concat([page, offset[:, None]], axis=1)
        scores = tf.matmul(tf.pad(query, [[0, 0], [0, 1]], constant_values=1), columns, transpose_b=True)
        share = tf.nn.softmax(scores)
        # Of its own page a query sees one, not the others that are the same.
        own_share = tf.gather(share, own, batch_dims=1)
        others = own_share * (1 - 1 / count)
        whole = 1 - others
        losses = -tf.math.log(tf.maximum(own_share / count, _SMALLEST) / whole)

        def gradient(upstream: Any) -> tuple[Any, Any]:
            scale = (upstream * weight / whole)[:, None]
            # The softmax without the others counts 1 / whole; what it counts too much, and the label.
            excess = (upstream * weight * (others / whole + 1))[:, None]
            to_query = scale * tf.matmul(share, page) - excess * tf.gather(page, own)
            to_page = tf.matmul(share, scale * query, transpose_a=True)
            to_page -= tf.math.unsorted_segment_sum(excess * query, own, tf.shape(page)[0])
            return to_query, to_page

        return tf.reduce_sum(weight * losses), gradient

    return loss
