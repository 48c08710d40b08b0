"""The shared store: Redis, for any number of processes and machines."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from redis import Redis
from redis.backoff import NoBackoff
from redis.connection import ConnectionPool
from redis.exceptions import RedisError
from redis.maint_notifications import MaintNotificationsConfig
from redis.retry import Retry

from components.contract.time import DAY
from serving.stores import packing, scripts
from serving.stores.base import Activity, Answer, Entry, StoredEvent, StoreError
from serving.stores.settings import StoreSettings

_LOG, _ANSWERS = scripts.PREFIX + "log", scripts.PREFIX + "answers"
_RELEASES, _FORGOTTEN = scripts.PREFIX + "releases", scripts.PREFIX + "forgotten"
# Entries that a script looks at while nobody else is served: a millisecond.
_SCAN = 1000


class RedisStore:
    """See :class:`serving.stores.base.Store`.

    What a request waits for has the short timeout of the settings, all else the long one; nothing is
    tried twice. Durable as Redis is: with ``appendonly yes`` and ``appendfsync always``.

    Parameters
    ----------
    url : str
        ``redis://[[USER]:PASSWORD@]HOST:PORT/DB`` or ``rediss://...``.
    settings : StoreSettings, optional
        From the environment when absent.

    Raises
    ------
    StoreError
        The address is malformed.
    """

    def __init__(self, url: str, settings: StoreSettings | None = None):
        self._settings = settings or StoreSettings()
        try:
            quick = self._client(url, self._settings.timeout_ms / 1e3)
            self._redis = self._client(url, self._settings.write_timeout_ms / 1e3)
        except ValueError as error:
            raise StoreError(f"store: the address is no Redis URL: {error}") from error
        place = quick.connection_pool.connection_kwargs
        self._name = (
            f"redis://{place.get('host', 'localhost')}:{place.get('port', 6379)}/{place.get('db', 0)}"
        )
        self._quick = quick
        self._scripts = {
            name: (quick if name in (scripts.ACTIVITY, scripts.ANSWERS) else self._redis).register_script(
                name
            )
            for name in scripts.ALL
        }

    @staticmethod
    def _client(url: str, timeout: float) -> Any:
        pool = ConnectionPool.from_url(
            url,
            socket_timeout=timeout,
            socket_connect_timeout=timeout,
            retry=Retry(NoBackoff(), 0),
            protocol=2,
            # They would keep the pool from looking whether a connection is still there.
            maint_notifications_config=MaintNotificationsConfig(enabled=False),
        )
        return Redis(connection_pool=pool)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (RedisError, OSError) as error:
            raise StoreError(f"store {self._name}: {error}") from error

    def _run(self, script: str, args: Sequence[Any], keys: Sequence[str] = ()) -> Any:
        """Run a script; one that Redis lost, since it was started again, is sent again."""
        with self._explained():
            return self._scripts[script](keys=keys, args=args)

    def append(self, events: Sequence[StoredEvent]) -> list[Entry]:
        """See :class:`serving.stores.base.Store`; in one script, so that it can be sent again."""
        if not events:
            return []
        args: list[Any] = [_seconds(self._settings.id_days), _seconds(self._settings.activity_days)]
        for event in events:
            args += packing.event_args(event)
        marks = self._run(scripts.APPEND, args)
        return [
            Entry(event, mark == packing.FIRST)
            for event, mark in zip(events, marks, strict=True)
            if mark != packing.KNOWN
        ]

    def activity(self, associate_ids: Sequence[str]) -> list[Activity]:
        """See :class:`serving.stores.base.Store`."""
        found = self._run(scripts.ACTIVITY, associate_ids) if associate_ids else []
        return [packing.read_activity(packed) for packed in found]

    def read(self, after: str, limit: int) -> tuple[list[Entry], str]:
        """See :class:`serving.stores.base.Store`."""
        found, reached = self._page(_LOG, after, "+", limit)
        return [packing.read_entry(packed) for packed in found], reached

    def _page(self, stream: str, after: str, last: str, limit: int) -> tuple[list[bytes], str]:
        """Entries after a position up to a last one, at most ``limit`` looked at; the position reached."""
        reached, *found = self._run(scripts.READ, (after, last, limit), (stream,))
        return found, reached.decode()

    def end(self) -> str:
        """See :class:`serving.stores.base.Store`."""
        with self._explained():
            last = self._redis.xrevrange(_LOG, count=1)
        return last[0][0].decode() if last else ""

    def trim(self, before: float) -> int:
        """See :class:`serving.stores.base.Store`; what expires, Redis deletes by itself."""
        milliseconds = max(int(min(before, time.time() + DAY) * 1e3), 0)
        return sum(self._run(scripts.TRIM, (milliseconds,), (stream,)) for stream in (_LOG, _ANSWERS))

    def forget(self, associate_id: str) -> None:
        """See :class:`serving.stores.base.Store`; the streams are looked through in short steps."""
        with self._explained():
            # First of all: from here on nothing of the associate is taken in or given out.
            self._redis.sadd(_FORGOTTEN, associate_id)
            releases = self._redis.zrange(_RELEASES, 0, -1)
            with self._redis.pipeline() as pipe:
                for kind in ("seen:0", "seen:1", "answers_of"):
                    pipe.delete(f"{scripts.PREFIX}{kind}:{associate_id}")
                for release in releases:
                    pipe.hdel(_shard(release.decode(), associate_id), associate_id)
                pipe.execute()
        for stream in (_LOG, _ANSWERS):
            position: Any = "-"
            while position is not None:
                position = self._run(scripts.FORGET, (associate_id, position, _SCAN), (stream,))

    def forgotten(self) -> set[str]:
        """See :class:`serving.stores.base.Store`."""
        with self._explained():
            return {member.decode() for member in self._redis.smembers(_FORGOTTEN)}

    def claim(self, limit: int) -> tuple[list[Entry], str]:
        """See :class:`serving.stores.base.Store`; in steps, between which others are served."""
        found, name = self._claim(_LOG, limit)
        return [packing.read_entry(packed) for packed in found], name

    def settle(self, claim: str) -> None:
        """See :class:`serving.stores.base.Store`."""
        self._settle(_LOG, claim)

    def _claim(self, stream: str, limit: int) -> tuple[list[bytes], str]:
        settled, claimed = self._run(scripts.CLAIMED, (), (stream, _claimed(stream)))
        position = settled.decode()
        last = "+" if claimed is None else claimed.decode()
        found: list[bytes] = []
        while True:
            step = _SCAN if claimed else min(_SCAN, limit - len(found))
            before = position
            page, position = self._page(stream, position, last, step)
            found += page
            if position == before or (claimed is None and len(found) >= limit):
                break
        if claimed is None and position != settled.decode():
            with self._explained():
                if not self._redis.set(_claimed(stream), position, nx=True):
                    raise StoreError(f"store {self._name}: two drains at once")
        # A claim whose events were all deleted has its last position no longer in the stream.
        name = position if claimed is None else last
        return found, "" if name == settled.decode() else f"{settled.decode()}_{name}"

    def _settle(self, stream: str, claim: str) -> None:
        self._run(scripts.SETTLE, (claim.rpartition("_")[2],), (stream, _claimed(stream)))

    def record(self, answers: Sequence[Answer]) -> None:
        """See :class:`serving.stores.base.Store`; bodies are compressed."""
        args: list[Any] = [_seconds(self._settings.log_days)]
        for answer in answers:
            args += packing.answer_args(answer)
        if answers:
            self._run(scripts.RECORD, args)

    def claim_answers(self, limit: int) -> tuple[list[Answer], str]:
        """See :class:`serving.stores.base.Store`."""
        found, name = self._claim(_ANSWERS, limit)
        return [packing.read_answer(packed) for packed in found], name

    def settle_answers(self, claim: str) -> None:
        """See :class:`serving.stores.base.Store`."""
        self._settle(_ANSWERS, claim)

    def answer(self, request_id: str) -> Answer | None:
        """See :class:`serving.stores.base.Store`."""
        return next(map(packing.read_answer, self._run(scripts.ANSWERS, (request_id,))), None)

    def recent_answers(self, associate_id: str, limit: int) -> list[Answer]:
        """See :class:`serving.stores.base.Store`; at most 50."""
        return [packing.read_answer(packed) for packed in self._run(scripts.ANSWERS, (associate_id, limit))]

    def put(self, key: str, value: bytes, *, seconds: float | None = None) -> None:
        """See :class:`serving.stores.base.Store`."""
        milliseconds = None if seconds is None else max(int(seconds * 1e3), 1)
        with self._explained():
            self._redis.set(_document(key), value, px=milliseconds)

    def put_if(self, key: str, value: bytes, expected: bytes | None) -> bool:
        """See :class:`serving.stores.base.Store`."""
        args = (value, int(expected is not None), expected or b"")
        return bool(self._run(scripts.PUT_IF, args, (_document(key),)))

    def get(self, key: str) -> bytes | None:
        """See :class:`serving.stores.base.Store`."""
        with self._explained():
            return self._redis.get(_document(key))

    def put_lists(self, release: str, lists: Mapping[str, bytes]) -> None:
        """See :class:`serving.stores.base.Store`."""
        with self._explained():
            self._redis.zremrangebyscore(_RELEASES, 1, time.time())
            retired = self._redis.zscore(_RELEASES, release)
            self._redis.zadd(_RELEASES, {release: 0})
            if retired:
                self._each_shard(release, "PERSIST")
        gone = self.forgotten()
        known = {name: value for name, value in lists.items() if name not in gone} if gone else lists
        for packed in packing.packed_lists(known):
            self._run(scripts.PUT_LISTS, (packed,), (_lists(release),))

    def _each_shard(self, release: str, command: str, *args: Any) -> None:
        with self._redis.pipeline(transaction=False) as pipe:
            for shard in range(packing.SHARDS):
                pipe.execute_command(command, f"{_lists(release)}{shard}", *args)
            pipe.execute()

    def lists(self, release: str, associate_ids: Sequence[str]) -> list[bytes | None]:
        """See :class:`serving.stores.base.Store`."""
        with self._explained(), self._quick.pipeline(transaction=False) as pipe:
            for associate_id in associate_ids:
                pipe.hget(_shard(release, associate_id), associate_id)
            return pipe.execute()

    def retire_lists(self, release: str, seconds: float) -> None:
        """See :class:`serving.stores.base.Store`."""
        with self._explained():
            if self._redis.zadd(_RELEASES, {release: time.time() + seconds}, xx=True, ch=True):
                self._each_shard(release, "PEXPIRE", int(seconds * 1e3))

    def ping(self) -> None:
        """See :class:`serving.stores.base.Store`."""
        with self._explained():
            self._quick.ping()

    def close(self) -> None:
        """See :class:`serving.stores.base.Store`."""
        for client in (self._quick, self._redis):
            client.connection_pool.disconnect()


_KNOWN, _FIRST = ord("0"), ord("2")


def _seconds(days: float) -> int:
    return max(int(days * DAY), 1)


def _document(key: str) -> str:
    return f"{scripts.PREFIX}document:{key}"


def _claimed(stream: str) -> str:
    return f"{stream}:claim"


def _lists(release: str) -> str:
    return f"{scripts.PREFIX}lists:{release}:"


def _shard(release: str, associate_id: str) -> str:
    return f"{_lists(release)}{packing.shard(associate_id)}"
