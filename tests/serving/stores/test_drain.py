import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import polars as pl
import pytest

from components.contract.tables import TABLES
from serving.stores import Answer, StoredEvent, StoreSettings, open_store
from serving.stores.drain import BusyError, Drained, drain

ROOT = Path(__file__).parents[3]
AUGUST_31 = 1788220799.5


def answer(number, associate="A1", **more):
    body = {
        "time": number,
        "release": "R1",
        "fallback": None,
        "context": {"shift": "night"},
        "items": [
            {"page_id": "P1", "position": 0, "score": 0.75, "source": "trending", "propensity": 0.5},
            {"page_id": "P2", "position": 1, "score": 0.25, "source": "", "features": {"age": 1.5}},
        ],
        **more,
    }
    return Answer(f"r{number}", associate, AUGUST_31 + number, json.dumps(body))


def events(number, start=0):
    return [
        StoredEvent(
            f"e{i}",
            f"A{i % 3}",
            "P1",
            "view",
            AUGUST_31 + i,
            json.dumps({"event_id": f"e{i}", "dwell_seconds": 1.5, "request_id": "r1", "position": 2}),
        )
        for i in range(start, start + number)
    ]


def read(folder, table):
    files = sorted(folder.glob(f"{table}/*/*.parquet"))
    return pl.concat([pl.read_parquet(file, hive_partitioning=False) for file in files])


def test_events_become_rows_of_the_contract_by_date(store, tmp_path):
    store.append(events(5))
    assert drain(store, tmp_path, limit=2) == Drained(5, 0, 0, 0)
    rows = read(tmp_path, "events").sort("event_id")
    assert rows.schema == TABLES["events"].schema
    assert rows["event_id"].to_list() == ["e0", "e1", "e2", "e3", "e4"]
    assert rows.row(0, named=True) | {"timestamp": None} == {
        "event_id": "e0",
        "associate_id": "A0",
        "page_id": "P1",
        "event_type": "view",
        "timestamp": None,
        "dwell_seconds": 1.5,
        "progress": None,
        "rating": None,
        "request_id": "r1",
        "position": 2,
        "release": None,
    }
    assert rows["timestamp"].dt.epoch("ms").to_list() == [int((AUGUST_31 + i) * 1000) for i in range(5)]
    # The first lies in the last second of August; the claims hold two, two and one.
    parts = Counter(path.parent.name for path in tmp_path.glob("events/*/*.parquet"))
    assert parts == {"date=2026-08-31": 1, "date=2026-09-01": 3}
    assert drain(store, tmp_path) == Drained(0, 0, 0, 0)


def test_answers_become_one_row_a_page(store, tmp_path):
    store.record([answer(1), answer(2, "", more=[1], fallback="store_down")])
    store.record([Answer("r3", "A1", AUGUST_31, "no json"), Answer("r4", "A1", AUGUST_31, '{"items": [7]}')])
    assert drain(store, tmp_path).answers == 4
    rows = read(tmp_path, "impressions").sort("request_id", "position")
    shown = rows.select("request_id", "associate_id", "page_id", "position", "score", "propensity", "source")
    assert shown.rows() == [
        ("r1", "A1", "P1", 0, 0.75, 0.5, "trending"),
        ("r1", "A1", "P2", 1, 0.25, None, ""),
        ("r2", None, "P1", 0, 0.75, 0.5, "trending"),
        ("r2", None, "P2", 1, 0.25, None, ""),
    ]
    assert rows["fallback"].to_list() == [None, None, "store_down", "store_down"]
    assert rows["features"].to_list()[1] == '{"age":1.5}'
    assert rows["release"].unique().to_list() == ["R1"]
    (bad,) = tmp_path.glob("quarantine/*.parquet")
    assert pl.read_parquet(bad).select("table", "associate_id").rows() == [("answers", "A1")]


def test_what_breaks_the_contract_is_kept_aside(store, tmp_path):
    good, other = events(2)
    store.append([good, other._replace(event_type="look", row="[1]")])
    drain(store, tmp_path)
    assert read(tmp_path, "events")["event_id"].to_list() == ["e0"]
    (bad,) = tmp_path.glob("quarantine/*.parquet")
    assert pl.read_parquet(bad).select("column", "associate_id").rows() == [("event_type", "A1")]
    store.forget("A1")
    assert drain(store, tmp_path).deleted == 1
    assert list(tmp_path.glob("quarantine/*.parquet")) == []


def test_forgotten_people_leave_the_files(store, tmp_path):
    store.append(events(6))
    store.record([answer(1, "A0"), answer(2, "A1")])
    drain(store, tmp_path, limit=3)
    store.append(events(3, start=6))
    store.forget("A0")
    # e0 and e3 of the drained ones, and both pages of r1; e6 was never drained.
    assert drain(store, tmp_path) == Drained(2, 0, 4, 0)
    assert sorted(read(tmp_path, "events")["event_id"]) == ["e1", "e2", "e4", "e5", "e7", "e8"]
    assert read(tmp_path, "impressions")["request_id"].unique().to_list() == ["r2"]
    for table in ("events", "impressions"):
        assert "A0" not in read(tmp_path, table)["associate_id"]
    stones = pl.read_parquet(tmp_path / "tombstones.parquet")
    assert stones["associate_id"].to_list() == ["A0"]
    assert abs(stones["forgotten_at"].dt.epoch("s")[0] - time.time()) < 60
    before = (tmp_path / "tombstones.parquet").read_bytes()
    store.forget("A1")
    drain(store, tmp_path)
    stones = pl.read_parquet(tmp_path / "tombstones.parquet")
    assert stones["associate_id"].to_list() == ["A0", "A1"]
    assert before != (tmp_path / "tombstones.parquet").read_bytes()


def test_the_store_lets_go_of_what_was_drained_long_ago(store, tmp_path):
    store.append(events(3))
    store.record([answer(1)])
    assert drain(store, tmp_path, settings=StoreSettings(log_days=1e-9)) == Drained(3, 1, 0, 4)
    assert store.read("", 5)[0] == []
    assert len(store.activity(["A1"])[0].visits) == 1


def test_two_drains_do_not_run_at_once(store, address, tmp_path):
    store.append(events(2))
    started, go = threading.Event(), threading.Event()

    class Slow:
        """The store, whose claims take their time."""

        def __getattr__(self, name):
            return getattr(other, name)

        def claim(self, limit):
            started.set()
            go.wait(30)
            return other.claim(limit)

    other = open_store(address)
    thread = threading.Thread(target=drain, args=(Slow(), tmp_path))
    thread.start()
    assert started.wait(30)
    with pytest.raises(BusyError):
        drain(store, tmp_path)
    go.set()
    thread.join()
    other.close()
    assert read(tmp_path, "events").height == 2
    assert drain(store, tmp_path).events == 0


def test_a_drain_that_lost_its_lease_stops(store, tmp_path):
    """It was held up for so long that another began: it settles nothing that it did not write."""
    store.append(events(4))

    class Late:
        def __getattr__(self, name):
            return getattr(store, name)

        def settle(self, claim):
            drain(store, tmp_path, limit=2)
            store.settle(claim)

    with pytest.raises(BusyError, match="took over"):
        drain(Late(), tmp_path, limit=2, lease_seconds=0)
    assert sorted(read(tmp_path, "events")["event_id"]) == ["e0", "e1", "e2", "e3"]


KILLED = """
import json, os, signal, sys, traceback
from pathlib import Path
from serving.stores import Answer, StoredEvent, open_store
from serving.stores.drain import drain
address, folder = sys.argv[1], Path(sys.argv[2])

def one_round(last):
    store = open_store(address)
    numbers = range(3 * last, 3 * last + 3)
    store.append([StoredEvent(f"e{i}", f"A{i % 3}", "P1", "view", float(i), "{}") for i in numbers])
    body = json.dumps({"items": [{"page_id": "P1"}, {"page_id": "P2"}]})
    store.record([Answer(f"r{number}", "A1", 1.0, body) for number in (2 * last, 2 * last + 1)])
    if last == 20:
        store.forget("A0")
    steps = 0

    def counted(function):
        def call(*args, **more):
            nonlocal steps
            steps += 1
            if steps == last:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*args, **more)
        return call

    class Counted:
        def __getattr__(self, name):
            return counted(getattr(store, name))

    os.fsync = counted(os.fsync)
    Path.replace, Path.unlink, Path.chmod = map(counted, (Path.replace, Path.unlink, Path.chmod))
    drain(Counted(), folder, limit=2, lease_seconds=0)

# Forked from a process that opened and computed nothing: imports alone take a second.
for last in range(1, 1000):
    child = os.fork()
    if child == 0:
        try:
            one_round(last)
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    status = os.waitpid(child, 0)[1]
    if not os.WIFSIGNALED(status):
        break
print(last if status == 0 else "failed")
"""


@pytest.mark.slow
def test_each_row_is_drained_once_wherever_the_drain_is_killed(store, address, tmp_path):
    """Every call of the store and every change of the folder is, in turn, the last one."""
    run = subprocess.run(
        [sys.executable, "-c", KILLED, address, str(tmp_path / "out")],
        cwd=ROOT,
        env={**os.environ, "POLARS_MAX_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    rounds = int(run.stdout.split()[-1])
    assert rounds > 20
    drain(store, tmp_path / "out")
    # A0's are multiples of three.
    expected = [f"e{i}" for i in range(3, 3 * rounds + 3) if i % 3]
    assert sorted(read(tmp_path / "out", "events")["event_id"]) == sorted(expected)
    shown = read(tmp_path / "out", "impressions").select("request_id", "page_id").rows()
    expected = [(f"r{i}", page) for i in range(2, 2 * rounds + 2) for page in ("P1", "P2")]
    assert sorted(shown) == sorted(expected)
    assert pl.read_parquet(tmp_path / "out" / "tombstones.parquet")["associate_id"].to_list() == ["A0"]
    assert [path for path in (tmp_path / "out").rglob(".*") if path.is_file()] == []


def test_the_command(address, tmp_path):
    store = open_store(address)
    store.append(events(2))
    store.close()
    command = [sys.executable, "-m", "serving.stores.drain", "--out", str(tmp_path / "out")]
    run = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "WAYMARK_STORE": address},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stderr.splitlines()[-1])["events"] == 2
    assert read(tmp_path / "out", "events").height == 2
    run = subprocess.run(
        [*command, "--store", "redis://127.0.0.1:1/0"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert run.returncode == 1
    assert "error: store redis://127.0.0.1:1/0" in run.stderr
    assert "Traceback" not in run.stderr
