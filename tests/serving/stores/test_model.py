"""Both stores beside a model in memory, through random sequences of calls."""

import time
from itertools import islice

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from components.contract.columns import COMPLETE, ENGAGEMENTS
from serving.stores import Activity, Answer, Entry, StoredEvent, open_store

ASSOCIATES = st.sampled_from(["A0", "A1", "A2"])
EVENTS = st.builds(
    StoredEvent,
    st.integers(0, 30).map("e{}".format),
    ASSOCIATES,
    st.sampled_from(["P0", "P1", "P2"]),
    st.sampled_from(["impression", "view", "complete", "like"]),
    st.floats(0, 2e9),
    st.text(max_size=8),
)


class Log:
    """A log in memory: what is in it, what was claimed and settled."""

    def __init__(self):
        self.rows, self.size, self.settled, self.claimed = {}, 0, 0, 0

    def add(self, row):
        self.size += 1
        self.rows[self.size] = row

    def after(self, position, last=float("inf")):
        return [at for at in self.rows if position < at <= last]

    def claim(self, limit):
        if self.claimed <= self.settled:
            self.claimed = max(islice(self.after(self.settled), limit), default=0)
        return [self.rows[at] for at in self.after(self.settled, self.claimed)]

    def settle(self):
        self.settled = max(self.settled, self.claimed)

    def trim(self):
        gone = [at for at in self.rows if at <= self.settled]
        for at in gone:
            del self.rows[at]
        return len(gone)

    def remove(self, those):
        self.rows = {at: row for at, row in self.rows.items() if not those(row)}


class Model:
    """What the interface promises, written plainly."""

    def __init__(self):
        self.events, self.answers = Log(), Log()
        self.ids, self.requests, self.gone = set(), set(), set()
        self.visits, self.completions, self.documents, self.lists = {}, {}, {}, {}

    def append(self, events):
        added = []
        for event in events:
            if event.event_id in self.ids or event.associate_id in self.gone:
                continue
            self.ids.add(event.event_id)
            key = (event.associate_id, event.page_id)
            first = event.event_type in ENGAGEMENTS and key not in self.visits
            if event.event_type in ENGAGEMENTS:
                self.visits[key] = min(event.time, self.visits.get(key, event.time))
            if event.event_type == COMPLETE:
                self.completions[key] = max(event.time, self.completions.get(key, event.time))
            added.append(Entry(event, first))
            self.events.add(added[-1])
        return added

    def activity(self, associate):
        visits = [(page, when) for (who, page), when in self.visits.items() if who == associate]
        completions = {page: when for (who, page), when in self.completions.items() if who == associate}
        return Activity(sorted(visits, key=lambda visit: visit[::-1]), completions, associate in self.gone)

    def forget(self, associate):
        self.gone.add(associate)
        self.events.remove(lambda entry: entry.event.associate_id == associate)
        self.answers.remove(lambda answer: answer.associate_id == associate)
        for kept in (self.visits, self.completions, self.lists):
            for key in [key for key in kept if associate in key]:
                del kept[key]

    def record(self, answers):
        kept = {answer.request_id for answer in self.answers.rows.values()}
        for answer in answers:
            if answer.associate_id not in self.gone and answer.request_id not in kept:
                kept.add(answer.request_id)
                self.answers.add(answer)


class Stores(RuleBasedStateMachine):
    """Every rule does the same to the model and to both stores, and compares."""

    addresses = None

    def __init__(self):
        super().__init__()
        self.model, self.at = Model(), 0
        self.stores = [open_store(address) for address in self.addresses()]
        self.positions = ["" for _ in self.stores]

    def teardown(self):
        for store in self.stores:
            store.close()

    @rule(events=st.lists(EVENTS, max_size=6))
    def append(self, events):
        expected = self.model.append(events)
        for store in self.stores:
            assert store.append(events) == expected

    @rule(limit=st.integers(1, 4))
    def read(self, limit):
        places = self.model.events.after(self.at)[:limit]
        self.at = places[-1] if places else self.at
        for number, store in enumerate(self.stores):
            found, self.positions[number] = store.read(self.positions[number], limit)
            assert found == [self.model.events.rows[place] for place in places]

    @rule(limit=st.integers(1, 4), settle=st.booleans())
    def claim(self, limit, settle):
        expected = self.model.events.claim(limit)
        for store in self.stores:
            found, name = store.claim(limit)
            assert found == expected
            assert bool(name) == (self.model.events.claimed > self.model.events.settled)
            if settle:
                store.settle(name)
        if settle:
            self.model.events.settle()

    @rule(limit=st.integers(1, 4), settle=st.booleans())
    def claim_answers(self, limit, settle):
        expected = self.model.answers.claim(limit)
        for store in self.stores:
            found, name = store.claim_answers(limit)
            assert found == expected
            if settle:
                store.settle_answers(name)
        if settle:
            self.model.answers.settle()

    @rule()
    def trim(self):
        expected = self.model.events.trim() + self.model.answers.trim()
        for store in self.stores:
            assert store.trim(time.time() + 60) == expected

    @rule(associate=ASSOCIATES)
    def forget(self, associate):
        self.model.forget(associate)
        for store in self.stores:
            store.forget(associate)
            assert store.forgotten() == self.model.gone

    @rule(
        answers=st.lists(
            st.tuples(st.integers(0, 9), ASSOCIATES | st.just(""), st.text(max_size=8)), max_size=4
        )
    )
    def record(self, answers):
        given = [Answer(f"r{number}", associate, number + 0.5, body) for number, associate, body in answers]
        self.model.record(given)
        for store in self.stores:
            store.record(given)

    @rule(key=st.sampled_from("ab"), value=st.binary(max_size=3), expected=st.none() | st.binary(max_size=1))
    def put_if(self, key, value, expected):
        held = self.model.documents.get(key)
        if held == expected:
            self.model.documents[key] = value
        for store in self.stores:
            assert store.put_if(key, value, expected) == (held == expected)
            assert store.get(key) == self.model.documents.get(key)

    @rule(key=st.sampled_from("ab"), value=st.binary(max_size=1))
    def put(self, key, value):
        self.model.documents[key] = value
        for store in self.stores:
            store.put(key, value)

    @rule(release=st.sampled_from(["R1", "R2"]), lists=st.dictionaries(ASSOCIATES, st.binary(max_size=3)))
    def put_lists(self, release, lists):
        for associate, value in lists.items():
            if associate not in self.model.gone:
                self.model.lists[release, associate] = value
        for store in self.stores:
            store.put_lists(release, lists)

    @rule(release=st.sampled_from(["R1", "R2"]))
    def retire_lists(self, release):
        self.model.lists = {key: value for key, value in self.model.lists.items() if key[0] != release}
        for store in self.stores:
            store.retire_lists(release, 0)

    @invariant()
    def agree(self):
        people = ["A0", "A1", "A2"]
        answers = self.model.answers.rows.values()
        for store in self.stores:
            assert store.activity(people) == [self.model.activity(associate) for associate in people]
            for release in ("R1", "R2"):
                expected = [self.model.lists.get((release, associate)) for associate in people]
                assert store.lists(release, people) == expected
            for associate in people:
                theirs = [answer for answer in answers if answer.associate_id == associate]
                assert store.recent_answers(associate, 3) == theirs[::-1][:3]
            for number in range(10):
                expected = next((answer for answer in answers if answer.request_id == f"r{number}"), None)
                assert store.answer(f"r{number}") == expected


@pytest.mark.slow
def test_the_stores_do_as_the_model(redis_server, tmp_path_factory):
    def addresses():
        redis_server.flush()
        return [str(tmp_path_factory.mktemp("model") / "store.sqlite"), redis_server.url]

    machine = type("Machine", (Stores,), {"addresses": staticmethod(addresses)})
    quiet = settings(max_examples=25, stateful_step_count=25, suppress_health_check=list(HealthCheck))
    run_state_machine_as_test(machine, settings=quiet)
