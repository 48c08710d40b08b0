import threading
import time

import numpy as np
import pytest

from components.contract.release import load
from serving.errors import RequestError
from serving.history import ask as build
from serving.payloads import Context, Instance
from serving.scoring import NO_STORE
from serving.service import Service
from serving.settings import ServingSettings
from serving.stores import open_store
from serving.stores.base import StoredEvent, StoreError
from tests.support.redis import RedisServer

pytestmark = pytest.mark.slow
# The follower's own look would hide what a call does by itself.
SLOW = ServingSettings(follow_ms=3_600_000, log_features=1, deadline_ms=60_000)


@pytest.fixture(params=["sqlite", "redis"])
def address(request, tmp_path):
    if request.param == "redis":
        return request.getfixturevalue("redis_url")
    return str(tmp_path / "events.sqlite")


@pytest.fixture
def start(small_release, address):
    """A function that starts services over the same release and store."""
    started = []

    def make(settings=SLOW):
        started.append(Service(load(small_release), open_store(address), settings))
        return started[-1]

    yield make
    for service in started:
        service.stop()


@pytest.fixture
def service(start):
    return start()


def ask(service, associate=None, **more):
    context = Context(time=service.engine.last_event + 60)
    return service.recommend([Instance(associate_id=associate, context=context, **more)])[0]


def pages(answer):
    return [item["page_id"] for item in answer["items"]]


def free(answer):
    """First page of an answer that nobody asks for: it goes once it is opened."""
    return next(item["page_id"] for item in answer["items"] if "due" not in item)


def view(associate, page, when, number=0, kind="view"):
    return StoredEvent(f"{associate}-{page}-{number}", associate, page, kind, when, "{}")


def popularity(service, page):
    engine = service.engine
    now = Instance(context=Context(time=engine.last_event + 60))
    counts, _ = engine.live.at(build(engine.catalogue, [now]).requests)
    return float(counts["popularity"][0, engine.catalogue.page_row[page]])


def soon(condition):
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_an_event_changes_the_next_answer_once(service):
    associate, when = service.engine.examples()[0], service.engine.last_event + 30
    top = free(ask(service, associate))
    assert service.observe([view(associate, top, when)]) == [view(associate, top, when)]
    assert service.observe([view(associate, top, when)]) == []
    assert top not in pages(ask(service, associate, limit=50))


def test_a_mandatory_page_stays_until_it_is_completed(service):
    when = service.engine.last_event + 30
    answers = ((one, ask(service, one)["items"][0]) for one in service.engine.examples(150))
    associate, top = next((one, top["page_id"]) for one, top in answers if "due" in top)
    service.observe([view(associate, top, when)])
    assert pages(ask(service, associate))[0] == top
    service.observe([view(associate, top, when + 1, 1, kind="complete")])
    assert top not in pages(ask(service, associate, limit=50))


def test_nothing_after_the_request_is_seen(service):
    associate = service.engine.examples()[0]
    top = pages(ask(service, associate))[0]
    service.observe([view(associate, top, service.engine.last_event + 3600)])
    assert pages(ask(service, associate))[0] == top


def test_a_first_engagement_counts_in_the_trend_once(service):
    when = service.engine.last_event + 30
    page = pages(ask(service))[-1]
    before = popularity(service, page)
    service.observe([view("new hire", page, when, number) for number in range(3)])
    service.observe([view("another", page, when, kind="impression")])
    assert popularity(service, page) == pytest.approx(before + 1)
    # The release knows that this associate opened this page.
    known = service.engine.examples()[0]
    row = int(service.engine.catalogue.past(service.engine.catalogue.find(known)).page[0])
    old = service.engine.catalogue.page_ids[row]
    before = popularity(service, old)
    service.observe([view(known, old, when)])
    assert popularity(service, old) == pytest.approx(before)


def test_events_of_unknown_pages_and_people_do_no_harm(service):
    when = service.engine.last_event + 1
    assert len(service.observe([view("X", "no such page", when), view("Y", "P00001", 5.0)])) == 2
    assert pages(ask(service, "X"))


def test_a_restarted_server_knows_what_happened_with_and_without_a_checkpoint(start):
    first = start()
    associate = first.engine.examples()[0]
    page = pages(ask(first, associate))[0]
    first.observe([view(associate, page, first.engine.last_event + 30)])
    expected = ask(first, associate)
    for prepare in (lambda: None, first.engine.live.checkpoint):
        prepare()
        again = start()
        found = ask(again, associate)
        assert pages(found) == pages(expected)
        np.testing.assert_allclose(
            [i["score"] for i in found["items"]], [i["score"] for i in expected["items"]], atol=1e-5
        )
        assert popularity(again, page) == pytest.approx(popularity(first, page))


def test_another_process_sees_events_rules_and_who_is_forgotten(start):
    here, there = start(), start(ServingSettings(follow_ms=10, deadline_ms=60_000))
    associate, when = here.engine.examples()[0], here.engine.last_event + 30
    page = pages(ask(there))[-1]
    before = popularity(there, page)
    here.observe([view("new hire", page, when)])
    soon(lambda: popularity(there, page) == pytest.approx(before + 1))
    here.set_rules(b'{"pins": [{"page": "%s"}]}' % page.encode(), None)
    soon(lambda: pages(ask(there))[0] == page)
    here.forget(associate)
    assert ask(there, associate)["fallback"] == "cold_start"


def test_a_forgotten_associate_is_a_stranger(service):
    associate = service.engine.examples()[0]
    service.forget(associate)
    answer = ask(service, associate)
    assert answer["fallback"] == "cold_start"
    assert pages(answer) == pages(ask(service))


def test_rules_are_changed_by_version(service):
    rules, version = service.rules()
    assert rules.document() == {}
    changed = service.set_rules(b'{"retired": ["P00001"]}', version)
    assert service.rules()[0].retired == ("P00001",)
    with pytest.raises(RequestError, match="changed meanwhile") as error:
        service.set_rules(b"{}", version)
    assert error.value.status == 412
    with pytest.raises(RequestError, match="retired"):
        service.set_rules(b'{"retired": 7}', changed)
    assert service.rules()[1] == changed


def test_answers_are_recorded_and_previews_are_not(service):
    associate = service.engine.examples()[0]
    answer = ask(service, associate)
    service.preview(Instance(associate_id=associate))
    soon(lambda: service.store.recent_answers(associate, 5))
    kept = service.store.recent_answers(associate, 5)
    assert [one.request_id for one in kept] == [answer["request_id"]]


def test_a_release_changes_under_load_without_a_failed_request(service, small_release):
    answers, failures, ending = [], [], threading.Event()

    def load_on():
        while not ending.is_set():
            try:
                answers.append(ask(service))
            except Exception as error:
                failures.append(error)

    thread = threading.Thread(target=load_on)
    thread.start()
    before = service.engine
    service.change(load(small_release))
    ending.set()
    thread.join()
    assert service.engine is not before
    assert failures == []
    assert answers
    # The rules in force go over to it.
    service.set_rules(b'{"retired": ["P00001"]}', None)
    service.change(load(small_release))
    assert "P00001" not in pages(ask(service, limit=100))


def test_without_a_store_there_are_no_events(small_release):
    bare = Service(load(small_release), None, SLOW)
    assert ask(bare)["items"]
    with pytest.raises(RuntimeError, match="keeps no events"):
        bare.observe([view("A", "P00001", 1.0)])
    bare.stop()


def test_a_server_starts_without_its_redis_and_takes_it_up(small_release, redis_server, tmp_path):
    redis = RedisServer(tmp_path)
    service = Service(
        load(small_release), open_store(redis.url), ServingSettings(follow_ms=20, deadline_ms=60_000)
    )
    try:
        associate = service.engine.examples()[0]
        found = ask(service, associate)
        assert found["fallback"] == NO_STORE
        assert found["items"]
        redis.start()
        soon(lambda: ask(service, associate)["fallback"] is None)
        page = free(found)
        service.observe([view(associate, page, service.engine.last_event + 30)])
        assert page not in pages(ask(service, associate, limit=50))
        redis.kill()
        assert ask(service, associate)["fallback"] == NO_STORE
        with pytest.raises(StoreError):
            service.observe([view(associate, pages(found)[1], service.engine.last_event + 30)])
        redis.start()
        soon(lambda: ask(service, associate)["fallback"] is None)
        assert page not in pages(ask(service, associate, limit=50))
    finally:
        service.stop()
        redis.kill()
