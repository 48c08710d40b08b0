"""Processes that are killed, servers that are down, late or started again."""

import os
import signal
import sqlite3
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from redis import Redis

from serving.stores import Entry, StoreError, StoreSettings, open_store
from tests.benchmarks.server.faults import one_round


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sqlite", "redis"])
@pytest.mark.parametrize("seed", [1, 2])
def test_kill_9_loses_and_doubles_nothing(kind, seed, tmp_path):
    # tests/benchmarks/server/faults.py does twenty rounds of a minute.
    found = one_round(kind, tmp_path, 6, seed)
    assert found.kills > 3
    assert found.acknowledged > 100
    assert (found.lost, found.double, found.miscounted) == (0, 0, 0)


@pytest.fixture
def shared(redis_url):
    store = open_store(redis_url, StoreSettings(timeout_ms=300, write_timeout_ms=600))
    yield store
    store.close()


def calls(store, event):
    return {
        "ping": store.ping,
        "activity": lambda: store.activity(["A1"]),
        "append": lambda: store.append([event(1)]),
        "read": lambda: store.read("", 1),
        "end": store.end,
        "trim": lambda: store.trim(0),
        "forget": lambda: store.forget("A9"),
        "forgotten": store.forgotten,
        "claim": lambda: store.claim(1),
        "settle": lambda: store.settle("0-0_1-1"),
        "record": lambda: store.recent_answers("A1", 1),
        "get": lambda: store.get("a"),
        "put": lambda: store.put("a", b""),
        "put_if": lambda: store.put_if("a", b"", None),
        "put_lists": lambda: store.put_lists("R", {"A1": b""}),
        "lists": lambda: store.lists("R", ["A1"]),
        "retire_lists": lambda: store.retire_lists("R", 1),
    }


def test_redis_down_is_a_store_error_of_every_call(event):
    store = open_store("redis://:secret@127.0.0.1:1/0")
    for call in calls(store, event).values():
        with pytest.raises(StoreError, match=r"store redis://127\.0\.0\.1:1/0: ") as caught:
            call()
        assert "secret" not in str(caught.value)


def test_redis_that_hangs_costs_its_timeout_and_no_more(redis_url, redis_server, event):
    short, long = 2.0, 4.0
    store = open_store(
        redis_url, StoreSettings(timeout_ms=int(short * 1e3), write_timeout_ms=int(long * 1e3))
    )
    store.append([event(1)])
    store.activity(["A1"])

    def connected():
        with Redis.from_url(redis_server.url) as client:
            return client.info("stats")["total_connections_received"]

    def took(call):
        before = time.perf_counter()
        with pytest.raises(StoreError):
            call()
        return time.perf_counter() - before

    asked, before = calls(store, event), connected()
    redis_server.stop()
    try:
        # All at once, so that the timeouts can be long beside what a busy machine adds.
        with ThreadPoolExecutor(len(asked)) as threads:
            seconds = dict(zip(asked, threads.map(took, asked.values()), strict=True))
    finally:
        redis_server.proceed()
    # Nothing is tried twice: two calls found a connection, the others made one each; one more counts.
    assert connected() - before == len(asked) - 2 + 1
    for name, spent in seconds.items():
        timeout = short if name in ("ping", "activity", "record", "lists") else long
        assert timeout <= spent < 2 * timeout, name
    store.ping()
    store.close()


def test_an_append_whose_answer_was_lost_counts_once(shared, redis_server, event):
    batch = [event(number, page=f"P{number}") for number in range(20)]
    shared.append([event(100)])
    redis_server.stop()
    with pytest.raises(StoreError):
        shared.append(batch)
    # It reached the socket of a server that will work it off.
    redis_server.proceed()
    deadline = time.monotonic() + 10
    while len(shared.read("", 100)[0]) < 21 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert shared.append(batch) == []
    assert sum(entry.first for entry in shared.read("", 100)[0]) == 21 - 1


def test_redis_started_again_is_used_at_once(shared, redis_server, event):
    shared.append([event(1)])
    with Redis.from_url(redis_server.url) as client:
        client.script_flush()
    assert shared.append([event(2)]) == [Entry(event(2), False)]
    redis_server.kill()
    with pytest.raises(StoreError):
        shared.append([event(3)])
    redis_server.start()
    # No call fails for a connection that the old server left, nor for scripts that the new one lacks.
    assert shared.activity(["A1"])[0].visits == [("P1", 1.0)]
    assert shared.append([event(3)]) == [Entry(event(3), False)]
    assert [entry.event for entry in shared.read("", 5)[0]] == [event(1), event(2), event(3)]


def test_redis_that_is_full_is_a_store_error(shared, redis_server, event):
    with Redis.from_url(redis_server.url) as client:
        client.config_set("maxmemory", 1)
        try:
            with pytest.raises(StoreError, match="maxmemory"):
                shared.append([event(1)])
        finally:
            client.config_set("maxmemory", 0)
    assert len(shared.append([event(1)])) == 1


@pytest.fixture
def path(tmp_path):
    return tmp_path / "store.sqlite"


def test_readers_do_not_wait_for_a_writer(path, event):
    store = open_store(str(path))
    store.append([event(1)])
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    other.execute("DELETE FROM visits")
    assert store.activity(["A1"])[0].visits == [("P1", 1.0)]
    other.execute("ROLLBACK")


def test_a_writer_that_waits_too_long_is_a_store_error(path, event):
    store = open_store(str(path), StoreSettings(write_timeout_ms=50))
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreError, match="locked"):
        store.append([event(1)])
    other.execute("ROLLBACK")
    assert len(store.append([event(1)])) == 1


def test_a_store_opens_while_another_process_writes(path, event):
    settings = StoreSettings(write_timeout_ms=50)
    open_store(str(path)).close()
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    store = open_store(str(path), settings)
    assert store.activity(["A1"])[0].visits == []
    with pytest.raises(StoreError, match="locked"):
        store.append([event(1)])
    other.execute("ROLLBACK")
    assert len(store.append([event(1)])) == 1


def test_a_file_that_is_no_store(path):
    path.write_bytes(b"no database at all" * 100)
    with pytest.raises(StoreError, match=r"store\.sqlite: file is not a database"):
        open_store(str(path))
    with pytest.raises(StoreError, match="File exists"):
        open_store(str(path / "below"))


def test_a_bad_value_fails_its_own_append_alone(path, event):
    """Appends that wait for one another are committed together."""
    store = open_store(str(path))
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    results = {}

    def append(name, batch):
        try:
            results[name] = store.append(batch)
        except Exception as error:
            results[name] = error

    batches = {"good": [event(1)], "bad": [event(2), event(3)._replace(row=object())], "other": [event(4)]}
    threads = [threading.Thread(target=append, args=("first", [event(0)]))]
    threads += [threading.Thread(target=append, args=item) for item in batches.items()]
    for thread in threads:
        thread.start()
        time.sleep(0.05)
    other.execute("ROLLBACK")
    for thread in threads:
        thread.join()
    assert isinstance(results.pop("bad"), sqlite3.Error)
    assert [len(added) for added in results.values()] == [1, 1, 1]
    kept = [entry.event.event_id for entry in store.read("", 9)[0]]
    assert sorted(kept) == ["e0", "e1", "e4"]


def test_what_is_forgotten_is_overwritten(path, event):
    store = open_store(str(path))
    store.append(
        [
            event(n, associate="A-who-leaves", page="P-secret", row='{"note": "very-secret"}')
            for n in range(50)
        ]
    )
    store.append([event(99)])
    store.forget("A-who-leaves")
    store.close()
    files = [file for file in path.parent.iterdir() if file.is_file()]
    assert files
    for file in files:
        content = file.read_bytes()
        assert b"secret" not in content
        # The tombstone alone holds the id.
        assert content.count(b"A-who-leaves") <= 1


def test_processes_share_a_file(path, event):
    store = open_store(str(path))
    store.append([event(1)])
    child = os.fork()
    if child == 0:
        try:
            open_store(str(path)).append([event(2)])
        finally:
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    assert [entry.event for entry in store.read("", 5)[0]] == [event(1), event(2)]
