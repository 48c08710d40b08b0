import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.contract.attention import Attention
from components.contract.history import Latest


def weights(draw, size, pages, units):
    return {
        "attention_in": draw.normal(size=(3 * size, units)),
        "attention_place": draw.normal(size=(pages, units)),
        "attention_age": draw.normal(size=units),
        "attention_out": draw.normal(size=(units, 1)),
        "attention_bias": np.float32(draw.normal()),
    }


def test_by_hand():
    """Vectors of one number, one hidden unit, two places."""
    found = Attention(
        {
            "attention_in": np.array([[1.0], [2.0], [3.0]]),
            "attention_place": np.array([[0.5], [-0.5]]),
            "attention_age": np.array([0.1]),
            "attention_out": np.array([[2.0]]),
            "attention_bias": np.float32(-1),
        }
    )
    assert found.pages == 2
    latest = Latest(
        row=np.array([0, 0, 1], np.int32),
        page=np.array([[7, 3], [2, 0]], np.int32),
        age=np.array([[1.0, 2.0], [0.0, 9.0]], np.float32),
    )
    vectors, candidate = np.array([[[1.0], [-1.0]], [[2.0], [5.0]]]), np.array([[1.0], [-1.0], [0.5]])

    def weight(page, own, place, age):
        hidden = max(page + 2 * own + 3 * page * own + place + 0.1 * age, 0)
        return 1 / (1 + np.exp(-(2 * hidden - 1)))

    expected = [
        weight(1, 1, 0.5, 1) * 1 + weight(-1, 1, -0.5, 2) * -1,
        weight(1, -1, 0.5, 1) * 1 + weight(-1, -1, -0.5, 2) * -1,
        # The second page is none.
        weight(2, 0.5, 0.5, 0) * 2,
    ]
    interest = found(latest, vectors, candidate)
    np.testing.assert_allclose(interest[:, 0], expected)
    np.testing.assert_allclose(interest[:, 1], expected * candidate[:, 0])


def test_missing_weights_are_no_attention():
    given = weights(np.random.default_rng(0), 2, 3, 4)
    del given["attention_age"]
    with pytest.raises(KeyError, match="attention_age"):
        Attention(given)


@given(
    seed=st.integers(0, 2**32),
    requests=st.integers(1, 4),
    pages=st.integers(1, 6),
    more=st.integers(0, 3),
    size=st.integers(1, 4),
)
def test_padded_places_do_not_matter(seed, requests, pages, more, size):
    """Neither how many there are, nor where, nor what stands there, nor the order of what stands there."""
    draw = np.random.default_rng(seed)
    given, row = weights(draw, size, pages + more, 5), draw.integers(0, requests, 9).astype(np.int32)
    candidate = draw.normal(size=(9, size))
    page = np.where(draw.random((requests, pages)) < 0.4, 0, draw.integers(1, 9, (requests, pages)))
    age, vectors = draw.random((requests, pages)), draw.normal(size=(requests, pages, size))
    narrow = {**given, "attention_place": given["attention_place"][:pages]}
    expected = Attention(narrow)(Latest(row, page, age), vectors, candidate)

    pad = ((0, 0), (0, more))
    page = np.pad(page, pad)
    blank = page == 0
    age = np.where(blank, draw.random(page.shape), np.pad(age, pad))
    vectors = np.where(
        blank[:, :, None], draw.normal(size=(*page.shape, size)), np.pad(vectors, (*pad, (0, 0)))
    )
    found = Attention(given)(Latest(row, page, age), vectors, candidate)
    np.testing.assert_allclose(found, expected, atol=1e-12)
    known = (page > 0).any(axis=1)
    np.testing.assert_array_equal(found[~known[row]], 0)


@given(seed=st.integers(0, 2**32))
def test_without_biases_of_places_the_order_of_pages_does_not_matter(seed):
    draw = np.random.default_rng(seed)
    given = weights(draw, 3, 5, 4) | {"attention_place": np.zeros((5, 4))}
    row, candidate = np.zeros(6, np.int32), draw.normal(size=(6, 3))
    page, age, vectors = draw.integers(0, 4, (1, 5)), draw.random((1, 5)), draw.normal(size=(1, 5, 3))
    attention, order = Attention(given), draw.permutation(5)
    np.testing.assert_allclose(
        attention(Latest(row, page[:, order], age[:, order]), vectors[:, order], candidate),
        attention(Latest(row, page, age), vectors, candidate),
        atol=1e-12,
    )
