import dataclasses

import numpy as np
import polars as pl
import pytest

from components.candidates.examples import CandidateSettings, make_examples
from components.contract import columns as c
from components.contract.dataset import Dataset
from components.contract.ranking import Ranker
from components.contract.release import load
from components.contract.retrieval import SOURCE_STEPS, RetrievalSettings
from serving.engine import Engine
from serving.payloads import Context, Instance
from serving.store import SQLiteStore, StoredEvent

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def engine(small_release):
    return Engine(load(small_release))


@pytest.fixture
def live(small_release, tmp_path):
    return Engine(load(small_release), SQLiteStore(tmp_path / "events.sqlite"))


@pytest.fixture(scope="module")
def dataset(small_release):
    return Dataset.load(load(small_release).root)


def ask(engine, associate=None, **more):
    context = Context(time=engine.last_event + 60, **more.pop("context", {}))
    return engine.recommend([Instance(associate_id=associate, context=context, **more)])[0]


def view(associate, page, time, number=0):
    return StoredEvent(f"{associate}-{page}-{number}", associate, page, "view", time, "{}")


def test_answers_have_the_contracts_shape(engine, dataset):
    associate = engine.examples()[0]
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


def test_an_event_changes_the_next_answer(live):
    associate = live.examples()[0]
    time = live.last_event + 30
    top = ask(live, associate)["items"][0]["page_id"]
    assert len(live.observe([view(associate, top, time)])) == 1
    assert live.observe([view(associate, top, time)]) == []
    assert top not in [item["page_id"] for item in ask(live, associate, limit=50)["items"]]


def test_an_event_counts_in_the_trend_once(live):
    associate, time = "new hire", live.last_event + 30
    instance = Instance(context=Context(time=live.last_event + 60))
    page = ask(live)["items"][-1]["page_id"]

    def popularity():
        requests, _ = live._requests([instance])
        return float(live._counters.at(requests)["popularity"][0, live._page_row[page]])

    before = popularity()
    live.observe([view(associate, page, time, number) for number in range(3)])
    assert popularity() == pytest.approx(before + 1)


def test_a_restarted_server_knows_what_happened(small_release, tmp_path):
    store = tmp_path / "events.sqlite"
    first = Engine(load(small_release), SQLiteStore(store))
    associate = first.examples()[0]
    page = ask(first, associate)["items"][0]["page_id"]
    first.observe([view(associate, page, first.last_event + 30)])
    expected = ask(first, associate)
    again = Engine(load(small_release), SQLiteStore(store))
    found = ask(again, associate)
    assert [i["page_id"] for i in found["items"]] == [i["page_id"] for i in expected["items"]]
    np.testing.assert_allclose(
        [i["score"] for i in found["items"]], [i["score"] for i in expected["items"]], atol=1e-5
    )


def test_a_forgotten_associate_is_a_stranger(live):
    associate = live.examples()[0]
    live.forget(associate)
    answer = ask(live, associate)
    assert answer["fallback"] == "cold_start"
    stranger = ask(live)
    assert [i["page_id"] for i in answer["items"]] == [i["page_id"] for i in stranger["items"]]


def test_events_of_unknown_pages_and_people_do_no_harm(live):
    found = live.observe([view("X", "no such page", live.last_event + 1), view("Y", "P00001", 5.0)])
    assert len(found) == 2
    assert ask(live, "X")["items"]


def test_nothing_after_the_request_is_seen(live):
    associate = live.examples()[0]
    top = ask(live, associate)["items"][0]["page_id"]
    live.observe([view(associate, top, live.last_event + 3600)])
    assert ask(live, associate)["items"][0]["page_id"] == top


def test_scores_equal_the_offline_path(small_release, engine, dataset):
    """The candidates step on a log in which everybody opens one more page, against the engine."""
    release = load(small_release)
    time = engine.last_event + 60
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
    examples = make_examples(
        longer, c.EVERYTHING, folders, RetrievalSettings(history_decay=0.7), CandidateSettings()
    )
    offline = Ranker(release.ranker).bind(examples.values)(examples.numeric, examples.categorical)
    asked = examples.requests[c.ASSOCIATE_ID].to_list()
    assert len(asked) > 100
    scored, cold = engine.score([Instance(associate_id=a, context=Context(time=time)) for a in asked])
    assert not any(cold)
    np.testing.assert_array_equal(examples.row, scored.row)
    np.testing.assert_array_equal(examples.page, scored.page)
    np.testing.assert_allclose(offline, scored.score, atol=1e-5)


def test_the_releases_settings_are_used(engine):
    assert engine._retriever.settings.history_decay == 0.7


def test_a_server_without_a_store_takes_no_events(engine):
    with pytest.raises(RuntimeError, match="keeps no events"):
        engine.observe([view("A", "P00001", 1.0)])


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


def test_a_given_history_is_in_the_order_of_time(engine, dataset):
    early, late, unknown = str(dataset.page_ids[3]), str(dataset.page_ids[5]), "no such page"
    time = engine.last_event + 60
    plain = Instance(context=Context(time=time), history=[early, unknown, late])
    timed = Instance(
        context=Context(time=time),
        history=[{"page_id": late, "time": time - 5}, {"page_id": early, "time": time - 9}],
    )
    future = Instance(context=Context(time=time), history=[{"page_id": late, "time": time + 1}])
    requests, cold = engine._requests([plain, timed, future])
    assert requests.history_page[:, :3].tolist() == [[5, 3, -1], [5, 3, -1], [-1, -1, -1]]
    assert requests.history_time[1, :2].tolist() == [time - 5, time - 9]
    assert requests.history_count.tolist() == [2, 2, 0]
    assert (requests.seen_row.tolist(), sorted(requests.seen_page[:2].tolist())) == ([0, 0, 1, 1], [3, 5])
    assert cold == [False, False, True]


def test_attributes_asked_for_win(engine, dataset):
    row = 4
    own = dataset.associates.row(row, named=True)
    time = engine.last_event + 60
    instances = [
        Instance(associate_id=own[c.ASSOCIATE_ID], context=Context(time=time)),
        Instance(associate_id=own[c.ASSOCIATE_ID], context=Context(time=time, role="visitor")),
    ]
    requests, _ = engine._requests(instances)
    assert requests.attributes["role"].tolist() == [own["role"], "visitor"]
    assert requests.attributes["region"].tolist() == [own["region"]] * 2
    assert requests.tenure_days[0] == pytest.approx((time - own["hired_at"]) / 86400)
