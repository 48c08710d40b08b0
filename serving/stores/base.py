"""What the server asks of a store, and what a store says of an associate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from components.contract.errors import WaymarkError


class StoreError(WaymarkError):
    """The store cannot be reached, or did not answer in time."""


class StoredEvent(NamedTuple):
    """One event; ``row`` is the whole row as JSON, ``time`` epoch seconds."""

    event_id: str
    associate_id: str
    page_id: str
    event_type: str
    time: float
    row: str


class Entry(NamedTuple):
    """An event in the log.

    Attributes
    ----------
    event : StoredEvent
    first : bool
        Whether it was the associate's first engagement with the page that the store knows of when
        it was appended: what trends count.
    """

    event: StoredEvent
    first: bool


class Activity(NamedTuple):
    """What a store knows of one associate.

    Attributes
    ----------
    visits : list of (str, float)
        Each page engaged with and when first (epoch seconds), oldest first.
    completions : dict of str to float
        Each page completed and when last.
    forgotten : bool
        The associate asked to be forgotten: nothing else is known, and nothing may be used.
    """

    visits: list[tuple[str, float]]
    completions: dict[str, float]
    forgotten: bool


class Answer(NamedTuple):
    """One answer that was given; ``body`` is its record as JSON, ``associate_id`` may be ""."""

    request_id: str
    associate_id: str
    time: float
    body: str


class Store(Protocol):
    """Keeps events, in the order in which they came, and what follows from them.

    Every method raises :class:`StoreError` when the store cannot be reached in time. What
    :meth:`append` returned survives the death of every process. Positions are opaque texts; ``""``
    is before everything.
    """

    def append(self, events: Sequence[StoredEvent]) -> list[Entry]:
        """Add events, all or none; returns the new ones in the order given.

        Events whose id is known already are left out, and those of forgotten associates.
        """

    def activity(self, associate_ids: Sequence[str]) -> list[Activity]:
        """What is known of each associate, in one round trip."""

    def read(self, after: str, limit: int) -> tuple[list[Entry], str]:
        """The log after a position, at most ``limit`` entries; also the position reached.

        Every appended event is read exactly once by a reader that carries the position on, also
        when several processes append. Events deleted since are passed over.
        """

    def end(self) -> str:
        """The position after the last event appended so far."""

    def trim(self, before: float) -> int:
        """Delete drained events and answers that were added before this (epoch seconds).

        What has expired goes too. The ids of deleted events and what is known of associates stay.
        Returns how many events and answers were deleted.
        """

    def forget(self, associate_id: str) -> None:
        """Delete all of an associate and remember that the associate is not to be known."""

    def forgotten(self) -> set[str]:
        """Associates who asked to be forgotten."""

    def claim(self, limit: int) -> tuple[list[Entry], str]:
        """Events that are to be drained, oldest first, and a name for the claim.

        The same events come again, under the same name, until :meth:`settle` is called; only then
        the next ones do, also when the claimant died between. The name is "" where nothing waits; no
        two claims ever share one.
        """

    def settle(self, claim: str) -> None:
        """A claim's events are safe elsewhere. A claim that is settled already is passed over."""

    def record(self, answers: Sequence[Answer]) -> None:
        """Append to the log of answers, each request id once; not those to forgotten associates."""

    def claim_answers(self, limit: int) -> tuple[list[Answer], str]:
        """As :meth:`claim`, for answers."""

    def settle_answers(self, claim: str) -> None:
        """As :meth:`settle`, for answers."""

    def answer(self, request_id: str) -> Answer | None:
        """One answer, while it is kept."""

    def recent_answers(self, associate_id: str, limit: int) -> list[Answer]:
        """The latest answers to an associate, newest first, while they are kept."""

    def put(self, key: str, value: bytes, *, seconds: float | None = None) -> None:
        """Keep a small document (rules, a checkpoint); ``seconds`` is how long, None for good."""

    def put_if(self, key: str, value: bytes, expected: bytes | None) -> bool:
        """Replace a document only if it still is ``expected`` (None: absent). Whether it was."""

    def get(self, key: str) -> bytes | None:
        """Read a document; None if there is none (any more)."""

    def put_lists(self, release: str, lists: Mapping[str, bytes]) -> None:
        """Keep packed candidate lists by associate, for one release; may be called many times."""

    def lists(self, release: str, associate_ids: Sequence[str]) -> list[bytes | None]:
        """Packed lists of associates, in one round trip."""

    def retire_lists(self, release: str, seconds: float) -> None:
        """Let the lists of a release expire after ``seconds``."""

    def ping(self) -> None:
        """Raise :class:`StoreError` unless the store answers."""

    def close(self) -> None:
        """Let go of files and connections."""
