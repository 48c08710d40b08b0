"""The command line: ``python -m components.rollout``."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Annotated
from uuid import uuid4

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from components.contract.commands import run as run_commands
from components.contract.inference_service import Phase, State
from components.contract.settings import read_file, section
from components.rollout.comparison import Judgement
from components.rollout.driver import Rollout
from components.rollout.machine import Event, Promote, Rollback, Start
from components.rollout.notify import message
from components.rollout.settings import RolloutSettings
from components.rollout.step import make_rollout

HELP = """
Put a release before a share of the traffic, watch it, and promote it or take it back.

Exit status: 0 done, 1 refused or failed, 2 wrong usage, 3 rolled back, 4 held.
"""
app = typer.Typer(
    help=HELP,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
out, err = Console(), Console(stderr=True)

SettingsFile = Annotated[
    Path | None,
    typer.Option(
        "--settings", help="JSON or YAML: {rollout: {steps: [5, 100]}}.", exists=True, dir_okay=False
    ),
]
Namespace = Annotated[str | None, typer.Option(help="Namespace of the InferenceService; over the settings.")]
ServiceName = Annotated[str | None, typer.Option("--service", help="Its name; over the settings.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done; change nothing.")]
Wait = Annotated[bool, typer.Option(help="Go on until the rollout has ended; it can be taken up again.")]


def _rollout(
    file: Path | None, namespace: str | None, service: str | None
) -> tuple[Rollout, RolloutSettings]:
    read = read_file(file) if file else {}
    given = {name: value for name, value in (("namespace", namespace), ("service", service)) if value}
    settings = section({"rollout": {**read.get("rollout", {}), **given}}, "rollout", RolloutSettings)
    return make_rollout(settings), settings


def _finish(rollout: Rollout, settings: RolloutSettings, event: Event, dry_run: bool, wait: bool) -> None:
    """Do what was asked; then wait for the end."""
    decision = rollout.act(event, dry_run)
    assert decision.state is not None
    if decision.spec:
        percent = "removed" if decision.spec.percent is None else decision.spec.percent
        text = f"storageUri {decision.spec.uri}, canaryTrafficPercent {percent}"
        out.print(f"{'would set' if dry_run else 'set'} {text}", highlight=False, soft_wrap=True)
    if dry_run or not wait:
        out.print(f"{'would be' if dry_run else 'now'} {decision.state.phase}", highlight=False)
        return
    with err.status("starting") as status:

        def progress(state: State, judgement: Judgement | None) -> None:
            said = f": {judgement.verdict}, {judgement.reason}" if judgement else ""
            status.update(escape(f"{state.phase}, canary at {state.percent} %{said}"))

        state = rollout.drive(progress)
    out.print(message(state, f"{settings.namespace}/{settings.service}"), highlight=False, soft_wrap=True)
    bad = {Phase.ROLLED_BACK: 0 if isinstance(event, Rollback) else 3, Phase.HELD: 4}
    raise typer.Exit(bad.get(state.phase, 0))


@app.command()
def status(
    settings: SettingsFile = None,
    namespace: Namespace = None,
    service: ServiceName = None,
    json_: Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")] = False,
) -> None:
    """Say where the rollout is, and what KServe makes of it.

    python -m components.rollout status
    """
    rollout, _ = _rollout(settings, namespace, service)
    found = rollout.cluster.read()
    state, view = found.state, found.view
    if json_:
        kept = state.model_dump(mode="json") if state else None
        sys.stdout.write(json.dumps({"state": kept, "traffic": view.traffic, "percent": view.percent}) + "\n")
        return
    table = Table(show_header=False, box=None)
    for name, value in {
        "phase": state.phase if state else "idle",
        "since": time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime(state.since)) if state else "",
        "reason": state.reason if state else "",
        "canary": state.canary if state else "",
        "stable": state.stable if state else "",
        "storageUri": view.uri,
        "canaryTrafficPercent": view.percent,
        "traffic": ", ".join(f"{revision} {share} %" for revision, share in view.traffic.items()),
        "mode": view.mode,
    }.items():
        table.add_row(name, escape("" if value is None else str(value)))
    out.print(table)


@app.command()
def start(
    uri: Annotated[str, typer.Argument(help="storageUri, like pvc://waymark-home/releases/NAME.")],
    settings: SettingsFile = None,
    namespace: Namespace = None,
    service: ServiceName = None,
    dry_run: DryRun = False,
    wait: Wait = True,
) -> None:
    """Begin a rollout, or take up the one of the same release where it stopped.

    python -m components.rollout start pvc://waymark-home/releases/20261030T120000-ab12cd
    """
    rollout, chosen = _rollout(settings, namespace, service)
    _finish(rollout, chosen, Start(uuid4().hex, uri.rstrip("/")), dry_run, wait)


@app.command()
def promote(
    settings: SettingsFile = None,
    namespace: Namespace = None,
    service: ServiceName = None,
    dry_run: DryRun = False,
    wait: Wait = True,
) -> None:
    """Give the canary all traffic now.

    python -m components.rollout promote
    """
    rollout, chosen = _rollout(settings, namespace, service)
    _finish(rollout, chosen, Promote(), dry_run, wait)


@app.command()
def rollback(
    settings: SettingsFile = None,
    namespace: Namespace = None,
    service: ServiceName = None,
    reason: Annotated[str, typer.Option(help="Kept with the state and told.")] = "asked for by hand",
    dry_run: DryRun = False,
    wait: Wait = True,
) -> None:
    """Give the stable release all traffic again; also after a promotion.

    python -m components.rollout rollback --reason "wrong titles"
    """
    rollout, chosen = _rollout(settings, namespace, service)
    _finish(rollout, chosen, Rollback(reason), dry_run, wait)


def main() -> None:
    """Run the command line; a problem that a person can mend is one plain message."""
    run_commands(app)


if __name__ == "__main__":
    main()
