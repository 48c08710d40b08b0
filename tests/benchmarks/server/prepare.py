"""What the measurements need: a large academy's release, and wrk."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np

from components.contract import columns as c
from components.contract.dataset import Dataset
from components.contract.release import load
from tests.support.process import ROOT

SIZE = ("--associates", "50000", "--pages", "5000", "--days", "30")


def make_release(work: Path) -> Path:
    """A HOME with a release of 50,000 associates and 5,000 pages; made once."""
    home, data = work / "home", work / "data"
    if (home / "current").exists():
        return home
    run = [sys.executable, "-m", "pipelines"]
    if not (data / "academy.json").exists():
        subprocess.run([*run, "academy", "--out", str(data), *SIZE], cwd=ROOT, check=True)
    # It is speed that is measured here; whether the release is good enough is asked elsewhere.
    lenient = ["--set", "gate.min_shortlist_recall=0", "--set", "gate.min_lift=0"]
    command = [*run, "run", "bootstrap", "--data", str(data), "--home", str(home), *lenient]
    subprocess.run(command, cwd=ROOT, check=True)
    return home


def need_wrk() -> None:
    """Install wrk (Debian) where it is missing.

    Raises
    ------
    RuntimeError
        It cannot be installed.
    """
    if shutil.which("wrk") is None:
        if os.geteuid() != 0 or shutil.which("apt-get") is None:
            raise RuntimeError("wrk is missing: install it (Debian: apt-get install wrk)")
        subprocess.run(["apt-get", "install", "-y", "-qq", "wrk"], check=True)


def people_and_pages(home: Path, associates: int) -> tuple[list[str], list[str]]:
    """Ids of some associates, picked evenly, and of all pages."""
    dataset = Dataset.load(load(home).root)
    known = dataset.associates[c.ASSOCIATE_ID].to_list()
    picked = np.linspace(0, len(known) - 1, min(associates, len(known))).astype(int)
    return [known[place] for place in picked], dataset.page_ids.tolist()
