import numpy as np
import pytest

from components.contract.tf import tf

# isort: split
# After TensorFlow, whose import settles which Keras both use.
import tensorflow_recommenders as tfrs

from components.two_tower.softmax import InBatchSoftmax

PAGES, DIMENSIONS = 7, 4
NO_METRICS = {"compute_metrics": False, "compute_batch_metrics": False}


def batch(seed, size=40):
    random = np.random.default_rng(seed)
    vectors = random.normal(size=(PAGES, DIMENSIONS))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    # Some pages once, some often, one of them never.
    page = np.array([5, *random.choice([0, 1, 1, 1, 2, 3, 4, 4], size - 1)], np.int32)
    given = {
        "sample_weight": tf.constant(random.random(size), tf.float32),
        "candidate_sampling_probability": tf.constant(random.dirichlet(np.ones(PAGES))[page], tf.float32),
        "candidate_ids": tf.constant(page),
    }
    query = tf.constant(random.normal(size=(size, DIMENSIONS)), tf.float32)
    return query, tf.constant(vectors, tf.float32), page, given


def loss_and_gradients(task, query, vectors, page, given):
    with tf.GradientTape() as tape:
        tape.watch([query, vectors])
        # Scaled, so that a gradient that forgets what comes from above is seen.
        loss = 3 * task(query, tf.gather(vectors, page), **given)
    return float(loss), [
        tf.convert_to_tensor(found).numpy() for found in tape.gradient(loss, [query, vectors])
    ]


@pytest.mark.parametrize("temperature", [1, 0.1])
@pytest.mark.parametrize("seed", range(5))
def test_it_is_the_loss_of_the_library(seed, temperature):
    query, vectors, page, given = batch(seed)
    ours = InBatchSoftmax(temperature=temperature, remove_accidental_hits=True)
    theirs = tfrs.tasks.Retrieval(temperature=temperature, remove_accidental_hits=True)
    loss, gradients = loss_and_gradients(ours, query, vectors, page, given)
    expected, expected_gradients = loss_and_gradients(theirs, query, vectors, page, {**given, **NO_METRICS})
    assert loss == pytest.approx(expected, rel=1e-5)
    for found, wanted in zip(gradients, expected_gradients, strict=True):
        np.testing.assert_allclose(found, wanted, atol=1e-5 * np.abs(wanted).max())


def test_one_page_alone_has_nothing_to_learn():
    query, vectors, _, given = batch(0, 3)
    given["candidate_ids"] = tf.constant([2, 2, 2])
    loss, gradients = loss_and_gradients(InBatchSoftmax(temperature=0.5), query, vectors, [2, 2, 2], given)
    assert loss == pytest.approx(0, abs=1e-5)
    np.testing.assert_allclose(gradients[0], 0, atol=1e-5)


def test_a_hopeless_page_has_a_finite_loss_and_a_gradient():
    given = {
        "sample_weight": tf.ones(2),
        "candidate_sampling_probability": tf.fill([2], 0.5),
        "candidate_ids": tf.constant([0, 1]),
    }
    vectors = tf.constant([[1.0, 0], [-1, 0]])
    task = InBatchSoftmax(temperature=1e-3)
    # Both ask for the other's page: scores of 1,000 and -1,000.
    loss, gradients = loss_and_gradients(task, -vectors, vectors, [0, 1], given)
    assert 100 < loss < 1e4
    np.testing.assert_allclose(gradients[0], 3 * np.array([[-2, 0], [2, 0]]) / 1e-3, rtol=1e-5)
