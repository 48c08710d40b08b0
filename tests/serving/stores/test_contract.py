"""What both stores promise: one suite, run against SQLite and against a real redis-server."""

import threading
import time

import pytest

from components.contract.time import DAY
from serving.stores import Activity, Answer, Entry, StoreError, StoreSettings, open_store

NOTHING = Activity([], {}, False)


def read_all(store, after="", limit=2):
    found = []
    while True:
        entries, after = store.read(after, limit)
        found += entries
        if not entries:
            return found


def answer(number, associate="A1"):
    return Answer(f"r{number}", associate, number + 0.25, f'{{"items": [{{"page_id": "P{number}"}}]}}')


def test_append_counts_each_id_once(store, event):
    assert [entry.event for entry in store.append([event(1), event(2)])] == [event(1), event(2)]
    assert [entry.event for entry in store.append([event(2), event(3), event(3)])] == [event(3)]
    assert [entry.event for entry in read_all(store)] == [event(1), event(2), event(3)]
    assert store.append([]) == []


def test_first_is_the_first_engagement_with_a_page(store, event):
    batch = [event(1, kind="impression"), event(2), event(3, kind="complete"), event(4, page="P2")]
    batch += [event(5, associate="A2")]
    entries = store.append(batch)
    assert [entry.first for entry in entries] == [False, True, False, True, True]
    # Also when it came with an earlier time than what is known.
    (again,) = store.append([event(6, time=0.5)])
    assert not again.first
    assert read_all(store) == [*entries, again]


def test_activity_keeps_the_first_visit_and_the_last_completion(store, event):
    store.append([event(30, page="P3"), event(20, kind="complete", page="P2"), event(10, kind="skip")])
    store.append(
        [event(25, page="P3"), event(26, kind="complete", page="P2"), event(21, kind="complete", page="P2")]
    )
    store.append([event(27, kind="rating", page="P4"), event(22, kind="complete", page="P3")])
    assert store.activity(["A1", "A2", "A1"]) == [
        Activity([("P2", 20.0), ("P3", 22.0), ("P4", 27.0)], {"P2": 26.0, "P3": 22.0}, False),
        NOTHING,
        Activity([("P2", 20.0), ("P3", 22.0), ("P4", 27.0)], {"P2": 26.0, "P3": 22.0}, False),
    ]
    assert store.activity([]) == []


def test_times_and_texts_come_back_exactly(store, event):
    odd = event(
        1, associate="Ä 1:*{x}\n", page='P"\n✓', time=1790000000.1234567, row='{"a": "✓\\n",\n "b": 1.0}'
    )
    store.append([odd])
    assert read_all(store) == [Entry(odd, True)]
    assert store.claim(5)[0] == [Entry(odd, True)]
    assert store.activity([odd.associate_id]) == [Activity([(odd.page_id, odd.time)], {}, False)]


def test_a_reader_goes_on_where_it_was(store, event):
    assert store.read("", 10)[0] == []
    start = store.end()
    store.append([event(1), event(2), event(3)])
    first, position = store.read(start, 2)
    assert [entry.event for entry in first] == [event(1), event(2)]
    second, position = store.read(position, 2)
    assert [entry.event for entry in second] == [event(3)]
    assert store.read(position, 2) == ([], position)
    assert store.read(store.end(), 2)[0] == []
    store.append([event(4)])
    assert [entry.event for entry in store.read(position, 2)[0]] == [event(4)]


def test_a_failed_batch_leaves_nothing(store, event):
    with pytest.raises(Exception, match=r"."):
        store.append([event(7), event(8)._replace(row=object())])
    assert read_all(store) == []
    assert [entry.event for entry in store.append([event(7)])] == [event(7)]


def test_a_claim_comes_again_until_it_is_settled(store, event):
    assert store.claim(2) == ([], "")
    store.append([event(1), event(2), event(3)])
    claimed, name = store.claim(2)
    assert [entry.event for entry in claimed] == [event(1), event(2)]
    # A larger limit does not change what was claimed.
    assert store.claim(10) == (claimed, name)
    store.settle(name)
    store.settle(name)
    rest, second = store.claim(2)
    assert [entry.event for entry in rest] == [event(3)]
    assert second != name
    store.settle(name)
    assert store.claim(2) == (rest, second)
    store.settle(second)
    assert store.claim(2) == ([], "")
    # Reading is another matter.
    assert len(read_all(store)) == 3


def test_a_claim_outlives_the_claimant(store, address, event):
    store.append([event(1), event(2)])
    claimed, name = store.claim(1)
    store.close()
    again = open_store(address)
    assert again.claim(1) == (claimed, name)
    again.settle(name)
    assert [entry.event for entry in again.claim(5)[0]] == [event(2)]
    again.close()


def test_trim_deletes_what_was_drained(store, event):
    store.append([event(1), event(2)])
    store.record([answer(1)])
    later = time.time() + 60
    assert store.trim(later) == 0
    _, name = store.claim(1)
    # Claimed is not drained.
    assert store.trim(later) == 0
    store.settle(name)
    store.settle_answers(store.claim_answers(5)[1])
    assert store.trim(time.time() - 60) == 0
    assert store.trim(later) == 2
    assert [entry.event for entry in read_all(store)] == [event(2)]
    assert store.answer("r1") is None
    assert store.recent_answers("A1", 5) == []
    # Its id and what it told are still known.
    assert store.append([event(1)]) == []
    assert store.activity(["A1"])[0].visits == [("P1", 1.0)]
    assert [entry.event for entry in store.claim(5)[0]] == [event(2)]


def test_a_reader_passes_over_what_was_trimmed(store, event):
    store.append([event(1), event(2)])
    position = store.read("", 1)[1]
    store.settle(store.claim(5)[1])
    assert store.trim(time.time() + 60) == 2
    store.append([event(3)])
    assert [entry.event for entry in store.read(position, 5)[0]] == [event(3)]
    assert [entry.event for entry in read_all(store)] == [event(3)]


def test_answers(store):
    store.record([answer(1), answer(2, ""), answer(3)])
    store.record([answer(3)._replace(body="{}"), answer(4, "A2")])
    store.record([])
    assert store.answer("r2") == answer(2, "")
    assert store.answer("r9") is None
    assert store.recent_answers("A1", 5) == [answer(3), answer(1)]
    assert store.recent_answers("A1", 1) == [answer(3)]
    claimed, name = store.claim_answers(3)
    assert claimed == [answer(1), answer(2, ""), answer(3)]
    store.settle_answers(name)
    assert store.claim_answers(3)[0] == [answer(4, "A2")]
    # The two logs do not know each other's claims.
    assert store.claim(3) == ([], "")


def test_a_forgotten_associate_is_gone_everywhere(store, event, address):
    store.append([event(1), event(2, associate="A2"), event(3, page="P2", kind="complete")])
    store.record([answer(1), answer(2, "A2")])
    store.put_lists("R1", {"A1": b"one", "A2": b"two"})
    _, name = store.claim(1)
    store.forget("A1")
    store.forget("A1")
    assert store.forgotten() == {"A1"}
    assert store.activity(["A1", "A2"]) == [Activity([], {}, True), Activity([("P1", 2.0)], {}, False)]
    assert [entry.event for entry in read_all(store)] == [event(2, associate="A2")]
    # The claim keeps its name; it is empty now.
    assert store.claim(1) == ([], name)
    store.settle(name)
    assert [entry.event for entry in store.claim(5)[0]] == [event(2, associate="A2")]
    assert store.answer("r1") is None
    assert store.recent_answers("A1", 5) == []
    assert store.claim_answers(5)[0] == [answer(2, "A2")]
    assert store.lists("R1", ["A1", "A2"]) == [None, b"two"]
    # And nothing comes in again.
    store.record([answer(5)])
    assert store.append([event(5), event(6, associate="A2")]) == [Entry(event(6, associate="A2"), False)]
    store.put_lists("R1", {"A1": b"one"})
    assert store.answer("r5") is None
    assert store.lists("R1", ["A1"]) == [None]
    again = open_store(address)
    assert again.forgotten() == {"A1"}
    again.close()


def test_an_id_of_a_forgotten_associate_is_free(store, event):
    store.forget("A1")
    batch = [event(1), event(2), event(1, associate="A2", page="P9"), event(1, associate="A2")]
    assert store.append(batch) == [Entry(event(1, associate="A2", page="P9"), True)]


def test_documents(store):
    assert store.get("rules") is None
    store.put("rules", b"\x00one")
    assert store.get("rules") == b"\x00one"
    assert not store.put_if("rules", b"two", b"other")
    assert not store.put_if("rules", b"two", None)
    assert store.put_if("rules", b"two", b"\x00one")
    assert store.put_if("new", b"", None)
    assert not store.put_if("new", b"x", None)
    assert (store.get("rules"), store.get("new")) == (b"two", b"")
    store.put("long", b"x", seconds=600)
    assert store.get("long") == b"x"
    store.put("brief", b"x", seconds=0.05)
    time.sleep(0.1)
    assert store.get("brief") is None
    assert store.put_if("brief", b"y", None)


def test_lists_belong_to_a_release(store):
    store.put_lists("R1", {"A1": b"11", "A2": b"12\r\n"})
    store.put_lists("R1", {"A3": b"", "A1": b"11b"})
    store.put_lists("R2", {"A1": b"21"})
    assert store.lists("R1", ["A2", "A1", "A9", "A2", "A3"]) == [b"12\r\n", b"11b", None, b"12\r\n", b""]
    assert store.lists("R2", ["A1"]) == [b"21"]
    store.retire_lists("R1", 60)
    assert store.lists("R1", ["A1"]) == [b"11b"]
    store.retire_lists("R1", 0.05)
    time.sleep(0.1)
    assert store.lists("R1", ["A1", "A2"]) == [None, None]
    assert store.lists("R2", ["A1"]) == [b"21"]
    store.retire_lists("R9", 1)


def test_an_answer_that_was_trimmed_can_be_recorded_again(store):
    answer = Answer("r1", "A1", 1.0, "{}")
    store.record([answer, answer])
    _, claim = store.claim_answers(10)
    store.settle_answers(claim)
    store.record([answer])
    assert store.recent_answers("A1", 9) == [answer]
    assert store.trim(time.time() + 60) == 1
    assert store.answer("r1") is None
    store.record([answer])
    assert store.answer("r1") == answer
    assert store.recent_answers("A1", 9) == [answer]


def test_retired_lists_that_are_put_again_stay(store):
    def put_again_before_they_expire(seconds):
        for release in ("earlier", "R1", "later"):
            store.put_lists(release, {"A1": b"1"})
        for release in ("earlier", "R1", "later"):
            store.retire_lists(release, seconds)
        store.put_lists("R1", {"A2": b"2"})
        # These expire before R1 would: while they are there, a busy machine was not too late.
        return store.lists("earlier", ["A1"]) == [b"1"]

    assert any(map(put_again_before_they_expire, (1, 4, 16, 64)))
    # These expire after R1 would.
    deadline = time.monotonic() + 90
    while store.lists("later", ["A1"]) != [None]:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert store.lists("R1", ["A1", "A2"]) == [b"1", b"2"]


def test_many_lists(store):
    lists = {f"A{number}": bytes([number % 256]) * 1200 for number in range(6000)}
    store.put_lists("R1", lists)
    assert store.lists("R1", list(lists)) == list(lists.values())


def test_threads_append_at_once(store, address, event):
    other = open_store(address)
    added, errors = [], []

    def write(of, start):
        try:
            for number in range(start, start + 200, 5):
                # Every id comes from two threads.
                added.extend(of.append([event(n, page=f"P{n % 7}") for n in range(number, number + 5)]))
        except Exception as error:
            errors.append(error)

    threads = [
        threading.Thread(target=write, args=(of, start))
        for start in (0, 200, 0, 200)
        for of in (store, other)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    other.close()
    assert errors == []
    assert sorted(int(entry.event.event_id[1:]) for entry in added) == list(range(400))
    assert sum(entry.first for entry in added) == 7
    log = read_all(store, limit=50)
    assert sorted(entry.event.event_id for entry in log) == sorted(entry.event.event_id for entry in added)


def test_a_reader_misses_nothing_while_others_append(store, address, event):
    def write(start):
        other = open_store(address)
        for number in range(start, start + 300):
            other.append([event(number)])
        other.close()

    threads = [threading.Thread(target=write, args=(start,)) for start in (0, 1000, 2000)]
    for thread in threads:
        thread.start()
    seen, position = [], ""
    while any(thread.is_alive() for thread in threads) or len(seen) < 900:
        entries, position = store.read(position, 7)
        seen += [int(entry.event.event_id[1:]) for entry in entries]
    assert sorted(seen) == [*range(300), *range(1000, 1300), *range(2000, 2300)]


@pytest.mark.slow
def test_ids_and_activity_expire(address, event):
    store = open_store(address, StoreSettings(id_days=3 / DAY, activity_days=3 / DAY))
    store.append([event(1), event(7, page="P7", kind="complete")])
    store.settle(store.claim(2)[1])
    # Known for one to two periods, and longer where used again: the first event of P7 stays the first.
    for number in range(10, 18):
        time.sleep(1)
        assert store.append([event(number, page="P7")]) == [Entry(event(number, page="P7"), False)]
        store.trim(time.time() - 2)
    assert store.activity(["A1"]) == [Activity([("P7", 7.0)], {"P7": 7.0}, False)]
    assert store.append([event(1)]) == [Entry(event(1), True)]
    store.close()


def test_ping_and_addresses(store):
    store.ping()
    for wrong in ("", "mysql://host/db", "sqlite://"):
        with pytest.raises(StoreError, match="give redis://"):
            open_store(wrong)
