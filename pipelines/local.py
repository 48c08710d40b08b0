"""Run a pipeline on this machine with KFP's local runner, show its progress, fail loudly.

KFP's runner prints some hundred lines a step, keeps going after a failure, sleeps through retries,
and in places reports success for a step that did not run. So its output goes into log files, the
first failure ends the run, and at the end every step's outputs are looked at.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import re
import resource
import shutil
import time
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO
from uuid import uuid4

from kfp import compiler
from kfp import local as kfp_local
from kfp.local import logging_utils
from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.text import Text

from components.contract.errors import WaymarkError
from components.contract.shell import environment, quoted_executable
from pipelines.check_ir import Step, check_ir, load_ir, load_kubernetes, steps

ROOT = Path(__file__).resolve().parents[1]
KEEP_RUNS = 3
# A console without cursor control gets a sign of life of a long step this often.
HEARTBEAT_SECONDS = 30.0
FIGURES_SHOWN = 4
_OUTPUT = "executor_output.json"

_ANSI = re.compile(r"\x1b\[[0-9;]*m")
_STARTED = re.compile(r"^Executing task '(.+)'$")
_ENDED = re.compile(r"^Task '(.+)' finished with status (\w+)$")
_EXCEPTION = re.compile(r"^([A-Za-z_][\w.]*)(?:: (.*))?$")
# Time and level that structlog puts before each line.
_LOG_PREFIX = re.compile(r"^[\d-]+ [\d:.]+ \[\w+ *\] ")
_RUN_ID = re.compile(r"[a-z-]+-\d{8}T\d{6}-[0-9a-f]{4}")


class StepError(WaymarkError):
    """A step of a run failed."""


@dataclass
class StepRun:
    """What became of one step.

    Attributes
    ----------
    name : str
        Readable name: the nested pipeline it is in, and its own.
    seconds : float
    figures : dict
        The metrics that it logged.
    """

    name: str
    seconds: float
    figures: dict[str, Any]


@dataclass
class Outcome:
    """A run that succeeded; ``peak_bytes`` is the resident memory of its largest step."""

    run_id: str
    folder: Path
    seconds: float
    peak_bytes: int
    steps: list[StepRun] = field(default_factory=list)

    def figure(self, step: str, name: str) -> Any:
        """A figure of the last step whose name ends with ``step``, or None."""
        return next((run.figures.get(name) for run in reversed(self.steps) if run.name.endswith(step)), None)

    def output(self, step: str, name: str) -> Path:
        """An artifact of a step that runs once, by the step's own name."""
        (place,) = _output_folders(self.folder, step)
        return place / name


def run_pipeline(
    pipeline: Any, arguments: Mapping[str, Any], home: Path | str, console: Console | None = None
) -> Outcome:
    """Run a pipeline here, step by step.

    Parameters
    ----------
    pipeline : a ``@dsl.pipeline`` function
    arguments : mapping
        Its parameters.
    home : Path or str
        Artifacts and logs go under ``home/runs``; the last three runs are kept.
    console : rich.console.Console, optional
        Where progress is shown; standard error by default.

    Returns
    -------
    Outcome

    Raises
    ------
    StepError
        A step failed, did not run, or left an output out. The message is the step's own, and
        names the file with the full log.
    """
    console = console or Console(stderr=True)
    runs = Path(home).resolve() / "runs"
    started = time.perf_counter()
    run_id = f"{pipeline.name}-{datetime.now(UTC):%Y%m%dT%H%M%S}-{uuid4().hex[:4]}"
    folder = runs / run_id
    folder.mkdir(parents=True)
    _clean(runs)

    package = folder / "pipeline.yaml"
    compiler.Compiler().compile(pipeline, str(package))
    ir = load_ir(package)
    if problems := check_ir(ir, load_kubernetes(package)):
        raise WaymarkError(f"{pipeline.name} does not compile to sound IR: {problems[0]}")
    planned = {step.component.removeprefix("comp-"): step for step in steps(ir)}

    with (folder / "run.log").open("w") as log, Progress(planned, folder, log, console) as progress:
        _run_kfp(pipeline, arguments, folder, progress)
    for key, step in planned.items():
        _require_outputs(folder, key, step, ir)
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    total = f"{len(planned)} steps in {_duration(seconds)}, at most {peak / 2**30:.1f} GiB a step"
    console.print(f"{pipeline.name}: {total}", highlight=False)
    return Outcome(run_id, folder, seconds, peak, list(progress.done.values()))


def _run_kfp(pipeline: Any, arguments: Mapping[str, Any], folder: Path, progress: Progress) -> None:
    """Call the pipeline under KFP's local runner, its output and log records going to ``progress``."""
    runner = kfp_local.SubprocessRunner(use_venv=False)
    kfp_local.init(runner, pipeline_root=str(folder / "artifacts"))
    root = logging.getLogger()
    root.addFilter(progress.observe)
    # Steps are processes of their own: they find the code through the path, from any folder, and
    # send their output line by line.
    path = os.pathsep.join([str(ROOT), *filter(None, [os.getenv("PYTHONPATH")])])
    try:
        with (
            environment(PYTHONPATH=path, PYTHONUNBUFFERED="1"),
            quoted_executable(),
            warnings.catch_warnings(),
            contextlib.redirect_stdout(progress),
            _one_logger(),
        ):
            warnings.simplefilter("ignore")
            pipeline(**arguments)
    except StepError:
        raise
    except Exception as error:
        # In a loop, steps are threads, whose errors the runner takes for its own.
        raise progress.failed or StepError(f"{error}\nfull log: {folder / 'run.log'}") from error
    finally:
        root.removeFilter(progress.observe)


@contextlib.contextmanager
def _one_logger() -> Iterator[None]:
    """Set the runner's logger up once a run.

    The runner does it for each step, and afterwards puts back what it found, and so it does with an
    indenting ``print``. The steps of a loop are threads, which would put back each other's.
    """
    names = ("local_logger_context", "indented_print")
    before = {name: getattr(logging_utils, name) for name in names}
    with logging_utils.local_logger_context():
        try:
            for name in names:
                setattr(logging_utils, name, contextlib.nullcontext)
            yield
        finally:
            for name, value in before.items():
                setattr(logging_utils, name, value)


class Progress(io.TextIOBase):
    """Takes what KFP prints and logs, writes it to files, and shows one line a step.

    Parameters
    ----------
    planned : mapping
        Steps by the name that KFP's runner logs.
    folder : Path
        Of the run.
    log : text file
        Takes everything.
    console : Console
    """

    def __init__(self, planned: Mapping[str, Step], folder: Path, log: TextIO, console: Console) -> None:
        self.planned = planned
        self.folder = folder
        self.log = log
        self.console = console
        self.done: dict[str, StepRun] = {}
        self.failed: StepError | None = None
        # Steps that run now, with when they started: more than one only in a loop.
        self.active: list[tuple[str, float]] = []
        self.lines: list[str] = []
        self._rest = ""
        self._width = max((len(" / ".join(step.path)) for step in planned.values()), default=0)
        self._shown = time.perf_counter()
        self._signs = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
        self._live = Live(console=console, get_renderable=self._render, transient=True, refresh_per_second=8)

    def __enter__(self) -> Progress:
        if self.console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self.console.is_terminal:
            self._live.stop()

    def writable(self) -> bool:
        """Say that this stream takes text."""
        return True

    def write(self, text: str) -> int:
        """Take output of the runner and, through it, of the steps."""
        self.log.write(text)
        *lines, self._rest = (self._rest + text).split("\n")
        self.lines += [_ANSI.sub("", line) for line in lines]
        if lines:
            self.log.flush()
            self._beat()
        return len(text)

    def observe(self, record: logging.LogRecord) -> bool:
        """Follow the runner's log records; raise on a step's failure, which ends the run."""
        message = _ANSI.sub("", record.getMessage())
        if match := _STARTED.match(message):
            self._start(match[1])
        elif match := _ENDED.match(message):
            self._end(match[1], match[2])
        return True

    def _start(self, key: str) -> None:
        if not self.active:
            self.lines = []
        self._shown = time.perf_counter()
        self.active.append((key, self._shown))

    def _end(self, key: str, status: str) -> None:
        started = next(entry for entry in self.active if entry[0] == key)
        self.active.remove(started)
        seconds = time.perf_counter() - started[1]
        name = self._name(key)
        if status != "SUCCESS":
            self._line("[red]failed[/]", name, seconds, "")
            log = self.folder / "run.log"
            self.failed = StepError(f"step {name} failed: {failure(self.lines)}\nfull log: {log}")
            raise self.failed
        figures = _figures(self.folder, key)
        self.done[key] = StepRun(name, seconds, figures)
        self._line("[green]done[/]  ", name, seconds, _summary(figures))

    def _name(self, key: str) -> str:
        return " / ".join(self.planned[key].path) if key in self.planned else key

    def _line(self, status: str, name: str, seconds: float, figures: str) -> None:
        count = f"{len(self.done):>2}/{len(self.planned)}"
        name = escape(f"{name:<{self._width}}")
        line = f"{count} {status} {_duration(seconds):>7}  {name}  [dim]{escape(figures)}[/]"
        self.console.print(line, highlight=False, soft_wrap=True)

    def _render(self) -> Text:
        if not self.active:
            return Text()
        key, since = self.active[-1]
        now = time.perf_counter()
        sign = self._signs[int(now * 8) % len(self._signs)]
        at = f"{len(self.done) + 1:>2}/{len(self.planned)} {sign} {_duration(now - since):>11}"
        parts = (f"{at}  {self._name(key)}  ", (self._said(), "dim"))
        return Text.assemble(*parts, no_wrap=True, overflow="ellipsis")

    def _said(self) -> str:
        """The running step's last words; not the runner's, nor the JSON that it echoes."""
        for line in reversed(self.lines[-50:]):
            if line[:1].isalnum() and " - INFO - " not in line:
                return " ".join(_LOG_PREFIX.sub("", line).split())
        return ""

    def _beat(self) -> None:
        now = time.perf_counter()
        if self.console.is_terminal or not self.active or now - self._shown < HEARTBEAT_SECONDS:
            return
        self._shown = now
        key, since = self.active[-1]
        said = self._said()[:120]
        self.console.print(
            f"      running {_duration(now - since):>7}  {self._name(key)}: {said}",
            highlight=False,
            markup=False,
            soft_wrap=True,
        )


def failure(lines: list[str]) -> str:
    """What a person needs of a failed step's output: the error's own text.

    Examples
    --------
    >>> failure(["ok", "Traceback (most recent call last):", '  File "x.py", line 1',
    ...          "components.contract.errors.DataError: pages.body: mend it", ""])
    'pages.body: mend it'
    >>> failure(["Traceback (most recent call last):", "  File", "ValueError: no", "", "left"])
    'ValueError: no'
    >>> failure(["loading", "Killed"])
    'it ended without a Python error (out of memory?); its last words: loading | Killed'
    """
    starts = [at for at, line in enumerate(lines) if line.startswith("Traceback (most recent call last)")]
    if not starts:
        words = [line.strip() for line in lines if line.strip()][-3:]
        return f"it ended without a Python error (out of memory?); its last words: {' | '.join(words)}"
    block = lines[starts[-1] + 1 :]
    at = next((at for at, line in enumerate(block) if line[:1].strip() and _EXCEPTION.match(line)), None)
    if at is None:
        return "unknown error"
    match = _EXCEPTION.match(block[at])
    assert match is not None
    kind, message = match[1], match[2] or ""
    for line in block[at + 1 :]:
        if not line.strip() or line.startswith("[KFP Executor"):
            break
        message += "\n" + line
    return message if kind.startswith("components.contract.errors.") else f"{kind.split('.')[-1]}: {message}"


def _output_folders(folder: Path, key: str) -> list[Path]:
    """Where the runner put a step's outputs: artifacts/<pipeline and time>/<step>, in a loop once an item."""
    artifacts = folder / "artifacts"
    return [*artifacts.glob(f"*/{key}"), *sorted(artifacts.glob(f"*/*-iteration-*/{key}"))]


def _figures(folder: Path, key: str) -> dict[str, Any]:
    """What the step logged; in a loop, the item that ended last."""
    files = [file for place in _output_folders(folder, key) if (file := place / _OUTPUT).is_file()]
    if not files:
        return {}
    last = max(files, key=lambda file: file.stat().st_mtime_ns)
    artifacts = json.loads(last.read_text()).get("artifacts", {})
    return artifacts.get("metrics", {}).get("artifacts", [{}])[0].get("metadata", {})


def _require_outputs(folder: Path, key: str, step: Step, ir: Mapping[str, Any]) -> None:
    """Raise unless the step ran and left every output that it declares."""
    name = " / ".join(step.path)
    places = _output_folders(folder, key)
    if not places or not all((place / _OUTPUT).is_file() for place in places):
        raise StepError(
            f"step {name} did not run, though the runner reports success\nfull log: {folder / 'run.log'}"
        )
    declared = ir["components"][step.component].get("outputDefinitions", {})
    for artifact, spec in declared.get("artifacts", {}).items():
        # Metrics live in metadata; all other artifacts are files or folders.
        if spec["artifactType"]["schemaTitle"] in ("system.Metrics", "system.ClassificationMetrics"):
            continue
        for path in (place / artifact for place in places):
            if not path.exists() or (path.is_dir() and not any(path.iterdir())):
                raise StepError(f"step {name} left no {artifact}, though the runner reports success: {path}")


def _summary(figures: Mapping[str, Any]) -> str:
    shown = [(name, value) for name, value in figures.items() if name != "seconds"][:FIGURES_SHOWN]
    return "  ".join(f"{name} {_number(value)}" for name, value in shown)


def _number(value: Any) -> str:
    """Short form of a figure.

    Examples
    --------
    >>> _number(14984.0), _number(0.33912), _number("20261030T120000-ab12cd")
    ('14,984', '0.339', '20261030T120000-ab12cd')
    """
    if isinstance(value, float | int):
        return f"{value:,.0f}" if float(value).is_integer() else f"{value:.3g}"
    return str(value)


def _duration(seconds: float) -> str:
    """Seconds for reading.

    Examples
    --------
    >>> _duration(0.26), _duration(75.2)
    ('0.3 s', '1:15')
    """
    return f"{seconds:.1f} s" if seconds < 60 else f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def _clean(runs: Path) -> None:
    """Delete all but the newest runs; the one that starts counts."""
    mine = [path for path in runs.iterdir() if _RUN_ID.fullmatch(path.name)]
    for path in sorted(mine, key=lambda path: path.stat().st_mtime, reverse=True)[KEEP_RUNS:]:
        shutil.rmtree(path, ignore_errors=True)
