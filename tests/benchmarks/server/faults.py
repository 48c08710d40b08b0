"""Kills writers and Redis with SIGKILL while events are written: nothing acknowledged may be lost or doubled.

``python -m tests.benchmarks.server.faults --rounds 20 --seconds 60`` reports each round of each store.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Annotated, NamedTuple
from uuid import uuid4

import typer

from serving.stores import StoredEvent, StoreError, StoreSettings, open_store

ROOT = Path(__file__).parents[3]
WRITERS = 3


class Fault(NamedTuple):
    """What a round found.

    Attributes
    ----------
    kills : int
    acknowledged, lost, double : int
        Events that were acknowledged; of these, how many are not in the log; how many are there twice.
    miscounted : int
        Pairs of associate and page of which not exactly one event is the first, or whose visit or
        completion is not what the log says.
    """

    kills: int
    acknowledged: int
    lost: int
    double: int
    miscounted: int


def write_events(address: str, acknowledged: Path, seed: int) -> None:
    """Append batches for ever; write down the ids of each once it is acknowledged.

    A batch whose answer was lost is sent again, and one in ten is sent twice.
    """
    chance = random.Random(seed)
    while True:
        try:
            store = open_store(address)
            break
        # On a busy machine the others may hold the lock for longer than it waits.
        except StoreError:
            time.sleep(0.02)
    with acknowledged.open("ab", buffering=0) as notes:
        while True:
            batch = [
                StoredEvent(
                    uuid4().hex,
                    f"A{chance.randrange(50)}",
                    f"P{chance.randrange(50)}",
                    chance.choice(["view", "complete", "impression"]),
                    chance.random() * 1e9,
                    "{}",
                )
                for _ in range(chance.randrange(1, 100))
            ]
            while True:
                try:
                    store.append(batch)
                    break
                except StoreError:
                    time.sleep(0.02)
            if chance.random() < 0.1:
                with contextlib.suppress(StoreError):
                    store.append(batch)
            # One write: a kill leaves all of it or nothing.
            notes.write("".join(f"{event.event_id}\n" for event in batch).encode())


def one_round(kind: str, folder: Path, seconds: float, seed: int) -> Fault:
    """Write for so long, kill a process now and then and all at the end, then count.

    Parameters
    ----------
    kind : {"sqlite", "redis"}
    folder : Path
    seconds : float
    seed : int
        Of what is written, and when what is killed.
    """
    # Here, for it loads pytest: a second that the writers should not wait.
    from tests.support.redis import RedisServer

    chance = random.Random(seed)
    server = RedisServer(folder) if kind == "redis" else None
    if server is not None:
        server.start()
    address = server.url if server else str(folder / "store.sqlite")
    open_store(address).close()
    writers: list[subprocess.Popen[bytes]] = []

    def start(number: int) -> subprocess.Popen[bytes]:
        arguments = [address, str(folder / f"acknowledged-{number}"), str(chance.randrange(2**32))]
        command = [sys.executable, "-c", _WRITER, *arguments]
        return subprocess.Popen(
            command, cwd=ROOT, env={**os.environ, "WAYMARK_STORE_WRITE_TIMEOUT_MS": "5000"}
        )

    kills = 0
    try:
        writers = [start(number) for number in range(WRITERS)]
        notes = [folder / f"acknowledged-{number}" for number in range(WRITERS)]
        while not all(note.exists() and note.stat().st_size for note in notes):
            time.sleep(0.05)
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            time.sleep(min(left, chance.uniform(0.2, 0.1 * seconds + 1)))
            victim = chance.randrange(WRITERS + (server is not None))
            kills += 1
            if victim == WRITERS and server is not None:
                server.kill()
                server.start()
            else:
                writers[victim].send_signal(signal.SIGKILL)
                writers[victim].wait()
                writers[victim] = start(victim)
    finally:
        if server is not None:
            server.kill()
        for writer in writers:
            writer.kill()
            writer.wait()
    if server is not None:
        server.start()
    try:
        return _count(address, folder, kills)
    finally:
        if server is not None:
            server.kill()


_WRITER = (
    "import sys; from pathlib import Path; from tests.benchmarks.server.faults import write_events; "
    "write_events(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))"
)


def _count(address: str, folder: Path, kills: int) -> Fault:
    # Redis reads its whole log first; on a busy machine that takes longer than any server would wait.
    store = open_store(address, StoreSettings(timeout_ms=120_000, write_timeout_ms=120_000))
    acknowledged = [line for file in folder.glob("acknowledged-*") for line in file.read_text().split()]
    log, position = [], ""
    while True:
        entries, position = store.read(position, 5000)
        if not entries:
            break
        log += entries
    ids = Counter(entry.event.event_id for entry in log)
    visits: dict[tuple[str, str], float] = {}
    completions: dict[tuple[str, str], float] = {}
    firsts: Counter[tuple[str, str]] = Counter()
    for (_, associate, page, kind, when, _), first in log:
        if kind != "impression":
            visits[associate, page] = min(when, visits.get((associate, page), when))
            firsts[associate, page] += first
        if kind == "complete":
            completions[associate, page] = max(when, completions.get((associate, page), when))
    people = sorted({associate for associate, _ in visits})
    known = dict(zip(people, store.activity(people), strict=True))
    wrong = {pair for pair in visits if firsts[pair] != 1}
    wrong |= {
        (associate, page)
        for (associate, page), when in visits.items()
        if dict(known[associate].visits).get(page) != when
        or known[associate].completions.get(page) != completions.get((associate, page))
    }
    store.close()
    return Fault(
        kills,
        len(acknowledged),
        sum(event_id not in ids for event_id in acknowledged),
        sum(count > 1 for count in ids.values()),
        len(wrong),
    )


def main(
    rounds: Annotated[int, typer.Option(min=1)] = 20,
    seconds: Annotated[float, typer.Option(min=1, help="Of writing, a round.")] = 60,
    store: Annotated[str, typer.Option(help="sqlite, redis or both.")] = "both",
    seed: int = 1,
) -> None:
    """Kill at random while events are written; the status is 1 where one was lost or counted twice."""
    failed = False
    for kind in ("sqlite", "redis") if store == "both" else (store,):
        for number in range(rounds):
            with tempfile.TemporaryDirectory() as folder:
                found = one_round(kind, Path(folder), seconds, seed + number)
            failed |= bool(found.lost or found.double or found.miscounted)
            figures = "  ".join(f"{name} {value:,}" for name, value in found._asdict().items())
            typer.echo(f"{kind} round {number + 1}: {figures}")
    raise typer.Exit(int(failed))


if __name__ == "__main__":
    typer.run(main)
