import orjson

from components.contract.features import NUMERIC
from serving.explain import GROUPS
from serving.portal.answers import TITLES, describe, facts, recorded, summary
from serving.stores.base import Answer

ITEM = {"page_id": "P1", "position": 1, "score": 0.25, "source": "ease", "reason": "R", "propensity": 1.0}
BODY = {
    "time": 100.0,
    "release": "r",
    "fallback": None,
    "context": {"role": "cashier", "shift": ""},
    "items": [ITEM],
}


def answer(**more) -> Answer:
    return Answer("q", "A1", 100.0, orjson.dumps(BODY | more).decode())


def test_every_group_and_every_feature_has_words():
    assert set(TITLES) == set(GROUPS)
    described = [describe(name) for name in NUMERIC]
    assert not any("_" in text for text in described)
    assert len(set(described)) == len(NUMERIC)


def test_facts_are_grouped_and_zeros_are_left_out():
    found = facts({**dict.fromkeys(NUMERIC, 0.0), "tenure": 2.0, "trend_7d.rank": 0.123456, "gone": 7.0})
    assert [(group.key, [(fact.name, fact.value) for fact in group.facts]) for group in found] == [
        ("trends", [("popular this week, place", 0.1235)]),
        ("associate", [("time with the company", 2.0)]),
    ]


def test_an_answer_without_features_is_shown_without():
    found = recorded(answer(), title=lambda page: page.lower())
    assert found.items[0].title == "p1"
    assert found.items[0].features is None
    # What is not known is not listed.
    assert found.context == {"role": "cashier"}


def test_features_of_this_version_are_shown():
    items = [ITEM | {"features": dict.fromkeys(NUMERIC, 0.5)}]
    found = recorded(answer(items=items), title=str).items[0].features
    assert sum(len(group.facts) for group in found) == len(NUMERIC)


def test_a_summary_names_the_first_pages():
    items = [ITEM | {"page_id": f"P{place}", "position": place} for place in range(1, 9)]
    assert summary(answer(items=items), title=str).pages == ["P1", "P2", "P3", "P4", "P5"]
