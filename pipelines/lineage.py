"""Where a release comes from: data, schema, code, run; its parent, and whence its parts were taken over."""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.tree import Tree

from components.contract.errors import ReleaseError
from components.contract.release import Release, current, is_name, read

_FILES_SHOWN = 8
out = Console()


def trace(home: Path, release: Release) -> dict[str, Any]:
    """Lineage of a release and, where they are still kept, of those before it.

    Returns
    -------
    dict
        ``release``, ``kind``, ``created``, ``run``, ``code``; ``data`` (``days``, ``schema``, ``inputs``,
        ``snapshot``: one hash of all inputs); ``inherited``: the release that made each part which was
        taken over; ``parent``: the same of the release that was current before, its name alone where
        it has been deleted, or None.
    """
    lineage = release.manifest.lineage
    parent = _find(home, lineage.parent)
    inputs = lineage.data.get("inputs", {})
    return {
        "release": release.name,
        "kind": release.manifest.kind,
        "created": release.manifest.created.isoformat(timespec="seconds"),
        "run": lineage.run,
        "code": lineage.code,
        "data": {
            "days": lineage.data.get("days", []),
            "schema": lineage.data.get("schema", {}),
            "snapshot": snapshot(inputs or lineage.data.get("sources", {})),
            "inputs": inputs,
        },
        "inherited": {part: _maker(home, part, name) for part, name in lineage.inherited.items()},
        "parent": trace(home, parent) if parent else lineage.parent,
    }


def snapshot(hashes: dict[str, str]) -> str:
    """One hash for a set of files: of their contents, wherever they lie.

    Examples
    --------
    >>> snapshot({"a": "12", "b": "34"}) == snapshot({"there/b": "34", "there/a": "12"})
    True
    """
    return hashlib.sha256("\n".join(sorted(hashes.values())).encode()).hexdigest()[:12]


def _find(home: Path, name: str | None) -> Release | None:
    """A release that is still kept."""
    try:
        return read(home / "releases" / name) if name else None
    except ReleaseError:
        return None


def _maker(home: Path, part: str, name: str) -> str:
    """The release that made a part: one that took it over itself leads further back."""
    release = _find(home, name)
    before = release.manifest.lineage.inherited.get(part) if release else None
    return _maker(home, part, before) if before else name


def _tree(found: dict[str, Any], files: int) -> Tree:
    tree = Tree(f"[bold]{found['release']}[/]  {found['kind']}  {found['created']}")
    data = found["data"]
    tree.add(f"code {found['code']}")
    tree.add(f"run {found['run'] or 'unknown'}")
    days = " to ".join(data["days"]) or "unknown days"
    branch = tree.add(f"data {data['snapshot']}, {days}, {len(data['inputs'])} files")
    for name, digest in list(data["inputs"].items())[:files]:
        branch.add(f"{digest[:12]}  {name}", style="dim")
    if len(data["inputs"]) > files > 0:
        branch.add(f"and {len(data['inputs']) - files} more: --json lists all", style="dim")
    if data["schema"]:
        tree.add("schema " + ", ".join(f"{table} {version}" for table, version in data["schema"].items()))
    if found["inherited"]:
        taken = tree.add("taken over")
        for part, name in found["inherited"].items():
            taken.add(f"{part} of {name}")
    parent = found["parent"]
    if isinstance(parent, dict):
        tree.add("parent").add(_tree(parent, 0))
    elif parent:
        tree.add(f"parent {parent}, deleted since")
    return tree


def lineage(
    release: Annotated[str, typer.Argument(help="A release's name; the current one if not given.")] = "",
    home: Annotated[Path, typer.Option(help="Folder of the releases.")] = Path("home"),
    json_: Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")] = False,
) -> None:
    """Show which data, schema, code and run a release comes from, and the releases before it.

    python -m pipelines lineage 20261030T120000-ab12cd --home home
    """
    if release and not is_name(release):
        raise ReleaseError(f"{release!r} is no release name (like 20261030T120000-ab12cd)")
    found = read(home / "releases" / release) if release else current(home)
    if found is None:
        raise ReleaseError(f"{home} holds no current release")
    traced = trace(home, found)
    if json_:
        sys.stdout.write(json.dumps(traced, indent=1) + "\n")
    else:
        out.print(_tree(traced, _FILES_SHOWN), highlight=False, soft_wrap=True)
