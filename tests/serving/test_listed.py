"""Precomputed lists stand in where there is no time, or the sources fail."""

import shutil

import numpy as np
import pytest

from components.contract import packed
from components.contract.errors import ReleaseError
from components.contract.release import load
from components.lists import step as lists
from serving.engine import Engine
from serving.listed import Listed
from serving.payloads import Context, Instance
from serving.rules.rules import Rules
from serving.scoring import LISTS, TREND, Budget
from serving.stores import StoredEvent, open_store
from tests.support.build import make_dataset
from tests.support.releases import copy_home, next_release

pytestmark = pytest.mark.slow
SIZE = 12


@pytest.fixture(scope="module")
def home(small_release, tmp_path_factory):
    """HOME with the small release, and lists of twelve pages."""
    out, release = tmp_path_factory.mktemp("listed"), load(small_release)
    lists.run(release.root, release.part("two_tower"), out / "lists", {"lists": {"size": SIZE}})
    home = copy_home(small_release, out / "home")
    next_release(home, lists=out / "lists")
    return home


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    opened = open_store(str(tmp_path_factory.mktemp("store") / "events.sqlite"))
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def engine(home, store):
    return Engine(load(home), store)


@pytest.fixture(scope="module")
def listed(home):
    """Pages of each associate's list, as the release's files have them."""
    pages, blocks = packed.read(load(home).part("lists"))
    return {
        name: pages[row[row >= 0]].tolist()
        for block in blocks
        for name, row in zip(block.associate_id, block.page, strict=True)
    }


def hasty(engine, associate, limit=10, **rules):
    """An answer for which no time is left, without mandatory pages in front."""
    policy = engine.compile(Rules.model_validate({"mandatory": {"pin": False}, **rules}))
    instance = Instance(associate_id=associate, limit=limit, context=Context(time=engine.last_event + 60))
    return engine.answer([instance], budget=Budget(0.0), policy=policy).answers[0]


def pages(answer):
    return [item["page_id"] for item in answer["items"]]


def test_an_answer_without_time_is_the_list_then_the_trend(engine, listed):
    associate = engine.examples(3)[0]
    answer = hasty(engine, associate, limit=20)
    assert answer["fallback"] == LISTS
    assert pages(answer)[:SIZE] == listed[associate]
    assert [item["source"] for item in answer["items"]] == ["two_tower"] * SIZE + ["trend_30d"] * 8
    scores = [item["score"] for item in answer["items"]]
    assert scores == sorted(scores, reverse=True)
    assert (scores[0], scores[-1] > 0) == (1, True)
    assert all(item["reason"] for item in answer["items"])


def test_who_has_no_list_gets_the_trend_also_beside_one_who_has(engine, listed):
    known, now = engine.examples(3)[1], Context(time=engine.last_event + 60)
    both = [Instance(associate_id=known, context=now), Instance(associate_id="nobody", context=now)]
    found = engine.recommend(both, budget=Budget(0.0))
    assert [answer["fallback"] for answer in found] == [LISTS, TREND]
    assert {item["source"] for item in found[1]["items"]} == {"trend_30d"}


def test_rules_and_what_happened_since_hold(engine, store, listed):
    associate = engine.examples(3)[2]
    blocked, opened, *rest = listed[associate]
    store.append([StoredEvent("e1", associate, opened, "view", engine.last_event + 30, "{}")])
    answer = hasty(engine, associate, blocks=[{"pages": {"ids": [blocked]}}])
    assert pages(answer) == rest[:10]


def test_a_list_of_somebody_forgotten_is_not_used(engine, store, listed):
    associate = engine.examples(4)[3]
    assert hasty(engine, associate)["fallback"] == LISTS
    store.forget(associate)
    assert hasty(engine, associate)["fallback"] == TREND


def test_usual_answers_do_not_come_from_lists(engine):
    instance = Instance(associate_id=engine.examples()[0], context=Context(time=engine.last_event + 60))
    assert engine.recommend([instance])[0]["fallback"] is None


def test_the_engine_says_how_many_have_a_list(engine, small_release):
    assert (engine.listed, engine.associates) == (150, 150)
    assert Engine(load(small_release)).listed == 0


def test_lists_of_another_dataset_are_refused(tmp_path):
    made = make_dataset([(0, 0, 1.0), (1, 1, 1.0)])
    part = np.array([[2, -1], [1, 0]], np.int16), np.array([[0.5, 0], [0.75, 0.5]], np.float16)
    packed.write(tmp_path / "lists", made.page_ids, made.associates["associate_id"], 2, [part])
    found = Listed(tmp_path / "lists", made)
    assert [found(row).tolist() for row in (0, 1, -1)] == [[2], [1, 0], []]
    for other in (make_dataset([(0, 0, 1.0), (1, 1, 1.0)], pages=6), make_dataset([(0, 0, 1.0)])):
        with pytest.raises(ReleaseError, match="another dataset"):
            Listed(tmp_path / "lists", other)


def test_a_list_is_read_though_its_release_was_deleted(home, tmp_path):
    shutil.copytree(home, tmp_path / "home", symlinks=True)
    engine = Engine(load(tmp_path / "home"))
    shutil.rmtree(tmp_path / "home")
    assert {hasty(engine, one)["fallback"] for one in engine.examples(150)} == {LISTS}
