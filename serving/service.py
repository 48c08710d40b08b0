"""What outlives a release: the store, the rules, the record of answers; and the engine that answers now."""

from __future__ import annotations

import contextlib
import hashlib
import threading
import time
from collections.abc import Sequence
from typing import Any

import structlog

from components.contract.release import Release
from serving.answers import Recorder
from serving.engine import Engine
from serving.errors import RequestError, located
from serving.metrics import LOG_READ, release_loaded
from serving.payloads import Instance
from serving.rules.policy import Policy
from serving.rules.rules import Rules, parse_rules
from serving.scoring import Budget
from serving.settings import ServingSettings
from serving.stores.base import Store, StoredEvent, StoreError

log = structlog.get_logger()
_RULES = "rules"
_REFRESH_SECONDS = 1.0
_CHECKPOINT_SECONDS = 60.0


class Service:
    """The running recommender.

    Parameters
    ----------
    release : Release
        Verified.
    store : Store, optional
        Without one there are no events, and the rules are the default ones.
    settings : ServingSettings, optional

    Raises
    ------
    ReleaseError
        See :class:`Engine`.
    """

    def __init__(self, release: Release, store: Store | None = None, settings: ServingSettings | None = None):
        self.store = store
        self._settings = settings or ServingSettings()
        self._rules, self._document = Rules(), b""
        self._changing = threading.Lock()
        if store is not None:
            with contextlib.suppress(StoreError):
                self._read_rules()
        self.engine = self._load(release)
        self._tell()
        self._recorder = Recorder(store) if store is not None else None
        self._stopping = threading.Event()
        self._follower = threading.Thread(target=self._follow, name="follow-store", daemon=True)
        if store is not None:
            self._follower.start()

    def _load(self, release: Release) -> Engine:
        engine = Engine(
            release,
            self.store,
            rules=self._rules,
            exploration=self._settings.exploration,
            log_features=self._settings.log_features,
            ranker=self._settings.ranker,
        )
        engine.warm_up()
        return engine

    def beside(self, release: Release) -> Engine:
        """An engine of another release over the same store, which it only reads; it answers nobody."""
        return Engine(release, self.store, rules=self._rules, ranker=self._settings.ranker)

    def change(self, release: Release) -> None:
        """Load a release beside the one that answers, then let it answer.

        Requests under way end with the old one. Raises what :class:`Engine` does; the old one stays then.
        """
        engine = self._load(release)
        with self._changing:
            engine.apply(self._rules)
            self.engine = engine
        self._tell()

    def _tell(self) -> None:
        """Let the metrics say which release answers."""
        engine = self.engine
        created = engine.release.manifest.created.timestamp()
        release_loaded(
            engine.name, created, engine.last_event, engine.pages, engine.associates, engine.listed
        )

    def stop(self) -> None:
        """Write what waits to be recorded, leave a checkpoint, let go of the store."""
        self._stopping.set()
        if self.store is None:
            return
        self._follower.join(timeout=5)
        if self._recorder is not None:
            self._recorder.stop()
        with contextlib.suppress(StoreError):
            self.engine.live.checkpoint()
        self.store.close()

    def recommend(
        self, instances: Sequence[Instance], *, started: float | None = None, largest: int | None = None
    ) -> list[dict[str, Any]]:
        """Answer a batch, and have the answers recorded.

        Parameters
        ----------
        instances : sequence of Instance
        started : float, optional
            ``time.monotonic()`` when the request came in; its deadline counts from there.
        largest : int, optional
            Where instances of several requests come together: how many the largest of these has.
        """
        # A request of many may take longer than a single question, but not as long as its parts one by one.
        seconds = self._settings.deadline_ms / 1000 * (1 + 0.1 * ((largest or len(instances)) - 1))
        budget = Budget(seconds, time.monotonic() if started is None else started)
        batch = self.engine.answer(instances, budget=budget)
        if self._recorder is not None:
            self._recorder.add(batch.records, len(batch.answers))
        return batch.answers

    def observe(self, events: Sequence[StoredEvent]) -> list[StoredEvent]:
        """Store events and let the next request see them; returns the new ones.

        Raises
        ------
        StoreError
            Nothing was stored, or nobody knows: sending again is safe.
        """
        added = self._kept().append(events)
        # They are durable: that the trends cannot be read just now is no failure.
        with contextlib.suppress(StoreError):
            self.engine.live.catch_up()
        return [entry.event for entry in added]

    def forget(self, associate_id: str) -> None:
        """Remove an associate: events, history and attributes are not known any more.

        Raises
        ------
        StoreError
            The store does not answer.
        """
        self._kept().forget(associate_id)
        self.engine.forget(associate_id)

    def _kept(self) -> Store:
        if self.store is None:
            raise RuntimeError("this server keeps no events")
        return self.store

    def rules(self) -> tuple[Rules, str]:
        """The rules in force and their version."""
        return self._rules, _version(self._document)

    def set_rules(self, document: bytes, expected: str | None) -> str:
        """Replace the rules everywhere; returns the new version.

        Parameters
        ----------
        document : bytes
            JSON.
        expected : str or None
            The version that is to be replaced; None replaces any.

        Raises
        ------
        RequestError
            The document breaks a rule of its own, or (412) another version is in force.
        StoreError
            The store does not answer.
        """
        rules = parse_rules(document)
        store = self._kept()
        before = store.get(_RULES)
        if expected is not None and expected != _version(before or b""):
            raise RequestError("If-Match: the rules were changed meanwhile; read them again", 412)
        if not store.put_if(_RULES, document, before):
            raise RequestError("the rules were changed at the same moment; read them again", 412)
        with self._changing:
            self._rules, self._document = rules, document
            self.engine.apply(rules)
        return _version(document)

    def compile(self, rules: Rules) -> Policy:
        """Rules over the release that answers."""
        return self.engine.compile(rules)

    def warnings(self, rules: Rules) -> list[str]:
        """What the rules name and the release does not hold."""
        return self.engine.warnings(rules)

    def preview(self, instance: Instance, policy: Policy | None = None) -> dict[str, Any]:
        """Answer one question by other rules; nothing is recorded."""
        return self.engine.answer([instance], policy=policy).answers[0]

    def _read_rules(self) -> bool:
        """Take over rules that another process has set; whether there were any."""
        assert self.store is not None
        document = self.store.get(_RULES) or b""
        if document == self._document:
            return False
        try:
            rules = parse_rules(document) if document else Rules()
        except RequestError as error:
            # Written by a later version, say: the rules in force stay.
            log.error("rules refused", error=str(error))
            self._document = document
            return False
        self._rules, self._document = rules, document
        return True

    def _follow(self) -> None:
        """Move with the store until the end."""
        refreshed = saved = time.monotonic()
        while not self._stopping.wait(self._settings.follow_ms / 1000):
            now, engine = time.monotonic(), self.engine
            try:
                engine.live.catch_up()
                LOG_READ.set_to_current_time()
                if now - refreshed >= _REFRESH_SECONDS:
                    refreshed = now
                    engine.refresh()
                    with self._changing:
                        if self._read_rules():
                            self.engine.apply(self._rules)
                if now - saved >= _CHECKPOINT_SECONDS:
                    saved = now
                    engine.live.checkpoint()
            except StoreError:
                # The guard has said so; ask again soon.
                refreshed = 0.0
                self._stopping.wait(0.25)
            except Exception as error:
                log.error("following the store failed", **located(error))
                self._stopping.wait(1.0)


def _version(document: bytes) -> str:
    return hashlib.sha256(document).hexdigest()[:16]
