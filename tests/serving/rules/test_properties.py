"""Whatever the scores, no answer breaks a rule: each is checked by its own words, in plain Python."""

from datetime import UTC, datetime

import numpy as np
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from components.contract.time import DAY
from serving.rules.policy import Policy
from serving.rules.rules import Rules, parse_rules

pytestmark = pytest.mark.slow
NOW = 1_795_507_200.0
PAGES = 12
TOPICS, FORMATS = ["a", "b", "c"], ["video", "text"]
ROLES, SHIFTS = ["cashier", "baker"], ["early", "night"]

days = st.integers(-40, 40)
page_ids = st.integers(0, PAGES + 1).map(lambda n: f"P{n}")
selections = st.fixed_dictionaries(
    {"ids": st.lists(page_ids, min_size=1, max_size=4)},
    optional={"topics": st.lists(st.sampled_from(TOPICS), max_size=1), "formats": st.just(["video"])},
)
audiences = st.fixed_dictionaries(
    {},
    optional={
        "roles": st.lists(st.sampled_from(ROLES), min_size=1, max_size=2),
        "shifts": st.lists(st.sampled_from(SHIFTS), min_size=1, max_size=1),
    },
)


@st.composite
def dated(draw, more):
    rule = draw(st.fixed_dictionaries(more, optional={"audience": audiences}))
    first, last = sorted(draw(st.tuples(days, days)))
    if draw(st.booleans()):
        rule["from"] = datetime.fromtimestamp(NOW + first * DAY, UTC).isoformat()
    if draw(st.booleans()) and (first < last or "from" not in rule):
        rule["until"] = NOW + last * DAY
    return rule


documents = st.fixed_dictionaries(
    {},
    optional={
        "eligibility": st.lists(
            st.fixed_dictionaries({"pages": selections, "audience": audiences}), max_size=2
        ),
        "retired": st.lists(page_ids, max_size=2),
        "completed": st.fixed_dictionaries({"hide": st.booleans(), "recertify": st.booleans()}),
        "opened": st.fixed_dictionaries({"return_after_days": st.none() | st.integers(0, 30)}),
        "prerequisites": st.sampled_from(["off", "hide", "replace"]),
        "mandatory": st.fixed_dictionaries(
            {
                "pin": st.booleans(),
                "most": st.integers(0, 3),
                "until": st.sampled_from(["completed", "opened"]),
            }
        ),
        "due_within_days": st.integers(0, 30),
        "pins": st.lists(dated({"page": page_ids, "position": st.integers(1, 8)}), max_size=3),
        "boosts": st.lists(dated({"pages": selections, "factor": st.floats(0.1, 10)}), max_size=2),
        "blocks": st.lists(dated({"pages": selections}), max_size=2),
        "topics": st.fixed_dictionaries({"most": st.integers(1, 3), "first": st.integers(1, 8)}),
        "diversity": st.fixed_dictionaries({"lambda": st.sampled_from([0, 0.5, 1])}),
    },
)
rows = st.fixed_dictionaries(
    {
        "mandatory_for": st.sampled_from([[], ROLES, ["cashier"]]),
        "due_days": st.sampled_from([None, 0.0, 9.0]),
    },
    optional={
        "topic": st.sampled_from(TOPICS),
        "format": st.sampled_from(FORMATS),
        "retired": st.booleans(),
        "published_at": days.map(lambda n: NOW + n * DAY),
        "updated_at": days.map(lambda n: NOW + n * DAY),
        "roles": st.lists(st.sampled_from(ROLES), max_size=1),
        "prerequisites": st.lists(page_ids, max_size=2),
        "recertify_days": st.integers(1, 40).map(float),
    },
)
catalogues = st.lists(rows, min_size=PAGES, max_size=PAGES)
people = st.fixed_dictionaries(
    {"role": st.sampled_from(["cashier", "baker", ""]), "shift": st.sampled_from(["", *SHIFTS])},
    optional={"hired": days.map(lambda n: NOW + n * DAY)},
)
openings = st.dictionaries(st.integers(0, PAGES - 1), st.integers(1, 60).map(float), max_size=5)


class Oracle:
    """The rules read by their words."""

    def __init__(self, document, pages, person, opened, completed):
        self.rules, self.pages = Rules.model_validate(document), pages.to_dicts()
        self.person, self.opened, self.completed = person, opened, completed
        self.row = {page["page_id"]: row for row, page in enumerate(self.pages)}

    def in_force(self, rule):
        return (rule.from_ is None or rule.from_ <= NOW) and (rule.until is None or rule.until > NOW)

    def belongs(self, audience):
        return all(
            not named or self.person[name] in named
            for name, named in (("role", audience.roles), ("shift", audience.shifts))
        )

    def selects(self, selection, row):
        page = self.pages[row]
        return (
            page["page_id"] in selection.ids
            or page["topic"] in selection.topics
            or page["format"] in selection.formats
        )

    def may_see(self, row):
        """Whether anything but what the associate did hides a page."""
        page, rules = self.pages[row], self.rules
        if page["retired"] or page["page_id"] in rules.retired or (page["published_at"] or 0) > NOW:
            return False
        if page["roles"] and self.person["role"] not in page["roles"]:
            return False
        if any(self.selects(e.pages, row) and not self.belongs(e.audience) for e in rules.eligibility):
            return False
        return not any(
            self.in_force(b) and self.belongs(b.audience) and self.selects(b.pages, row) for b in rules.blocks
        )

    def due(self, row):
        page = self.pages[row]
        if row in self.completed:
            if page["recertify_days"] is None or not self.rules.completed.recertify:
                return None
            return NOW + (page["recertify_days"] - self.completed[row]) * DAY
        if self.person["role"] not in (page["mandatory_for"] or []) or page["due_days"] is None:
            return None
        if self.rules.mandatory.until == "opened" and row in self.opened:
            return None
        hired = self.person.get("hired")
        updated = page["updated_at"]
        if updated is not None and updated > NOW:
            updated = None
        hired = None if hired is None else min(hired, NOW)
        known = [t for t in (hired, page["published_at"], updated) if t is not None]
        return max(known) + page["due_days"] * DAY if known else None

    def soon(self, row):
        due = self.due(row)
        # A minute of play: dates are sums of floats.
        return due is not None and due <= NOW + self.rules.due_within_days * DAY + 60

    def allowed(self, row):
        if not self.may_see(row):
            return False
        if self.rules.prerequisites == "hide" and self.waits(row):
            return False
        if row in self.completed:
            return not self.rules.completed.hide or self.soon(row)
        if row in self.opened:
            after = self.rules.opened.return_after_days
            returned = after is not None and self.opened[row] >= after
            return returned or (self.rules.mandatory.pin and self.soon(row))
        return True

    def waits(self, row):
        needed = [self.row[one] for one in self.pages[row]["prerequisites"] or [] if one in self.row]
        return any(
            one != row and not {one} & {*self.opened, *self.completed} and self.may_see(one) for one in needed
        )


def run(document, pages, person, opened, completed, scores, limit, asks, allowed_before, chosen=None):
    policy = Policy(
        Rules.model_validate(document), pages, np.random.default_rng(0).normal(size=(PAGES, 3)).astype("f4")
    )
    request = asks(time=NOW, opened=opened, **person)
    done = [{page: NOW - ago * DAY for page, ago in completed.items()}]
    allowed = allowed_before(pages, request)
    rulings = policy(request, done)
    rulings.allow(allowed)
    _, wanted = rulings.wanted(allowed)
    keep = allowed[0] if chosen is None else allowed[0] & chosen
    keep[wanted] = True
    candidates = np.flatnonzero(keep).astype(np.int32)
    found = rulings.arrange(0, candidates, scores[candidates], limit)
    return allowed[0], wanted.tolist(), candidates, found


def cases(test):
    return settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])(
        given(
            document=documents,
            catalogue=catalogues,
            person=people,
            opened=openings,
            data=st.data(),
            scores=st.lists(st.floats(width=32), min_size=PAGES, max_size=PAGES),
            limit=st.integers(1, PAGES + 2),
        )(test)
    )


def completions_of(data, opened):
    """Some of the opened pages; now and then one whose opening nobody knows of."""
    known = {page: ago for page, ago in opened.items() if data.draw(st.booleans())}
    return known | data.draw(st.dictionaries(st.integers(0, PAGES - 1), st.just(15.0), max_size=1))


@cases
def test_no_answer_breaks_a_rule(
    pages_of, asks, allowed_before, document, catalogue, person, opened, data, scores, limit
):
    pages, scores = pages_of(catalogue), np.array(scores, np.float32)
    completed = completions_of(data, opened)
    chosen = np.array(data.draw(st.lists(st.booleans(), min_size=PAGES, max_size=PAGES)))
    allowed, wanted, candidates, found = run(
        document, pages, person, opened, completed, scores, limit, asks, allowed_before, chosen
    )
    oracle, rules = Oracle(document, pages, person, opened, completed), Rules.model_validate(document)

    assert allowed.tolist() == [oracle.allowed(row) for row in range(PAGES)]
    shown = candidates[found.order].tolist()
    assert len(set(shown)) == len(shown) <= limit
    assert len(found.moves) == len(shown)
    assert all(oracle.allowed(row) for row in shown)
    if rules.prerequisites == "replace":
        assert not any(oracle.waits(row) for row in shown)

    by = {row: [(m["rule"], m["effect"]) for m in found.moves[at]] for at, row in enumerate(shown)}
    named = {
        row: [rule for rule, effect in by[row] if effect == f"pinned to {at + 1}"]
        for at, row in enumerate(shown)
    }
    mandatory = [row for row in shown if "mandatory" in named[row]]
    assert len(mandatory) <= (rules.mandatory.most if rules.mandatory.pin else 0)
    pins = [
        (pin.position, oracle.row[pin.page])
        for pin in rules.pins
        if oracle.in_force(pin) and oracle.belongs(pin.audience) and pin.page in oracle.row
    ]
    if rules.prerequisites != "replace":
        assert all(oracle.soon(row) for row in mandatory)
        # The first pin of a place has it, if the page may be shown and the answer is long enough.
        held: dict[int, int] = {}
        for position, row in sorted(pins, key=lambda pin: pin[0]):
            if oracle.allowed(row) and row not in held.values():
                while position in held:
                    position += 1
                held[position] = row
        # Where there are too few pages for the last place, pins stand further up, in their order.
        enough = max((place for place, row in held.items() if row in candidates), default=0) <= len(
            candidates
        )
        for position, row in held.items():
            if row in candidates and position <= limit and rules.topics.most is None and enough:
                assert shown[position - 1] == row
                assert row in shown
        # Mandatory pages come before everything that is not pinned, the earliest first.
        required = [
            row
            for row in candidates.tolist()
            if person["role"] in (oracle.pages[row]["mandatory_for"] or []) and oracle.soon(row)
        ]
        dates = sorted(oracle.due(row) for row in required if row not in held.values())
        dates = dates[: rules.mandatory.most if rules.mandatory.pin else 0]
        if len(held) + len(dates) <= limit:
            assert [oracle.due(row) for row in mandatory] == pytest.approx(dates)
        free = [row for row in shown if not named[row]]
        if free and mandatory:
            assert max(map(shown.index, mandatory)) < min(map(shown.index, free))
    if rules.topics.most is not None:
        first = shown[: rules.topics.first]
        for topic in TOPICS:
            of_topic = [row for row in first if oracle.pages[row]["topic"] == topic]
            fixed = [row for row in of_topic if named[row]]
            assert len(of_topic) <= max(rules.topics.most, len(fixed))
    for row in wanted:
        assert allowed[row]


@cases
def test_a_shorter_answer_is_the_beginning_of_a_longer_one(
    pages_of, asks, allowed_before, document, catalogue, person, opened, data, scores, limit
):
    pages, scores = pages_of(catalogue), np.array(scores, np.float32)
    completed = completions_of(data, opened)
    case = (document, pages, person, opened, completed, scores)
    _, _, _, short = run(*case, limit, asks, allowed_before)
    _, _, _, long = run(*case, PAGES, asks, allowed_before)
    assert short.order.tolist() == long.order.tolist()[:limit]
    assert short.moves == long.moves[: len(short.moves)]


@cases
def test_without_rules_of_order_the_scores_decide(
    pages_of, asks, allowed_before, document, catalogue, person, opened, data, scores, limit
):
    pages, scores = pages_of(catalogue), np.nan_to_num(np.array(scores, np.float32))
    hiding = {key: document[key] for key in ("eligibility", "retired", "blocks") if key in document}
    hiding["mandatory"] = {"pin": False}
    completed = completions_of(data, opened)
    _, _, candidates, found = run(
        hiding, pages, person, opened, completed, scores, limit, asks, allowed_before
    )
    expected = sorted(candidates.tolist(), key=lambda row: (-scores[row], row))[:limit]
    assert candidates[found.order].tolist() == expected


@given(documents)
def test_a_document_survives_being_written_and_read(document):
    rules = Rules.model_validate(document)
    again = parse_rules(orjson.dumps(rules.document()))
    assert again == rules
    assert again.document() == rules.document()
