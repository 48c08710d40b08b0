"""Releases of a HOME: what they are, how they did, and which one is current."""

from __future__ import annotations

import errno
import json
from pathlib import Path
from typing import Any

import orjson

from components.contract import release as releases
from components.contract.errors import ReleaseError
from components.contract.release import Release, is_name
from serving.errors import RequestError
from serving.portal.models import Findings, Published, ReleaseDetail, ReleaseLineage, ReleaseSummary

# Kinds of reports that a release may hold.
REPORTS = ("evaluation", "validation", "embeddings")


class Shelf:
    """The releases of one HOME.

    Parameters
    ----------
    home : Path
    """

    def __init__(self, home: Path):
        self._home = home

    def all(self, serving: str) -> list[ReleaseSummary]:
        """Every release, newest data first; ``serving`` is the name of the one that answers."""
        current = self._current()
        return [
            ReleaseSummary(**_summary(release, current, serving))
            for release in releases.list_releases(self._home)
        ]

    def one(self, name: str, serving: str) -> ReleaseDetail:
        """One release."""
        release = self.get(name)
        try:
            evaluation = json.loads(release.evaluation.read_text())
        except (ReleaseError, OSError, json.JSONDecodeError):
            evaluation = None
        files = release.manifest.files
        return ReleaseDetail(
            **_summary(release, self._current(), serving),
            digest=release.manifest.digest,
            files=len(files),
            bytes=sum(entry.size for entry in files.values()),
            evaluation=evaluation,
            reports=[kind for kind in REPORTS if self._report(release, kind) is not None],
        )

    def get(self, name: str) -> Release:
        """One release; nobody has verified its files.

        Raises
        ------
        RequestError
            404: there is none.
        """
        if not is_name(name):
            raise RequestError("no such release", 404)
        try:
            return releases.read(self._home / "releases" / name)
        except ReleaseError as error:
            raise RequestError("no such release", 404) from error

    def publish(self, name: str) -> Published:
        """Make a release current.

        Raises
        ------
        RequestError
            There is no such release (404), it is damaged, or this server only reads HOME (409): the
            current one stays.
        """
        self.get(name)
        previous = self._current()
        try:
            releases.publish(self._home, name)
        except ReleaseError as error:
            raise RequestError(f"release {name} cannot be published: its files are damaged", 409) from error
        except OSError as error:
            if error.errno not in (errno.EROFS, errno.EACCES, errno.EPERM):
                raise
            problem = "this server only reads HOME; roll back with python -m components.rollout rollback"
            raise RequestError(problem, 409) from error
        return Published(release=name, previous=previous)

    def report(self, name: str, kind: str) -> bytes:
        """A report as HTML.

        Raises
        ------
        RequestError
            404: there is none.
        """
        path = self._report(self.get(name), kind)
        if path is None:
            raise RequestError(f"release {name} has no report of this kind", 404)
        return path.read_bytes()

    def findings(self) -> Findings:
        """What the last validation found."""
        try:
            kept = orjson.loads((self._home / "validation" / "findings.json").read_bytes())
        except (OSError, orjson.JSONDecodeError):
            return Findings(validated=False, day=None, findings=[])
        return Findings(validated=True, day=kept["day"], findings=kept["findings"])

    def _current(self) -> str | None:
        try:
            found = releases.current(self._home)
        except ReleaseError:
            return None
        return found.name if found else None

    @staticmethod
    def _report(release: Release, kind: str) -> Path | None:
        path = release.root / "reports" / f"{kind}.html"
        return path if kind in REPORTS and path.is_file() else None


def _summary(release: Release, current: str | None, serving: str) -> dict[str, Any]:
    manifest = release.manifest
    return {
        "name": release.name,
        "kind": manifest.kind,
        "created": manifest.created,
        "current": release.name == current,
        "serving": release.name == serving,
        "metrics": manifest.metrics,
        "lineage": ReleaseLineage(**manifest.lineage.model_dump()),
    }
