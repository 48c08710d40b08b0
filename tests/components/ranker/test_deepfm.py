import numpy as np
import pytest

from components.ranker.deepfm import DeepFM
from components.ranker.settings import RankerSettings

SIZES = [3, 5]
FIELDS = 4


def network(**change):
    """A DeepFM with no variable at zero."""
    draw = np.random.default_rng(1)
    mean, scale = draw.normal(size=FIELDS), draw.random(FIELDS) + 0.5
    settings = RankerSettings(dimensions=3, hidden=(7, 5), **change)
    net = DeepFM(SIZES, mean.astype(np.float32), scale.astype(np.float32), settings, seed=3)
    for variable in net.trainable_variables:
        variable.assign(draw.normal(0, 0.5, variable.shape))
    return net


@pytest.fixture
def batch():
    draw = np.random.default_rng(2)
    numeric = draw.normal(0, 3, (20, FIELDS)).astype(np.float32)
    # Beyond five deviations values are cut.
    numeric[0, 0], numeric[1, 1] = 1e6, -1e6
    codes = np.stack([draw.integers(0, size, 20) for size in SIZES], axis=1).astype(np.int32)
    return numeric, codes


def linear(net, x, rows):
    table, weights = net.linear.numpy()[:, 0], net.numeric_linear.numpy()[:, 0]
    return table[rows].sum(axis=1) + x @ weights + net.bias.numpy()


def pairs(net, x, rows):
    """The FM by its definition: the sum over all pairs of features of their dot product."""
    found = np.zeros(len(x))
    for n in range(len(x)):
        vectors = [*net.embedding.numpy()[rows[n]], *(net.numeric_embedding.numpy() * x[n][:, None])]
        found[n] = sum(
            float(vectors[i] @ vectors[j]) for i in range(len(vectors)) for j in range(i + 1, len(vectors))
        )
    return found


def deep(net, x, rows):
    hidden = np.concatenate([x, net.embedding.numpy()[rows].reshape(len(x), -1)], axis=1)
    for weights, bias in net.layers:
        hidden = np.maximum(hidden @ weights.numpy() + bias.numpy(), 0)
    return (hidden @ net.output.numpy())[:, 0]


def inputs(net, numeric, codes):
    x = np.clip((numeric - net.mean.numpy()) / net.scale.numpy(), -5, 5)
    return x, codes + np.array([0, SIZES[0]])


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        ({}, (linear, pairs, deep)),
        ({"use_fm": False}, (linear, deep)),
        ({"use_deep": False}, (linear, pairs)),
        ({"use_fm": False, "use_deep": False}, (linear,)),
    ],
)
def test_logit_is_the_sum_of_its_parts(batch, change, parts):
    net = network(**change)
    x, rows = inputs(net, *batch)
    expected = sum(part(net, x, rows) for part in parts)
    np.testing.assert_allclose(net(*batch).numpy(), expected, rtol=1e-4, atol=1e-4)


def test_parts_matter(batch):
    net = network()
    x, rows = inputs(net, *batch)
    assert min(np.abs(part(net, x, rows)).max() for part in (linear, pairs, deep)) > 0.1


def test_without_the_deep_part_there_are_no_layers():
    net = network(use_deep=False)
    names = {variable.name.split(":")[0] for variable in net.trainable_variables}
    assert names == {"embedding", "linear", "numeric_embedding", "numeric_linear", "bias"}
    assert all(len(variable.shape) == 2 for variable in net.decayed)


def test_dropout_acts_in_training_only_and_by_its_step(batch):
    net = network()
    plain, again = net(*batch).numpy(), net(*batch).numpy()
    np.testing.assert_array_equal(plain, again)
    first, same, other = (net(*batch, step).numpy() for step in (1, 1, 2))
    np.testing.assert_array_equal(first, same)
    assert not np.allclose(first, other)
    assert not np.allclose(first, plain)


def test_without_dropout_training_computes_the_same(batch):
    net = network(dropout=0.0, field_dropout=0.0)
    np.testing.assert_array_equal(net(*batch, 1).numpy(), net(*batch).numpy())


def test_one_seed_gives_the_same_network(batch):
    zeros, ones = np.zeros(FIELDS, np.float32), np.ones(FIELDS, np.float32)
    first, same, other = (
        DeepFM(SIZES, zeros, ones, RankerSettings(), seed)(*batch).numpy() for seed in (5, 5, 6)
    )
    np.testing.assert_array_equal(first, same)
    assert not np.allclose(first, other)
