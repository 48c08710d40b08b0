import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.contract import kernels, ranking
from components.contract.ranking import CLIP, _Network

pytestmark = [
    pytest.mark.skipif(kernels.library() is None, reason="the compiled loops are not built"),
    pytest.mark.usefixtures("threads"),
]


def weights(seed, *, fields, bins, values, vectors, hidden):
    """A network of random weights. Some borders lie beside each other and some at the ends of a number."""
    draw = np.random.default_rng(seed)
    gaps = draw.choice([1e-4, 0.1, 1.0, 30.0], (fields, bins))
    mean, scale = draw.normal(size=fields), draw.random(fields) + 0.2
    first = np.where(draw.random(fields) < 0.3, mean - CLIP * scale, draw.normal(0, 3, fields))
    edges = first[:, None] + np.concatenate([np.zeros((fields, 1)), gaps.cumsum(axis=1)], axis=1)
    size = vectors + 2
    widths = [fields * (1 + bins) + len(values) * size, *hidden]
    parts = {
        "mean": mean,
        "scale": scale,
        "edges": edges,
        "embedding": draw.normal(size=(sum(values), size)),
        "linear": draw.normal(size=(sum(values), 1)),
        "numeric_linear": draw.normal(size=(fields, 1)),
        "bias": draw.normal(),
    }
    if vectors:
        parts["numeric_embedding"] = draw.normal(size=(fields, vectors))
    for depth, (above, below) in enumerate(zip(widths, hidden, strict=False)):
        parts |= {f"dense_{depth}": draw.normal(0, 0.2, (above, below)), f"dense_bias_{depth}": below * [0.1]}
    if hidden:
        parts["output"] = draw.normal(size=(hidden[-1], 1))
    offsets = np.cumsum([0, *values[:-1]])
    return {name: np.asarray(value, np.float32) for name, value in parts.items()} | {"offsets": offsets}


@settings(max_examples=80)
@given(
    seed=st.integers(0, 2**32),
    count=st.integers(1, 150),
    fields=st.integers(1, 9),
    bins=st.integers(1, 5),
    values=st.lists(st.integers(1, 6), min_size=1, max_size=4),
    vectors=st.integers(0, 5),
    # The last is as wide as the settings that ship.
    hidden=st.sampled_from([(), (3,), (17, 4), (128,)]),
    usual=st.floats(0, 1),
)
def test_compiled_and_plain_give_the_same_logits(seed, count, fields, bins, values, vectors, hidden, usual):
    given = weights(seed, fields=fields, bins=bins, values=values, vectors=vectors, hidden=hidden)
    draw = np.random.default_rng(seed)
    fast = _Network(given)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ranking, "library", lambda: None)
        plain = _Network(given)
    assert fast._first is not None
    assert plain._first is None
    # On the borders, between them and far away; a share of each number is what most candidates have.
    number = np.concatenate([given["edges"], draw.normal(0, 20, (fields, 5))], axis=1).astype(np.float32)
    drawn = np.take_along_axis(number, draw.integers(0, number.shape[1], (fields, count)), axis=1)
    numeric = np.where(draw.random((fields, count)) < usual, number[:, :1], drawn).T
    same = draw.random(len(values)) < usual
    codes = np.stack(
        [draw.integers(0, 1 if s else v, count) for v, s in zip(values, same, strict=True)], axis=1
    )
    expected = plain(numeric, codes.astype(np.int32))
    # What the logits are sums of may be far larger than they are.
    scale = np.abs(expected).max(initial=1)
    np.testing.assert_allclose(fast(numeric, codes.astype(np.int32)), expected, atol=3e-5 * scale)


def test_what_is_no_number_stays_none():
    given = weights(1, fields=2, bins=2, values=[2], vectors=2, hidden=(3,))
    numeric = np.zeros((3, 2), np.float32)
    numeric[1, 0] = np.nan
    found = _Network(given)(numeric, np.zeros((3, 1), np.int32))
    assert np.isnan(found).tolist() == [False, True, False]
