"""Lists of a release, loaded into a real store and read back."""

import numpy as np
import polars as pl
from typer.testing import CliRunner

from components.contract import packed
from components.contract.errors import ReleaseError
from components.contract.release import Lineage, publish, write_release
from components.contract.time import DAY
from serving.stores import open_store
from serving.stores.lists import app

PAGES = np.array([f"P{number}" for number in range(9)])


def release(home, day, people, parent=None):
    """A release whose lists hold, for associate n, the pages n, n + 1, n + 2."""

    def fill(folder):
        (folder / "weights").write_text(str(day))
        if people:
            rows = np.arange(people)[:, None] % 6 + np.arange(3)
            ids = pl.Series([f"A{number}" for number in range(people)])
            scores = np.tile(np.array([0.5, 0.25, 0.125]), (people, 1))
            packed.write(folder / "lists", PAGES, ids, 3, [(rows, scores)])

    made = write_release(home, fill, kind="daily", last_event=DAY * day, lineage=Lineage(parent=parent))
    return publish(home, made.name).name


def load(home, address, *more):
    return CliRunner().invoke(app, ["--home", str(home), "--store", address, *more])


def test_lists_are_read_back_as_they_were(tmp_path, address):
    first = release(tmp_path, 1, 40)
    done = load(tmp_path, address)
    assert done.exit_code == 0, done.output
    assert "associates: 40" in done.output
    assert "bytes_per_associate: 12" in done.output
    store = open_store(address)
    seven, nobody = store.lists(first, ["A7", "nobody"])
    rows, scores = packed.unpack(seven, len(PAGES))
    assert PAGES[rows].tolist() == ["P1", "P2", "P3"]
    assert scores.tolist() == [0.5, 0.25, 0.125]
    assert nobody is None
    store.close()


def test_the_lists_of_the_release_before_expire(tmp_path, address):
    first = release(tmp_path, 1, 2)
    assert load(tmp_path, address).exit_code == 0
    second = release(tmp_path, 2, 2, parent=first)
    assert load(tmp_path, address, "--retire-days", "0").exit_code == 0
    store = open_store(address)
    assert store.lists(first, ["A1"]) == [None]
    assert store.lists(second, ["A1"]) != [None]
    store.close()


def test_a_release_without_lists_is_named(tmp_path, address):
    name = release(tmp_path, 1, 0)
    done = load(tmp_path, address)
    assert isinstance(done.exception, ReleaseError)
    assert f"release {name} holds no lists" in str(done.exception)
