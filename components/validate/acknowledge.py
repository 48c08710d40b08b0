"""Findings that a person takes as they are: who, why, until when; and the findings of the last run."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import orjson
from pydantic import BaseModel, ValidationError

from components.contract.errors import WaymarkError
from components.contract.files import atomic_file
from components.validate.files import append
from components.validate.findings import Finding
from components.validate.profile import folder


class Acknowledgement(BaseModel):
    """One line of the file.

    Attributes
    ----------
    key : str
        The finding's (:attr:`Finding.key`).
    by, reason : str
    until : datetime.date
        Last day, of the data, that it holds for.
    at : datetime.datetime
        When it was given.
    """

    key: str
    by: str
    reason: str
    until: datetime.date
    at: datetime.datetime


def _file(home: Path) -> Path:
    return folder(home) / "acknowledged.jsonl"


def _last(home: Path) -> Path:
    return folder(home) / "findings.json"


def save(home: Path, findings: Sequence[Finding], day: datetime.date | None) -> None:
    """Write the findings of a run, for people and for :func:`acknowledge`."""
    with atomic_file(_last(home)) as aside:
        rows = [asdict(finding) | {"key": finding.key, "stops": finding.stops} for finding in findings]
        aside.write_bytes(orjson.dumps({"day": day, "findings": rows}, option=orjson.OPT_INDENT_2))


def last(home: Path) -> tuple[datetime.date | None, list[Finding]]:
    """Read the findings of the last run.

    Raises
    ------
    WaymarkError
        There was none.
    """
    try:
        kept = orjson.loads(_last(home).read_bytes())
    except FileNotFoundError as error:
        raise WaymarkError(f"{_last(home)} is missing: no run has validated into this HOME") from error
    day = kept["day"] and datetime.date.fromisoformat(kept["day"])
    names = Finding.__dataclass_fields__
    found = [Finding(**{name: row[name] for name in names}) for row in kept["findings"]]
    return day, [
        replace(finding, day=datetime.date.fromisoformat(str(finding.day))) if finding.day else finding
        for finding in found
    ]


def acknowledge(home: Path, key: str, by: str, reason: str, until: datetime.date | None) -> Acknowledgement:
    """Record that a finding of the last run is taken as it is.

    Parameters
    ----------
    until : datetime.date, optional
        Last day of data that it holds for; the finding's day, or the run's if it has none, where unset.

    Raises
    ------
    WaymarkError
        The last run has no such finding, or who or why is empty.
    """
    day, findings = last(home)
    known = sorted({finding.key for finding in findings})
    if key not in known:
        raise WaymarkError(
            f"{key}: no finding of the last run; its findings are: {', '.join(known) or 'none'}"
        )
    if not by.strip() or not reason.strip():
        raise WaymarkError("--by and --reason must not be empty")
    dated = [finding.day for finding in findings if finding.key == key and finding.day]
    until = until or max(dated, default=day)
    if until is None:
        raise WaymarkError("--until: give a day, the finding has none")
    now = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
    given = Acknowledgement(key=key, by=by, reason=reason, until=until, at=now)
    append(_file(home), given.model_dump_json().encode())
    return given


def acknowledged(home: Path) -> list[Acknowledgement]:
    """Read all acknowledgements, oldest first; a line cut by a crash is passed over.

    Raises
    ------
    WaymarkError
        Another line is damaged.
    """
    if not _file(home).is_file():
        return []
    lines = _file(home).read_bytes().split(b"\n")
    found = []
    for number, line in enumerate(lines):
        try:
            if line.strip():
                found.append(Acknowledgement.model_validate_json(line))
        except ValidationError as error:
            if number < len(lines) - 1:
                raise WaymarkError(f"{_file(home)}, line {number + 1}: {error.errors()[0]['msg']}") from error
    return found


def apply(
    findings: Sequence[Finding], given: Sequence[Acknowledgement], day: datetime.date | None
) -> list[Finding]:
    """Mark the findings that were acknowledged, for the day they are about, else for the run's.

    Parameters
    ----------
    day : datetime.date, optional
        Of the run; without one, an acknowledgement of a finding without a day holds for good.
    """
    marked = []
    for finding in findings:
        about = finding.day or day
        holds = [one for one in given if one.key == finding.key and (about is None or about <= one.until)]
        note = f"{holds[-1].by}: {holds[-1].reason} (until {holds[-1].until})" if holds else ""
        marked.append(replace(finding, acknowledged=note))
    return marked
