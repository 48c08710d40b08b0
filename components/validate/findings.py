"""What validation finds, for a person to read."""

from __future__ import annotations

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
    "range",
    "drift",
    "missing_day",
    "spike",
    "flood",
    "volume",
    "stale",
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
        The measured amount, beside the limit.
    advice : str
        What to do about it.
    """

    severity: Severity
    table: str
    column: str
    check: Check
    what: str
    how_far: str
    advice: str

    def __str__(self) -> str:
        where = f"{self.table}.{self.column}" if self.column else self.table
        return f"{where}: {self.what} ({self.how_far}). {self.advice}"


def regrade(
    findings: Sequence[Finding], severity: Mapping[Check, Literal["stop", "warn", "ignore"]]
) -> list[Finding]:
    """Give findings the severity that the settings choose for their check; those that stop come first."""
    kept = []
    for finding in findings:
        chosen = severity.get(finding.check, finding.severity)
        if chosen != "ignore":
            kept.append(replace(finding, severity=chosen))
    return sorted(kept, key=lambda finding: finding.severity != "stop")
