"""A file that a server of the first layout left: its events, and who was forgotten, are taken over."""

import os
import signal
import sqlite3
import subprocess
import sys
import time

import pytest

from serving.stores import Activity, StoreError, open_store
from serving.stores.drain import drain
from tests.support.process import ROOT

LAYOUT = """
CREATE TABLE events (
    event_id TEXT PRIMARY KEY, associate_id TEXT NOT NULL, page_id TEXT NOT NULL,
    event_type TEXT NOT NULL, time REAL NOT NULL, row TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX by_associate ON events (associate_id, time);
CREATE TABLE forgotten (associate_id TEXT PRIMARY KEY) WITHOUT ROWID;
"""


def old(path, events, forgotten=()):
    """The file as an older server would have left it."""
    with sqlite3.connect(path) as sql:
        sql.execute("PRAGMA journal_mode=WAL")
        sql.executescript(LAYOUT)
        sql.executemany("INSERT INTO events VALUES (?, ?, ?, ?, ?, ?)", events)
        sql.executemany("INSERT INTO forgotten VALUES (?)", [(one,) for one in forgotten])
    sql.close()
    return str(path)


def test_events_are_taken_over_in_the_order_of_their_times(tmp_path, event):
    kept = [event(3), event(1, page="P2"), event(2, kind="impression"), event(4, kind="complete")]
    address = old(tmp_path / "events.sqlite", kept, ["A9"])
    store = open_store(address)
    entries, _ = store.read("", 10)
    assert [entry.event for entry in entries] == sorted(kept, key=lambda one: one.time)
    assert [entry.first for entry in entries] == [True, False, True, False]
    assert store.activity(["A1", "A9"]) == [
        Activity([("P2", 1.0), ("P1", 3.0)], {"P1": 4.0}, False),
        Activity([], {}, True),
    ]
    # Known ids stay known, and the forgotten ones closed.
    assert store.append([event(3), event(5, associate="A9")]) == []
    assert drain(store, tmp_path / "feedback").events == 4
    store.close()
    again = open_store(address)
    assert len(again.read("", 10)[0]) == 4
    assert again.claim(10) == ([], "")
    again.close()


def test_a_file_of_the_present_layout_is_left_alone(tmp_path, event):
    address = str(tmp_path / "events.sqlite")
    store = open_store(address)
    store.append([event(1)])
    store.close()
    store = open_store(address)
    assert [entry.event for entry in store.read("", 10)[0]] == [event(1)]
    store.close()


def test_two_servers_that_start_at_once_take_each_event_over_once(tmp_path, event):
    address = old(tmp_path / "events.sqlite", [event(number, page=f"P{number}") for number in range(3000)])
    program = "import sys; from serving.stores import open_store; open_store(sys.argv[1])"
    both = [subprocess.Popen([sys.executable, "-c", program, address], cwd=ROOT) for _ in range(2)]
    assert [one.wait() for one in both] == [0, 0]
    store = open_store(address)
    assert len(store.read("", 5000)[0]) == 3000
    store.close()


@pytest.mark.slow
def test_a_server_killed_meanwhile_leaves_all_of_it_to_the_next(tmp_path, event):
    events = [event(number, associate=f"A{number % 97}", page=f"P{number % 89}") for number in range(60_000)]
    address = old(tmp_path / "events.sqlite", events)
    program = (
        "import sys; from serving.stores import open_store; print('go', flush=True); open_store(sys.argv[1])"
    )
    died = 0
    for delay in (0.02, 0.1, 0.3):
        one = subprocess.Popen(
            [sys.executable, "-c", program, address], cwd=ROOT, stdout=subprocess.PIPE, env=os.environ
        )
        assert one.stdout.readline() == b"go\n"
        time.sleep(delay)
        one.send_signal(signal.SIGKILL)
        died += one.wait() == -signal.SIGKILL
        one.stdout.close()
    assert died
    store = open_store(address)
    entries, position = [], ""
    while True:
        some, position = store.read(position, 20_000)
        if not some:
            break
        entries += some
    assert sorted(entry.event for entry in entries) == sorted(events)
    assert sum(entry.first for entry in entries) == len({(one.associate_id, one.page_id) for one in events})
    store.close()


def test_another_table_of_that_name_is_no_store(tmp_path):
    path = tmp_path / "other.sqlite"
    with sqlite3.connect(path) as sql:
        sql.execute("CREATE TABLE events (name TEXT)")
        sql.execute("INSERT INTO events VALUES ('a wedding')")
    sql.close()
    with pytest.raises(StoreError, match="no such column"):
        open_store(str(path))
    with sqlite3.connect(path) as sql:
        assert sql.execute("SELECT name FROM events").fetchall() == [("a wedding",)]
    sql.close()
