import re
from pathlib import Path

import orjson
import pytest

from serving.errors import RequestError
from serving.rules.check import warnings
from serving.rules.rules import Rules, parse_rules


def refused(document):
    with pytest.raises(RequestError) as found:
        parse_rules(orjson.dumps(document))
    return str(found.value)


def test_an_empty_document_means_the_defaults():
    rules = parse_rules(b"{}")
    assert rules == Rules()
    assert rules.document() == {}
    assert (rules.completed.hide, rules.completed.recertify, rules.opened.return_after_days) == (
        True,
        True,
        None,
    )
    assert (rules.mandatory.pin, rules.mandatory.most, rules.due_within_days) == (True, 2, 14)
    assert (rules.prerequisites, rules.topics.most, rules.diversity.lambda_) == ("off", None, 1)


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"colour": 1}, "colour: Extra inputs"),
        ({"boosts": [{"pages": {"ids": ["P1"]}, "factor": 0}]}, "boosts[0].factor: "),
        ({"boosts": [{"pages": {"ids": ["P1"]}, "factor": 1}, {"factor": 2}]}, "boosts[1].pages: "),
        ({"blocks": [{"pages": {}}]}, "blocks[0].pages: name at least one of ids, topics or formats"),
        ({"blocks": [{"pages": {"ids": "P1"}}]}, "blocks[0].pages.ids: "),
        ({"pins": [{"page": "P1", "position": 0}]}, "pins[0].position: "),
        ({"pins": [{"page": "P1", "position": "1"}]}, "pins[0].position: "),
        ({"pins": [{"page": "P1", "from": "2026-12-01"}]}, "pins[0].from: ISO 8601 text with a zone"),
        ({"pins": [{"page": "P1", "from": 9, "until": 9}]}, "pins[0]: until must be later than from"),
        ({"pins": [{"page": "P1", "audience": {"role": ["x"]}}]}, "pins[0].audience.role: "),
        ({"eligibility": [{"pages": {"ids": ["P1"]}}]}, "eligibility[0].audience: "),
        ({"prerequisites": "maybe"}, "prerequisites: Input should be 'off', 'hide' or 'replace'"),
        ({"diversity": {"lambda": 1.5}}, "diversity.lambda: "),
        ({"topics": {"most": True}}, "topics.most: "),
        ({"completed": {"hide": "no"}}, "completed.hide: "),
        ({"pins": [{"page": "P1", "name": "x"}, {"page": "P2", "name": "x"}]}, "body: pins[1].name: 'x'"),
        ({"pins": [{"page": "P1", "name": "mandatory"}]}, "body: pins[0].name: 'mandatory'"),
        ([], "body: "),
    ],
)
def test_errors_name_the_field(document, message):
    assert refused(document).startswith(message)


def test_a_document_that_is_no_json():
    with pytest.raises(RequestError, match="rules: not JSON"):
        parse_rules(b"{")


def test_dates_are_written_as_text_whatever_they_were():
    rules = parse_rules(
        b'{"pins": [{"page": "P1", "from": 1795507200, "until": "2026-12-01T01:00:00+01:00"}]}'
    )
    assert rules.document() == {
        "pins": [{"page": "P1", "from": "2026-11-24T08:00:00Z", "until": "2026-12-01T00:00:00Z"}]
    }


def test_names_that_match_nothing_are_told(pages_of):
    pages = pages_of(
        [
            {"topic": "tills", "roles": ["cashier"], "prerequisites": ["P1"]},
            {"format": "video", "prerequisites": ["P0"]},
        ]
    )
    rules = Rules.model_validate(
        {
            "retired": ["P9"],
            "prerequisites": "hide",
            "diversity": {"lambda": 0.5},
            "pins": [{"page": "P8", "audience": {"roles": ["cashier", "pilot"], "stores": ["S1"]}}],
            "boosts": [
                {"factor": 2, "pages": {"ids": ["P1"], "topics": ["tills", "x"], "formats": ["video", "y"]}}
            ],
        }
    )
    assert warnings(rules, pages, {"region": ["North"]}, vectors=False) == [
        "retired: no page 'P9'",
        "pins[0].page: no page 'P8'",
        "pins[0].audience.roles: no role 'pilot'",
        "boosts[0].pages.topics: no topic 'x'",
        "boosts[0].pages.formats: no format 'y'",
        "diversity: this release has no vectors of pages, so the order stays as it is",
        "prerequisites: 2 pages wait for each other for ever: P0, P1",
    ]
    assert warnings(Rules(), pages, {}) == []
    many = Rules(retired=[f"X{n}" for n in range(25)])
    assert warnings(many, pages, {})[0].endswith("'X19' and 5 more")


def test_the_example_of_the_documentation_is_a_document():
    text = (Path(__file__).parents[3] / "docs" / "rules.md").read_text()
    (example,) = re.findall(r"```json\n(.*?)```", text, re.DOTALL)
    rules = parse_rules(example.encode())
    assert [name for _, name, _ in rules.listed()] == [
        "tills only", "christmas hours", "safety week", "recalled video"
    ]  # fmt: skip
    assert parse_rules(orjson.dumps(rules.document())) == rules


def test_the_documentation_names_every_rule_and_its_default():
    text = (Path(__file__).parents[3] / "docs" / "rules.md").read_text()
    told = {
        name: default.strip("`").strip('"')
        for names, default in re.findall(r"^\| (`.*?`) \| (.*?) \|", text, re.MULTILINE)
        for name, default in zip(re.findall(r"`(.*?)`", names), default.split(", "), strict=True)
    }
    found = {}
    for name, value in Rules().model_dump(mode="json", by_alias=True).items():
        for inner, one in value.items() if isinstance(value, dict) else [(None, value)]:
            written = "none" if one == [] else one if isinstance(one, str) else orjson.dumps(one).decode()
            found[f"{name}.{inner}" if inner else name] = written.removesuffix(".0")
    assert told == found
