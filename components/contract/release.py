"""The release: one folder that holds all that serving needs, and the pointer to the current one.

::

    HOME/current -> releases/20261030T120000-ab12cd       a relative link, swapped in one step
    HOME/releases/<name>/
        manifest.json                    checksums, figures, lineage
        pages.parquet associates.parquet interactions.parquet completions.parquet
        page_days.parquet meta.json
        sources/<source>/ holdout/<source>/ ranker/ statistics/ evaluation.json reports/<kind>.html
        lists/                           where the pipelines ran with lists.size set

A release folder is complete or absent, and never changes. The tables at its root are a
:class:`~components.contract.dataset.Dataset` with the recent history of each associate.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any, Literal
from uuid import uuid4

from pydantic import BaseModel, ConfigDict, ValidationError

from components.contract.errors import ReleaseError
from components.contract.files import atomic_folder

MANIFEST = "manifest.json"
SOURCES = ("transitions", "neighbours", "skip_gram", "content_similarity", "two_tower", "trending")
Kind = Literal["bootstrap", "daily", "weekly", "monthly"]

_NAME = re.compile(r"\d{8}T\d{6}-[0-9a-f]{6}")


def is_name(text: str) -> bool:
    """Whether a text has the form of a release's name.

    Examples
    --------
    >>> is_name("20261030T120000-ab12cd"), is_name("latest")
    (True, False)
    """
    return _NAME.fullmatch(text) is not None


# An aside folder this old belongs to a build that died.
_ABANDONED_SECONDS = 24 * 3600.0


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class FileEntry(_Record):
    """Checksum of one file of a release."""

    sha256: str
    size: int


class Lineage(_Record):
    """Where a release comes from.

    Attributes
    ----------
    data : dict
        Of the snapshot: ``span`` of the log (epoch seconds), its first and last ``days``, ``inputs``
        (the files read, and their hashes), ``sources`` (hashes of the tables that ingest wrote) and
        ``schema`` (version of each table's reviewed schema).
    code : str
        ``git describe`` of the code, or the package version.
    run : str
        Pipeline run that built it.
    parent : str or None
        Release that was current when it was built.
    inherited : dict
        Parts taken over unchanged, and the release each comes from.
    """

    data: dict[str, Any] = {}
    code: str = "unknown"
    run: str = ""
    parent: str | None = None
    inherited: dict[str, str] = {}


class Manifest(_Record):
    """What a release holds; ``digest`` covers the checksums of all its files."""

    layout: Literal[1] = 1
    name: str
    kind: Kind
    created: datetime
    digest: str
    files: dict[str, FileEntry]
    metrics: dict[str, float | int | str] = {}
    lineage: Lineage = Lineage()


@dataclass(frozen=True)
class Release:
    """One release on disk.

    Attributes
    ----------
    root : Path
        Its folder; the tables there open with ``Dataset.load(root)``.
    manifest : Manifest
    """

    root: Path
    manifest: Manifest

    @property
    def name(self) -> str:
        """Name of the release."""
        return self.manifest.name

    def part(self, name: str) -> Path:
        """Path of a part: a source, ``holdout/<source>``, ``ranker``, ``lists``, ``evaluation.json``, ...

        Raises
        ------
        ReleaseError
            The release has no such part.
        """
        path = self.root / "sources" / name if name in SOURCES else self.root / name
        if not path.exists():
            raise ReleaseError(f"release {self.name} holds no {name}")
        return path

    @property
    def ranker(self) -> Path:
        """The ranker's folder."""
        return self.part("ranker")

    @property
    def evaluation(self) -> Path:
        """The evaluation report, JSON."""
        return self.part("evaluation.json")

    @property
    def statistics(self) -> Path:
        """Folder of the statistics of the data it was built from."""
        return self.part("statistics")

    def verify(self) -> None:
        """Compare every file with its checksum.

        Raises
        ------
        ReleaseError
            A file is missing or differs; the message names it.
        """
        if digest_of(self.manifest.files) != self.manifest.digest:
            raise ReleaseError(f"{self.root / MANIFEST}: its file list was altered (digest differs)")
        for name, entry in self.manifest.files.items():
            relative = PurePosixPath(name)
            if relative.is_absolute() or ".." in relative.parts:
                raise ReleaseError(f"{self.root / MANIFEST}: {name} lies outside the release")
            path = self.root / name
            if not path.is_file():
                raise ReleaseError(f"{path} is missing; restore it or roll back to another release")
            size = path.stat().st_size
            if size != entry.size:
                raise ReleaseError(f"{path} has {size} bytes, its manifest says {entry.size}")
            if _sha256(path) != entry.sha256:
                raise ReleaseError(f"{path} fails its checksum; restore it or roll back to another release")


def _sha256(path: Path) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def digest_of(files: dict[str, FileEntry]) -> str:
    """Digest of a file list: depends on names and contents, not on order.

    Examples
    --------
    >>> one, two = FileEntry(sha256="aa", size=1), FileEntry(sha256="bb", size=2)
    >>> digest_of({"x": one, "y": two}) == digest_of({"y": two, "x": one})
    True
    >>> digest_of({"x": one}) == digest_of({"x": two})
    False
    """
    lines = "".join(f"{entry.sha256}  {name}\n" for name, entry in sorted(files.items()))
    return hashlib.sha256(lines.encode()).hexdigest()


def release_name(last_event: float, digest: str) -> str:
    """Name that sorts by the time of the data, and tells contents apart.

    Parameters
    ----------
    last_event : float
        Time of the log's last event, epoch seconds.
    digest : str
        :func:`digest_of` its files.

    Examples
    --------
    >>> release_name(1793361600.0, "ab12cd34")
    '20261030T120000-ab12cd'
    """
    return f"{datetime.fromtimestamp(last_event, UTC):%Y%m%dT%H%M%S}-{digest[:6]}"


def _releases(home: Path | str) -> Path:
    return Path(home) / "releases"


def write_release(
    home: Path | str,
    fill: Callable[[Path], None],
    *,
    kind: Kind,
    last_event: float,
    metrics: Mapping[str, float | int | str] | None = None,
    lineage: Lineage | None = None,
) -> Release:
    """Write a release aside and let it join ``HOME/releases`` whole; the pointer does not move.

    Parameters
    ----------
    home : Path or str
        Folder of all releases.
    fill : callable
        Writes the content into the folder that it is given.
    kind : str
        Pipeline that builds it.
    last_event : float
        Time of the log's last event, epoch seconds; the first part of the name.
    metrics, lineage
        For the manifest.

    Returns
    -------
    Release
        Content that is there already keeps its folder and manifest: building twice changes nothing.
    """
    building = _releases(home) / f"build-{uuid4().hex}"
    with atomic_folder(building) as aside:
        fill(aside)
        files = {
            path.relative_to(aside).as_posix(): FileEntry(sha256=_sha256(path), size=path.stat().st_size)
            for path in sorted(aside.rglob("*"))
            if path.is_file()
        }
        digest = digest_of(files)
        manifest = Manifest(
            name=release_name(last_event, digest),
            kind=kind,
            created=datetime.now(UTC),
            digest=digest,
            files=files,
            metrics=dict(metrics or {}),
            lineage=lineage or Lineage(),
        )
        (aside / MANIFEST).write_text(manifest.model_dump_json(indent=1))
    target = _releases(home) / manifest.name
    try:
        _settle(building, target)
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return read(target)


def _settle(building: Path, target: Path) -> None:
    """Give a finished folder its name, unless a sound release has it already."""
    if target.exists():
        try:
            load(target)
        except ReleaseError:
            # A damaged copy of the same content: this one repairs it.
            target.rename(target.with_name(f"build-{uuid4().hex}"))
        else:
            return
    building.rename(target)


def read(path: Path | str) -> Release:
    """Read a release's manifest, without checking its files.

    Raises
    ------
    ReleaseError
        ``path`` is no release, or its manifest is of another layout.
    """
    # Resolved once: the pointer may move while the release is in use.
    root = Path(path).resolve()
    try:
        manifest = Manifest.model_validate_json((root / MANIFEST).read_bytes())
    except OSError as error:
        raise ReleaseError(f"{path} is no release: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"])) or "JSON"
        raise ReleaseError(f"{root / MANIFEST}: {field}: {first['msg']}") from error
    return Release(root, manifest)


def load(path: Path | str) -> Release:
    """Read a release and verify every checksum.

    Parameters
    ----------
    path : Path or str
        A release folder (a storage initialiser mounts one bare), or a HOME, whose current
        release is taken.

    Raises
    ------
    ReleaseError
        Nothing is released there, or a file fails its checksum.
    """
    path = Path(path)
    if not (path / MANIFEST).exists() and (path / "current").is_symlink():
        path = path / "current"
    release = read(path)
    release.verify()
    return release


def current(home: Path | str) -> Release | None:
    """The current release of a HOME (unverified), or None before the first.

    Raises
    ------
    ReleaseError
        The pointer leads to no release.
    """
    pointer = Path(home) / "current"
    return read(pointer) if pointer.is_symlink() else None


def list_releases(home: Path | str) -> list[Release]:
    """Releases of a HOME, newest data first; equal data times go by time of creation.

    Folders that are no readable release are left out.
    """
    found = []
    releases = _releases(home)
    for path in releases.iterdir() if releases.is_dir() else ():
        if is_name(path.name):
            try:
                found.append(read(path))
            except ReleaseError:
                continue
    return sorted(found, key=_age, reverse=True)


def _age(release: Release) -> tuple[str, datetime]:
    return release.name.split("-")[0], release.manifest.created


def publish(home: Path | str, name: str) -> Release:
    """Verify a release and make it current, in one atomic step.

    Raises
    ------
    ReleaseError
        The release is missing or fails its checksums; the current one stays.
    """
    if not is_name(name):
        raise ReleaseError(f"{name!r} is no release name (like 20261030T120000-ab12cd)")
    release = load(_releases(home) / name)
    aside = Path(home) / f".current.{uuid4().hex}"
    aside.symlink_to(Path("releases") / name)
    try:
        os.replace(aside, Path(home) / "current")
    finally:
        aside.unlink(missing_ok=True)
    return release


def rollback(home: Path | str, to: str | None = None) -> Release:
    """Make an earlier release current.

    Parameters
    ----------
    home : Path or str
    to : str, optional
        Its name; by default the newest one before the current that passes its checksums.

    Raises
    ------
    ReleaseError
        There is none to go back to.
    """
    if to is not None:
        return publish(home, to)
    now = current(home)
    if now is None:
        raise ReleaseError(f"{home} has no current release to roll back from")
    for release in list_releases(home):
        if _age(release) < _age(now):
            try:
                return publish(home, release.name)
            except ReleaseError:
                continue
    raise ReleaseError(f"{home} has no sound release before {now.name}")


def prune(home: Path | str, keep: int = 3, needed: Collection[str] = ()) -> list[str]:
    """Delete old releases: all but the newest ``keep``, the current one and those needed, and dead builds.

    Parameters
    ----------
    home : Path or str
    keep : int
        How many of the newest stay.
    needed : collection of str
        Names of others that stay.

    Returns
    -------
    list of str
        Names of the releases deleted.
    """
    now = current(home)
    spared = {*needed, *(release.name for release in list_releases(home)[:keep])}
    if now is not None:
        spared.add(now.name)
    gone = []
    releases = _releases(home)
    for path in list(releases.iterdir()) if releases.is_dir() else ():
        if is_name(path.name):
            # An unreadable folder is not in the list of releases; it stays for a person to see.
            if path.name in spared or not (path / MANIFEST).is_file():
                continue
            gone.append(path.name)
        elif not path.name.lstrip(".").startswith("build-") or not _abandoned(path):
            continue
        # Renamed first: a release is never seen half deleted.
        doomed = releases / f".build-{uuid4().hex}"
        path.rename(doomed)
        shutil.rmtree(doomed)
    return sorted(gone)


def _abandoned(path: Path) -> bool:
    return time.time() - path.stat().st_mtime > _ABANDONED_SECONDS
