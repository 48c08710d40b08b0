import numpy as np
import polars as pl
import pytest

from components.contract import columns as c
from components.contract.dataset import (
    ASSOCIATE_SCHEMA,
    COMPLETION_SCHEMA,
    INTERACTION_SCHEMA,
    PAGE_DAY_SCHEMA,
    PAGE_SCHEMA,
    Dataset,
)
from components.contract.time import DAY
from serving.catalogue import NOBODY, Catalogue
from serving.history import ask
from serving.payloads import Context, Instance
from serving.stores.base import Activity

NOTHING = Activity([], {}, False)


def table(schema, rows):
    return pl.DataFrame([{**dict.fromkeys(schema), **row} for row in rows], schema=schema)


def made(completions=()):
    """Ada opened P0 at 100 and P2 at 200; P2 is to be taken again after 30 days."""
    pages = [{c.PAGE_ID: f"P{i}", "title": f"Page {i}"} for i in range(4)]
    pages[2]["recertify_days"] = 30.0
    interactions = [
        {c.ASSOCIATE: 0, c.PAGE: 0, c.TIME: 100.0, c.ORDINAL: 0, c.SESSION: 0, c.STAGE: 0},
        {c.ASSOCIATE: 0, c.PAGE: 2, c.TIME: 200.0, c.ORDINAL: 1, c.SESSION: 0, c.STAGE: 0},
    ]
    return Catalogue(
        Dataset(
            table(PAGE_SCHEMA, pages),
            table(
                ASSOCIATE_SCHEMA,
                [{c.ASSOCIATE_ID: "ada", "role": "cashier", "hired_at": 0.0, "locale": "en-GB"}],
            ),
            table(INTERACTION_SCHEMA, interactions),
            table(PAGE_DAY_SCHEMA, []),
            {"span": [100.0, 200.0]} | ({"completed_by": c.COMPLETE} if completions else {}),
            table(COMPLETION_SCHEMA, [{c.ASSOCIATE: 0, c.PAGE: p, c.TIME: t} for p, t in completions]),
        )
    )


@pytest.fixture(scope="module")
def catalogue():
    return made()


def at(time, associate="ada", **more):
    return Instance(associate_id=associate, context=Context(time=time, **more.pop("context", {})), **more)


def test_the_catalogue_finds_people_and_their_past(catalogue):
    assert (catalogue.find("ada"), catalogue.find("bob"), catalogue.find(None)) == (0, NOBODY, NOBODY)
    assert catalogue.past(0).page.tolist() == [0, 2]
    assert catalogue.past(NOBODY).page.tolist() == []
    assert (catalogue.attribute("role", 0), catalogue.attribute("role", NOBODY)) == ("cashier", "")
    assert catalogue.busiest(5) == ["ada"]


def test_only_what_was_before_the_request_is_seen(catalogue):
    found = ask(catalogue, [at(250.0), at(200.0), at(50.0)])
    assert found.requests.history_page[:, :3].tolist() == [[2, 0, -1], [0, -1, -1], [-1, -1, -1]]
    assert found.requests.history_count.tolist() == [2, 1, 0]
    assert found.requests.seen_row.tolist() == [0, 0, 1]
    assert found.requests.seen_page.tolist() == [0, 2, 0]
    assert found.cold == [False, False, False]
    assert found.requests.tenure_days[0] == pytest.approx(250 / DAY)


def test_what_happened_since_and_what_came_along_is_merged(catalogue):
    since = Activity([("P0", 50.0), ("P3", 220.0), ("gone", 230.0)], {}, False)
    instance = at(300.0, history=["gone", "P1", {"page_id": "P3", "time": 400.0}])
    found = ask(catalogue, [instance], [since])
    # P0's first visit moves back to 50; P1 was opened just before the question.
    assert found.requests.history_page[0, :5].tolist() == [1, 3, 2, 0, -1]
    assert found.requests.history_time[0, 1:4].tolist() == [220.0, 200.0, 50.0]


def test_a_given_history_without_times_keeps_its_order(catalogue):
    found = ask(catalogue, [at(300.0, None, history=["P3", "P1"]), at(300.0, None, history=["P1", "P3"])])
    assert found.requests.history_page[:, :2].tolist() == [[1, 3], [3, 1]]
    assert found.cold == [False, False]


def test_of_somebody_forgotten_nothing_is_used(catalogue):
    found = ask(catalogue, [at(300.0)], [Activity([], {}, True)])
    assert found.requests.history_count.tolist() == [0]
    assert found.requests.associate_id.tolist() == [""]
    assert found.requests.attributes["role"].tolist() == [""]
    assert np.isnan(found.requests.tenure_days[0])
    assert found.cold == [True]


def test_attributes_asked_for_win_also_empty_ones(catalogue):
    asked = [at(1.0), at(1.0, context={"role": "visitor"}), at(1.0, context={"role": "", "locale": "en"})]
    found = ask(catalogue, asked).requests.attributes
    assert found["role"].tolist() == ["cashier", "visitor", ""]
    assert found["locale"].tolist() == ["en-GB", "en-GB", "en"]


def test_completions_are_the_last_ones_of_release_and_store_before_the_question():
    catalogue = made([(0, 110.0), (1, 400.0)])
    since = Activity([("P2", 205.0)], {"P0": 90.0, "P3": 210.0}, False)
    # P2 was opened only, also since; P1 is completed later; the release's completion of P0 is the last.
    assert ask(catalogue, [at(300.0)], [since]).completed == [{0: 110.0, 3: 210.0}]
    assert ask(catalogue, [at(500.0)], [NOTHING]).completed == [{0: 110.0, 1: 400.0}]
    assert ask(catalogue, [at(300.0)], [Activity([], {}, True)]).completed == [{}]
    assert ask(catalogue, [at(300.0, "bob")], [NOTHING]).completed == [{}]


def test_where_nobody_logs_completions_required_pages_are_done_once_opened(catalogue):
    later = Activity([("P1", 220.0), ("P2", 150.0)], {}, False)
    # P1 asks nobody for anything; P2's first opening moves back.
    assert ask(catalogue, [at(250.0)], [later]).completed == [{2: 150.0}]
    since = Activity([], {"P1": 210.0, "P2": 260.0, "gone": 1.0}, False)
    assert ask(catalogue, [at(250.0)], [NOTHING]).completed == [{2: 200.0}]
    assert ask(catalogue, [at(300.0)], [since]).completed == [{2: 260.0, 1: 210.0}]
    # Nothing after the question.
    assert ask(catalogue, [at(205.0)], [since]).completed == [{2: 200.0}]
