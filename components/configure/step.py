"""Check the run's settings before anything costs time, and mark them with the run's date."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import structlog

import components
from components.contract.errors import WaymarkError

log = structlog.get_logger()
# Sections that are read by a step of another name.
_EXTRA = {"gate", "retrieval", "smoke", "tune"}
# A macro of KFP that stands in a recurring run's parameter, where the backend has not filled it in.
_MACRO = re.compile(r"\[\[.*\]\]")
# What preprocess takes by itself; settings that a person gets back need not name it.
_RUNNER = "DirectRunner"


def sections() -> set[str]:
    """Names that the top level of the settings may hold: the steps'."""
    folders = Path(components.__file__).parent.iterdir()
    return {folder.name for folder in folders if (folder / "component.py").is_file()} | _EXTRA


def run(settings: Mapping[str, Any] | None, date: str = "", beam_runner: str = _RUNNER) -> dict[str, Any]:
    """Check section names and add ``run_date``, which every step's cache key then contains.

    Parameters
    ----------
    settings : mapping or None
        ``{"two_tower": {"epochs": 3}, ...}``
    date : str
        Runs of one date share cached steps; empty means this very moment, so nothing is shared. So does
        a macro such as ``[[ScheduledTime.2006-01-02]]``, which KFP fills in or leaves as it is.
    beam_runner : str
        Becomes ``preprocess.runner`` where the settings have none.

    Raises
    ------
    WaymarkError
        A section is unknown or no mapping.

    Examples
    --------
    >>> run({"release": {"keep": 5}}, "2026-11-24")
    {'release': {'keep': 5}, 'run_date': '2026-11-24'}
    """
    chosen = dict(settings or {})
    known = sections()
    for name, value in chosen.items():
        if name not in known:
            raise WaymarkError(f"settings.{name}: no step reads it; known are {', '.join(sorted(known))}")
        if not isinstance(value, Mapping):
            raise WaymarkError(f"settings.{name}: a mapping of settings is expected, got {value!r}")
    if beam_runner != _RUNNER:
        chosen["preprocess"] = {"runner": beam_runner, **chosen.get("preprocess", {})}
    if _MACRO.fullmatch(date.strip()):
        log.warning("configure.date_not_filled_in", date=date)
        date = ""
    return {**chosen, "run_date": date or datetime.now(UTC).isoformat()}
