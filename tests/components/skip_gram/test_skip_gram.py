import os
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest

from components.contract.dataset import (
    ASSOCIATE_SCHEMA,
    INTERACTION_SCHEMA,
    PAGE_DAY_SCHEMA,
    PAGE_SCHEMA,
    Dataset,
)
from components.contract.errors import WaymarkError
from components.contract.sources import Neighbours, Vectors
from components.skip_gram.component import skip_gram
from components.skip_gram.model import SkipGramSettings, sentences, train
from components.skip_gram.step import run


def dataset(path, visits, pages):
    """Save a dataset; visits are (associate, page, time, session, stage)."""
    table = pl.DataFrame(
        visits, schema=["associate", "page", "time", "session", "stage"], orient="row"
    ).with_columns(ordinal=pl.int_range(pl.len()).over("associate"))
    people = 1 + max((visit[0] for visit in visits), default=-1)
    Dataset(
        pages=pl.DataFrame({name: [None] * pages for name in PAGE_SCHEMA}, schema=PAGE_SCHEMA).with_columns(
            page_id=pl.Series([f"P{row:03}" for row in range(pages)], dtype=pl.String)
        ),
        associates=pl.DataFrame(
            {name: [None] * people for name in ASSOCIATE_SCHEMA}, schema=ASSOCIATE_SCHEMA
        ).with_columns(associate_id=pl.Series([f"A{row}" for row in range(people)], dtype=pl.String)),
        interactions=table.select(list(INTERACTION_SCHEMA)).cast(dict(INTERACTION_SCHEMA)),
        page_days=pl.DataFrame(schema=PAGE_DAY_SCHEMA),
        meta={},
    ).save(path)
    return path


def two_topics(associates=60, seed=0):
    """Pages 0 to 9 are read together, and so are 10 to 19; page 20 by nobody."""
    random = np.random.default_rng(seed)
    visits = []
    for associate in range(associates):
        topic = 10 * (associate % 2)
        for step, page in enumerate(random.permutation(10)[:6]):
            visits.append((associate, int(topic + page), float(100 * associate + step), associate, 0))
    return visits


def test_pages_read_together_are_neighbours(tmp_path):
    figures = run(dataset(tmp_path / "data", two_topics(), 21), tmp_path / "model", before_stage=1)
    vectors = Vectors.load(tmp_path / "model" / "vectors.npz")
    cosine = vectors.vectors @ vectors.vectors.T
    same = (np.arange(20) // 10)[:, None] == np.arange(20) // 10
    off_diagonal = ~np.eye(20, dtype=bool)
    assert cosine[:20, :20][same & off_diagonal].mean() > cosine[:20, :20][~same].mean() + 0.3
    neighbours = Neighbours.load(tmp_path / "model" / "neighbours.npz")
    assert set(neighbours.index[0, :5].tolist()) <= set(range(10))
    assert figures["sentences"] == 120
    assert figures["coverage"] == pytest.approx(20 / 21)


def test_vectors_are_unit_or_zero_and_lists_positive(tmp_path):
    run(dataset(tmp_path / "data", two_topics(), 21), tmp_path / "model", before_stage=1)
    norms = np.linalg.norm(Vectors.load(tmp_path / "model" / "vectors.npz").vectors, axis=1)
    np.testing.assert_allclose(norms[:20], 1, atol=1e-6)
    assert norms[20] == 0
    neighbours = Neighbours.load(tmp_path / "model" / "neighbours.npz")
    assert (neighbours.index[20] == -1).all()
    assert ((neighbours.score > 0) == (neighbours.index >= 0)).all()
    assert (neighbours.index != np.arange(21)[:, None]).all()


def test_later_stages_are_not_read(tmp_path):
    early = two_topics()
    late = [(100, 20, 1e6, 1000, 1), (100, 0, 1e6 + 1, 1000, 1)]
    run(dataset(tmp_path / "with", early + late, 21), tmp_path / "a", before_stage=1)
    run(dataset(tmp_path / "without", early, 21), tmp_path / "b", before_stage=1)
    first, second = (Vectors.load(tmp_path / name / "vectors.npz").vectors for name in "ab")
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("visits", [[], [(0, 1, 1.0, 0, 0)]])
def test_nothing_to_learn_from_gives_zero_vectors(tmp_path, visits):
    figures = run(dataset(tmp_path / "data", visits, 3), tmp_path / "model", before_stage=3)
    assert not Vectors.load(tmp_path / "model" / "vectors.npz").vectors.any()
    assert (Neighbours.load(tmp_path / "model" / "neighbours.npz").index == -1).all()
    assert figures["coverage"] == 0
    assert figures["loss"] == 0


def test_an_empty_catalogue(tmp_path):
    figures = run(dataset(tmp_path / "data", [], 0), tmp_path / "model", before_stage=3)
    assert figures["coverage"] == 0
    assert Vectors.load(tmp_path / "model" / "vectors.npz").vectors.shape == (0, 64)


@pytest.mark.slow
def test_runs_repeat_exactly_in_processes_with_different_hash_seeds():
    code = (
        "from components.skip_gram.model import *; import hashlib;"
        "v, _ = train([['0', '1', '2'], ['2', '1', '3']] * 20, 4, SkipGramSettings(epochs=3));"
        "print(hashlib.sha256(v.tobytes()).hexdigest())"
    )
    digests = set()
    for seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        )
        digests.add(done.stdout.splitlines()[-1])
    assert len(digests) == 1


def test_sentences_follow_time_and_kind():
    visits = pl.DataFrame({"associate": [0, 0, 0, 1, 1], "session": [0, 0, 1, 2, 3], "page": [9, 7, 8, 1, 2]})
    assert sentences(visits, "session") == [["9", "7"]]
    assert sentences(visits, "associate") == [["9", "7", "8"], ["1", "2"]]
    assert sentences(visits, "both") == sentences(visits, "session") + sentences(visits, "associate")


def test_rare_pages_get_no_vector():
    corpus = [["0", "1"]] * 5 + [["0", "2"]]
    vectors, losses = train(corpus, 3, SkipGramSettings(min_count=2, epochs=2))
    assert vectors.any(axis=1).tolist() == [True, True, False]
    assert len(losses) == 2


def test_a_wrong_setting_is_named(tmp_path):
    with pytest.raises(WaymarkError, match=r"settings\.skip_gram\.window"):
        run(tmp_path, tmp_path / "model", before_stage=1, settings={"skip_gram": {"window": 0}})


def test_component(tmp_path):
    logged = {}
    skip_gram.python_func(
        dataset=SimpleNamespace(path=str(dataset(tmp_path / "data", two_topics(), 21))),
        before_stage=1,
        settings={"skip_gram": {"vector_size": 8}},
        model=SimpleNamespace(path=str(tmp_path / "model")),
        metrics=SimpleNamespace(log_metric=logged.__setitem__),
    )
    assert Vectors.load(tmp_path / "model" / "vectors.npz").vectors.shape == (21, 8)
    assert logged["words"] == 720
