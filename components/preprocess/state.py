"""The state between runs: parts of the days before, and a manifest that says which of them count.

::

    STATE/manifest-00000012.json      version, set-up, page numbers, parts with their sizes, input files
    STATE/020513-6f1c2a9e-000.*.arrow  parts (components.preprocess.parts); they never change

A day is summarised anew when its events are not those that its parts were made of, so the state changes
how long a run takes and never what it finds. A run adds parts under names of its own and, at its end, a
manifest; one that dies leaves the manifest before it in force, and files that a later run sweeps away.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any
from uuid import uuid4

import polars as pl
import structlog
from apache_beam.io.filesystem import BeamIOError
from apache_beam.io.filesystems import FileSystems

from components.preprocess import parts
from components.preprocess.events import Print, hash_probe
from components.preprocess.parts import Part

log = structlog.get_logger()
VERSION = 2
_MANIFEST = re.compile(r"manifest-(\d{8})\.json$")
_EVENTS_PER_SHARD, _MOST_PER_SHARD = 1_000_000, 4_000_000
# A younger file may belong to a run that is under way.
_ABANDONED_SECONDS = 24 * 3600.0


@dataclass
class State:
    """What earlier runs left.

    Attributes
    ----------
    folder : str
        Folder or URI.
    setup : dict
        What parts depend on beside events: version, gap, hash function.
    shards : int
        Groups of associates in each part.
    number : int
        Of the manifest; 0 without one.
    pages : list of str
        Page ids by the number that parts call them.
    parts : list of Part
    """

    folder: str
    setup: dict[str, Any]
    shards: int
    number: int = 0
    pages: list[str] = field(default_factory=list)
    parts: list[Part] = field(default_factory=list)

    def extended(self, catalogue: Iterable[str]) -> list[str]:
        """Page ids by number, those that are new to the state at the end."""
        return list(dict.fromkeys([*self.pages, *catalogue]))

    def unchanged(self, days: Mapping[int, Print], catalogue: Iterable[str]) -> list[Part]:
        """Find the parts of days whose events, and the pages these are about, are as they were.

        Parameters
        ----------
        days : mapping of int to Print
            Fingerprint of each day in the log.
        catalogue : iterable of str
        """
        listed = set(catalogue)
        gone = [number for number, page in enumerate(self.pages) if page not in listed]
        same: list[Part] = []
        by_day: dict[int, list[Part]] = {}
        for part in self.parts:
            by_day.setdefault(part.day, []).append(part)
        for day, found in by_day.items():
            told = Print(0, 0)
            for part in found:
                told = told.plus(part.rows, part.digest)
            if day not in days or told != days[day] or any(listed & set(part.unknown) for part in found):
                continue
            used = pl.concat(parts.read_cells(self.folder, part)["page"] for part in found)
            if not used.is_in(gone).any():
                same += found
        return same


def load(folder: str, gap: int, shards: int | None, events: int) -> State:
    """Read the newest state that can be used.

    One of another version or set-up, or with missing or cut files, counts as none: the run
    summarises every day, which is a full run.

    Parameters
    ----------
    folder : str
    gap : int
        Microseconds that part sessions.
    shards : int or None
        Groups of associates; None leaves it to the size of the log, and a state keeps its number until
        the log has outgrown it.
    events : int
        Size of the log.
    """
    wanted = {"version": VERSION, "gap": gap, "hashes": hash_probe()}
    sizes = _sizes(folder)
    newest = 0
    for number, name in sorted(_manifests(sizes), reverse=True):
        newest, path = max(newest, number), FileSystems.join(folder, name)
        try:
            with FileSystems.open(path) as file:
                found = json.load(file)
            fits = found["shards"] == shards if shards else events <= _MOST_PER_SHARD * found["shards"]
            if found["setup"] != wanted or not fits:
                log.info("state of another set-up, starting anew", state=path)
                break
            kept = [Part(**part) for part in found["parts"]]
            whole = all(sizes.get(name) == size for name, size in found["files"].items())
        except (ValueError, KeyError, TypeError, OSError) as error:
            log.warning("state cannot be read", state=path, error=str(error))
            continue
        if whole:
            return State(folder, wanted, found["shards"], number, found["pages"], kept)
        log.warning("state lacks files", state=path)
    return State(folder, wanted, shards or 1 + events // _EVENTS_PER_SHARD, newest)


def commit(state: State, pages: Sequence[str], kept: Sequence[Part], inputs: Mapping[str, str]) -> None:
    """Make parts the state that the next run finds, and delete what no manifest names any more.

    Parameters
    ----------
    state : State
        The one that the run began with.
    pages : sequence of str
        Page ids by the number that the parts call them.
    kept : sequence of Part
    inputs : mapping of str to str
        Hashes of the files that the log was read from, for people who ask.
    """
    sizes = _sizes(state.folder)
    _to_disk(state.folder, [part for part in kept if part not in state.parts])
    names = [f"{part.name}.{kind}.arrow" for part in kept for kind in parts.KINDS]
    manifest = {
        "setup": state.setup,
        "shards": state.shards,
        "inputs": dict(inputs),
        "pages": list(pages),
        "parts": [asdict(part) for part in kept],
        "files": {name: sizes[name] for name in names},
    }
    number = state.number + 1
    path = FileSystems.join(state.folder, f"manifest-{number:08d}.json")
    aside = f"{path}.{uuid4().hex}.tmp"
    with FileSystems.create(aside, compression_type="uncompressed") as file:
        file.write(json.dumps(manifest).encode())
    FileSystems.rename([aside], [path])
    _sweep(state.folder, number, set(names))


def _to_disk(folder: str, fresh: Iterable[Part]) -> None:
    """Have parts survive a power cut, where they are files of this machine."""
    paths = (parts.path_of(folder, part.name, kind) for part in fresh for kind in parts.KINDS)
    for path in filter(os.path.exists, paths):
        with open(path, "rb") as file:
            os.fsync(file.fileno())


def _sizes(folder: str) -> dict[str, int]:
    """Name and size of every file in the folder."""
    try:
        [match] = FileSystems.match([FileSystems.join(folder, "*")])
    except BeamIOError:
        return {}
    return {file.path.rsplit("/", 1)[-1]: file.size_in_bytes for file in match.metadata_list}


def _manifests(names: Iterable[str]) -> list[tuple[int, str]]:
    return [(int(match[1]), name) for name in names if (match := _MANIFEST.match(name))]


def _sweep(folder: str, newest: int, used: set[str]) -> None:
    [match] = FileSystems.match([FileSystems.join(folder, "*")])
    doomed = []
    for file in match.metadata_list:
        name = file.path.rsplit("/", 1)[-1]
        manifest = _MANIFEST.match(name)
        if manifest:
            old = int(manifest[1]) < newest
        else:
            old = name not in used and time.time() - file.last_updated_in_seconds > _ABANDONED_SECONDS
        if old:
            doomed.append(file.path)
    if doomed:
        # A file that another run deleted first is no reason to fail.
        with contextlib.suppress(BeamIOError):
            FileSystems.delete(doomed)
