import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.contract import columns as c
from components.contract.eligibility import Eligibility
from components.contract.errors import WaymarkError
from components.contract.requests import requests_of_stage
from components.contract.retrieval import (
    PATHS,
    SCORES,
    SIGNALS,
    SOURCES,
    RetrievalSettings,
    Retriever,
    load_retriever,
    top,
)
from components.contract.settings import section
from components.contract.sources import Neighbours, Vectors
from components.contract.trends import TRENDS, empty_counters, openings
from tests.support.build import (
    HOUR,
    logs,
    make_dataset,
    make_requests,
    make_retriever,
    mean_tower,
    random_retriever,
    write_sources,
)

# Page 0 is followed by 1 and 2, page 1 by 2 and 3.
FOLLOWS = [[0, 0.5, 0.25, 0, 0], [0, 0, 0.4, 0.2, 0], [0] * 5, [0] * 5, [0] * 5]
VECTORS = [[1, 0], [0, 1], [0.6, 0.8], [-1, 0], [0, 0]]


def no_trends(batch=1, pages=5, **given):
    found = {trend.name: np.zeros((batch, pages), np.float32) for trend in TRENDS}
    return found | {name: np.asarray(values, np.float32) for name, values in given.items()}


def silent(**quotas):
    """Settings in which only the named sources propose."""
    return {"quotas": {**dict.fromkeys(SOURCES, 0), **quotas}}


# The latest page is 1, the one before it 0.
HISTORY = [[(1, 90.0), (0, 80.0)]]


@pytest.fixture
def dataset():
    return make_dataset([(0, 0, 80.0), (0, 1, 90.0)])


def score(dataset, history=HISTORY, lists=None, vectors=None, trends=None, **settings):
    retriever = make_retriever(dataset, lists, vectors, **settings)
    requests = make_requests([100.0] * len(history), history)
    return named(retriever.score(requests, trends or no_trends(len(history))))


def named(scores):
    return dict(zip(SCORES, scores, strict=True))


def test_transitions_weigh_each_page_further_back(dataset):
    found = score(dataset, lists={"transitions": FOLLOWS}, transition_decay=0.5)
    np.testing.assert_allclose(found["transitions"], [[0, 0.25, 0.4 + 0.125, 0.2, 0]], rtol=1e-6)
    np.testing.assert_allclose(found["transitions_last"], [[0, 0, 0.4, 0.2, 0]], rtol=1e-6)


def test_transitions_look_at_their_latest_pages_only(dataset):
    found = score(dataset, lists={"transitions": FOLLOWS}, transition_steps=1)
    np.testing.assert_array_equal(found["transitions"], found["transitions_last"])


@pytest.mark.parametrize("name", ["ease", "item_knn", "content"])
def test_neighbour_lists_decay_with_the_history(dataset, name):
    found = score(dataset, lists={name: FOLLOWS}, history_decay=0.8)
    np.testing.assert_allclose(found[name], [[0, 0.4, 0.4 + 0.2, 0.2, 0]], rtol=1e-6)
    np.testing.assert_allclose(found[f"{name}_last"], [[0, 0, 0.4, 0.2, 0]], rtol=1e-6)
    shorter = score(dataset, lists={name: FOLLOWS}, history_size=1)
    np.testing.assert_array_equal(shorter[name], found[f"{name}_last"])


def test_skip_gram_is_likeness_to_the_decayed_history(dataset):
    found = score(dataset, vectors={"skip_gram": VECTORS}, history_decay=0.8)
    # The profile is (0.8, 1); what is unlike it scores nothing.
    np.testing.assert_allclose(found["skip_gram"], [[0.8, 1, 0.48 + 0.8, 0, 0]], rtol=1e-6)
    np.testing.assert_allclose(found["skip_gram_last"], [[0, 1, 0.8, 0, 0]], rtol=1e-6)


def test_two_tower_is_the_cosine_to_the_query_between_0_and_1(dataset):
    found = score(dataset, vectors={"two_tower": VECTORS})
    # The mean of (0, 1) and (1, 0), at unit length.
    cosine = np.array([1, 1, 1.4, -1, 0]) / np.sqrt(2)
    np.testing.assert_allclose(found["two_tower"][0], (1 + cosine) / 2, rtol=1e-5)


def test_trends_pass_through(dataset):
    trends = no_trends(popularity=[[1, 2, 3, 4, 5]])
    assert score(dataset, trends=trends)["popularity"].tolist() == [[1, 2, 3, 4, 5]]


def test_an_empty_history_says_nothing(dataset):
    lists = dict.fromkeys(("transitions", "ease", "item_knn", "content"), FOLLOWS)
    found = score(dataset, [[]], lists, {"skip_gram": VECTORS, "two_tower": VECTORS})
    for name in (*lists, "skip_gram", *SIGNALS):
        assert not found[name].any(), name
    assert (found["two_tower"] == 0.5).all()


def shortlist(dataset, trends=None, history=HISTORY, lists=None, time=100.0, attributes=None, **settings):
    requests = make_requests([time] * len(history), history, **(attributes or {}))
    return make_retriever(dataset, lists, **settings).shortlist(requests, trends or no_trends(len(history)))


def test_shortlist_unites_the_best_of_each_source(dataset):
    lists = {"transitions": FOLLOWS, "content": [[0, 0, 0, 0, 1]] * 5}
    found = shortlist(dataset, lists=lists, shortlist=5, **silent(transitions=1, content=1))
    # Pages 0 and 1 are seen. Transitions' best is 2, content's is 4; page 3 fills the list.
    assert found.page.tolist() == [2, 3, 4]
    assert found.row.tolist() == [0, 0, 0]
    assert found.ranks[SOURCES.index("transitions")].tolist() == [0, 1, 1]
    assert found.ranks[SOURCES.index("content")].tolist() == [1, 1, 0]
    names = [SOURCES[i] if i >= 0 else None for i in found.source]
    assert names == ["transitions", None, "content"]


def test_quota_is_a_ranks_ceiling(dataset):
    found = shortlist(dataset, lists={"transitions": FOLLOWS}, history=[[(0, 1.0)]], quota=2, shortlist=5)
    # After page 0: page 1, then 2. Pages 3 and 4 are in nobody's list but two_tower's.
    assert (
        dict(zip(found.page.tolist(), found.ranks[SOURCES.index("transitions")].tolist(), strict=True))[1]
        == 0
    )
    assert found.ranks[SOURCES.index("transitions")].max() == 2


def test_fused_reciprocal_rank_settles_who_stays(dataset):
    lists = {"transitions": [[0, 3, 2, 1, 0]] * 5, "ease": [[0, 0, 0, 2, 1]] * 5}
    chosen = silent(transitions=3, ease=2)
    whole = shortlist(dataset, lists=lists, history=[[(0, 1.0)]], shortlist=4, **chosen)
    assert whole.page.tolist() == [1, 2, 3, 4]
    # 3: 1/62 + 1/60; 1: 1/60; then 2 and 4 with 1/61 each, the first in the catalogue.
    kept = [
        shortlist(dataset, lists=lists, history=[[(0, 1.0)]], shortlist=n, **chosen).page.tolist()
        for n in (1, 2, 3)
    ]
    assert kept == [[3], [1, 3], [1, 2, 3]]


def test_two_low_ranks_outweigh_one_first_place():
    """1/67 twice is more than 1/60: the constant makes agreement count for more than place."""
    dataset = make_dataset([(0, 0, 1.0)], pages=16)
    transitions, ease = np.zeros((16, 16)), np.zeros((16, 16))
    transitions[0, 1:9] = np.arange(8, 0, -1)
    ease[0, 9:16] = np.arange(8, 1, -1)
    # Page 8 is eighth for both.
    ease[0, 8] = 1
    lists = {"transitions": transitions, "ease": ease}
    requests = make_requests([100.0], [[(0, 1.0)]])
    retriever = make_retriever(dataset, lists, shortlist=1, **silent(transitions=8, ease=8))
    assert retriever.shortlist(requests, no_trends(pages=16)).page.tolist() == [8]


def test_a_blend_without_a_ranker_is_at_hand(dataset):
    lists = {"transitions": [[0, 3, 2, 1, 0]] * 5, "ease": [[0, 0, 0, 2, 1]] * 5}
    found = shortlist(dataset, lists=lists, history=[[(0, 1.0)]], **silent(transitions=3, ease=2))
    fill = 1e-6
    np.testing.assert_allclose(
        found.fused, [1 / 60 + fill, 1 / 61 + fill, 1 / 62 + 1 / 60 + fill, 1 / 61 + fill], rtol=1e-6
    )


def test_pages_asked_for_are_candidates_if_they_may_be_shown(dataset):
    retriever = make_retriever(dataset, {"transitions": FOLLOWS}, shortlist=1, **silent(transitions=2))
    requests = make_requests([100.0] * 2, [HISTORY[0], []])
    # Page 1 has been seen by the first.
    wanted = np.array([0, 0, 1]), np.array([1, 4, 1])
    found = retriever.shortlist(requests, no_trends(2), wanted=wanted)
    pairs = list(zip(found.row.tolist(), found.page.tolist(), strict=True))
    alone = retriever.shortlist(requests, no_trends(2))
    kept = list(zip(alone.row.tolist(), alone.page.tolist(), strict=True))
    assert kept == [(0, 2), (1, 4)]
    assert pairs == [(0, 2), (0, 4), (1, 1), (1, 4)]
    assert found.ranks[SOURCES.index("transitions")].tolist() == [0, 2, 2, 2]
    assert found.source[0] == SOURCES.index("transitions")


def test_what_may_be_shown_can_be_given(dataset):
    retriever = make_retriever(dataset, {"transitions": FOLLOWS})
    requests = make_requests([100.0], HISTORY)
    allowed = np.array([[True, False, False, True, False]])
    found = retriever.shortlist(requests, no_trends(), allowed, wanted=(np.array([0]), np.array([4])))
    # Page 0, seen but allowed, is a candidate; page 4, wanted but not allowed, is not.
    assert found.page.tolist() == [0, 3]
    assert not found.scores[:, ~allowed].any()


def test_what_comes_again_has_its_place_and_takes_none(dataset):
    retriever = make_retriever(dataset, {"transitions": [[0, 3, 2, 1, 0]] * 5}, **silent(transitions=3))
    requests = make_requests([100.0], [[(0, 9.0), (1, 1.0)]])
    allowed = np.array([[False, True, True, True, False]])
    found = retriever.shortlist(requests, no_trends(), allowed)
    assert found.page.tolist() == [1, 2, 3]
    # Page 1, opened before, is first; so is page 2, as without it. Scores are measured against page 2.
    assert found.ranks[SOURCES.index("transitions")].tolist() == [0, 0, 1]
    assert found.best[SOURCES.index("transitions"), 0] == found.said[SOURCES.index("transitions"), 1]


def test_source_is_the_one_that_ranks_a_page_highest(dataset):
    lists = {
        "transitions": [[0, 3, 2, 0, 0]] * 5,
        "ease": [[0, 0, 2, 1, 0]] * 5,
        "content": [[0, 1, 0, 0, 0]] * 5,
    }
    found = shortlist(dataset, lists=lists, history=[[(0, 1.0)]], **silent(transitions=5, ease=5, content=5))
    named = {int(p): SOURCES[s] if s >= 0 else None for p, s in zip(found.page, found.source, strict=True)}
    # Page 1 is first in two lists: the earlier of SOURCES is named.
    assert named == {1: "transitions", 2: "ease", 3: "ease", 4: None}


def test_nobody_gets_an_empty_list(dataset):
    trends = no_trends(popularity=[[0, 0, 5, 0, 0]])
    newest = make_dataset([(0, 0, 80.0)], page={"published_at": [1.0, 2.0, 3.0, 5.0, 4.0]})
    kept = [shortlist(newest, trends, [[]], shortlist=n, **silent()).page.tolist() for n in range(1, 6)]
    # The most opened, then the newest.
    assert kept == [[2], [2, 3], [2, 3, 4], [1, 2, 3, 4], [0, 1, 2, 3, 4]]


def test_scores_of_pages_that_must_not_be_shown_are_zero(dataset):
    trends = no_trends(popularity=[[9, 8, 1, 1, 1]])
    found = shortlist(dataset, trends, lists={"transitions": [[1, 1, 1, 1, 1]] * 5})
    assert (found.scores[:, 0, :2] == 0).all()
    assert found.scores[SCORES.index("popularity")].tolist() == [[0, 0, 1, 1, 1]]


def test_eligibility_by_time_role_and_retirement():
    dataset = make_dataset(
        [(0, 0, 1.0)],
        page={
            "published_at": [None, 50.0, 51.0, None, None],
            "retired": [False, False, False, True, None],
            "roles": [None, [], None, None, ["manager"]],
        },
    )
    requests = make_requests([50.0] * 4, role=["manager", "cashier", "", "stranger"])
    mask = Eligibility(dataset.pages)(requests)
    others = [True, True, False, False, False]
    assert mask.tolist() == [[True, True, False, False, True], others, others, others]


def test_eligibility_by_locale():
    page = {"locale": [["en"], ["en-GB"], ["en-US", "pl"], [], None]}
    asked = ["", "en-GB", "EN", "en-us", "pl-PL", "fr"]
    mask = Eligibility(make_dataset([], page=page).pages)(make_requests([1.0] * 6, locale=asked))
    shown = [[0, 1, 2, 3, 4], [0, 1, 3, 4], [0, 1, 2, 3, 4], [0, 2, 3, 4], [2, 3, 4], [3, 4]]
    assert [np.flatnonzero(row).tolist() for row in mask] == shown


def test_evidence_names_the_page_that_said_most(dataset):
    lists = {"transitions": FOLLOWS, "ease": FOLLOWS}
    retriever = make_retriever(
        dataset, lists, {"skip_gram": VECTORS}, transition_decay=0.5, history_decay=0.9
    )
    requests = make_requests([100.0, 100.0], [HISTORY[0], []])
    # For page 2: page 1 says 0.4, page 0 says 0.25 * 0.5; for page 1 only page 0 speaks.
    # skip_gram for page 2: 0.8 from page 1, 0.6 * 0.9 from page 0.
    asked = [
        ("transitions", 2, 1), ("ease", 1, 0), ("ease", 4, -1), ("skip_gram", 2, 1), ("popularity", 2, -1),
        ("", 2, -1),
    ]  # fmt: skip
    page = np.array([page for _, page, _ in asked], np.int32)
    source = np.array([SOURCES.index(name) if name else -1 for name, _, _ in asked], np.int32)
    assert retriever.evidence(requests, 0, page, source).tolist() == [found for _, _, found in asked]
    assert retriever.evidence(requests, 1, page, source).tolist() == [-1] * len(asked)


@pytest.mark.parametrize(
    ("quotas", "message"),
    [
        ({"trend_2d": 5}, "settings.retrieval.quotas: .*no source 'trend_2d'"),
        ({"ease": -1}, "ease must be 0 or more"),
    ],
)
def test_quotas_that_mean_nothing_are_refused(quotas, message):
    with pytest.raises(WaymarkError, match=message):
        section({"retrieval": {"quotas": quotas}}, "retrieval", RetrievalSettings)


@given(
    values=st.lists(st.lists(st.integers(0, 4), min_size=5, max_size=5), min_size=1, max_size=4),
    size=st.integers(0, 5),
)
def test_top_against_a_sort(values, size):
    array = np.array(values, np.float32)
    columns, found = top(array, size)
    for row, given_row in enumerate(values):
        assert found[row].tolist() == sorted(given_row, reverse=True)[:size]
        assert array[row, columns[row]].tolist() == found[row].tolist()
        assert len(set(columns[row].tolist())) == size


def catalogue(visits):
    """Six pages: one to come, one retired, one for managers."""
    return make_dataset(
        visits,
        pages=6,
        associates=3,
        page={
            "published_at": [None, 1e9 + 20 * HOUR, None, None, 1e9 + 60 * HOUR, None],
            "retired": [False, False, True, False, False, None],
            "roles": [None, None, None, ["manager"], ["manager", "cashier"], []],
        },
        associate={"role": ["manager", "cashier", None]},
    )


@settings(max_examples=50)
@given(visits=logs(), size=st.integers(1, 8), quota=st.integers(1, 6))
def test_what_must_not_be_shown_is_never_shortlisted(visits, size, quota):
    dataset = catalogue(visits)
    retriever = random_retriever(dataset, shortlist=size, quota=quota)
    requests = requests_of_stage(dataset, c.TRAIN)
    published = [-np.inf, 1e9 + 20 * HOUR, -np.inf, -np.inf, 1e9 + 60 * HOUR, -np.inf]
    roles = [None, None, None, {"manager"}, {"manager", "cashier"}, None]
    for part, counts, _ in empty_counters(dataset).walk(openings(dataset), requests):
        found = retriever.shortlist(part, counts)
        for row in range(len(part)):
            role = str(part.attributes["role"][row])
            seen = set(part.seen_page[part.seen_row == row].tolist())
            may = {
                page
                for page in range(6)
                if page != 2
                and page not in seen
                and published[page] <= part.time[row]
                and (roles[page] is None or role in roles[page])
            }
            pages = found.page[found.row == row].tolist()
            assert pages == sorted(set(pages))
            assert set(pages) <= may
            # As many as there may be: pages are left out only where the list is full.
            assert len(pages) == min(size, len(may))


@settings(max_examples=40)
@given(visits=logs(), size=st.integers(1, 5), keep=st.integers(1, 6))
def test_cutting_the_batch_changes_nothing(visits, size, keep):
    dataset = catalogue(visits)
    retriever = random_retriever(dataset, shortlist=keep, quota=3)
    requests = requests_of_stage(dataset, c.TRAIN)
    for part, counts, _ in empty_counters(dataset).walk(openings(dataset), requests):
        whole = retriever.shortlist(part, counts)
        for number, some in enumerate(part.chunks(size)):
            rows = slice(number * size, number * size + len(some))
            found = retriever.shortlist(some, {name: values[rows] for name, values in counts.items()})
            at = (whole.row >= rows.start) & (whole.row < rows.stop)
            np.testing.assert_array_equal(found.row + rows.start, whole.row[at])
            np.testing.assert_array_equal(found.page, whole.page[at])
            np.testing.assert_array_equal(found.source, whole.source[at])
            np.testing.assert_array_equal(found.ranks, whole.ranks[:, at])
            np.testing.assert_allclose(found.fused, whole.fused[at], rtol=1e-6)
            np.testing.assert_allclose(found.scores, whole.scores[:, rows], rtol=1e-4, atol=1e-6)


def test_lists_of_last_week_are_laid_over_todays_catalogue(dataset):
    lists = Neighbours.from_matrix(np.array(["P9", "P1"]), np.array([[0, 1], [1, 0.0]]), 2)
    vectors = Vectors.normalised(np.array(["P3", "P1"]), np.eye(2))
    retriever = Retriever(
        dataset.page_ids,
        transitions=lists,
        ease=lists,
        item_knn=lists,
        content=lists,
        paths=dict.fromkeys(PATHS, lists),
        skip_gram=vectors,
        two_tower=vectors,
        query_tower=mean_tower(vectors),
        eligibility=Eligibility(dataset.pages),
        settings=RetrievalSettings(),
    )
    found = named(retriever.score(make_requests([1.0], [[(1, 0.5)]]), no_trends()))
    # P9, the only page after P1, is gone.
    assert not found["transitions"].any()
    assert found["skip_gram_last"].tolist() == [[0, 1, 0, 0, 0]]
    # P1 is like itself, P3 at right angles, the others unknown.
    np.testing.assert_allclose(found["two_tower"], [[0.5, 1, 0.5, 0.5, 0.5]], rtol=1e-6)


def test_load_puts_the_artifacts_together(tmp_path, dataset):
    folders = write_sources(dataset, tmp_path)
    retriever = load_retriever(dataset.pages, folders, RetrievalSettings())
    found = named(retriever.score(make_requests([100.0], HISTORY), no_trends()))
    lists = Neighbours.load(folders["transitions"] / "transitions.npz")
    expected = np.zeros(5)
    expected[lists.index[1]] = lists.score[1]
    np.testing.assert_allclose(found["transitions_last"][0], expected, rtol=1e-6)
