import numpy as np
import pytest

from components.contract.history import Latest
from components.contract.ranking import _Network
from components.ranker.deepfm import DeepFM, bin_edges
from components.ranker.settings import RankerSettings

SIZES = [3, 5]
FIELDS = 4
EDGES = np.array([[-3, -1, 0, 2], [-2, 0, 1, 5], [0, 1, 2, 3], [-9, -8, 8, 9]], np.float32)


def network(**change):
    """A DeepFM with no variable at zero."""
    draw = np.random.default_rng(1)
    mean, scale = draw.normal(size=FIELDS), draw.random(FIELDS) + 0.5
    settings = RankerSettings(dimensions=3, hidden=(7, 5), **change)
    net = DeepFM(SIZES, mean.astype(np.float32), scale.astype(np.float32), EDGES, settings, seed=3)
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


@pytest.fixture
def latest():
    """Three requests of up to two pages; page 0 is none."""
    row = np.repeat(np.arange(3, dtype=np.int32), (8, 7, 5))
    page = np.array([[2, 1], [1, 0], [0, 0]], np.int32)
    return Latest(row, page, np.array([[0.5, 2], [1, 3], [0, 0]], np.float32))


def share_below(numeric):
    """How much of each bin lies below the value, by the definition; (N, fields, bins)."""
    found = np.empty((len(numeric), FIELDS, 3))
    for n, f, b in np.ndindex(found.shape):
        left, right = EDGES[f, b], EDGES[f, b + 1]
        found[n, f, b] = min(max((numeric[n, f] - left) / (right - left), 0), 1)
    return found


def linear(net, x, bins, rows):
    table, weights = net.linear.numpy()[:, 0], net.numeric_linear.numpy()[:, 0]
    return table[rows].sum(axis=1) + x @ weights + net.bias.numpy()


def pairs(net, x, bins, rows):
    """The FM by its definition: the sum over all pairs of features of their dot product, per feature."""
    found = np.zeros(len(x))
    for n in range(len(x)):
        vectors = [*net.embedding.numpy()[rows[n]], *(net.numeric_embedding.numpy() * x[n][:, None])]
        found[n] = sum(
            float(vectors[i] @ vectors[j]) for i in range(len(vectors)) for j in range(i + 1, len(vectors))
        )
    return found / (FIELDS + len(SIZES))


def everything(net, x, bins, rows):
    n = len(x)
    return np.concatenate([x, bins.reshape(n, -1), net.embedding.numpy()[rows].reshape(n, -1)], axis=1)


def cross(net, x, bins, rows):
    whole = everything(net, x, bins, rows)
    crossed = whole
    for reduce, expand, bias in net.cross:
        crossed = whole * (crossed @ (reduce.numpy() @ expand.numpy()) + bias.numpy()) + crossed
    return (crossed @ net.cross_output.numpy())[:, 0]


def deep(net, x, bins, rows):
    hidden = everything(net, x, bins, rows)
    for weights, bias in net.layers:
        hidden = np.maximum(hidden @ weights.numpy() + bias.numpy(), 0)
    return (hidden @ net.output.numpy())[:, 0]


def interest(net, rows, latest):
    """The sum by its definition, page by page, and its product with the candidate."""
    table, attention = net.embedding.numpy(), net.attention
    of_page, of_own, of_both = np.split(attention.into.numpy(), 3)
    found = np.zeros((len(rows), 3))
    for n, request in enumerate(latest.row):
        own = table[rows[n, 0]]
        for place, page in enumerate(latest.page[request]):
            if page:
                vector = table[page]
                hidden = vector @ of_page + own @ of_own + (vector * own) @ of_both
                hidden += attention.place.numpy()[place] + latest.age[request, place] * attention.age.numpy()
                logit = np.maximum(hidden, 0) @ attention.out.numpy()[:, 0] + attention.bias.numpy()
                found[n] += vector / (1 + np.exp(-logit))
    return np.concatenate([found, found * table[rows[:, 0]]], axis=1)


def inputs(net, numeric, codes):
    x = np.clip((numeric - net.mean.numpy()) / net.scale.numpy(), -5, 5)
    return x, share_below(numeric), codes + np.array([0, SIZES[0]])


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        ({}, (linear, pairs, deep)),
        ({"use_fm": False}, (linear, deep)),
        ({"use_deep": False}, (linear, pairs)),
        ({"use_fm": False, "use_deep": False}, (linear,)),
        ({"use_fm": False, "cross_layers": 2, "cross_rank": 2}, (linear, cross, deep)),
    ],
)
def test_logit_is_the_sum_of_its_parts(batch, change, parts):
    net = network(**change)
    found = inputs(net, *batch)
    expected = sum(part(net, *found) for part in parts)
    np.testing.assert_allclose(net(*batch).numpy(), expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(_Network(net.weights())(*batch), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("change", [{}, {"use_fm": False, "cross_layers": 1, "cross_rank": 2}])
def test_the_deep_network_reads_what_the_history_says(batch, latest, change):
    net = network(history_pages=2, attention_units=4, **change)
    x, bins, rows = inputs(net, *batch)
    hidden = np.concatenate([everything(net, x, bins, rows), interest(net, rows, latest)], axis=1)
    for weights, bias in net.layers:
        hidden = np.maximum(hidden @ weights.numpy() + bias.numpy(), 0)
    others = (linear, cross) if change else (linear, pairs)
    expected = sum(part(net, x, bins, rows) for part in others) + (hidden @ net.output.numpy())[:, 0]
    np.testing.assert_allclose(net(*batch, latest).numpy(), expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(_Network(net.weights())(*batch, latest), expected, rtol=1e-4, atol=1e-4)
    nothing = latest._replace(page=np.zeros_like(latest.page))
    assert np.abs(net(*batch, nothing).numpy() - expected)[:15].max() > 0.01
    np.testing.assert_allclose(net(*batch, nothing).numpy()[15:], expected[15:], rtol=1e-4, atol=1e-4)


def test_pages_of_the_history_are_hidden_in_training_like_other_codes(batch, latest):
    """With nearly all hidden, what is left is a network that knows of no page."""
    net = network(history_pages=2, dropout=0.0, field_dropout=0.999999)
    numeric, codes = batch
    blank = latest._replace(page=np.zeros_like(latest.page))
    found = net.logits(numeric, codes, latest, step=1)["view"].numpy()
    expected = net.logits(numeric, np.zeros_like(codes), blank)["view"].numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    net = network(history_pages=2, dropout=0.0, field_dropout=0.5)
    first, same, other = (net.logits(numeric, codes, latest, step)["view"].numpy() for step in (1, 1, 2))
    np.testing.assert_array_equal(first, same)
    assert not np.allclose(first, other)


def test_without_the_deep_part_no_history_is_looked_at(batch):
    net = network(use_deep=False, history_pages=2)
    assert (net.history_pages, net.attention) == (0, None)
    assert np.isfinite(net(*batch).numpy()).all()


def test_parts_matter(batch):
    net = network()
    found = inputs(net, *batch)
    assert min(np.abs(part(net, *found)).max() for part in (linear, pairs, deep)) > 0.1


def test_without_the_deep_part_there_are_no_layers():
    net = network(use_deep=False)
    names = {variable.name.split(":")[0] for variable in net.trainable_variables}
    assert names == {"embedding", "linear", "numeric_embedding", "numeric_linear", "bias", "position"}
    assert all(len(variable.shape) == 2 for variable in net.decayed)


def test_dropout_acts_in_training_only_and_by_its_step(batch):
    net = network()
    plain, again = net(*batch).numpy(), net(*batch).numpy()
    np.testing.assert_array_equal(plain, again)
    first, same, other = (net.logits(*batch, step=step)["view"].numpy() for step in (1, 1, 2))
    np.testing.assert_array_equal(first, same)
    assert not np.allclose(first, other)
    assert not np.allclose(first, plain)


def test_without_dropout_training_computes_the_same(batch):
    net = network(dropout=0.0, field_dropout=0.0)
    np.testing.assert_array_equal(net.logits(*batch, step=1)["view"].numpy(), net(*batch).numpy())


def test_one_seed_gives_the_same_network(batch):
    zeros, ones = np.zeros(FIELDS, np.float32), np.ones(FIELDS, np.float32)
    first, same, other = (
        DeepFM(SIZES, zeros, ones, EDGES, RankerSettings(), seed)(*batch).numpy() for seed in (5, 5, 6)
    )
    np.testing.assert_array_equal(first, same)
    assert not np.allclose(first, other)


def test_bins_are_equally_filled_where_values_differ():
    values = np.arange(800, dtype=np.float32)[:, None]
    edges = bin_edges(values, 8)
    assert edges.shape == (1, 9)
    counts, _ = np.histogram(values, edges[0])
    assert counts.tolist() == [100] * 8


@pytest.mark.parametrize(
    "column", [np.zeros(50), np.r_[np.zeros(49), 3], np.full(50, -1e-7), np.arange(50) % 2]
)
def test_bins_ascend_whatever_the_values(column):
    edges = bin_edges(column.astype(np.float32)[:, None], 8)
    assert (np.diff(edges) > 0).all()
    assert edges[0, 0] == pytest.approx(column.min(), abs=1e-6)
