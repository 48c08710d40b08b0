import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from components.contract import attention as plain
from components.contract.history import Latest
from components.contract.tf import tf
from components.ranker.attention import Attention


def network(draw, size, pages, units=4):
    """An attention with no variable at zero."""
    found = Attention(size, pages, units, draw)
    for variable in found.trainable_variables:
        variable.assign(draw.normal(0, 1, variable.shape))
    return found


@settings(max_examples=30)
@given(
    seed=st.integers(0, 2**32),
    requests=st.integers(1, 4),
    pages=st.integers(1, 6),
    size=st.integers(1, 5),
    candidates=st.integers(0, 20),
)
def test_its_numpy_twin_gives_the_same(seed, requests, pages, size, candidates):
    draw = np.random.default_rng(seed)
    net = network(draw, size, pages)
    row = np.sort(draw.integers(0, requests, candidates)).astype(np.int32)
    page = draw.integers(0, 3, (requests, pages)).astype(np.int32)
    age = draw.random((requests, pages)).astype(np.float32)
    vectors = draw.normal(size=(requests, pages, size)).astype(np.float32)
    candidate = draw.normal(size=(candidates, size)).astype(np.float32)
    expected = net(row, page > 0, age, tf.constant(vectors), tf.constant(candidate)).numpy()
    assert expected.shape == (candidates, 2 * size)
    twin = plain.Attention({name: value.numpy() for name, value in net.weights().items()})
    assert twin.pages == pages
    np.testing.assert_allclose(twin(Latest(row, page, age), vectors, candidate), expected, atol=2e-5)


def test_pages_that_are_not_known_teach_nothing():
    draw = np.random.default_rng(1)
    net = network(draw, 3, 2)
    vectors, candidate = (
        tf.Variable(draw.normal(size=shape).astype(np.float32)) for shape in ((1, 2, 3), (4, 3))
    )
    known, age = np.array([[True, False]]), np.ones((1, 2), np.float32)
    with tf.GradientTape() as tape:
        found = tf.reduce_sum(net(np.zeros(4, np.int32), known, age, vectors, candidate))
    gradient = tape.gradient(found, vectors).numpy()
    assert np.abs(gradient[0, 0]).min() > 0
    np.testing.assert_array_equal(gradient[0, 1], 0)


def test_all_its_variables_are_exported():
    net = network(np.random.default_rng(0), 3, 2)
    exported = {id(value) for value in net.weights().values()}
    assert exported == {id(variable) for variable in net.trainable_variables}
