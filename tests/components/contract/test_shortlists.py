import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.contract import kernels, retrieval
from components.contract.requests import HISTORY
from components.contract.retrieval import PATHS, RetrievalSettings, Retriever
from components.contract.sources import Neighbours, Vectors
from components.contract.trends import TRENDS
from tests.support.build import make_dataset, make_requests, mean_tower

pytestmark = [
    pytest.mark.skipif(kernels.library() is None, reason="the compiled loops are not built"),
    pytest.mark.usefixtures("threads"),
]

# What the tests of whole shortlists are asked with.
SIZES = {
    "seed": st.integers(0, 2**32),
    "pages": st.integers(1, 70),
    "batch": st.integers(1, 4),
    "quota": st.integers(1, 40),
    "size": st.integers(1, 80),
}


def lists(draw, page_ids, size):
    """A source whose scores are often equal; some pages have no list, some lists end early."""
    pages = len(page_ids)
    index = np.stack([draw.permutation(pages)[:size] for _ in range(pages)]).astype(np.int32)
    score = draw.choice(np.array([0.25, 0.5, 1 / 3, 1], np.float32), index.shape)
    score = np.where(np.arange(index.shape[1]) < draw.integers(0, size + 1, (pages, 1)), score, 0)
    return Neighbours(page_ids, np.where(score > 0, index, -1).astype(np.int32), score.astype(np.float32))


def make(seed, pages, batch, **chosen):
    """A retriever over random sources; requests with histories of any length; trends with many equals."""
    draw = np.random.default_rng(seed)
    published = draw.choice([0.0, 50.0, 90.0, 200.0], pages).tolist()
    dataset = make_dataset([(0, 0, 1.0)], page={"published_at": published}, pages=pages)
    ids = dataset.page_ids
    vectors = [Vectors.normalised(ids, draw.normal(size=(pages, 3))) for _ in range(2)]
    names = ("transitions", "ease", "item_knn", "content")
    retriever = Retriever(
        ids,
        **{name: lists(draw, ids, int(draw.integers(1, pages + 1))) for name in names},
        paths={name: lists(draw, ids, 2) for name in PATHS},
        skip_gram=vectors[0],
        two_tower=vectors[1],
        query_tower=mean_tower(vectors[1]),
        eligibility=retrieval.Eligibility(dataset.pages),
        settings=RetrievalSettings(**chosen),
    )
    known = draw.integers(0, min(pages, HISTORY) + 1, batch)
    histories = [[(int(p), 90.0 - i) for i, p in enumerate(draw.permutation(pages)[:n])] for n in known]
    requests = make_requests([100.0] * batch, histories)
    trends = {t.name: draw.integers(0, 4, (batch, pages)).astype(np.float32) for t in TRENDS}
    trends["trend_7d"] = draw.random((batch, pages)).astype(np.float32)
    allowed = draw.random((batch, pages)) < draw.choice([0.1, 0.7, 1.0])
    # Of pages that were opened before, none, some or all come again.
    again = draw.random(len(requests.seen_page)) < draw.choice([0.0, 0.5, 1.0])
    allowed[requests.seen_row[~again], requests.seen_page[~again]] = False
    wanted = draw.integers(0, [[batch], [pages]], (2, int(draw.integers(0, 4))))
    return retriever, requests, trends, allowed, tuple(wanted)


def assert_same(retriever, requests, trends, allowed, wanted):
    plain = retriever.shortlist(requests, trends, allowed, wanted)
    fast = retriever.shortlist(requests, trends, allowed, wanted, all_scores=False)
    assert plain.scores is not None
    assert fast.scores is None
    for name in ("row", "page", "ranks", "source", "said", "best", "fused"):
        found, expected = getattr(fast, name), getattr(plain, name)
        assert found.dtype == expected.dtype, name
        np.testing.assert_array_equal(found, expected, err_msg=name)
    return fast


@settings(max_examples=60)
@given(
    **SIZES,
    history=st.integers(1, 60),
    steps=st.integers(1, 9),
    without=st.sampled_from(retrieval.SOURCES),
)
def test_compiled_and_plain_are_equal_to_the_bit(seed, pages, batch, quota, size, history, steps, without):
    chosen = {"quota": quota, "shortlist": size, "history_size": history, "transition_steps": steps}
    assert_same(*make(seed, pages, batch, quotas={without: 0}, **chosen))


@settings(max_examples=60)
@given(**SIZES)
def test_what_comes_again_changes_nothing_for_others(seed, pages, batch, quota, size):
    retriever, requests, trends, allowed, wanted = make(seed, pages, batch, quota=quota, shortlist=size)
    whole = assert_same(retriever, requests, trends, allowed, wanted)
    again = np.zeros(allowed.shape, bool)
    again[requests.seen_row, requests.seen_page] = allowed[requests.seen_row, requests.seen_page]
    others = assert_same(retriever, requests, trends, allowed & ~again, wanted)
    np.testing.assert_array_equal(whole.best, others.best)
    kept = ~again[whole.row, whole.page]
    for name in ("row", "page", "source", "fused"):
        np.testing.assert_array_equal(getattr(whole, name)[kept], getattr(others, name), err_msg=name)
    for name in ("ranks", "said"):
        np.testing.assert_array_equal(getattr(whole, name)[:, kept], getattr(others, name), err_msg=name)


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 2**32),
    pages=st.integers(1, 30),
    batch=st.integers(1, 4),
    history=st.integers(1, 60),
    steps=st.integers(1, 9),
)
def test_compiled_and_plain_evidence_is_the_same(seed, pages, batch, history, steps):
    retriever, requests, *_ = make(seed, pages, batch, history_size=history, transition_steps=steps)
    draw = np.random.default_rng(seed)
    row, page = draw.integers(0, batch, 50), draw.integers(0, pages, 50).astype(np.int32)
    source = draw.integers(-1, len(retrieval.SOURCES), 50).astype(np.int32)
    found = retriever.evidence(requests, row, page, source)
    retriever._evidence._evidence = None
    np.testing.assert_array_equal(found, retriever.evidence(requests, row, page, source))


@pytest.mark.parametrize("seed", range(3))
def test_a_catalogue_larger_than_what_is_gathered_at_once(seed):
    found = assert_same(*make(seed, 2500, 2, quota=100, shortlist=200))
    assert len(found.page) >= 200


def test_without_compiled_loops_the_same_is_given(monkeypatch):
    monkeypatch.setattr(retrieval, "library", lambda: None)
    retriever, *asked = make(1, 20, 2)
    assert retriever._compiled is None
    assert retriever.shortlist(*asked, all_scores=False).scores is not None
