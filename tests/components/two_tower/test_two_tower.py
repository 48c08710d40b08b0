from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest

from components.contract import columns as c
from components.contract.dataset import (
    ASSOCIATE_SCHEMA,
    INTERACTION_SCHEMA,
    PAGE_DAY_SCHEMA,
    PAGE_SCHEMA,
    Dataset,
)
from components.contract.query_tower import QueryTower
from components.contract.sources import Vectors
from components.contract.tf import tf
from components.contract.time import DAY
from components.two_tower.component import two_tower
from components.two_tower.examples import Examples
from components.two_tower.model import PageFeatures, TwoTower, query_vectors
from components.two_tower.settings import TwoTowerSettings
from components.two_tower.step import run

PAGES = 12


def dataset(path, visits, pages=PAGES, roles=None, topics=None):
    """Save a dataset; visits are (associate, page, time, stage), sorted."""
    table = pl.DataFrame(visits, schema=["associate", "page", "time", "stage"], orient="row").with_columns(
        ordinal=pl.int_range(pl.len()).over("associate"), session=pl.lit(0)
    )
    people = 1 + max((visit[0] for visit in visits), default=-1)
    Dataset(
        pages=pl.DataFrame({name: [None] * pages for name in PAGE_SCHEMA}, schema=PAGE_SCHEMA).with_columns(
            page_id=pl.Series([f"P{row:03}" for row in range(pages)], dtype=pl.String),
            topic=pl.Series(topics or [None] * pages, dtype=pl.String),
        ),
        associates=pl.DataFrame(
            {name: [None] * people for name in ASSOCIATE_SCHEMA}, schema=ASSOCIATE_SCHEMA
        ).with_columns(
            associate_id=pl.Series([f"A{row:05}" for row in range(people)], dtype=pl.String),
            role=pl.Series(roles or [None] * people, dtype=pl.String),
        ),
        interactions=table.select(list(INTERACTION_SCHEMA)).cast(dict(INTERACTION_SCHEMA)),
        page_days=pl.DataFrame(schema=PAGE_DAY_SCHEMA),
        meta={},
    ).save(path)
    return path


def courses(associates=400, seed=0):
    """Everyone starts at a chance page of a circle of ten and reads on in order, a page a day."""
    random = np.random.default_rng(seed)
    visits = []
    for associate in range(associates):
        start = int(random.integers(10))
        visits += [(associate, (start + step) % 10, DAY * (associate + step), 0) for step in range(4)]
    return visits


SMALL = {
    "two_tower": {
        "min_steps": 0,
        "batch_size": 256,
        "epochs": 20,
        "dimensions": 16,
        "hidden": 16,
        "history_size": 3,
    }
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("two_tower")
    people = 400
    roles = ["clerk" if row % 2 else None for row in range(people)]
    data = dataset(folder / "data", courses(people), roles=roles, topics=["safety", None] * (PAGES // 2))
    settings = {"two_tower": {**SMALL["two_tower"], "own_embeddings": 5}}
    figures = run(data, folder / "model", before_stage=1, settings=settings)
    return folder / "model", figures


def queries(tower, history, age=DAY, role=None):
    history = np.array(history, np.int32)
    people = tower.encode_associates([None] * len(history))
    attributes = tower.encode_attributes({"role": [role] * len(history)})
    return tower(people, attributes, history, np.full(history.shape, age))


def test_it_learns_what_comes_next(trained):
    folder, figures = trained
    tower = QueryTower.load(folder)
    vectors = Vectors.load(folder / "vectors.npz").vectors
    history = [[page, (page - 1) % 10, -1] for page in range(10)]
    scores = queries(tower, history) @ vectors.T
    scores[np.arange(10)[:, None], np.array(history)[:, :2]] = -1
    assert (scores.argmax(axis=1) == (np.arange(10) + 1) % 10).mean() >= 0.9
    assert figures["coverage"] == pytest.approx(10 / 12)
    assert figures["examples"] == 1600
    assert figures["steps"] == 20 * (1600 // 256)


def test_page_vectors_are_unit_length(trained):
    vectors = Vectors.load(trained[0] / "vectors.npz")
    np.testing.assert_allclose(np.linalg.norm(vectors.vectors, axis=1), 1, rtol=1e-5)
    assert vectors.page_ids[:2].tolist() == ["P000", "P001"]


def test_numpy_and_tensorflow_towers_agree(trained):
    tower = QueryTower.load(trained[0])
    random = np.random.default_rng(1)
    batch = 200
    associate = random.integers(0, 6, batch).astype(np.int32)
    attributes = tower.encode_attributes({"role": random.choice(["clerk", "", "pilot"], batch)})
    history = random.integers(-1, PAGES, (batch, 3)).astype(np.int32)
    age = random.exponential(30 * DAY, (batch, 3))
    weights = {name: tf.constant(value) for name, value in tower.weights.items()}
    expected = query_vectors(weights, associate, attributes, history, tf.constant(age, tf.float32)).numpy()
    np.testing.assert_allclose(tower(associate, attributes, history, age), expected, atol=1e-5)


def test_the_saved_model_takes_strings_and_agrees(trained):
    tower = QueryTower.load(trained[0])
    serve = tf.saved_model.load(str(trained[0] / "saved_model")).signatures["serving_default"]
    people, roles = [tower.associates.values[0], "nobody"], ["clerk", "pilot"]
    given = {"associate_id": tf.constant(people), "role": tf.constant(roles)}
    for name in c.ASSOCIATE_ATTRIBUTES[1:]:
        given[name] = tf.constant(["", ""])
    found = serve(
        **given,
        history_pages=tf.constant([["P003", "P001", ""], ["P999", "", ""]]),
        history_age_seconds=tf.constant([[60.0, DAY, 0], [5, 0, 0]]),
    )["query"].numpy()
    expected = tower(
        tower.encode_associates(people),
        tower.encode_attributes({"role": roles}),
        np.array([[3, 1, -1], [-1, -1, -1]], np.int32),
        np.array([[60.0, DAY, 0], [5, 0, 0]]),
    )
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_the_most_active_associates_have_embeddings(trained):
    # All have four visits; ties go by id.
    assert QueryTower.load(trained[0]).associates.values.tolist() == [f"A{row:05}" for row in range(5)]


def test_runs_repeat_exactly(tmp_path):
    data = dataset(tmp_path / "data", courses(50))
    settings = {"two_tower": {**SMALL["two_tower"], "epochs": 2, "batch_size": 64}}
    losses = [run(data, tmp_path / name, before_stage=1, settings=settings)["loss"] for name in "ab"]
    assert losses[0] == losses[1]
    first, second = (Vectors.load(tmp_path / name / "vectors.npz").vectors for name in "ab")
    np.testing.assert_array_equal(first, second)


def test_later_stages_are_not_read(tmp_path):
    late = [(50, 11, 1e9, 1), (50, 3, 1e9 + 5, 1)]
    settings = {"two_tower": {**SMALL["two_tower"], "epochs": 2, "batch_size": 64}}
    roles = ["clerk"] * 50
    run(
        dataset(tmp_path / "x", courses(50) + late, roles=[*roles, "pilot"]),
        tmp_path / "a",
        before_stage=1,
        settings=settings,
    )
    run(dataset(tmp_path / "y", courses(50), roles=roles), tmp_path / "b", before_stage=1, settings=settings)
    first, second = (Vectors.load(tmp_path / name / "vectors.npz").vectors for name in "ab")
    np.testing.assert_array_equal(first, second)
    assert QueryTower.load(tmp_path / "a").attributes["role"].values.tolist() == ["clerk"]


def test_content_gives_a_new_page_a_place(tmp_path):
    # Page 10 is new and has the text of page 4; page 11 is new and has that of page 8.
    content = np.eye(10, 10, dtype=np.float32)[[*range(10), 4, 8]]
    (tmp_path / "content").mkdir()
    ids = np.array([f"P{row:03}" for row in range(PAGES)])
    Vectors(ids, content).save(tmp_path / "content" / "vectors.npz")
    data = dataset(tmp_path / "data", courses())
    run(data, tmp_path / "model", before_stage=1, content=tmp_path / "content", settings=SMALL)
    vectors = Vectors.load(tmp_path / "model" / "vectors.npz").vectors
    nearest = (vectors[10:] @ vectors[:10].T).argmax(axis=1)
    assert nearest.tolist() == [4, 8]


@pytest.mark.parametrize(
    ("visits", "pages"),
    [([], 0), ([], 3), ([(0, 0, 5.0, 0)], 1), ([(0, 0, 5.0, 0), (0, 1, 5.0, 0)], 2), ([(0, 0, 5.0, 2)], 2)],
    ids=["no pages", "no visits", "one of each", "one moment", "all later"],
)
def test_degenerate_input(tmp_path, visits, pages):
    figures = run(
        dataset(tmp_path / "data", visits, pages), tmp_path / "model", before_stage=1, settings=SMALL
    )
    vectors = Vectors.load(tmp_path / "model" / "vectors.npz").vectors
    assert vectors.shape == (pages, 16)
    assert np.isfinite(vectors).all()
    assert np.isfinite(queries(QueryTower.load(tmp_path / "model"), [[-1, -1, -1]])).all()
    assert figures["examples"] == sum(visit[3] == 0 for visit in visits)


def test_examples_know_only_what_came_before():
    visits = pl.DataFrame(
        {"associate": [0, 0, 0, 0, 2], "page": [5, 6, 7, 8, 9], "time": [1.0, 2.0, 3.0, 3.0, 4.0]}
    )
    numbers = np.array([7, 8, 9], np.int32)
    examples = Examples.build(visits, 10, numbers, np.zeros((3, 1), np.int32), 0)
    batch = examples.batch(np.array([4, 3, 2]), 3)
    assert batch["history"].tolist() == [[-1, -1, -1], [-1, 6, 5], [6, 5, -1]]
    assert batch["age"].tolist() == [[0, 0, 0], [0, 1, 2], [1, 2, 0]]
    assert batch["associate"].tolist() == [9, 7, 7]
    assert batch["page"].tolist() == [9, 8, 7]
    np.testing.assert_allclose(batch["probability"], 0.2)


def test_recent_examples_weigh_more():
    visits = pl.DataFrame({"associate": [0, 0], "page": [0, 1], "time": [0.0, 10 * DAY]})
    examples = Examples.build(visits, 2, np.zeros(1, np.int32), np.zeros((1, 1), np.int32), 10)
    np.testing.assert_allclose(examples.weight, [2 / 3, 4 / 3], rtol=1e-6)


def test_an_epoch_shows_each_example_once_in_equal_batches():
    visits = pl.DataFrame({"associate": [0] * 10, "page": list(range(10)), "time": np.arange(10.0)})
    examples = Examples.build(visits, 10, np.zeros(1, np.int32), np.zeros((1, 1), np.int32), 0)
    batches = list(examples.epoch(np.random.default_rng(0), 5, 2))
    assert sorted(np.concatenate([batch["page"] for batch in batches])) == list(range(10))
    assert [len(batch["page"]) for batch in examples.epoch(np.random.default_rng(0), 4, 2)] == [4, 4]
    assert [len(batch["page"]) for batch in examples.epoch(np.random.default_rng(0), 99, 2)] == [10]


@pytest.mark.parametrize("hard", [0, 1])
def test_the_loss_is_the_corrected_softmax(hard):
    pages = PageFeatures(
        np.array([1, 2, 3], np.int32), np.zeros((3, 1), np.int32), np.zeros((3, 0), np.float32)
    )
    model = TwoTower(
        pages, 1, [1], TwoTowerSettings(dropout=0, history_size=2, temperature=0.5, hard_negatives=hard)
    )
    visits = pl.DataFrame({"associate": [0, 1, 2, 3], "page": [0, 1, 2, 1], "time": [1.0, 2.0, 3.0, 4.0]})
    examples = Examples.build(visits, 3, np.zeros(4, np.int32), np.zeros((4, 1), np.int32), 0)
    batch = examples.batch(np.arange(4), 2)
    loss = float(model.compute_loss({name: tf.constant(value) for name, value in batch.items()}))
    candidate = model.page_vectors(model.page_embeddings()).numpy()[[0, 1, 2, 1]]
    query = query_vectors(
        {"history": model.page_embeddings(), **model.query_weights},
        batch["associate"],
        batch["attributes"],
        batch["history"],
        batch["age"],
    ).numpy()
    logits = query @ candidate.T / 0.5 - np.log([0.25, 0.5, 0.25, 0.5])
    # The second and the fourth example have the same page: no negatives of each other.
    logits[1, 3] = logits[3, 1] = -np.inf
    if hard:
        # The page itself, and of the others the one with the highest score.
        others = np.where(np.eye(4, dtype=bool), -np.inf, logits)
        logits = np.where(
            np.eye(4, dtype=bool) | (others == others.max(axis=1, keepdims=True)), logits, -np.inf
        )
    expected = (np.log(np.exp(logits).sum(axis=1)) - np.diag(logits)).mean()
    assert loss == pytest.approx(expected, rel=1e-5)


def test_component(tmp_path):
    logged = {}
    (tmp_path / "content").mkdir()
    Vectors(np.array(["P000"]), np.ones((1, 4), np.float32)).save(tmp_path / "content" / "vectors.npz")
    two_tower.python_func(
        dataset=SimpleNamespace(path=str(dataset(tmp_path / "data", courses(20)))),
        content=SimpleNamespace(path=str(tmp_path / "content")),
        before_stage=1,
        settings={"two_tower": {"epochs": 1, "min_steps": 3, "dimensions": 4}},
        model=SimpleNamespace(path=str(tmp_path / "model")),
        metrics=SimpleNamespace(log_metric=logged.__setitem__),
    )
    assert QueryTower.load(tmp_path / "model").dimensions == 4
    assert logged["steps"] == 3
