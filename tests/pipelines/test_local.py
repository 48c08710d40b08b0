import io
import logging
import os
import shlex
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from kfp import dsl
from rich.console import Console

from pipelines.local import KEEP_RUNS, StepError, run_pipeline


@dsl.component(base_image="python", install_kfp_package=False)
def rows(count: int, settings: dict, table: dsl.Output[dsl.Dataset], metrics: dsl.Output[dsl.Metrics]):
    """Write a table of numbers."""
    from components.contract.files import atomic_file

    with atomic_file(table.path) as aside:
        aside.write_text("\n".join(str(number) for number in range(count)))
    metrics.log_metric("rows", count)
    metrics.log_metric("half", settings["rows"]["half"])
    metrics.log_metric("seconds", 1.5)


@dsl.component(base_image="python", install_kfp_package=False)
def total(
    table: dsl.Input[dsl.Dataset], factor: int, model: dsl.Output[dsl.Model], metrics: dsl.Output[dsl.Metrics]
):
    """Add the numbers up."""
    from pathlib import Path

    result = factor * sum(map(int, Path(table.path).read_text().split()))
    Path(model.path).mkdir(parents=True)
    (Path(model.path) / "total.txt").write_text(str(result))
    metrics.log_metric("total", result)


@dsl.component(base_image="python", install_kfp_package=False)
def compare(one: dsl.Input[dsl.Model], two: dsl.Input[dsl.Model], verdict: dsl.Output[dsl.Artifact]):
    """Write both totals."""
    from pathlib import Path

    texts = [(Path(model.path) / "total.txt").read_text() for model in (one, two)]
    Path(verdict.path).write_text(" ".join(texts))


@dsl.component(base_image="python", install_kfp_package=False)
def fail(how: str, model: dsl.Output[dsl.Model]):
    """Go wrong in some way."""
    import os
    import signal
    from pathlib import Path

    from components.contract.errors import DataError

    print("about to go wrong")
    if how == "data":
        raise DataError("pages.body: half the rows are bad;\nmend the export")
    if how == "bug":
        raise KeyError("colour")
    if how == "chained":
        try:
            raise ValueError("inner")
        except ValueError as error:
            raise DataError("outer") from error
    if how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "empty":
        Path(model.path).mkdir(parents=True)


@dsl.component(base_image="python", install_kfp_package=False)
def after(table: dsl.Input[dsl.Dataset], marker: str):
    """Leave a trace."""
    from pathlib import Path

    Path(marker).touch()


class Totals(NamedTuple):
    model: dsl.Model


@dsl.pipeline(name="totals")
def totals(table: dsl.Input[dsl.Dataset], factor: int) -> Totals:
    return Totals(model=total(table=table, factor=factor).outputs["model"])


@dsl.pipeline(name="sums")
def sums(count: int, settings: dict[str, Any] = {"rows": {"half": 2}}):  # noqa: B006
    table = rows(count=count, settings=settings).outputs["table"]
    one = totals(table=table, factor=1).set_display_name("plain totals")
    two = totals(table=table, factor=10).set_display_name("tenfold totals")
    compare(one=one.outputs["model"], two=two.outputs["model"])


@dsl.pipeline(name="failing")
def failing(how: str, marker: str):
    fail(how=how).set_retry(2, backoff_duration="60s")
    # Independent of the failure: KFP's runner alone would still run it.
    after(table=rows(count=1, settings={"rows": {"half": 0}}).outputs["table"], marker=marker)


@dsl.component(base_image="python", install_kfp_package=False)
def toss() -> NamedTuple("Outputs", [("side", str)]):
    """Always heads."""
    return (("heads"),)


@dsl.pipeline(name="skipping")
def skipping(marker: str):
    with dsl.If(toss().outputs["side"] == "heads"):
        after(table=rows(count=1, settings={"rows": {"half": 0}}).outputs["table"], marker=marker)


def plain_console():
    return Console(file=io.StringIO(), width=60)


def shown(console):
    return console.file.getvalue()


def test_run_gives_outputs_figures_and_progress(tmp_path):
    console = plain_console()
    outcome = run_pipeline(sums, {"count": 4}, tmp_path, console)
    assert outcome.steps[0].name == "rows"
    assert {step.name for step in outcome.steps} == {
        "rows",
        "plain totals / total",
        "tenfold totals / total",
        "compare",
    }
    assert outcome.figure("plain totals / total", "total") == 6
    assert outcome.figure("total", "rows") is None
    verdict = next(outcome.folder.glob("artifacts/*/compare/verdict"))
    assert verdict.read_text() == "6 60"
    text = shown(console)
    assert "1/4 done" in text
    assert "rows 4  half 2" in text
    assert "seconds" not in text
    assert "4 steps in" in text
    assert 2**20 < outcome.peak_bytes < 2**33
    # One line a step and the total: no wrapping, none of KFP's own talk.
    assert len(text.splitlines()) == 5
    assert "Executing task" in (outcome.folder / "run.log").read_text()


def test_settings_reach_the_steps_from_any_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PYTHONPATH", raising=False)
    outcome = run_pipeline(sums, {"count": 2, "settings": {"rows": {"half": 0.5}}}, "home", plain_console())
    assert outcome.figure("rows", "half") == 0.5
    assert "PYTHONPATH" not in os.environ
    assert logging.getLogger().filters == []


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("data", "step fail failed: pages.body: half the rows are bad;\nmend the export\n"),
        ("bug", "step fail failed: KeyError: 'colour'\n"),
        ("chained", "step fail failed: outer\n"),
        ("kill", "out of memory?"),
    ],
)
def test_failure_is_the_steps_own_message_and_ends_the_run(tmp_path, how, message):
    console = plain_console()
    begin = time.perf_counter()
    with pytest.raises(StepError) as caught:
        run_pipeline(failing, {"how": how, "marker": str(tmp_path / "marker")}, tmp_path, console)
    # No retry sleeps a minute on one's own machine.
    assert time.perf_counter() - begin < 50
    assert message in str(caught.value)
    log = str(caught.value).rsplit("full log: ", 1)[1]
    assert "about to go wrong" in Path(log).read_text()
    assert len(str(caught.value).splitlines()) <= 4
    assert "failed" in shown(console)
    assert logging.getLogger().filters == []


@pytest.mark.parametrize("how", ["nothing", "empty"])
def test_success_without_outputs_is_a_failure(tmp_path, how):
    with pytest.raises(StepError, match="fail left no model"):
        run_pipeline(failing, {"how": how, "marker": str(tmp_path / "marker")}, tmp_path, plain_console())


def test_step_that_kfp_skips_in_silence_is_a_failure(tmp_path):
    with pytest.raises(StepError, match="did not run"):
        run_pipeline(skipping, {"marker": str(tmp_path / "marker")}, tmp_path, plain_console())
    assert not (tmp_path / "marker").exists()


def test_an_interpreter_in_a_folder_with_a_space_runs_the_steps(tmp_path, monkeypatch):
    python = tmp_path / "a b" / "python"
    python.parent.mkdir()
    python.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} "$@"\n')
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    outcome = run_pipeline(sums, {"count": 4}, tmp_path / "c d", plain_console())
    assert outcome.steps
    assert sys.executable == str(python)


def test_missing_argument_is_a_plain_error(tmp_path):
    with pytest.raises((StepError, TypeError), match="count"):
        run_pipeline(sums, {}, tmp_path, plain_console())


def test_last_runs_are_kept(tmp_path):
    (tmp_path / "runs" / "mine").mkdir(parents=True)
    ids = [run_pipeline(sums, {"count": 1}, tmp_path, plain_console()).run_id for _ in range(KEEP_RUNS + 1)]
    assert {path.name for path in (tmp_path / "runs").iterdir()} == {"mine", *ids[1:]}


def test_terminal_shows_the_running_step(tmp_path):
    console = Console(file=io.StringIO(), width=100, force_terminal=True)
    run_pipeline(sums, {"count": 2}, tmp_path, console)
    assert "4/4" in shown(console)
    assert "\x1b[" in shown(console)


@dsl.component(base_image="python", install_kfp_package=False)
def number(count: int, table: dsl.Output[dsl.Dataset]) -> list[int]:
    """Number the items, and leave a table."""
    from pathlib import Path

    Path(table.path).write_text("x")
    return list(range(count))


@dsl.component(base_image="python", install_kfp_package=False)
def visit(
    item: int, table: dsl.Input[dsl.Dataset], out: dsl.Output[dsl.Artifact], metrics: dsl.Output[dsl.Metrics]
):
    """Take an item; the third is refused."""
    from pathlib import Path

    from components.contract.errors import DataError

    if item == 2:
        raise DataError("item 2: refused")
    Path(out.path).write_text(f"{item}{Path(table.path).read_text()}")
    metrics.log_metric("taken", 1)


@dsl.pipeline(name="looping")
def looping(count: int):
    numbers = number(count=count)
    with dsl.ParallelFor(numbers.outputs["Output"], name="items") as item:
        visit(item=item, table=numbers.outputs["table"])


def test_each_item_of_a_loop_has_outputs_of_its_own(tmp_path):
    console = plain_console()
    outcome = run_pipeline(looping, {"count": 2}, tmp_path, console)
    outs = outcome.folder.glob("artifacts/*/*-iteration-*/visit/out")
    assert sorted(path.read_text() for path in outs) == ["0x", "1x"]
    assert outcome.figure("items / visit", "taken") == 1
    assert outcome.output("number", "table").read_text() == "x"
    assert shown(console).count("items / visit") == 2


def test_failure_in_a_loop_is_the_steps_own_message(tmp_path):
    with pytest.raises(StepError, match="step items / visit failed: item 2: refused"):
        run_pipeline(looping, {"count": 3}, tmp_path, plain_console())


def test_a_loop_over_nothing_is_noticed(tmp_path):
    with pytest.raises(StepError, match="items / visit did not run"):
        run_pipeline(looping, {"count": 0}, tmp_path, plain_console())
