from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.contract import columns as c
from components.contract.requests import requests_of_stage
from components.contract.time import DAY
from components.contract.trends import TRENDS, Openings, TrendCounters, empty_counters, openings
from tests.support.build import HOUR, logs, make_dataset, make_requests

PAGES = 3
GROUPS = {"role": ["", "cashier", "manager"], "shift": ["", "day", "night"]}
# An old log's start, a little before midnight.
START = 1.2e9 // DAY * DAY - HOUR


def log_of(rows):
    """Openings in time order from rows (time, page, role, shift)."""
    rows = sorted(rows, key=lambda row: row[0])
    time, page, role, shift = ([row[i] for row in rows] for i in range(4))
    return Openings(
        np.array(time, float),
        np.array(page, np.int32),
        {"role": np.array(role, np.str_), "shift": np.array(shift, np.str_)},
    )


def asked(rows):
    """Requests in time order from rows (time, role, shift)."""
    rows = sorted(rows, key=lambda row: row[0])
    return make_requests([r[0] for r in rows], role=[r[1] for r in rows], shift=[r[2] for r in rows])


def same_group(segment, event, request):
    """Whether an event (time, page, role, shift) counts for a request (time, role, shift)."""
    if segment is None:
        return True
    if segment == "hour":
        return event[0] % DAY // (4 * HOUR) == request[0] % DAY // (4 * HOUR)
    place = {"role": 0, "shift": 1}[segment]

    def known(value):
        return value if value in GROUPS[segment] else ""

    return known(event[2 + place]) == known(request[1 + place])


def reference(events, request, pages=PAGES):
    """Counts by the definition: each earlier event counts 0.5 ** (age / half-life)."""
    found = {trend.name: np.zeros(pages) for trend in TRENDS}
    for event in events:
        if event[0] < request[0]:
            for trend in TRENDS:
                if same_group(trend.segment, event, request):
                    age = (request[0] - event[0]) / DAY
                    found[trend.name][event[1]] += 0.5 ** (age / trend.half_life_days)
    return found


def walked(events, requests, size):
    """Counts and first openings of all requests, put together from the parts."""
    counters = TrendCounters(PAGES, GROUPS)
    counts, opened, lengths = [], [], []
    for part, found, first in counters.walk(log_of(events), asked(requests), size):
        counts.append(found)
        opened += [np.where(first < time, first, np.inf) for time in part.time]
        lengths.append(len(part))
    joined = {t.name: np.concatenate([found[t.name] for found in counts]) for t in TRENDS}
    return joined, np.array(opened), lengths, counters


# Minutes to years between things; equal times are likely.
gaps = st.one_of(
    st.just(0.0),
    st.sampled_from([60.0, HOUR, 5 * HOUR]),
    st.floats(0, 40).map(lambda d: d * DAY),
    st.sampled_from([250 * DAY, 400 * DAY, 3650 * DAY]),
)
words = (st.sampled_from(["", "cashier", "manager", "stranger"]), st.sampled_from(["", "day", "night"]))


@st.composite
def replays(draw):
    """Events and requests on one clock."""
    now, events, requests = START, [], []
    for _ in range(draw(st.integers(1, 25))):
        now += draw(gaps)
        role, shift = draw(words[0]), draw(words[1])
        if draw(st.booleans()):
            events.append((now, draw(st.integers(0, PAGES - 1)), role, shift))
        else:
            requests.append((now, role, shift))
    requests.append((now + draw(gaps), "cashier", "day"))
    return events, requests


def test_names_and_half_lives():
    rates = {trend.name: trend.rate for trend in TRENDS}
    assert rates["popularity"] == 0
    assert np.exp(-rates["trend_7d"] * 7 * DAY) == pytest.approx(0.5)


def test_counts_by_hand():
    events = [(START, 0, "cashier", "day"), (START + DAY, 0, "manager", "day"), (START + DAY, 1, "", "")]
    requests = [
        (START, "cashier", "day"),
        (START + 2 * DAY, "cashier", "night"),
        (START + 2 * DAY, "new", "day"),
    ]
    counts, opened, _, _ = walked(events, requests, 256)
    assert all((counts[name][0] == 0).all() for name in counts)
    np.testing.assert_allclose(counts["trend_1d"][1], [0.25 + 0.5, 0.5, 0], rtol=1e-6)
    np.testing.assert_allclose(counts["popularity"][1], [2, 1, 0])
    np.testing.assert_allclose(counts["trend_role"][1], [0.5 ** (2 / 30), 0, 0], rtol=1e-6)
    np.testing.assert_allclose(counts["trend_shift"][1], [0, 0, 0])
    # An unknown role shares the counts of events without a role.
    np.testing.assert_allclose(counts["trend_role"][2], [0, 0.5 ** (1 / 30), 0], rtol=1e-6)
    assert opened[1].tolist() == [START, START + DAY, np.inf]


@settings(max_examples=200)
@given(replay=replays(), size=st.integers(1, 8))
def test_walk_against_the_definition(replay, size):
    events, requests = replay
    counts, opened, lengths, _ = walked(events, requests, size)
    assert sum(lengths) == len(requests)
    assert max(lengths) <= size
    for row, request in enumerate(sorted(requests, key=lambda r: r[0])):
        for name, expected in reference(events, request).items():
            np.testing.assert_allclose(counts[name][row], expected, rtol=1e-5, atol=1e-30, err_msg=name)
        for page in range(PAGES):
            times = [e[0] for e in events if e[1] == page and e[0] < request[0]]
            assert opened[row, page] == min(times, default=np.inf)


@given(replay=replays(), size=st.integers(1, 8))
def test_walk_leaves_the_counters_as_if_all_had_been_added(replay, size):
    events, requests = replay
    _, _, _, after = walked(events, requests, size)
    # Later than everything: counts are never read as of a time before their reference.
    later = [(requests[-1][0] + DAY, "manager", "night")]
    direct = TrendCounters(PAGES, GROUPS)
    direct.add(log_of(events))
    np.testing.assert_array_equal(after.first_opened, direct.first_opened)
    for name, values in direct.at(asked(later)).items():
        np.testing.assert_allclose(after.at(asked(later))[name], values, rtol=1e-5, atol=1e-30)


@given(replay=replays(), order=st.randoms(use_true_random=False), pieces=st.integers(1, 6))
def test_adding_in_any_order_equals_the_definition(replay, order, pieces):
    events, _ = replay
    shuffled = list(events)
    order.shuffle(shuffled)
    counters = TrendCounters(PAGES, GROUPS)
    for start in range(pieces):
        counters.add(log_of(shuffled[start::pieces]))
    last = max((e[0] for e in events), default=START)
    request = (last + 90 * 60.0, "cashier", "night")
    found = counters.at(asked([request]))
    for name, expected in reference(events, request).items():
        np.testing.assert_allclose(found[name][0], expected, rtol=1e-5, atol=1e-30, err_msg=name)


def test_a_server_adding_one_by_one_reads_what_the_walk_reads():
    draw = np.random.default_rng(5)
    events = [
        (START + float(t), int(p), "cashier", "day")
        for t, p in zip(np.sort(draw.integers(0, 90, 60)) * DAY / 3, draw.integers(0, 3, 60), strict=True)
    ]
    requests = [(START + i * DAY + 0.5, "cashier", "day") for i in range(30)]
    counts, _, _, _ = walked(events, requests, 7)
    live = TrendCounters(PAGES, GROUPS)
    done = 0
    for row, request in enumerate(requests):
        while done < len(events) and events[done][0] < request[0]:
            live.add(log_of(events[done : done + 1]))
            done += 1
        for name, values in live.at(asked([request])).items():
            np.testing.assert_allclose(values[0], counts[name][row], rtol=1e-5, atol=1e-30, err_msg=name)


def test_a_request_before_the_counts_is_answered_as_of_the_counts():
    counters = TrendCounters(PAGES, GROUPS)
    counters.add(log_of([(START, 0, "", "")]))
    counters.move_to(START + 7 * DAY)
    assert counters.at(asked([(START, "", "")]))["trend_7d"][0, 0] == pytest.approx(0.5)


@settings(max_examples=60)
@given(replay=replays())
def test_compiled_and_plain_readings_are_the_same(replay):
    events, requests = replay
    counters = TrendCounters(PAGES, GROUPS)
    counters.add(log_of(events))
    found = counters.at(asked(requests))
    with patch.object(counters, "_decayed", None):
        plain = counters.at(asked(requests))
    for name, values in found.items():
        np.testing.assert_array_equal(values, plain[name], err_msg=name)


@settings(max_examples=60)
@given(replay=replays(), which=st.integers(0, 30), page=st.integers(0, PAGES - 1), shift=st.floats(0, 1e6))
def test_later_events_change_nothing(replay, which, page, shift):
    """Any event at or after a request's time may be another: its counts stay the same."""
    events, requests = replay
    requests = sorted(requests, key=lambda r: r[0])
    row = which % len(requests)
    time = requests[row][0]
    changed = [e if e[0] < time else (e[0] + shift, page, "manager", "night") for e in events]
    changed.append((time, page, requests[row][1], requests[row][2]))
    before, opened, _, _ = walked(events, requests, 4)
    after, opened_after, _, _ = walked(changed, requests, 4)
    np.testing.assert_array_equal(opened[row], opened_after[row])
    for name in before:
        np.testing.assert_allclose(after[name][row], before[name][row], rtol=1e-6, atol=1e-30)


def test_save_and_load(tmp_path):
    counters = TrendCounters(PAGES, GROUPS)
    counters.add(log_of([(START, 0, "cashier", "day"), (START + 3 * DAY, 2, "", "night")]))
    counters.save(tmp_path / "counters.npz")
    found = TrendCounters.load(tmp_path / "counters.npz")
    assert found.groups == GROUPS
    assert (found.pages, found.reference) == (PAGES, counters.reference)
    np.testing.assert_array_equal(found.first_opened, counters.first_opened)
    request = asked([(START + 4 * DAY, "cashier", "night")])
    for name, values in counters.at(request).items():
        np.testing.assert_array_equal(found.at(request)[name], values)


def test_openings_of_a_dataset_are_in_time_order_and_may_be_hidden():
    dataset = make_dataset(
        [(0, 1, 30.0), (0, 2, 50.0, c.TRAIN), (1, 0, 40.0)], associate={"role": ["cashier", None]}
    )
    whole = openings(dataset)
    assert (whole.time.tolist(), whole.page.tolist()) == ([30.0, 40.0, 50.0], [1, 0, 2])
    assert whole.attributes["role"].tolist() == ["cashier", "", "cashier"]
    assert openings(dataset, dataset.column(c.STAGE) < c.TRAIN).page.tolist() == [1, 0]


def test_empty_counters_know_the_dataset():
    dataset = make_dataset([(2, 0, 1.0)], associate={"role": ["b", None, "a"], "shift": [None] * 3})
    counters = empty_counters(dataset)
    assert counters.groups == {"role": ["", "a", "b"], "shift": [""]}
    assert counters.counts["trend_role"].shape == (3, 5)
    assert np.isinf(counters.first_opened).all()


@given(visits=logs())
def test_stage_replay_counts_all_earlier_interactions(visits):
    """Popularity, as the candidates step replays it, is a count of strictly earlier rows."""
    dataset = make_dataset(visits, pages=6, associates=3)
    requests = requests_of_stage(dataset, c.TRAIN)
    for part, counts, _ in empty_counters(dataset).walk(openings(dataset), requests, 4):
        for row, time in enumerate(part.time):
            earlier = [visit[1] for visit in visits if visit[2] < time]
            assert counts["popularity"][row].tolist() == np.bincount(earlier, minlength=6).tolist()


def test_counts_of_unknown_groups_are_those_of_nobody_known():
    counters = TrendCounters(PAGES, {"role": ["", "cashier"]})
    counters.add(log_of([(START, 0, "cashier", "day"), (START, 1, "pilot", "night")]))
    found = counters.at(asked([(START, "cashier", "day"), (START, "pilot", "")]))
    assert found["trend_role"][:, :2].tolist() == [[1, 0], [0, 1]]
    # No shifts are known, so all share one.
    assert found["trend_shift"][:, :2].tolist() == [[1, 1], [1, 1]]
