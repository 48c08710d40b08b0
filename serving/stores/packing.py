"""How values are packed for Redis, and read again; the scripts in ``scripts`` know the same layouts."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Mapping
from hashlib import blake2b

import orjson

from components.contract.columns import COMPLETE, ENGAGEMENTS
from serving.stores.base import Activity, Answer, Entry, StoredEvent

# A hash holds the lists of many associates: one key a list would cost twice the overhead, and to let a
# release expire would take a command for each associate.
SHARDS = 4096
KNOWN, FIRST = ord("0"), ord("2")
_KINDS = dict.fromkeys(ENGAGEMENTS, 1) | {COMPLETE: 2}
_HEAD, _SEEN, _LIST = struct.Struct(">16sBd"), struct.Struct(">HB"), struct.Struct(">HHI")
_TIME, _LENGTH = struct.Struct(">d"), struct.Struct(">H")
_WINDOW = 2**20


def id_hash(event_id: str) -> bytes:
    """16 bytes that stand for an event's id.

    Ids may name people, and are known for longer than what they belong to.
    """
    return blake2b(event_id.encode(), digest_size=16).digest()


def event_args(event: StoredEvent) -> tuple[bytes, str, str, bytes]:
    """Head, associate, page and payload, as the script that appends takes them."""
    head = _HEAD.pack(id_hash(event.event_id), _KINDS.get(event.event_type, 0), event.time)
    fields = orjson.dumps([event.event_id, event.page_id, event.event_type, event.time])
    return head, event.associate_id, event.page_id, fields + b"\n" + event.row.encode()


def answer_args(answer: Answer) -> tuple[str, str, bytes]:
    """Associate, request and data, as the script that records takes them; the body is compressed."""
    data = _TIME.pack(answer.time) + zlib.compress(answer.body.encode(), 1)
    return answer.associate_id, answer.request_id, data


def shard(associate_id: str) -> int:
    """Which of a release's hashes holds the list of an associate."""
    return zlib.crc32(associate_id.encode()) % SHARDS


def packed_lists(lists: Mapping[str, bytes]) -> Iterator[bytes]:
    """Lists as the script takes them, about a megabyte at a time."""
    parts: list[bytes] = []
    size = 0
    for associate_id, value in lists.items():
        associate = associate_id.encode()
        parts += (_LIST.pack(zlib.crc32(associate) % SHARDS, len(associate), len(value)), associate, value)
        size += len(value)
        if size > _WINDOW:
            yield b"".join(parts)
            parts, size = [], 0
    if parts:
        yield b"".join(parts)


def read_activity(packed: bytes | None) -> Activity:
    """What the script gave of an associate; None is one who is forgotten."""
    if packed is None:
        return Activity([], {}, True)
    visits: dict[str, float] = {}
    completions: dict[str, float] = {}
    at = 0
    while at < len(packed):
        page_size, times_size = _SEEN.unpack_from(packed, at)
        times = at + _SEEN.size + page_size
        page_id = packed[at + _SEEN.size : times].decode()
        (visited,) = _TIME.unpack_from(packed, times)
        # A page may come from both hashes.
        visits[page_id] = min(visited, visits.get(page_id, visited))
        if times_size > _TIME.size:
            (completed,) = _TIME.unpack_from(packed, times + _TIME.size)
            completions[page_id] = max(completed, completions.get(page_id, completed))
        at = times + times_size
    return Activity(sorted(visits.items(), key=lambda visit: visit[::-1]), completions, False)


def _given(packed: bytes) -> tuple[str, bytes, bytes]:
    """Associate, third field and data of an entry that a script gave."""
    middle = 2 + _LENGTH.unpack_from(packed)[0]
    last = middle + 2 + _LENGTH.unpack_from(packed, middle)[0]
    return packed[2:middle].decode(), packed[middle + 2 : last], packed[last:]


def read_entry(packed: bytes) -> Entry:
    """An entry of the log."""
    associate_id, mark, payload = _given(packed)
    fields, _, row = payload.partition(b"\n")
    event_id, page_id, event_type, when = orjson.loads(fields)
    return Entry(
        StoredEvent(event_id, associate_id, page_id, event_type, when, row.decode()), mark[0] == FIRST
    )


def read_answer(packed: bytes) -> Answer:
    """An entry of the log of answers."""
    associate_id, request_id, data = _given(packed)
    body = zlib.decompress(data[_TIME.size :]).decode()
    return Answer(request_id.decode(), associate_id, _TIME.unpack_from(data)[0], body)
