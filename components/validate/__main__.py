"""The command line: ``python -m components.validate``."""

from __future__ import annotations

import datetime
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import orjson
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from components.contract.commands import run as run_commands
from components.validate import acknowledge as acknowledgements
from components.validate import schemas, skew
from components.validate.findings import Finding
from components.validate.settings import ValidateSettings

HELP = """
Look at what validation found, take a finding as it is, and review the schema.

Exit status: 0 done, 1 refused or failed, 2 wrong usage, 3 skew that would stop a run.
"""
app = typer.Typer(
    help=HELP,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
schema = typer.Typer(help="The reviewed schema and what is proposed.", no_args_is_help=True)
app.add_typer(schema, name="schema")
out = Console()

Home = Annotated[Path, typer.Option(help="HOME of the releases.", exists=True, file_okay=False)]
By = Annotated[str, typer.Option(help="Who does it.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")]
AnyTable = Annotated[list[str] | None, typer.Argument(help="Tables; all if none is named.")]


def _show(findings: Sequence[Finding]) -> None:
    table = Table("", "key", "what", "rows", box=None, header_style="dim")
    for one in findings:
        grade = "acknowledged" if one.acknowledged else {"stop": "pauses", "warn": "warns"}[one.severity]
        day = f"{one.day}: " if one.day else ""
        said = f"{day}{one.what}\n{one.how_far}\n{one.acknowledged or one.advice}"
        table.add_row(*map(escape, (grade, one.key, said, one.rows)))
    out.print(table if findings else "no findings")


@app.command()
def findings(home: Home, json_: Json = False) -> None:
    """List the findings of the last run.

    python -m components.validate findings --home home
    """
    day, found = acknowledgements.last(home)
    if json_:
        rows = [
            {"key": one.key, "stops": one.stops, "text": str(one), "acknowledged": one.acknowledged}
            for one in found
        ]
        sys.stdout.write(orjson.dumps({"day": day, "findings": rows}).decode() + "\n")
        return
    _show(found)


@app.command()
def acknowledge(
    key: Annotated[str, typer.Argument(help="The finding's key, as drift:associates.role.")],
    home: Home,
    by: By,
    reason: Annotated[str, typer.Option(help="Why it is right as it is.")],
    until: Annotated[
        datetime.datetime | None,
        typer.Option(
            formats=["%Y-%m-%d"], help="Last day of data that it holds for; unset: the finding's day."
        ),
    ] = None,
) -> None:
    """Take a finding of the last run as it is; the next run passes and shows who did and why.

    python -m components.validate acknowledge drift:associates.role --home home --by "Ana Ruiz"
    --reason "bakers became fresh food" --until 2026-12-01
    """
    given = acknowledgements.acknowledge(home, key, by, reason, until.date() if until else None)
    out.print(f"acknowledged {escape(given.key)} until {given.until}", highlight=False, soft_wrap=True)


@app.command()
def acknowledged(home: Home) -> None:
    """List what was acknowledged, oldest first."""
    table = Table("key", "by", "reason", "until", "given", box=None, header_style="dim")
    for one in acknowledgements.acknowledged(home):
        table.add_row(
            escape(one.key), escape(one.by), escape(one.reason), str(one.until), f"{one.at:%Y-%m-%d %H:%MZ}"
        )
    out.print(table if table.row_count else "nothing was acknowledged")


@schema.command()
def diff(home: Home) -> None:
    """Show what is proposed for the schema in force.

    python -m components.validate schema diff --home home
    """
    waiting = schemas.proposals(home)
    for table, lines in waiting.items():
        for line in lines:
            out.print(f"{table}  {line}", highlight=False, markup=False, soft_wrap=True)
    if not waiting:
        out.print("nothing is proposed")


@schema.command()
def accept(home: Home, by: By, tables: AnyTable = None) -> None:
    """Put proposals into force; who did is recorded.

    python -m components.validate schema accept pages --home home --by "Ana Ruiz"
    """
    for table, lines in schemas.accept(home, tables or [], by).items():
        out.print(f"{table}: {len(lines)} change(s) in force", highlight=False)


@app.command("skew")
def compare(
    serving: Annotated[Path, typer.Option(help="Parquet of logged features: file or folder.", exists=True)],
    training: Annotated[
        Path, typer.Option(help="Parquet of training features: file or folder.", exists=True)
    ],
    json_: Json = False,
) -> None:
    """Compare features logged by serving with those that training computes.

    python -m components.validate skew --serving impressions --training features.parquet
    """
    found = skew.find(serving, training, ValidateSettings())
    if json_:
        rows = [{"key": one.key, "severity": one.severity, "text": str(one)} for one in found]
        sys.stdout.write(orjson.dumps(rows).decode() + "\n")
    else:
        _show(found)
    if any(one.stops for one in found):
        raise typer.Exit(3)


def main() -> None:
    """Run the command line; a problem that a person can mend is one plain message."""
    run_commands(app)


if __name__ == "__main__":
    main()
