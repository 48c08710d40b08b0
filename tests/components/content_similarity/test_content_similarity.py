import time
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
import scipy.sparse as sp
from gensim.models import KeyedVectors
from gensim.similarities import SparseTermSimilarityMatrix, WordEmbeddingSimilarityIndex
from hypothesis import given
from hypothesis import strategies as st

from components.content_similarity.component import content_similarity
from components.content_similarity.settings import ContentSettings
from components.content_similarity.similarity import SoftCosine, latent_vectors, term_similarity, word_vectors
from components.content_similarity.step import run
from components.content_similarity.text import read
from components.content_similarity.textrank import keyword_weights, textrank
from components.contract.dataset import (
    ASSOCIATE_SCHEMA,
    INTERACTION_SCHEMA,
    PAGE_DAY_SCHEMA,
    PAGE_SCHEMA,
    Dataset,
)
from components.contract.sources import Neighbours, Vectors


def table(titles, bodies, topics=None):
    pages = len(titles)
    return pl.DataFrame({name: [None] * pages for name in PAGE_SCHEMA}, schema=PAGE_SCHEMA).with_columns(
        page_id=pl.Series([f"P{row:04}" for row in range(pages)], dtype=pl.String),
        title=pl.Series(titles, dtype=pl.String),
        body=pl.Series(bodies, dtype=pl.String),
        topic=pl.Series(topics or [None] * pages, dtype=pl.String),
    )


def dataset(path, *columns):
    Dataset(
        pages=table(*columns),
        associates=pl.DataFrame(schema=ASSOCIATE_SCHEMA),
        interactions=pl.DataFrame(schema=INTERACTION_SCHEMA),
        page_days=pl.DataFrame(schema=PAGE_DAY_SCHEMA),
        meta={},
    ).save(path)
    return path


def words(titles, bodies, limit=10_000):
    corpus = read(table(titles, bodies), limit)
    return [corpus.vocabulary[corpus.word[corpus.page == row]].tolist() for row in range(corpus.pages)]


def invented(pages, length, topics=20, seed=0):
    """Bodies whose words are drawn from their topic's vocabulary, with common words between."""
    random = np.random.default_rng(seed)
    topic = np.arange(pages) % topics
    letters = np.array(list("bcdfglmnprstv")), np.array(list("aeiou"))
    syllables = np.char.add(
        letters[0][random.integers(0, 13, 12_000)], letters[1][random.integers(0, 5, 12_000)]
    )
    vocabulary = np.char.add(np.char.add(syllables[:4000], syllables[4000:8000]), syllables[8000:])
    own = topic[:, None] * 150 + random.integers(0, 150, (pages, length))
    common = 3000 + random.integers(0, 1000, (pages, length))
    drawn = vocabulary[np.where(random.random((pages, length)) < 0.5, own, common)]
    return [" ".join(row) for row in drawn], topic


def test_words_of_any_language():
    # Full-width letters are the plain ones; apostrophes of both kinds belong to a word.
    found = words(["Größe ändern", "安全手册", "L\u2019été"], ["Straße 12", "\uff2f\uff46\uff46ice", None])
    assert found == [["größe", "ändern", "straße"], ["安", "全", "手", "册", "office"], ["l\u2019été"]]


def test_long_text_is_cut():
    assert words(["alpha"], ["beta " * 2_000_000], 10) == [["alpha", "beta", "beta"]]


def test_text_without_spaces_is_cut_into_bounded_words():
    found = words([None], ["x" * 100 + " top-down end- a"])
    assert found == [["x" * 40, "x" * 40, "x" * 20, "top-down", "end", "a"]]


def test_glued_words_come_apart():
    found = words([None, None], ["open library to read " * 5, "librarytoread libraryopen"])
    assert found[1] == ["librarytoread", "library", "open"]


def test_stop_words_come_from_the_corpus():
    corpus = read(table([f"the page{'abcdefghijklmnop'[n]}" for n in range(16)], [None] * 16), 100)
    kept = corpus.without_stop_words(0.5)
    assert "the" not in kept.vocabulary[kept.word]
    assert len(kept.word) == 16


def test_textrank_of_a_path_of_three_words():
    # left - middle - right, window 2: with damping d and restart 1/3, middle = (1-d)/3 + d(l+r) and
    # l = r = (1-d)/3 + d*middle/2, so middle = (1+2d) / (3(1+d)).
    corpus = read(table([None, None], ["left middle right", "alone"]), 100)
    ranks = textrank(corpus, window=2, damping=0.85, title_weight=1).toarray()
    by_word = dict(zip(corpus.vocabulary, ranks[0], strict=True))
    assert by_word["middle"] == pytest.approx(2.7 / 5.55, abs=1e-5)
    assert by_word["left"] == pytest.approx(by_word["right"])
    assert ranks.sum(axis=1).tolist() == pytest.approx([1, 1])
    assert ranks[1, list(corpus.vocabulary).index("alone")] == pytest.approx(1)


def test_blocks_of_pages_do_not_change_ranks(monkeypatch):
    bodies, _ = invented(30, 40)
    corpus = read(table([None] * 30, bodies), 10_000)
    options = {"window": 4, "damping": 0.85, "title_weight": 2}
    whole = textrank(corpus, **options)
    monkeypatch.setattr("components.content_similarity.textrank._TOKENS_AT_ONCE", 100)
    np.testing.assert_allclose(textrank(corpus, **options).toarray(), whole.toarray(), atol=1e-5)


def test_title_words_count_more():
    corpus = read(table(["lifting", None], ["boxes carefully", "lifting boxes carefully"]), 100)
    lifting = list(corpus.vocabulary).index("lifting")
    plain, titled = (
        textrank(corpus, window=4, damping=0.85, title_weight=weight).toarray() for weight in (1, 3)
    )
    np.testing.assert_allclose(plain[:, lifting], 1 / 3, atol=1e-5)
    # Before its share is taken, the word of the title has 3 times its rank.
    assert titled[0, lifting] > 3 / 5
    assert titled[1, lifting] == pytest.approx(1 / 3, abs=1e-5)


def test_keywords_are_few_and_shared():
    ranks = sp.csr_matrix([[0.5, 0.3, 0.2, 0], [0, 0.4, 0.4, 0.2]])
    weights = keyword_weights(ranks, np.array([1, 2, 2, 1]), keep=1).toarray()
    # Words on one page drop out; of equals the first stays.
    np.testing.assert_allclose(weights, [[0, 1, 0, 0], [0, 1, 0, 0]])


def test_soft_cosine_and_term_similarity_are_gensims():
    bodies, _ = invented(40, 60, topics=4)
    settings = ContentSettings(word_vector_size=8)
    corpus = read(table([None] * 40, bodies), 10_000)
    terms = keyword_weights(textrank(corpus, window=4, damping=0.85, title_weight=1), corpus.page_counts, 20)
    vectors = word_vectors(corpus, settings)
    ours = term_similarity(vectors, threshold=0.5, exponent=2, keep=len(vectors) - 1)
    keyed = KeyedVectors(8)
    known = np.flatnonzero(vectors.any(axis=1))
    keyed.add_vectors([corpus.vocabulary[word] for word in known], vectors[known])
    index = WordEmbeddingSimilarityIndex(keyed, threshold=0.5, exponent=2)
    names = dict(enumerate(corpus.vocabulary))
    theirs = SparseTermSimilarityMatrix(index, _Dictionary(names), nonzero_limit=None)
    np.testing.assert_allclose(ours.toarray(), theirs.matrix.toarray(), atol=1e-5)
    bags = [list(zip(row.indices.tolist(), row.data.tolist(), strict=True)) for row in terms]
    expected = theirs.inner_product(bags, bags, normalized=(True, True)).toarray()
    np.fill_diagonal(expected, 0)
    np.testing.assert_allclose(np.minimum(SoftCosine(terms, ours)[:], 1), expected, atol=1e-4)


class _Dictionary(dict):
    """What gensim asks of a dictionary: numbers to words and back."""

    @property
    def token2id(self):
        return {word: number for number, word in self.items()}


def test_soft_cosine_slices_are_rows_of_the_whole():
    terms = sp.csr_matrix(np.random.default_rng(0).random((7, 5)))
    similarity = SoftCosine(terms, sp.identity(5, format="csr"))
    np.testing.assert_array_equal(similarity[2:5], similarity[:][2:5])
    assert (similarity[:].diagonal() == 0).all()


def test_latent_vectors_keep_cosines_when_nothing_is_left_out():
    terms = sp.csr_matrix(np.random.default_rng(0).random((6, 4)) @ np.diag([1, 1, 1, 0]))
    vectors = latent_vectors(terms, 10)
    assert vectors.shape == (6, 10)
    np.testing.assert_allclose(vectors @ vectors.T, (terms @ terms.T).toarray(), atol=1e-9)


def test_pages_of_one_topic_are_neighbours(tmp_path):
    bodies, topic = invented(200, 200, topics=10)
    figures = run(
        dataset(tmp_path / "data", [None] * 200, bodies),
        tmp_path / "model",
        before_stage=1,
        settings={"content_similarity": {"word_reads": 500_000}},
    )
    neighbours = Neighbours.load(tmp_path / "model" / "neighbours.npz")
    assert (topic[neighbours.index[:, :10]] == topic[:, None]).mean() > 0.95
    vectors = Vectors.load(tmp_path / "model" / "vectors.npz").vectors
    nearest = np.argsort(-(vectors @ vectors.T), axis=1)[:, 1:11]
    assert (topic[nearest] == topic[:, None]).mean() > 0.95
    assert figures["coverage"] == 1
    keywords = pl.read_parquet(tmp_path / "model" / "keywords.parquet")
    assert keywords.schema == {"page_id": pl.String, "keyword": pl.String, "weight": pl.Float32}
    falling = keywords.group_by("page_id", maintain_order=True).agg(pl.col("weight").diff().max())
    assert (falling["weight"] <= 0).all()


def test_topic_separates_equal_texts(tmp_path):
    columns = ["safe lifting"] * 4, [None] * 4, ["a", "b", "a", "b"]
    run(dataset(tmp_path / "data", *columns), tmp_path / "model", before_stage=1)
    neighbours = Neighbours.load(tmp_path / "model" / "neighbours.npz")
    assert neighbours.index[:, 0].tolist() == [2, 3, 0, 1]


def test_runs_repeat_exactly(tmp_path):
    data = dataset(tmp_path / "data", [None] * 40, invented(40, 40)[0])
    for name in "ab":
        run(data, tmp_path / name, before_stage=1)
    for file, kind in (("neighbours.npz", Neighbours), ("vectors.npz", Vectors)):
        first, second = (vars(kind.load(tmp_path / name / file)) for name in "ab")
        for key in first:
            np.testing.assert_array_equal(first[key], second[key])


@pytest.mark.parametrize(
    ("titles", "bodies"),
    [([], []), ([None], [None]), (["", "", " "], [None, "", "12 3"]), (["Lifting boxes"], [None])],
)
def test_pages_with_nothing_to_compare(tmp_path, titles, bodies):
    figures = run(
        dataset(tmp_path / "data", titles, bodies, ["x"] * len(titles)), tmp_path / "model", before_stage=1
    )
    assert (Neighbours.load(tmp_path / "model" / "neighbours.npz").index == -1).all()
    assert Vectors.load(tmp_path / "model" / "vectors.npz").vectors.shape == (len(titles), 64)
    assert figures["pages_with_text"] == sum("boxes" in (title or "") for title in titles)


@given(st.lists(st.tuples(st.none() | st.text(max_size=30), st.none() | st.text(max_size=60)), max_size=6))
def test_any_text_gives_ranks_that_sum_to_one(texts):
    corpus = read(table([title for title, _ in texts], [body for _, body in texts]), 50)
    ranks = textrank(corpus, window=4, damping=0.85, title_weight=2)
    total = np.asarray(ranks.sum(axis=1)).ravel()
    with_words = np.isin(np.arange(len(texts)), corpus.page)
    np.testing.assert_allclose(total, with_words.astype(float), atol=1e-9)


def test_component(tmp_path):
    logged = {}
    content_similarity.python_func(
        dataset=SimpleNamespace(path=str(dataset(tmp_path / "data", ["safe lifting"] * 3, [None] * 3))),
        before_stage=1,
        settings={"content_similarity": {"neighbours": 1}},
        model=SimpleNamespace(path=str(tmp_path / "model")),
        metrics=SimpleNamespace(log_metric=logged.__setitem__),
    )
    assert Neighbours.load(tmp_path / "model" / "neighbours.npz").index.shape == (3, 1)
    assert logged["coverage"] == 1


@pytest.mark.slow
def test_five_thousand_pages_within_a_minute(tmp_path):
    data = dataset(tmp_path / "data", [None] * 5000, invented(5000, 200)[0])
    started = time.process_time()
    run(data, tmp_path / "model", before_stage=1)
    assert time.process_time() - started < 60
