"""One measured job in a process of its own: ``python -m tests.benchmarks.data.job NAME ARGUMENTS``.

Prints its wall time, processor time and peak memory as JSON on the last line.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.benchmarks.quality.machine import peak_mib


def preprocess(tables: str, out: str, home: str = "") -> dict[str, Any]:
    """Our step."""
    from components.preprocess.step import run

    return _measured(lambda: run(tables, out, {}, home))


def plain(tables: str, out: str) -> dict[str, Any]:
    """The Polars program."""
    from tests.benchmarks.data.plain import write

    return _measured(lambda: write(Path(tables), Path(out)))


def elementwise(tables: str, out: str) -> dict[str, Any]:
    """Beam, event by event."""
    from tests.benchmarks.data.elementwise import write

    return _measured(lambda: write(Path(tables), Path(out)))


def lists(folder: str, size: str) -> dict[str, Any]:
    """The lists step."""
    from components.lists.step import run

    root = Path(folder)
    settings = {"lists": {"size": int(size)}}
    return _measured(lambda: run(root / "dataset", root / "two_tower", root / "lists", settings))


def load(folder: str, address: str) -> dict[str, Any]:
    """Lists into a store."""
    from components.contract.release import Lineage, read, write_release
    from serving.stores import open_store
    from serving.stores.lists import load_lists

    home = Path(folder) / "home"

    def fill(target: Path) -> None:
        shutil.copytree(Path(folder) / "lists", target / "lists", copy_function=os.link)

    made = write_release(home, fill, kind="daily", last_event=0.0, lineage=Lineage())
    return _measured(lambda: load_lists(read(made.root), open_store(address)))


def _measured(function: Callable[[], Any]) -> dict[str, Any]:
    wall, processor = time.perf_counter(), time.process_time()
    figures = function()
    return {
        "seconds": time.perf_counter() - wall,
        "cpu_seconds": time.process_time() - processor,
        "peak_mib": peak_mib(),
        "figures": figures or {},
    }


if __name__ == "__main__":
    jobs: dict[str, Callable[..., dict[str, Any]]] = {
        "preprocess": preprocess,
        "plain": plain,
        "elementwise": elementwise,
        "lists": lists,
        "load": load,
    }
    found = jobs[sys.argv[1]](*sys.argv[2:])
    sys.stdout.write("\n" + json.dumps(found) + "\n")
