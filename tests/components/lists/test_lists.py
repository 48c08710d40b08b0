import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.contract import columns as c
from components.contract import packed
from components.contract.errors import DataError
from components.contract.sources import Vectors
from components.contract.time import DAY
from components.lists import best as module
from components.lists.best import Lister, best
from components.lists.component import lists as component
from components.lists.step import run
from tests.support.build import make_dataset, mean_tower

# Few different values, so that most are tied.
values = st.sampled_from([-np.inf, -0.5, 0.0, 0.25, 0.5, 1.0])


@given(data=st.data(), rows=st.integers(1, 6), pages=st.integers(1, 9), size=st.integers(1, 12))
def test_best_are_those_of_a_full_sort(data, rows, pages, size):
    flat = data.draw(st.lists(values, min_size=rows * pages, max_size=rows * pages))
    scores = np.array(flat, np.float32).reshape(rows, pages)
    columns, found = best(scores, size)
    for row in range(rows):
        allowed = [page for page in range(pages) if not np.isneginf(scores[row, page])]
        wanted = sorted(allowed, key=lambda page: (-scores[row, page], page))[:size]
        assert columns[row].tolist() == wanted + [-1] * (size - len(wanted))
        assert found[row, : len(wanted)].tolist() == scores[row, wanted].tolist()
        assert not found[row, len(wanted) :].any()


def made(associates=70, pages=30, seed=2):
    """A log, and a two-tower model of it: a query is the mean of the latest pages' vectors."""
    draw = np.random.default_rng(seed)
    visits = {
        (int(who), int(page)): float(when)
        for who, page, when in zip(
            draw.integers(0, associates - 5, 600),
            draw.integers(0, pages, 600),
            draw.integers(1, 20, 600) * DAY,
            strict=True,
        )
    }
    roles = [["clerk"] if page % 7 == 0 else [] for page in range(pages)]
    dataset = make_dataset(
        [(*pair, when) for pair, when in visits.items()],
        pages=pages,
        associates=associates,
        page={"roles": roles, "retired": [page == 3 for page in range(pages)], "published_at": [0.0] * pages},
        associate={"role": ["clerk" if who % 2 else "baker" for who in range(associates)]},
    )
    dataset.meta["span"] = [DAY, 20 * DAY]
    vectors = draw.normal(size=(pages, 8))
    vectors[5] = 0
    return dataset, Vectors.normalised(dataset.page_ids, vectors)


@pytest.fixture
def folders(tmp_path):
    dataset, vectors = made()
    dataset.save(tmp_path / "dataset")
    vectors.save(tmp_path / "two_tower" / "vectors.npz")
    mean_tower(vectors).save(tmp_path / "two_tower")
    return tmp_path


def listed(folder):
    """All lists: associate to page ids and scores."""
    pages, blocks = packed.read(folder)
    found = {}
    for block in blocks:
        for name, value in zip(block.associate_id, block.packed(), strict=True):
            rows, scores = packed.unpack(value, len(pages))
            found[name] = (pages[rows].tolist(), scores)
    return found


def test_lists_are_those_of_brute_force(folders, monkeypatch):
    monkeypatch.setattr(module, "BLOCK", 16)
    dataset, vectors = made()
    figures = run(folders / "dataset", folders / "two_tower", folders / "lists", {"lists": {"size": 12}})
    assert figures["associates"] == 70
    found = listed(folders / "lists")
    assert list(found) == dataset.associates[c.ASSOCIATE_ID].to_list()
    tower = mean_tower(vectors)
    some = 0
    for who, (name, role) in enumerate(dataset.associates.select(c.ASSOCIATE_ID, "role").rows()):
        rows = dataset.interactions.filter(pl.col(c.ASSOCIATE) == who)
        opened = rows[c.PAGE].to_list()
        latest = rows[c.PAGE].reverse().head(tower.history_size).to_numpy()[None, :]
        query = tower(
            np.zeros(1, np.int32),
            tower.encode_attributes({"role": [role]}),
            latest.astype(np.int32),
            20 * DAY - rows[c.TIME].reverse().head(tower.history_size).to_numpy()[None, :],
        )[0]
        score = {page: float(query @ vectors.vectors[page]) for page in range(dataset.n_pages)}
        shown = [
            page
            for page in score
            if page not in (*opened, 3, 5) and (page % 7 or role == "clerk")
        ]  # fmt: skip
        pages, scores = found[name]
        assert set(pages) <= {f"P{page}" for page in shown}
        assert len(pages) == min(12, len(shown))
        mine = [score[int(page[1:])] for page in pages]
        assert mine == pytest.approx(sorted((score[page] for page in shown), reverse=True)[:12], abs=1e-6)
        assert scores.astype(float) == pytest.approx(mine, abs=1e-3)
        some += len(opened) > 0
    assert some > 50


def test_a_second_run_writes_the_same_bytes(folders):
    for name, workers in (("one", 1), ("two", 3)):
        chosen = {"lists": {"size": 5, "workers": workers}}
        run(folders / "dataset", folders / "two_tower", folders / name, chosen)
    names = sorted(path.name for path in (folders / "one").iterdir())
    assert names == ["associates.parquet", "page.npy", "pages.parquet", "score.npy"]
    for name in names:
        assert (folders / "one" / name).read_bytes() == (folders / "two" / name).read_bytes()


def test_without_a_size_nobody_gets_a_list(folders):
    assert run(folders / "dataset", folders / "two_tower", folders / "lists")["associates"] == 0
    assert listed(folders / "lists") == {}


def test_a_folder_without_lists_is_named(tmp_path):
    with pytest.raises(DataError, match="holds no lists"):
        packed.read(tmp_path)


@pytest.mark.parametrize("pages", [4, 40_000])
def test_packing_keeps_rows_of_catalogues_of_any_size(tmp_path, pages):
    ids = np.array([f"P{page}" for page in range(pages)])
    rows = np.array([[pages - 1, 0, -1], [-1, -1, -1]])
    scores = np.array([[0.75, 0.5, 0], [0, 0, 0]])
    parts = [(rows[:1], scores[:1]), (rows[1:], scores[1:])]
    size = packed.write(tmp_path / "lists", ids, pl.Series(["x", "y"]), 3, parts)
    assert size == sum(path.stat().st_size for path in (tmp_path / "lists").iterdir())
    found = listed(tmp_path / "lists")
    assert found["x"][0] == [f"P{pages - 1}", "P0"]
    assert found["x"][1].tolist() == [0.75, 0.5]
    assert found["y"][0] == []


def test_component(folders):
    class Artifact:
        def __init__(self, path):
            self.path = str(path)
            self.logged = {}

        def log_metric(self, name, value):
            self.logged[name] = value

    metrics = Artifact("")
    component.python_func(
        Artifact(folders / "dataset"),
        Artifact(folders / "two_tower"),
        {"lists": {"size": 4}},
        Artifact(folders / "out"),
        metrics,
    )
    assert metrics.logged["associates"] == len(listed(folders / "out")) == 70


def test_all_associates_are_asked_for_with_their_latest_pages():
    dataset, vectors = made(associates=9)
    found = Lister(dataset, vectors, mean_tower(vectors), 3).requests(2, 5)
    rows = dataset.interactions.filter(pl.col(c.ASSOCIATE) == 3)
    latest = rows[c.PAGE].reverse().head(20).to_list()
    assert found.history_page[1][: len(latest)].tolist() == latest
    assert found.history_page[1][len(latest) :].tolist() == [-1] * (20 - len(latest))
    assert found.seen_page[found.seen_row == 1].tolist() == rows[c.PAGE].to_list()
