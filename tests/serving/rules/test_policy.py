import numpy as np
import pytest

from components.contract.time import DAY
from serving.rules.policy import Policy
from serving.rules.rules import Rules


def effects(found, place):
    return [(move["rule"], move["effect"]) for move in found.moves[place]]


def test_without_rules_the_order_is_that_of_the_scores(pages_of, asks, answer):
    pages = pages_of([{}, {}, {}, {}])
    shown, found = answer(Policy(Rules(), pages), pages, asks(opened={2: 1.0}), [0.1, 0.9, 0.8, 0.5])
    assert shown == [1, 3, 0]
    assert found.moves == [[], [], []]
    assert np.isnan(found.due).all()
    assert not Policy(Rules(), pages).arranges


def test_equal_scores_keep_the_order_of_the_catalogue(pages_of, asks, answer):
    pages = pages_of([{}, {}, {}])
    assert answer(Policy(Rules(), pages), pages, asks(), [0.5, 0.5, 0.5])[0] == [0, 1, 2]


def test_pages_for_an_audience_are_hidden_from_others(pages_of, asks, answer):
    pages = pages_of([{"topic": "tills"}, {"format": "video"}, {}])
    rules = Rules.model_validate(
        {
            "eligibility": [
                {"pages": {"topics": ["tills"], "formats": ["video"]}, "audience": {"roles": ["cashier"]}},
                {"name": "night", "pages": {"ids": ["P0"]}, "audience": {"shifts": ["night", "late"]}},
            ]
        }
    )
    policy = Policy(rules, pages)
    scores = [0.9, 0.8, 0.7]
    assert answer(policy, pages, asks(role="cashier", shift="late"), scores)[0] == [0, 1, 2]
    assert answer(policy, pages, asks(role="cashier", shift="early"), scores)[0] == [1, 2]
    shown, found = answer(policy, pages, asks(role="baker"), scores, explain=True)
    assert shown == [2]
    assert found.hidden == {"eligibility[0]": 2, "night": 1}


@pytest.mark.parametrize(
    ("asked", "shown"),
    [("", [0, 1, 2, 3]), ("en-GB", [0, 1, 3]), ("en", [0, 1, 2, 3]), ("en-us", [0, 2, 3]), ("pl", [2, 3])],
)
def test_pages_in_another_language_are_not_shown(pages_of, asks, answer, asked, shown):
    pages = pages_of([{"locale": ["en"]}, {"locale": ["en-GB"]}, {"locale": ["en-US", "pl"]}, {}])
    assert answer(Policy(Rules(), pages), pages, asks(locale=asked), [4, 3, 2, 1])[0] == shown


def test_no_rule_brings_back_a_page_in_another_language(pages_of, asks, answer):
    rules = Rules.model_validate({"pins": [{"page": "P0", "position": 1}], "completed": {"hide": False}})
    pages = pages_of([{"locale": ["pl"], "mandatory_for": ["clerk"], "due_days": 0.0}, {}])
    asked = asks(locale="en", role="clerk", hired=0.0, opened={0: 5})
    assert answer(Policy(rules, pages), pages, asked, [2, 1], completed={0: 3})[0] == [1]


def test_an_audience_may_be_a_language(pages_of, asks, answer):
    rules = Rules.model_validate({"blocks": [{"pages": {"ids": ["P0"]}, "audience": {"locales": ["en"]}}]})
    pages = pages_of([{}, {}])
    policy = Policy(rules, pages)
    assert answer(policy, pages, asks(locale="en-GB"), [2, 1])[0] == [1]
    assert answer(policy, pages, asks(locale="fr"), [2, 1])[0] == [0, 1]
    assert answer(policy, pages, asks(), [2, 1])[0] == [0, 1]


def test_blocks_and_retired_pages(pages_of, asks, answer, now):
    rules = Rules.model_validate(
        {
            "retired": ["P3", "P77"],
            "blocks": [{"pages": {"ids": ["P1"]}, "from": now - 10, "until": now + 10}],
        }
    )
    pages = pages_of([{}, {}, {}, {}])
    policy = Policy(rules, pages)
    scores = [1, 2, 3, 4]
    assert answer(policy, pages, asks(), scores)[0] == [2, 0]
    assert answer(policy, pages, asks(time=now - 10), scores)[0] == [2, 0]
    assert answer(policy, pages, asks(time=now - 11), scores)[0] == [2, 1, 0]
    assert answer(policy, pages, asks(time=now + 10), scores)[0] == [2, 1, 0]


def test_boosts_multiply(pages_of, asks, answer):
    rules = Rules.model_validate(
        {
            "boosts": [
                {"name": "safety week", "pages": {"topics": ["safety"]}, "factor": 2},
                {"pages": {"ids": ["P0"]}, "factor": 1.5, "audience": {"stores": ["S1"]}},
            ]
        }
    )
    pages = pages_of([{"topic": "safety"}, {"topic": "tills"}])
    policy = Policy(rules, pages)
    assert answer(policy, pages, asks(store="S2"), [0.2, 0.5])[0] == [1, 0]
    shown, found = answer(policy, pages, asks(store="S1"), [0.2, 0.5])
    assert shown == [0, 1]
    assert effects(found, 0) == [("safety week", "boosted x2"), ("boosts[1]", "boosted x1.5")]
    assert found.moves[1] == []


def test_pins_hold_their_places(pages_of, asks, answer, now):
    rules = Rules.model_validate(
        {
            "pins": [
                {"page": "P3", "position": 2},
                {"name": "also second", "page": "P4", "position": 2},
                {"page": "P0", "position": 1, "until": now},
                {"page": "no such page", "position": 1},
            ]
        }
    )
    pages = pages_of([{}] * 5)
    shown, found = answer(Policy(rules, pages), pages, asks(), [0.5, 0.4, 0.3, 0.2, 0.1])
    assert shown == [0, 3, 4, 1, 2]
    assert effects(found, 1) == [("pins[0]", "pinned to 2")]
    assert effects(found, 2) == [("also second", "pinned to 3")]
    assert found.pinned.tolist() == [False, False, False, True, True]


def test_a_pinned_page_that_was_opened_or_blocked_is_not_shown(pages_of, asks, answer):
    rules = Rules.model_validate({"pins": [{"page": "P1"}], "blocks": [{"pages": {"ids": ["P0"]}}]})
    pages = pages_of([{}, {}, {}])
    policy = Policy(rules, pages)
    assert answer(policy, pages, asks(), [3, 2, 1])[0] == [1, 2]
    assert answer(policy, pages, asks(opened={1: 3.0}), [3, 2, 1])[0] == [2]


def test_a_pin_beyond_a_short_answer_closes_it(pages_of, asks, answer):
    rules = Rules.model_validate({"pins": [{"page": "P0", "position": 9}]})
    pages = pages_of([{}, {}, {}])
    shown, found = answer(Policy(rules, pages), pages, asks(), [3, 2, 1])
    assert shown == [1, 2, 0]
    assert effects(found, 2) == [("pins[0]", "pinned to 3")]
    assert answer(Policy(rules, pages), pages, asks(), [3, 2, 1], limit=2)[0] == [1, 2]


@pytest.fixture
def required(pages_of, now):
    """Required for cashiers: P0 long overdue, P1 due in 10 days, P2 in 20, P3 without a date."""
    asked = {"mandatory_for": ["cashier"], "due_days": 30.0}
    return pages_of(
        [
            {**asked, "published_at": now - 130 * DAY},
            {**asked, "published_at": now - 20 * DAY},
            {**asked, "published_at": now - 10 * DAY},
            {"mandatory_for": ["cashier"]},
            {},
            {},
        ]
    )


def test_mandatory_pages_that_are_due_come_first(required, asks, answer, now):
    scores = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]
    policy = Policy(Rules(), required)
    shown, found = answer(policy, required, asks(role="cashier"), scores)
    assert shown == [0, 1, 5, 4, 3, 2]
    assert effects(found, 0) == [("mandatory", "pinned to 1")]
    due = [-100.0, 10.0, 20.0, np.nan, np.nan, np.nan]
    np.testing.assert_allclose((found.due - now) / DAY, due)
    assert answer(policy, required, asks(role="baker"), scores)[0] == [5, 4, 3, 2, 1, 0]
    # Hired last week: everything is due 30 days after that.
    fresh = asks(role="cashier", hired=now - 7 * DAY)
    shown, found = answer(policy, required, fresh, scores)
    assert shown == [5, 4, 3, 2, 1, 0]
    np.testing.assert_allclose((found.due[:3] - now) / DAY, [23, 23, 23])


@pytest.mark.parametrize(
    ("published", "updated", "hired", "due"),
    [
        (-400, -10, -900, 20),
        (-400, -10, -3, 27),
        (-400, -500, -900, -370),
        (None, -10, None, 20),
        (-400, None, None, -370),
        # An update after the question: the page counts as it stood.
        (-400, 1, -900, -370),
        (None, 1, None, None),
    ],
)
def test_due_dates_count_from_the_last_update(pages_of, asks, answer, now, published, updated, hired, due):
    def at(days):
        return None if days is None else now + days * DAY

    dates = {"published_at": at(published), "updated_at": at(updated)}
    pages = pages_of([{"mandatory_for": ["cashier"], "due_days": 30.0, **dates}, {}])
    person = {} if hired is None else {"hired": at(hired)}
    _, found = answer(Policy(Rules(), pages), pages, asks(role="cashier", **person), [1, 2])
    np.testing.assert_allclose((found.due[0] - now) / DAY, np.nan if due is None else due)


def test_nothing_of_a_request_is_kept_for_the_next(required, asks, now):
    policy, asked, done = Policy(Rules(), required), asks(role="cashier"), {}
    pages, scores = np.arange(6, dtype=np.int32), np.linspace(0, 1, 6, dtype=np.float32)
    assert policy(asked, [done]).arrange(0, pages, scores, 6).order[0] == 0
    done[0] = now - DAY
    assert policy(asked, [done]).arrange(0, pages, scores, 6).order[0] == 1
    asked.time[0] -= 365 * DAY
    assert policy(asked, [{}]).arrange(0, pages, scores, 6).order[0] == 5


def test_an_update_does_not_undo_a_completion(pages_of, asks, answer, now):
    row = {"mandatory_for": ["cashier"], "due_days": 5.0, "published_at": now - 400 * DAY}
    pages = pages_of([{**row, "updated_at": now - 10 * DAY, "recertify_days": 365.0}, {}])
    asked = asks(role="cashier", opened={0: 60.0})
    shown, found = answer(Policy(Rules(), pages), pages, asked, [2, 1], completed={0: 60.0})
    assert shown == [1]
    assert np.isnan(found.due).all()


@pytest.mark.parametrize(
    ("setting", "shown"),
    [
        ({"mandatory": {"pin": False}}, [5, 4, 3, 2, 1, 0]),
        ({"mandatory": {"most": 1}}, [0, 5, 4, 3, 2, 1]),
        ({"due_within_days": 0}, [0, 5, 4, 3, 2, 1]),
        ({"due_within_days": 20, "mandatory": {"most": 3}}, [0, 1, 2, 5, 4, 3]),
    ],
)
def test_how_mandatory_pages_are_pinned(required, asks, answer, setting, shown):
    policy = Policy(Rules.model_validate(setting), required)
    assert answer(policy, required, asks(role="cashier"), range(6))[0] == shown


def test_mandatory_pages_stay_until_completed_or_opened(required, asks, answer):
    opened = asks(role="cashier", opened={0: 50.0, 4: 50.0})
    default, once = Policy(Rules(), required), Policy(Rules(mandatory={"until": "opened"}), required)
    assert answer(default, required, opened, range(6))[0] == [0, 1, 5, 3, 2]
    assert answer(once, required, opened, range(6))[0] == [1, 5, 3, 2]
    assert answer(default, required, opened, range(6), completed={0: 49.0})[0] == [1, 5, 3, 2]


def test_completed_pages_return_when_recertification_is_due(pages_of, asks, answer, now):
    pages = pages_of([{"recertify_days": 100.0}, {"recertify_days": 100.0}, {}, {}])
    opened = asks(opened={0: 95.0, 1: 30.0, 2: 300.0})
    completed = {0: 90.0, 1: 30.0, 2: 300.0}
    shown, found = answer(Policy(Rules(), pages), pages, opened, [0.9, 0.8, 0.7, 0.6], completed)
    assert shown == [0, 3]
    assert effects(found, 0) == [("completed", "shown again: recertification is due")]
    assert found.again.tolist() == [True, False]
    assert found.due[0] == pytest.approx(now + 10 * DAY)
    never = Policy(Rules(completed={"recertify": False}), pages)
    assert answer(never, pages, opened, [0.9, 0.8, 0.7, 0.6], completed)[0] == [3]
    kept = Policy(Rules(completed={"hide": False}), pages)
    assert answer(kept, pages, opened, [0.9, 0.8, 0.7, 0.6], completed)[0] == [0, 1, 2, 3]
    # What happens after the request is not known to it.
    future = Policy(Rules(), pages)
    assert answer(future, pages, asks(), [0.9, 0.8, 0.7, 0.6], {0: -1.0})[0] == [0, 1, 2, 3]


def test_a_mandatory_page_is_pinned_again(pages_of, asks, answer):
    pages = pages_of([{}, {"mandatory_for": ["cashier"], "due_days": 5.0, "recertify_days": 365.0}])
    opened = asks(role="cashier", opened={1: 400.0})
    policy = Policy(Rules(), pages)
    shown, found = answer(policy, pages, opened, [0.9, 0.1], {1: 400.0})
    assert shown == [1, 0]
    assert [move["rule"] for move in found.moves[0]] == ["mandatory", "completed"]
    assert answer(policy, pages, opened, [0.9, 0.1], {1: 300.0})[0] == [0]


def test_retired_and_foreign_pages_do_not_return(pages_of, asks, answer):
    pages = pages_of(
        [{"recertify_days": 10.0, "retired": True}, {"recertify_days": 10.0, "roles": ["baker"]}, {}]
    )
    opened = asks(role="cashier", opened={0: 90.0, 1: 90.0})
    assert answer(Policy(Rules(), pages), pages, opened, [3, 2, 1], {0: 90.0, 1: 90.0})[0] == [2]


def test_opened_pages_may_return_after_some_days(pages_of, asks, answer):
    pages = pages_of([{}, {}, {}, {}])
    opened = asks(opened={0: 10.0, 1: 9.0, 2: 20.0})
    back = Policy(Rules(opened={"return_after_days": 10}), pages)
    assert answer(Policy(Rules(), pages), pages, opened, [4, 3, 2, 1])[0] == [3]
    assert answer(back, pages, opened, [4, 3, 2, 1])[0] == [0, 2, 3]
    assert answer(back, pages, opened, [4, 3, 2, 1], {0: 8.0})[0] == [2, 3]
    # Of pages opened before those of the history it is known that they are older.
    short = asks(opened={0: 30.0, 1: 12.0, 2: 20.0}, history=2)
    assert answer(back, pages, short, [4, 3, 2, 1])[0] == [0, 1, 2, 3]
    recent = asks(opened={0: 30.0, 1: 2.0, 2: 3.0}, history=2)
    assert answer(back, pages, recent, [4, 3, 2, 1])[0] == [3]


@pytest.fixture
def course(pages_of):
    """P2 needs P1, which needs P0; P3 needs a page that nobody may see; P5 and P6 need each other."""
    return pages_of(
        [
            {},
            {"prerequisites": ["P0"]},
            {"prerequisites": ["P1", "unknown"]},
            {"prerequisites": ["P4"]},
            {"retired": True},
            {"prerequisites": ["P6"]},
            {"prerequisites": ["P5"]},
        ]
    )


def test_pages_wait_for_their_prerequisites(course, asks, answer):
    scores = [1, 2, 9, 3, 4, 0.5, 0.4]
    hide = Policy(Rules(prerequisites="hide"), course)
    assert answer(Policy(Rules(), course), course, asks(), scores)[0] == [2, 3, 1, 0, 5, 6]
    shown, found = answer(hide, course, asks(), scores, explain=True)
    assert shown == [3, 0]
    assert found.hidden == {"prerequisites": 4}
    assert answer(hide, course, asks(opened={0: 1.0}), scores)[0] == [3, 1]
    assert answer(hide, course, asks(opened={0: 2.0, 1: 1.0, 5: 1.0}), scores)[0] == [2, 3, 6]


def test_prerequisites_take_the_place_of_what_waits_for_them(course, asks, answer):
    scores = [1, 2, 9, 3, 4, 0.5, 0.4]
    policy = Policy(Rules(prerequisites="replace"), course)
    shown, found = answer(policy, course, asks(), scores)
    assert shown == [0, 3]
    assert effects(found, 0) == [("prerequisites", "in the place of P2")]
    assert answer(policy, course, asks(opened={0: 1.0}), scores)[0] == [1, 3]


def test_a_prerequisite_is_pinned_for_a_mandatory_page(pages_of, asks, answer, now):
    pages = pages_of(
        [
            {},
            {},
            {
                "mandatory_for": ["cashier"],
                "due_days": 1.0,
                "published_at": now - DAY,
                "prerequisites": ["P0"],
            },
        ]
    )
    policy = Policy(Rules(prerequisites="replace"), pages)
    request = asks(role="cashier")
    shown, found = answer(policy, pages, request, [0.1, 0.9, 0.5])
    assert shown == [0, 1]
    assert effects(found, 0) == [
        ("prerequisites", "in the place of P2"),
        ("mandatory", "pinned to 1"),
    ]
    assert np.isnan(found.due).all()
    rows, wanted = policy(request, [{}]).wanted(np.ones((1, 3), bool))
    assert (rows.tolist(), wanted.tolist()) == ([0], [0])


def test_at_most_so_many_of_a_topic(pages_of, asks, answer):
    pages = pages_of([{"topic": t} for t in ("a", "a", "a", "b", None, None, None)])
    policy = Policy(Rules(topics={"most": 2, "first": 4}), pages)
    shown, found = answer(policy, pages, asks(), [7, 6, 5, 4, 3, 2, 1])
    assert shown == [0, 1, 3, 4, 2, 5, 6]
    assert effects(found, 4) == [("topics", "moved down: 2 of topic a")]
    only = pages_of([{"topic": "a"}] * 5)
    assert answer(Policy(Rules(topics={"most": 2, "first": 4}), only), only, asks(), range(5))[0] == [4, 3]


def test_pins_count_for_their_topic(pages_of, asks, answer):
    pages = pages_of([{"topic": t} for t in ("a", "a", "b", "a")])
    rules = Rules.model_validate({"topics": {"most": 1, "first": 3}, "pins": [{"page": "P3", "position": 3}]})
    assert answer(Policy(rules, pages), pages, asks(), [4, 3, 2, 1])[0] == [2, 3]


def test_diversity_puts_unlike_pages_first(pages_of, asks, answer):
    pages = pages_of([{}, {}, {}])
    vectors = np.array([[2, 0], [1, 0], [0, 5]], np.float32)
    rules = Rules.model_validate({"diversity": {"lambda": 0.5}})
    # Relevance 1, 0.9 and 0; after P0 they are worth 0.45 - 0.5 and 0 - 0.
    shown, found = answer(Policy(rules, pages, vectors), pages, asks(), [1.0, 0.9, 0.0])
    assert shown == [0, 2, 1]
    assert effects(found, 1) == [("diversity", "moved from 3 to 2")]
    assert answer(Policy(rules, pages), pages, asks(), [1.0, 0.9, 0.0])[0] == [0, 1, 2]


def test_what_must_be_a_candidate(required, asks):
    rules = Rules.model_validate({"pins": [{"page": "P5"}, {"page": "P4"}]})
    allowed = np.ones((1, 6), bool)
    allowed[0, 4] = False
    rows, pages = Policy(rules, required)(asks(role="cashier"), [{}]).wanted(allowed)
    assert (rows.tolist(), pages.tolist()) == ([0, 0, 0], [0, 1, 5])


def test_scores_that_are_no_numbers_do_no_harm(pages_of, asks, answer):
    pages = pages_of([{"topic": "a"}, {"topic": "b"}, {}])
    rules = Rules.model_validate(
        {
            "diversity": {"lambda": 0.5},
            "topics": {"most": 1},
            "boosts": [{"pages": {"ids": ["P0"]}, "factor": 2}],
        }
    )
    for policy in (Policy(Rules(), pages), Policy(rules, pages, np.eye(3, dtype=np.float32))):
        shown, _ = answer(policy, pages, asks(), [np.nan, np.inf, -np.inf])
        assert sorted(shown) == [0, 1, 2]
        assert shown[0] == 1
