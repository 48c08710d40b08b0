import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from serving.store import SQLiteStore, StoredEvent


def event(number: int, associate: str = "A1", kind: str = "view", page: str = "P1") -> StoredEvent:
    return StoredEvent(f"e{number}", associate, page, kind, float(number), "{}")


@pytest.fixture
def store(tmp_path):
    return SQLiteStore(tmp_path / "deep" / "events.sqlite")


def test_append_is_idempotent_by_id(store):
    assert store.append([event(1), event(2)]) == [event(1), event(2)]
    assert store.append([event(2), event(3), event(3)]) == [event(3)]
    assert [one.event_id for one in store.engagements()] == ["e1", "e2", "e3"]


def test_visits_are_engagements_in_order(store):
    store.append([event(3, page="P3"), event(1, kind="impression"), event(2, kind="complete", page="P2")])
    store.append([event(4, associate="A2")])
    assert store.visits("A1") == [("P2", 2.0), ("P3", 3.0)]
    assert store.visits("A9") == []


def test_a_forgotten_associate_stays_forgotten(store, tmp_path):
    store.append([event(1), event(2, associate="A2")])
    store.forget("A1")
    assert store.visits("A1") == []
    assert store.append([event(5)]) == []
    assert store.forgotten() == {"A1"}
    again = SQLiteStore(tmp_path / "deep" / "events.sqlite")
    assert again.forgotten() == {"A1"}
    assert [one.associate_id for one in again.engagements()] == ["A2"]


def test_a_failed_batch_leaves_nothing(store):
    broken = event(8)._replace(row=object())  # type: ignore[arg-type]
    with pytest.raises(sqlite3.Error):
        store.append([event(7), broken])
    assert list(store.engagements()) == []
    assert store.append([event(7)]) == [event(7)]


def test_readers_do_not_wait_for_a_writer(store, tmp_path):
    store.append([event(1)])
    other = sqlite3.connect(tmp_path / "deep" / "events.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    other.execute("DELETE FROM events")
    assert store.visits("A1") == [("P1", 1.0)]
    other.execute("ROLLBACK")


@pytest.mark.slow
def test_kill_9_loses_no_acknowledged_event(tmp_path):
    path = tmp_path / "events.sqlite"
    program = textwrap.dedent(
        f"""
        import sys
        from serving.store import SQLiteStore, StoredEvent
        store = SQLiteStore({str(path)!r})
        number = 0
        while True:
            ids = range(number, number + 7)
            store.append([StoredEvent(f"e{{i}}", "A", "P", "view", float(i), "{{}}") for i in ids])
            number += 7
            print(number, flush=True)
        """
    )
    root = Path(__file__).parents[2]
    for _ in range(3):
        path.unlink(missing_ok=True)
        worker = subprocess.Popen(
            [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, cwd=root, env={**os.environ}
        )
        assert worker.stdout is not None
        acknowledged = 0
        for line in worker.stdout:
            acknowledged = int(line)
            if acknowledged >= 70:
                worker.send_signal(signal.SIGKILL)
                break
        acknowledged = max([acknowledged, *(int(line) for line in worker.stdout.read().split())])
        worker.wait()
        kept = [one.event_id for one in SQLiteStore(path).engagements()]
        assert len(kept) == len(set(kept))
        assert len(kept) % 7 == 0
        assert len(kept) >= acknowledged
