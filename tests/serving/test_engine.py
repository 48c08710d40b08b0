import dataclasses
import json

import numpy as np
import polars as pl
import pytest

from components.candidates.examples import CandidateSettings, make_examples
from components.contract import columns as c
from components.contract.dataset import Dataset
from components.contract.examples import Examples
from components.contract.features import NUMERIC
from components.contract.ranking import Ranker
from components.contract.release import load
from components.contract.retrieval import SOURCE_STEPS, RetrievalSettings
from components.evaluate.evaluation import ranker_scores
from components.ranker.export import save
from components.ranker.settings import RankerSettings
from components.ranker.training import train
from serving.engine import Engine
from serving.payloads import Context, Instance
from serving.rules.rules import Rules, parse_rules
from serving.scoring import BLENDED, TREND, Budget
from tests.support.build import shaken

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def engine(small_release):
    return Engine(load(small_release))


@pytest.fixture(scope="module")
def attentive(small_run, small_release, tmp_path_factory):
    """The release with another ranker, which looks at histories: an engine of it, and the ranker."""
    examples = Examples.load(small_run / "work" / "training")
    settings = RankerSettings(epochs=1, refit=False, history_pages=10)
    path = tmp_path_factory.mktemp("attentive") / "ranker"
    save(shaken(train(examples, settings)), examples.values, path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("serving.engine.load_ranker", lambda *_: Ranker(path))
        return Engine(load(small_release)), Ranker(path)


@pytest.fixture(scope="module")
def dataset(small_release):
    return Dataset.load(load(small_release).root)


def ask(engine, associate=None, **more):
    context = Context(time=engine.last_event + 60, **more.pop("context", {}))
    return engine.recommend([Instance(associate_id=associate, context=context, **more)])[0]


def at_ease(engine):
    """Somebody of whom no page is asked, so that scores alone order the answer."""
    answers = ((one, ask(engine, one, explain=True, limit=50)) for one in engine.examples(150))
    return next(one for one, answer in answers if not any(item["moves"] for item in answer["items"]))


def test_answers_have_the_contracts_shape(engine, dataset):
    associate = at_ease(engine)
    answer = ask(engine, associate, limit=7)
    assert (answer["associate_id"], answer["fallback"], answer["release"]) == (associate, None, engine.name)
    assert len(answer["items"]) == 7
    scores = [item["score"] for item in answer["items"]]
    assert scores == sorted(scores, reverse=True)
    assert all(0 < score < 1 for score in scores)
    pages = [item["page_id"] for item in answer["items"]]
    assert len(set(pages)) == 7
    row = dataset.associates[c.ASSOCIATE_ID].to_list().index(associate)
    seen = dataset.page_ids[dataset.column(c.PAGE)[dataset.column(c.ASSOCIATE) == row]]
    assert not set(pages) & set(seen.tolist())
    assert all(item["title"] and item["reason"] and item["source"] for item in answer["items"])


def test_excluded_pages_are_not_shown_and_the_list_stays_full(engine):
    associate = engine.examples()[0]
    first = [item["page_id"] for item in ask(engine, associate)["items"]]
    second = [item["page_id"] for item in ask(engine, associate, exclude=[*first, "no such page"])["items"]]
    assert not set(first) & set(second)
    assert len(second) == 10


def test_retired_unpublished_and_foreign_pages_are_not_shown(engine, dataset):
    time = engine.last_event + 60
    pages = dataset.pages
    roles = dict(zip(pages[c.PAGE_ID], pages["roles"].to_list(), strict=True))
    retired = set(pages.filter("retired")[c.PAGE_ID])
    late = set(pages.filter(pages["published_at"] > time)[c.PAGE_ID])
    for role in ("cashier", "store manager"):
        shown = {item["page_id"] for item in ask(engine, limit=100, context={"role": role})["items"]}
        assert shown
        assert not shown & (retired | late)
        assert all(not roles[page] or role in roles[page] for page in shown)


def test_an_unknown_associate_is_a_cold_start(engine):
    answer = ask(engine, "nobody", context={"role": "cashier", "shift": "early"})
    assert answer["fallback"] == "cold_start"
    assert len(answer["items"]) == 10
    anonymous = ask(engine, context={"role": "cashier", "shift": "early"})
    assert [i["page_id"] for i in anonymous["items"]] == [i["page_id"] for i in answer["items"]]


def test_a_given_history_ends_the_cold_start_and_is_evidence(engine, dataset):
    page = str(dataset.page_ids[int(np.bincount(dataset.column(c.PAGE)).argmax())])
    answer = ask(engine, history=[page], limit=30)
    assert answer["fallback"] is None
    assert page not in [item["page_id"] for item in answer["items"]]
    title = dataset.pages.filter(dataset.pages[c.PAGE_ID] == page)["title"].item()
    assert any(title in item["reason"] for item in answer["items"])


def test_a_batch_equals_its_parts(engine):
    instances = [
        Instance(associate_id=one, context=Context(time=engine.last_event + 60)) for one in engine.examples(5)
    ]
    together = engine.recommend(instances)
    for instance, answer in zip(instances, together, strict=True):
        alone = engine.recommend([instance])[0]
        assert [i["page_id"] for i in alone["items"]] == [i["page_id"] for i in answer["items"]]
        np.testing.assert_allclose(
            [i["score"] for i in alone["items"]], [i["score"] for i in answer["items"]], atol=1e-5
        )


@pytest.fixture(scope="module")
def following(small_release, engine, dataset):
    """What the candidates step makes of a log in which everybody opens one more page, a minute after it."""
    release, time = load(small_release), engine.last_event + 60
    log = dataset.interactions
    next_pages = (
        log.group_by(c.ASSOCIATE)
        .len(c.ORDINAL)
        .select(
            c.ASSOCIATE,
            pl.lit(0, pl.Int32).alias(c.PAGE),
            pl.lit(time).alias(c.TIME),
            pl.col(c.ORDINAL).cast(pl.Int32),
            pl.lit(0, pl.Int32).alias(c.SESSION),
            pl.lit(c.EVERYTHING, pl.Int8).alias(c.STAGE),
        )
    )
    longer = dataclasses.replace(dataset, interactions=pl.concat([log, next_pages]).sort(c.ASSOCIATE, c.TIME))
    folders = {name: release.part(name) for name in SOURCE_STEPS}
    return make_examples(
        longer, c.EVERYTHING, folders, RetrievalSettings(history_decay=0.7), CandidateSettings()
    )


@pytest.mark.parametrize("histories", [False, True])
def test_scores_equal_the_offline_path(small_release, engine, attentive, following, histories):
    engine, ranker = attentive if histories else (engine, Ranker(load(small_release).ranker))
    time, examples = engine.last_event + 60, following
    offline = ranker_scores(ranker, examples)
    asked = examples.requests[c.ASSOCIATE_ID].to_list()
    assert len(asked) > 100
    # The offline path knows no rules, which would show mandatory pages again until they are completed.
    none = Rules.model_validate({"mandatory": {"pin": False}, "completed": {"recertify": False}})
    instances = [Instance(associate_id=a, context=Context(time=time)) for a in asked]
    scored = engine.score(instances, policy=engine.compile(none))
    assert not any(scored.asked.cold)
    assert scored.fallback is None
    np.testing.assert_array_equal(examples.row, scored.row)
    np.testing.assert_array_equal(examples.page, scored.page)
    np.testing.assert_allclose(offline, scored.score, atol=1e-5)
    past, known = scored.features.history.latest(10), examples.history.latest(10)
    np.testing.assert_array_equal(past.page, known.page)
    np.testing.assert_allclose(past.age, known.age, rtol=1e-6)
    if histories:
        assert (known.page > 0).any(axis=1).mean() > 0.9
        unknown = ranker_scores(ranker, dataclasses.replace(examples, requests=blank(examples.requests)))
        assert np.abs(unknown - offline).max() > 1e-3


def blank(requests):
    """The requests without the pages of their histories."""
    page = np.full_like(requests["history_page"].to_numpy(), -1)
    return requests.with_columns(pl.Series("history_page", page))


def test_what_the_history_says_is_explained(attentive):
    engine, _ = attentive
    answer = ask(engine, at_ease(engine), explain=True)
    assert answer["fallback"] is None
    assert any(abs(item["contributions"]["history_path"]) > 0.01 for item in answer["items"])
    # A history of nothing is one too.
    assert ask(engine, "nobody")["fallback"] == "cold_start"


def test_the_releases_settings_are_used(engine):
    assert engine._score._retriever.settings.history_decay == 0.7


def test_the_oldest_and_the_latest_times_are_answered_with_numbers(engine, dataset):
    for time in (0.0, engine.last_event - 400 * 86400, 4_000_000_000.0):
        context = Context(time=time)
        answers = engine.recommend(
            [Instance(associate_id=engine.examples()[0], context=context), Instance(context=context)]
        )
        assert all(np.isfinite(item["score"]) for answer in answers for item in answer["items"])


def test_excluding_a_whole_list_leaves_another(engine):
    first = [item["page_id"] for item in ask(engine, limit=20)["items"]]
    second = [item["page_id"] for item in ask(engine, limit=100, exclude=first)["items"]]
    assert second
    assert not set(first) & set(second)


class Failing:
    def __call__(self, *_, **__):
        raise ValueError("broken")

    shortlist = __call__


def test_without_the_ranker_the_sources_answer(engine, monkeypatch):
    monkeypatch.setattr(engine._score, "_ranker", Failing())
    answer = ask(engine, at_ease(engine))
    assert answer["fallback"] == BLENDED
    scores = [item["score"] for item in answer["items"]]
    assert len(scores) == 10
    assert scores == sorted(scores, reverse=True)
    assert len({item["source"] for item in answer["items"]}) > 1


def test_without_the_sources_the_trend_answers(engine, monkeypatch, dataset):
    expected = ask(engine, engine.examples()[0], limit=100)
    allowed = {item["page_id"] for item in expected["items"]}
    real = engine._score._retriever
    broken = Failing()
    broken.allowed, broken.evidence = real.allowed, real.evidence
    monkeypatch.setattr(engine._score, "_retriever", broken)
    answer = ask(engine, engine.examples()[0])
    assert answer["fallback"] == TREND
    assert {item["source"] for item in answer["items"]} == {"trend_30d"}
    scores = [item["score"] for item in ask(engine)["items"]]
    assert scores[0] == 1
    assert scores == sorted(scores, reverse=True)
    assert scores[-1] > 0
    assert {item["page_id"] for item in answer["items"]} <= allowed


@pytest.mark.parametrize(
    ("pace", "seconds", "fallback"), [(0.0, 60.0, None), (100.0, 60.0, BLENDED), (0.0, 0.0, TREND)]
)
def test_what_takes_too_long_is_left_out(engine, monkeypatch, pace, seconds, fallback):
    monkeypatch.setattr(engine._score, "_pace", pace)
    instance = Instance(associate_id=engine.examples()[0], context=Context(time=engine.last_event + 60))
    answer = engine.recommend([instance], budget=Budget(seconds))[0]
    assert answer["fallback"] == fallback
    assert len(answer["items"]) == 10


def test_one_slow_answer_does_not_silence_the_ranker_for_good(engine, monkeypatch):
    monkeypatch.setattr(engine._score, "_pace", 1.0)
    instance = Instance(associate_id=engine.examples()[0], context=Context(time=engine.last_event + 60))
    found = [engine.recommend([instance], budget=Budget(10.0))[0]["fallback"] for _ in range(100)]
    assert found[0] == BLENDED
    assert found[-1] is None


def test_an_explained_answer_says_what_moved_each_page(engine):
    answer = ask(engine, at_ease(engine), explain=True, limit=5)
    assert answer["hidden"]["opened"] > 0
    for item in answer["items"]:
        assert item["moves"] == []
        assert "trends" in item["contributions"]


def test_carousels_hold_pages_once_and_start_with_the_list(engine):
    answer = ask(engine, engine.examples()[0], carousels=True, limit=6)
    rows = {row["key"]: row["items"] for row in answer["carousels"]}
    assert rows["for_you"] == answer["items"]
    pages = [item["page_id"] for items in rows.values() for item in items]
    assert len(pages) == len(set(pages))
    assert len(rows) > 1


def test_a_rule_moves_a_page_and_is_named(engine):
    associate = engine.examples()[0]
    last = ask(engine, associate, limit=20)["items"][-1]["page_id"]
    policy = engine.compile(parse_rules(json.dumps({"pins": [{"page": last, "name": "season"}]}).encode()))
    instance = Instance(
        associate_id=associate, context=Context(time=engine.last_event + 60), explain=True, limit=3
    )
    first = engine.answer([instance], policy=policy).answers[0]["items"][0]
    assert first["page_id"] == last
    assert first["moves"] == [{"rule": "season", "effect": "pinned to 1"}]
    assert ask(engine, associate)["items"][0]["page_id"] != last


def test_the_record_of_an_answer_says_what_was_shown(engine):
    associate = engine.examples()[0]
    instances = [
        Instance(associate_id=associate, context=Context(time=engine.last_event + 60), explain=True, limit=4),
        Instance(context=Context(time=engine.last_event + 60)),
    ]
    batch = engine.answer(instances)
    first, second = batch.records()
    assert (first.request_id, first.associate_id, first.time) == (
        batch.answers[0]["request_id"], associate, engine.last_event + 60,
    )  # fmt: skip
    body = json.loads(first.body)
    shown = [(item["page_id"], item["position"], item["propensity"]) for item in body["items"]]
    assert shown == [(item["page_id"], i, 1.0) for i, item in enumerate(batch.answers[0]["items"], 1)]
    assert [tuple(item["features"]) for item in body["items"]] == [NUMERIC] * 4
    assert second.associate_id == ""
    assert not any("features" in item for item in json.loads(second.body)["items"])


def test_explored_places_have_their_propensity(small_release, engine):
    exploring = Engine(load(small_release), exploration=0.5)
    instance = Instance(associate_id=at_ease(engine), context=Context(time=exploring.last_event + 60))
    usual = engine.recommend([instance.model_copy(update={"limit": 20})])[0]["items"]
    batch = exploring.answer([instance] * 100)
    below, seen = {item["page_id"] for item in usual[10:]}, 0
    for answer, record in zip(batch.answers, batch.records(), strict=True):
        last = answer["items"][-1]["page_id"]
        explored = last != usual[9]["page_id"]
        assert not explored or last in below
        propensities = [item["propensity"] for item in json.loads(record.body)["items"]]
        assert propensities == [*[1.0] * 9, 0.05 if explored else 0.5]
        seen += explored
    assert 25 < seen < 75
