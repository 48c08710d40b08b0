"""The command line: ``python -m pipelines``."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Iterable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TimeElapsedColumn
from rich.table import Column, Table

from components.contract.commands import run as run_commands
from components.contract.errors import WaymarkError
from components.contract.settings import read_file
from pipelines.lineage import lineage

EXAMPLES = """
Train, judge and publish recommendations from a training log.

[bold]A first run, on generated data:[/]

    python -m pipelines academy --out data

    python -m pipelines run bootstrap --data data --home home

    python -m serving --home home --port 8080

[bold]Then, as the log grows:[/]

    python -m pipelines run daily_candidates --data data --home home

    python -m pipelines releases list --home home
"""

app = typer.Typer(
    name="pipelines",
    help=EXAMPLES,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
imports = typer.Typer(no_args_is_help=True, help="Turn a public log into the tables of the data contract.")
releases = typer.Typer(no_args_is_help=True, help="Look at the releases of a HOME, or go back to one.")
app.add_typer(imports, name="import")
app.add_typer(releases, name="releases")
app.command()(lineage)

out = Console()
err = Console(stderr=True)


class PipelineName(StrEnum):
    """Modules of the pipelines; each holds a function of its own name."""

    bootstrap = "bootstrap"
    daily_candidates = "daily_candidates"
    weekly_embeddings = "weekly_embeddings"
    monthly_ranker = "monthly_ranker"
    tune = "tune"


class Protocol(StrEnum):
    """Ways to evaluate a log end to end."""

    lastout = "lastout"
    live = "live"


class Evaluation(StrEnum):
    """The same, and the one that refits as it goes."""

    lastout = "lastout"
    live = "live"
    rolling = "rolling"


Data = Annotated[
    str,
    typer.Option("--data", help="Folder or URI with events, pages, associates (Parquet, CSV, JSON Lines)."),
]
Home = Annotated[Path, typer.Option("--home", help="Folder of the releases; made if absent.")]
SettingsFile = Annotated[
    Path | None,
    typer.Option("--settings", help="JSON or YAML: {two_tower: {epochs: 3}}.", exists=True, dir_okay=False),
]
SetOptions = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="STEP.FIELD=VALUE", help="One setting, over --settings; may be repeated."),
]
Date = Annotated[
    str, typer.Option(help="Day the run stands for; on a cluster, runs of one date share cached steps.")
]


def read_settings(file: Path | None, pairs: list[str] | None) -> dict[str, Any]:
    """Merge a settings file and ``STEP.FIELD=VALUE`` pairs.

    Raises
    ------
    WaymarkError
        The file is no mapping, or a pair is malformed.

    Examples
    --------
    >>> read_settings(None, ["two_tower.epochs=3", "gate.floors.ndcg@10=0.3", "two_tower.sizes=[64, 32]"])
    {'two_tower': {'epochs': 3, 'sizes': [64, 32]}, 'gate': {'floors': {'ndcg@10': 0.3}}}
    """
    settings = read_file(file) if file is not None else {}
    for pair in pairs or []:
        name, equals, value = pair.partition("=")
        *sections, field = name.split(".")
        if not equals or not sections or not all((*sections, field)):
            raise WaymarkError(f"--set {pair}: write STEP.FIELD=VALUE, like two_tower.epochs=3")
        place = settings
        for key in sections:
            place = place.setdefault(key, {})
            if not isinstance(place, dict):
                raise WaymarkError(f"--set {pair}: {key} is a value, it has no fields")
        try:
            place[field] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise WaymarkError(f"--set {pair}: the value is no YAML: {error}") from error
    return settings


def _existing(data: str) -> str:
    """An absolute path of local data (steps run elsewhere), or a URI as it is."""
    if "://" in data:
        return data
    path = Path(data)
    if not path.exists():
        raise typer.BadParameter(f"{data} does not exist", param_hint="--data")
    return str(path.resolve())


@app.command()
def run(
    name: PipelineName,
    data: Data,
    home: Home,
    settings: SettingsFile = None,
    set_: SetOptions = None,
    date: Date = "",
) -> None:
    """Run a pipeline on this machine; a release under HOME is the result, or, of tune, settings.

    Any failed step ends the run with status 1 and the step's message.

    python -m pipelines run bootstrap --data data --home home --set two_tower.epochs=3
    """
    from pipelines.compiling import pipeline
    from pipelines.local import run_pipeline

    arguments = {
        "data": _existing(data),
        "home": str(home.resolve()),
        "settings": read_settings(settings, set_),
        "date": date,
    }
    outcome = run_pipeline(pipeline(name), arguments, home, err)
    if name is PipelineName.tune:
        best = outcome.output("finish-search", "best")
        out.print(best.read_text(), highlight=False, markup=False, soft_wrap=True, end="")
        return
    name_ = outcome.figure("release", "release")
    out.print(f"released {name_} under {home}", highlight=False, soft_wrap=True)


Gpu = Annotated[
    str, typer.Option(help="Train on GPUs: resource and number, nvidia.com/gpu=1.", envvar="WAYMARK_GPU")
]


@app.command("compile")
def compile_(
    target: Annotated[Path, typer.Option("--out", help="Folder for one IR YAML file a pipeline.")],
    gpu: Gpu = "",
) -> None:
    """Compile all pipelines to KFP IR and check every reference in it.

    WAYMARK_REGISTRY and WAYMARK_TAG name the images: tag by content, since KFP caches by tag.
    WAYMARK_HOME_CLAIM, WAYMARK_HOME_PATH, WAYMARK_GPU_NODE and WAYMARK_WEBHOOK_SECRET name what the
    cluster has; docs/runbook.md lists them.

    WAYMARK_TAG=3f2a9c1 python -m pipelines compile --out build
    """
    for path in _compiled(target, PipelineName, gpu):
        out.print(str(path), highlight=False, soft_wrap=True)


def _compiled(target: Path, names: Iterable[str], gpu: str) -> list[Path]:
    if gpu:
        # Pipelines read it as they are imported, which is now.
        os.environ["WAYMARK_GPU"] = gpu
    from pipelines.compiling import compile_all

    return compile_all(target, names)


Host = Annotated[str, typer.Option(help="KFP API endpoint.", envvar="KFP_ENDPOINT")]
Namespace = Annotated[str | None, typer.Option(help="Profile namespace, where KFP is multi-user.")]


@app.command()
def upload(host: Host, namespace: Namespace = None, gpu: Gpu = "") -> None:
    """Upload all pipelines; content that is there already is left alone.

    Versions are named by content, so that uploading twice changes nothing. Compile's variables count.

    python -m pipelines upload --host http://localhost:8888
    """
    from pipelines.remote import connect, upload_package

    client = connect(host, namespace)
    with tempfile.TemporaryDirectory() as folder:
        for name, path in zip(PipelineName, _compiled(Path(folder), PipelineName, gpu), strict=True):
            version = upload_package(client, name, path, namespace)
            state = "uploaded" if version.created else "unchanged"
            out.print(f"{name} {version.name} {state}", highlight=False)


@app.command()
def schedule(
    host: Host,
    data: Annotated[str, typer.Option(help="Folder or URI of the tables, as the cluster sees it.")],
    home: Annotated[str, typer.Option(help="Folder of the releases, as the cluster sees it.")] = "",
    namespace: Namespace = None,
    experiment: Annotated[str, typer.Option(help="Experiment that the runs belong to.")] = "waymark",
    account: Annotated[
        str, typer.Option(help="Service account of the steps; '': KFP's own.")
    ] = "waymark-pipelines",
    settings: SettingsFile = None,
    set_: SetOptions = None,
    daily: Annotated[str, typer.Option(help="Six-field cron, seconds first.")] = "0 30 2 * * *",
    weekly: Annotated[str, typer.Option(help="Six-field cron, seconds first.")] = "0 30 3 * * 0",
    monthly: Annotated[str, typer.Option(help="Six-field cron, seconds first.")] = "0 30 4 1 * *",
    gpu: Gpu = "",
) -> None:
    """Upload the recurring pipelines and schedule them; doing so twice changes nothing.

    Missed times are not caught up, and a pipeline never runs twice at once. Without --home it is the
    path at which steps mount their volume. What was changed by hand, or lost, is put right. Runs stand
    for the day for which they are due, where KFP fills that in.

    python -m pipelines schedule --host http://localhost:8888 --data /mnt/waymark/log
    """
    from components.configure.step import run as check_settings
    from pipelines.remote import SCHEDULED_DAY, Schedule, connect, schedule_pipeline, upload_package

    chosen = read_settings(settings, set_)
    check_settings(chosen)
    client = connect(host, namespace)
    given = {"data": data, "settings": chosen, "date": SCHEDULED_DAY}
    arguments = {**given, **({"home": home} if home else {})}
    crons = {
        PipelineName.daily_candidates: daily,
        PipelineName.weekly_embeddings: weekly,
        PipelineName.monthly_ranker: monthly,
    }
    with tempfile.TemporaryDirectory() as folder:
        for name, path in zip(crons, _compiled(Path(folder), crons, gpu), strict=True):
            version = upload_package(client, name, path, namespace)
            wanted = Schedule(crons[name], arguments, account)
            state = schedule_pipeline(client, name, version, wanted, experiment, namespace)
            out.print(f"{name} {crons[name]!r} {state}", highlight=False)


@imports.command("mars")
def import_mars(
    source: Annotated[Path, typer.Option(help="Folder of the MARS-EN files.", exists=True, file_okay=False)],
    target: Annotated[Path, typer.Option("--out", help="Folder for the contract's tables.")],
) -> None:
    """MARS-EN: views and watch events of Microsoft 365 training videos.

    python -m pipelines import mars --source mars_en --out data
    """
    from pipelines.importers.mars import import_mars as convert

    show(convert(source, target))


@app.command()
def academy(
    target: Annotated[Path, typer.Option("--out", help="Folder for the contract's tables.")],
    associates: Annotated[int, typer.Option(min=1)] = 2000,
    pages: Annotated[int, typer.Option(min=1)] = 600,
    days: Annotated[int, typer.Option(min=1)] = 60,
    seed: int = 7,
    law: Annotated[
        str, typer.Option(help="What rules the behaviour: mixed, tastes, news or paths.")
    ] = "mixed",
) -> None:
    """Generate the log of a believable training platform, with the true preferences aside.

    python -m pipelines academy --out data --associates 200 --pages 80 --days 30
    """
    from pipelines.academy.generate import make_academy

    with Progress(console=err, transient=True) as progress:
        task = progress.add_task("days", total=days)
        figures = make_academy(
            target,
            associates=associates,
            pages=pages,
            days=days,
            seed=seed,
            law=law,
            progress=lambda done, total: progress.update(task, completed=done, total=total),
        )
    show(figures)


@app.command()
def evaluate(
    data: Annotated[Path, typer.Option(help="Folder of the tables.", exists=True, file_okay=False)],
    protocol: Annotated[
        Evaluation,
        typer.Option(help="lastout: each last page; live: a walk in time; rolling: with refits."),
    ],
    refits: Annotated[int, typer.Option(min=1, max=1000, help="Of the rolling protocol.")] = 10,
    settings: SettingsFile = None,
    set_: SetOptions = None,
    json_: Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")] = False,
    workdir: Annotated[Path | None, typer.Option(help="Keep intermediate files here.")] = None,
) -> None:
    """Evaluate both stages on a log, each source alone beside the whole.

    python -m pipelines evaluate --data data --protocol lastout
    """
    from pipelines.protocol import evaluate_protocol
    from pipelines.rolling import evaluate_rolling

    chosen = read_settings(settings, set_)
    with tempfile.TemporaryDirectory() as folder, err.status("starting") as status:
        work = workdir or Path(folder)
        if protocol is Evaluation.rolling:
            result = evaluate_rolling(data, refits, chosen, work, status.update)
        else:
            result = evaluate_protocol(data, Protocol(protocol).value, chosen, work, status.update)
    if json_:
        sys.stdout.write(json.dumps(result) + "\n")
    else:
        show(result, title=f"{protocol} on {data}")


class TuneProtocol(StrEnum):
    """Protocols under which settings are compared."""

    lastout = "lastout"
    live = "live"
    both = "both"


@app.command()
def tune(
    data: Annotated[
        list[Path],
        typer.Option(help="Folder of the tables; may be repeated.", exists=True, file_okay=False),
    ],
    target: Annotated[Path, typer.Option("--out", help="Settings found, as --settings takes them.")],
    protocol: Annotated[TuneProtocol, typer.Option(help="How logs are split.")] = TuneProtocol.both,
    trials: Annotated[int, typer.Option(min=1, help="Settings to try.")] = 60,
    jobs: Annotated[int, typer.Option(min=1, help="Trials at once; with 1, a run repeats exactly.")] = 1,
    seconds: Annotated[float, typer.Option(min=0, help="No trial starts after this; 0: no limit.")] = 0,
    settings: SettingsFile = None,
    set_: SetOptions = None,
    workdir: Annotated[
        Path | None, typer.Option(help="Keep examples and study here; an interrupted search goes on.")
    ] = None,
) -> None:
    """Search for settings of ranker and shortlist that rank better on all of the logs.

    A report goes beside the settings. The holdout is never read.

    python -m pipelines tune --data academy --data mars --trials 60 --jobs 2 --out settings.yaml
    """
    from pipelines.tuning import tune_logs

    chosen = read_settings(settings, set_)
    chosen["tune"] = {**chosen.get("tune", {}), "trials": trials, "workers": jobs, "seconds": seconds}
    both = [Protocol.lastout, Protocol.live]
    report = target.with_suffix(".html")
    columns = (SpinnerColumn(), "{task.description}", BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with (
        tempfile.TemporaryDirectory() as folder,
        Progress(*columns, console=err, transient=True) as shown,
    ):
        task = shown.add_task("starting", total=trials)
        figures = tune_logs(
            data,
            [name.value for name in (both if protocol == "both" else [Protocol(protocol.value)])],
            chosen,
            target,
            report,
            workdir or Path(folder),
            lambda now: shown.update(task, description=str(now), completed=now.trials),
        )
    show({**figures, "settings": str(target), "report": str(report)}, title="tuning")


@releases.command("list")
def list_(home: Home) -> None:
    """List the releases, newest data first; the current one is marked.

    python -m pipelines releases list --home home
    """
    from components.contract.release import current, list_releases

    now = current(home)
    table = Table("", Column("release", no_wrap=True), "kind", "created", "inherited", "figures", box=None)
    for release in list_releases(home):
        manifest = release.manifest
        inherited = ", ".join(manifest.lineage.inherited)
        table.add_row(
            "*" if now and release.name == now.name else "",
            release.name,
            manifest.kind,
            f"{manifest.created:%Y-%m-%d %H:%M}",
            inherited,
            ", ".join(f"{name} {_figure(value)}" for name, value in list(manifest.metrics.items())[:3]),
        )
    out.print(table)


@releases.command("rollback")
def rollback_(
    home: Home, to: Annotated[str | None, typer.Option(help="Release to go to; else the one before.")] = None
) -> None:
    """Make an earlier release current, after checking its files.

    python -m pipelines releases rollback --home home
    """
    from components.contract.release import rollback

    out.print(f"current is now {rollback(home, to).name}", highlight=False)


def show(result: Mapping[str, Any], title: str | None = None) -> None:
    """Print figures: plain ones a line each, tables of figures as tables."""
    plain = {name: value for name, value in result.items() if not isinstance(value, Mapping | list)}
    nested = {name: value for name, value in result.items() if isinstance(value, Mapping) and value}
    if title:
        out.print(title, style="bold", highlight=False)
    for name, value in plain.items():
        out.print(f"{name}: {_figure(value)}", highlight=False)
    for name, value in nested.items():
        if all(isinstance(row, Mapping) for row in value.values()):
            columns = list(dict.fromkeys(key for row in value.values() for key in row))
            table = Table(name, *columns)
            for label, row in value.items():
                table.add_row(str(label), *(_figure(row.get(key, "")) for key in columns))
            out.print(table)
        else:
            show({f"{name}.{key}": inner for key, inner in value.items()})


def _figure(value: Any) -> str:
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def main() -> None:
    """Run the command line; a problem that a person can mend is one plain message."""
    run_commands(app)
