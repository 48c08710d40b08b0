from dataclasses import replace
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.contract import columns as c
from components.contract import features
from components.contract.features import CATEGORICAL, NUMERIC, FeatureBuilder
from components.contract.requests import requests_of_stage
from components.contract.retrieval import SCORES, SOURCES
from components.contract.shortlists import Shortlist
from components.contract.time import DAY
from components.contract.trends import empty_counters, openings
from tests.support.build import HOUR, logs, make_dataset, make_requests, random_retriever
from tests.support.ways import both_ways, once

# Saturday 2001-09-08, midnight UTC.
MIDNIGHT = 11573 * DAY
MINUTE = 60.0


way = both_ways(features)


def every_page(requests, pages, scores=None, ranks=None):
    """A shortlist that holds the whole catalogue for each request."""
    batch = len(requests)
    row = np.repeat(np.arange(batch, dtype=np.int32), pages)
    page = np.tile(np.arange(pages, dtype=np.int32), batch)
    zero = np.zeros((batch, pages), np.float32)
    last = np.full(batch * pages, 50, np.int32)
    planes = np.array([(scores or {}).get(name, zero) for name in SCORES], np.float32)
    return Shortlist(
        row=row,
        page=page,
        said=planes[:, row, page],
        best=planes.max(axis=2),
        ranks=np.array([(ranks or {}).get(name, last) for name in SOURCES], np.int32),
        source=np.full(batch * pages, -1, np.int32),
        fused=np.zeros(batch * pages, np.float32),
    )


def compute(dataset, requests, first_opened=None, **given):
    """Features of all pages by name, shape (requests, pages)."""
    pages = dataset.n_pages
    opened = np.full(pages, np.inf) if first_opened is None else np.asarray(first_opened, float)
    builder = FeatureBuilder(dataset)
    found = builder(requests, every_page(requests, pages, **given), opened)
    shape = (len(requests), pages)
    numeric = {name: found.numeric[:, i].reshape(shape) for i, name in enumerate(NUMERIC)}
    text = builder.text(found.categorical)
    return numeric | {name: text[:, i].reshape(shape) for i, name in enumerate(CATEGORICAL)}


def approx(values):
    return pytest.approx(np.asarray(values), rel=1e-5, abs=1e-6)


@pytest.fixture
def dataset():
    return make_dataset(
        [(0, 0, MIDNIGHT)],
        page={
            "topic": ["safety", "safety", "fruit", None, "fruit"],
            "format": ["video", "text", "video", "video", None],
            "duration_seconds": [60, None, 0, 9, 99],
            "published_at": [MIDNIGHT - DAY, None, None, None, None],
            "prerequisites": [None, ["P0"], ["P0", "P2", "P404"], [], ["P404"]],
            "mandatory_for": [None, ["cashier"], ["cashier", "manager"], [], None],
        },
        associate={"role": ["cashier"], "region": ["north"]},
    )


def test_columns_and_their_order(dataset):
    requests = make_requests([MIDNIGHT])
    found = FeatureBuilder(dataset)(requests, every_page(requests, 5), np.full(5, np.inf))
    assert found.numeric.shape == (5, len(NUMERIC))
    assert found.categorical.shape == (5, len(CATEGORICAL))
    assert (found.numeric.dtype, found.categorical.dtype) == (np.float32, np.int32)
    assert len(set(NUMERIC)) == len(NUMERIC)
    assert len(set(CATEGORICAL)) == len(CATEGORICAL)


def test_every_feature_that_is_computed_has_its_column(dataset):
    def filled(shape, dtype=float):
        return np.full(shape, -12345, dtype)

    builder = FeatureBuilder(dataset)
    with patch.object(np, "empty", filled):
        found = builder(
            make_requests([MIDNIGHT]), every_page(make_requests([MIDNIGHT]), 5), np.full(5, np.inf)
        )
    assert np.isfinite(found.numeric).all()
    for values in (found.numeric, found.categorical):
        assert (values != -12345).all()
    assert set(builder.values) == set(CATEGORICAL)


def test_scores_ranks_and_agreement(dataset):
    scores = {"ease": [[0, 1, 4, 2, 0]], "trend_1d": [[0, 0, 1, 0, 0]], "trend_7d": [[0, 0, 2, 0, 0]]}
    scores |= {"trend_30d": [[0, 0, 6, 0, 0]], "popularity": [[0, 0, 7, 0, 0]]}
    ranks = {"ease": [50, 2, 0, 1, 50], "popularity": [50, 50, 3, 50, 50]}
    found = compute(dataset, make_requests([MIDNIGHT]), scores=scores, ranks=ranks)
    assert found["ease.score"][0] == approx([0, 0.25, 1, 0.5, 0])
    assert found["ease.rank"][0] == approx(np.log([51, 3, 1, 2, 51]))
    assert found["ease.raw"][0] == approx([0, 1, 2, np.sqrt(2), 0])
    assert found["popularity.count"][0] == approx([0, 0, np.log(8), 0, 0])
    assert found["agreement"][0].tolist() == [0, 1, 2, 1, 0]
    others = len(SOURCES) - 2
    assert found["fused_rank"][0, 2] == approx(1 / 10 + 1 / 13 + others / 60)
    assert found["momentum_day"][0, 2] == approx(np.log((1 * 7 + 1) / (2 + 1)))
    assert found["momentum_week"][0, 2] == approx(np.log((2 * 30 / 7 + 1) / (6 + 1)))
    assert (found["transitions.score"] == 0).all()


def test_age_of_a_page_counts_from_publication_or_from_its_first_opening(dataset):
    opened = [MIDNIGHT - 9 * DAY, MIDNIGHT - 3 * HOUR, MIDNIGHT, MIDNIGHT + DAY, np.inf]
    found = compute(dataset, make_requests([MIDNIGHT]), opened)
    assert found["page_age"][0] == approx([np.log(25), np.log(4), 0, 0, 0])
    assert found["page_unopened"][0].tolist() == [0, 0, 1, 1, 1]
    assert found["duration"][0] == approx(np.log([61, 1, 1, 10, 100]))


def test_shares_of_topic_and_format(dataset):
    history = [[(0, MIDNIGHT - 1), (1, MIDNIGHT - 2), (2, MIDNIGHT - 3), (4, MIDNIGHT - 4)]]
    found = compute(dataset, make_requests([MIDNIGHT], history))
    assert found["topic_share"][0] == approx([0.5, 0.5, 0.5, 0, 0.5])
    assert found["format_share"][0] == approx([0.5, 0.25, 0.5, 0.5, 0.25])
    assert found["topic_last"][0].tolist() == [1, 1, 0, 0, 0]


def test_prerequisites_that_the_associate_has_opened(dataset):
    history = [[], [(0, MIDNIGHT - 1)], [(2, MIDNIGHT - 1), (0, MIDNIGHT - 2)]]
    found = compute(dataset, make_requests([MIDNIGHT] * 3, history))
    # P404 is not in the catalogue, so nobody can be asked to open it first.
    assert found["prerequisites"][0].tolist() == [0, 1, 2, 0, 0]
    assert found["prerequisites_met"].tolist() == [[1, 0, 0, 1, 1], [1, 1, 0.5, 1, 1], [1, 1, 1, 1, 1]]


def test_mandatory_for_the_role(dataset):
    found = compute(dataset, make_requests([MIDNIGHT] * 4, role=["cashier", "manager", "", "stranger"]))
    assert found["mandatory"].tolist() == [[0, 1, 1, 0, 0], [0, 0, 1, 0, 0], [0] * 5, [0] * 5]


def test_time_since_the_last_pages(dataset):
    history = [[(0, MIDNIGHT - 2 * HOUR), (1, MIDNIGHT - 5 * HOUR)], [(0, MIDNIGHT - HOUR)], []]
    found = compute(dataset, make_requests([MIDNIGHT] * 3, history))
    assert found["since_last"][:, 0] == approx([np.log(3), np.log(2), -1])
    assert found["since_previous"][:, 0] == approx([np.log(4), -1, -1])
    assert found["history_count"][:, 0] == approx([np.log(3), np.log(2), 0])


def test_position_in_the_session_ends_at_the_first_long_pause(dataset):
    at = MIDNIGHT
    history = [
        [(0, at - 30 * MINUTE), (1, at - 50 * MINUTE), (2, at - 81 * MINUTE), (3, at - 82 * MINUTE)],
        [(0, at - 31 * MINUTE), (1, at - 32 * MINUTE)],
        [],
    ]
    found = compute(dataset, make_requests([at] * 3, history))
    assert found["session_position"][:, 0] == approx([np.log(3), 0, 0])


def test_tenure_and_time_of_day(dataset):
    requests = make_requests([MIDNIGHT + 6 * HOUR, MIDNIGHT], tenure_days=[9, np.nan])
    found = compute(dataset, requests)
    assert found["tenure"][:, 0] == approx([np.log(10), 0])
    assert found["hour_sin"][:, 0] == approx([1, 0])
    assert found["hour_cos"][:, 0] == approx([0, 1])


def test_categories(dataset):
    requests = make_requests(
        [MIDNIGHT + 23.5 * HOUR, MIDNIGHT + 2 * DAY],
        [[(2, MIDNIGHT)], []],
        role=["cashier", "stranger"],
        region=["north", ""],
    )
    found = compute(dataset, requests)
    assert found["page_id"][0].tolist() == ["P0", "P1", "P2", "P3", "P4"]
    assert found["topic"][0].tolist() == ["safety", "safety", "fruit", "", "fruit"]
    assert found["role"][:, 0].tolist() == ["cashier", ""]
    assert found["region"][:, 0].tolist() == ["north", ""]
    assert found["hour"][:, 0].tolist() == ["23", "0"]
    # Monday is 0.
    assert found["weekday"][:, 0].tolist() == ["5", "0"]
    assert found["last_page"][:, 0].tolist() == ["P2", ""]
    assert found["last_topic"][:, 0].tolist() == ["fruit", ""]
    assert found["first_source"][0, 0] == ""


def test_first_source_is_named(dataset):
    requests = make_requests([MIDNIGHT])
    builder = FeatureBuilder(dataset)
    shortlist = replace(every_page(requests, 5), source=np.array([-1, 0, 1, 2, 3], np.int32))
    text = builder.text(builder(requests, shortlist, np.full(5, np.inf)).categorical)
    assert text[:, CATEGORICAL.index("first_source")].tolist() == ["", *SOURCES[:4]]


DAYS = [
    {
        "page": 0,
        "day": 11570,
        "impressions": 30,
        "views": 10,
        "completions": 5,
        "skips": 20,
        "dwell_sum": 50,
        "dwell_count": 10,
    },
    {"page": 1, "day": 11571, "impressions": 10, "views": 10, "rating_sum": 9, "rating_count": 2},
    {"page": 0, "day": 11573, "impressions": 10, "views": 0, "skips": 10},
]


def rates(time, days=DAYS):
    return compute(make_dataset([(0, 0, 1.0)], page_days=days), make_requests([time]))


def test_feedback_is_shrunk_towards_all_pages_as_of_the_day_before():
    found = rates(MIDNIGHT + 5 * HOUR)
    # By the end of day 11572: page 0 had 30 impressions, page 1 had 10; 20 views in 40.
    assert found["click_rate"][0, :3] == approx([(10 + 20 * 0.5) / 50, (10 + 20 * 0.5) / 30, 0.5])
    # 5 completions in 20 views, 20 skips in 40 impressions, 50 seconds in 10 visits, ratings 9 / 2.
    assert found["completion_rate"][0, :3] == approx([(5 + 20 / 4) / 30, (20 / 4) / 30, 0.25])
    assert found["skip_rate"][0, :3] == approx([(20 + 10) / 50, 10 / 30, 0.5])
    assert found["dwell"][0, :3] == approx(np.log1p([(50 + 100) / 30, 5, 5]))
    assert found["rating"][0, :3] == approx([4.5, (9 + 90) / 22, 4.5])


def test_feedback_of_today_counts_from_tomorrow_on():
    today, tomorrow = rates(MIDNIGHT + DAY - 1), rates(MIDNIGHT + DAY)
    assert today["skip_rate"][0, 0] == approx(30 / 50)
    # 30 skips in 40 impressions, among 30 in 50.
    assert tomorrow["skip_rate"][0, 0] == approx((30 + 20 * 0.6) / 60)
    far = rates(MIDNIGHT + 4000 * DAY)
    assert far["skip_rate"][0, 0] == tomorrow["skip_rate"][0, 0]


@pytest.mark.parametrize("time", [11570 * DAY + HOUR, 11569 * DAY, 0.0])
def test_before_any_feedback_there_is_none(time):
    found = rates(time)
    for name in ("click_rate", "completion_rate", "skip_rate", "dwell", "rating"):
        assert (found[name] == 0).all(), name


@given(
    days=st.lists(
        st.tuples(st.integers(0, 4), st.integers(0, 9), st.integers(0, 9), st.integers(0, 9)),
        unique_by=lambda row: row[:2],
        max_size=20,
    ),
    day=st.integers(-2, 12),
)
@settings(max_examples=60)
def test_click_rate_against_a_loop(days, day):
    table = [{"page": p, "day": 100 + d, "impressions": i, "views": v} for p, d, i, v in days]
    found = rates((100 + day) * DAY + HOUR, table)["click_rate"][0]
    known = [row for row in days if row[1] < day]
    mean = sum(row[3] for row in known) / max(sum(row[2] for row in known), 1)
    for page in range(5):
        own = [row for row in known if row[0] == page]
        expected = (sum(r[3] for r in own) + 20 * mean) / (sum(r[2] for r in own) + 20)
        assert found[page] == approx(min(expected, 5))


def test_a_bare_catalogue_gives_finite_features():
    """No text, no associates, no feedback, no history: with less data the system degrades."""
    dataset = make_dataset([], pages=3, associates=0)
    requests = make_requests([MIDNIGHT, 0.0])
    found = compute(dataset, requests)
    for name in NUMERIC:
        assert np.isfinite(found[name]).all(), name
    assert FeatureBuilder(dataset).values["role"].tolist() == [""]


def test_no_candidates_give_no_rows(dataset):
    requests = make_requests([MIDNIGHT])
    nothing = replace(
        every_page(requests, 5),
        row=np.empty(0, np.int32),
        page=np.empty(0, np.int32),
        said=np.empty((len(SCORES), 0), np.float32),
        ranks=np.empty((len(SOURCES), 0), np.int32),
        source=np.empty(0, np.int32),
        fused=np.empty(0, np.float32),
    )
    found = FeatureBuilder(dataset)(requests, nothing, np.full(5, np.inf))
    assert found.numeric.shape == (0, len(NUMERIC))
    assert found.categorical.shape == (0, len(CATEGORICAL))


def rich(visits, page_days=()):
    return make_dataset(
        visits,
        pages=6,
        associates=3,
        page={
            "topic": ["a", "b", None, "a", "c", "b"],
            "published_at": [None, 1e9, None, None, 1e9 + 30 * HOUR, None],
            "prerequisites": [None, ["P0"], ["P0", "P1"], [], None, ["P4"]],
            "mandatory_for": [["x"], None, ["y", "x"], None, [], None],
            "labels": [["new", "easy"], ["easy"], None, ["new", "hard", "long"], [], ["hard"]],
            "format": ["film", None, "text", "film", "text", "text"],
            "duration_seconds": [60, None, 0, 5000, 1, 2],
        },
        associate={"role": ["x", "y", None], "shift": ["day", None, "night"], "hired_at": [0.0, None, 2e9]},
        page_days=page_days,
    )


def replayed(dataset, size=256):
    """Features of each request of the training stage, by (associate, page opened)."""
    retriever, builder, found = random_retriever(dataset, quota=3), FeatureBuilder(dataset), {}
    requests = requests_of_stage(dataset, c.TRAIN)
    for part, counts, opened in empty_counters(dataset).walk(openings(dataset), requests, size):
        shortlist = retriever.shortlist(part, counts)
        made = builder(part, shortlist, opened)
        for row in range(len(part)):
            at = shortlist.row == row
            key = (str(part.associate_id[row]), int(part.target[row]))
            found[key] = (shortlist.page[at], made.numeric[at], made.categorical[at])
    return found


def assert_close(found, expected):
    assert found.keys() == expected.keys()
    for key, (page, numeric, categorical) in expected.items():
        np.testing.assert_array_equal(found[key][0], page)
        np.testing.assert_allclose(found[key][1], numeric, rtol=1e-4, atol=1e-5)
        np.testing.assert_array_equal(found[key][2], categorical)


@settings(max_examples=50)
@given(visits=logs())
def test_batch_and_one_by_one_agree_and_all_is_finite(visits):
    dataset = rich(visits, [{"page": 1, "day": 11574, "impressions": 3, "views": 2}])
    whole = replayed(dataset)
    assert_close(replayed(dataset, 1), whole)
    for _, numeric, categorical in whole.values():
        assert np.isfinite(numeric).all()
        assert (categorical >= 0).all()


@once
@settings(max_examples=100)
@given(visits=logs())
def test_compiled_and_plain_are_the_same(way, visits):
    dataset = rich(visits, daily(visits))
    compiled = replayed(dataset)
    with patch.object(features, "library", lambda: None):
        plain = replayed(dataset)
    assert_close(compiled, plain)


def daily(visits):
    """Views of each page and day, as the preprocess step sums them."""
    days = {}
    for _, page, time, *_ in visits:
        days[page, int(time // DAY)] = days.get((page, int(time // DAY)), 0) + 1
    return [{"page": p, "day": d, "views": n, "impressions": 2 * n} for (p, d), n in days.items()]


@settings(max_examples=60)
@given(
    visits=logs(),
    later=st.lists(st.tuples(st.integers(0, 5), st.floats(0, 3e6)), max_size=6),
    which=st.integers(0, 20),
)
def test_what_happens_later_changes_no_feature(visits, later, which):
    """Everything at or after a request's time may be otherwise, for everybody."""
    requests = [visit for visit in visits if visit[3] == c.TRAIN]
    if not requests:
        return
    who, page, time, _ = requests[which % len(requests)]
    # Of the request's own associate only the request itself stays; others live another future.
    past = [v for v in visits if v[2] < time or (v[0] == who and v[2] == time)]
    others = [a for a in range(3) if a != who]
    opened = {(v[0], v[1]) for v in past}
    future = []
    for number, (other, gap) in enumerate(later):
        pair = (others[number % 2], other)
        if pair not in opened:
            opened.add(pair)
            future.append((*pair, time + gap, c.TRAIN))
    key = (f"A{who}", page)
    before = replayed(rich(visits, daily(visits)))[key]
    after = replayed(rich(past + future, daily(past + future)))[key]
    assert_close({key: after}, {key: before})


def test_values_come_from_the_dataset(dataset):
    values = FeatureBuilder(dataset).values
    assert values["topic"].tolist() == ["", "fruit", "safety"]
    assert values["page_id"].tolist() == ["", "P0", "P1", "P2", "P3", "P4"]
    assert values["role"].tolist() == ["", "cashier"]
    assert len(values["hour"]) == 25
    assert values["weekday"].tolist() == ["", *"0123456"]
