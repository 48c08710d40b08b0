"""What validation finds, for a person to read."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

Severity = Literal["stop", "warn"]
Check = Literal[
    "missing",
    "empty",
    "presence",
    "type",
    "domain",
    "new_value",
    "range",
    "drift",
    "clock",
    "missing_day",
    "spike",
    "drop",
    "flood",
    "missing_store",
    "volume",
    "arrival",
    "quarantine",
    "stale",
    "skew",
    "baseline",
    "other",
]


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, or odd, with the tables.

    Attributes
    ----------
    severity : {"stop", "warn"}
    table, column : str
        Where; the column is empty when it concerns the whole table.
    check : str
        Which check found it; ``severity`` in the settings is keyed by it.
    what : str
        What was found.
    how_far : str
        The measured amount, beside the limit and what it was compared with.
    advice : str
        What to do about it.
    rows : str
        Which rows, as an SQL condition or some ids; empty where it is the whole table.
    day : datetime.date, optional
        The day that it is about.
    subject : str
        What within the column: a store, a group.
    acknowledged : str
        Who took it as it is, and why; such a finding does not stop the run.
    """

    severity: Severity
    table: str
    column: str
    check: Check
    what: str
    how_far: str
    advice: str
    rows: str = ""
    day: datetime.date | None = None
    subject: str = ""
    acknowledged: str = ""

    @property
    def where(self) -> str:
        """Table and column."""
        return f"{self.table}.{self.column}" if self.column else self.table

    @property
    def key(self) -> str:
        """What the finding is called when somebody acknowledges it; the same from day to day."""
        return ":".join(filter(None, (self.check, self.where, self.subject)))

    @property
    def stops(self) -> bool:
        """Whether retraining must wait."""
        return self.severity == "stop" and not self.acknowledged

    def __str__(self) -> str:
        day = f"{self.day}, " if self.day else ""
        rows = f" Rows: {self.rows}." if self.rows else ""
        return f"{self.where}: {day}{self.what} ({self.how_far}). {self.advice}.{rows} [{self.key}]"


def regrade(
    findings: Sequence[Finding], severity: Mapping[Check, Literal["stop", "warn", "ignore"]]
) -> list[Finding]:
    """Give findings the severity that the settings choose for their check; those that stop come first."""
    kept = []
    for finding in findings:
        chosen = severity.get(finding.check, finding.severity)
        if chosen != "ignore":
            kept.append(replace(finding, severity=chosen))
    return sorted(kept, key=lambda finding: (not finding.stops, finding.severity != "stop"))
