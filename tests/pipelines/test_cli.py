import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from components.contract.errors import WaymarkError
from components.contract.release import current, publish, write_release
from components.contract.time import DAY
from pipelines import cli
from pipelines.cli import app, read_settings

ROOT = Path(__file__).parents[2]
COMMANDS = [
    ["run"],
    ["compile"],
    ["upload"],
    ["schedule"],
    ["academy"],
    ["evaluate"],
    ["tune"],
    ["import", "mars"],
    ["releases", "list"],
    ["releases", "rollback"],
]


def call(*arguments, hash_seed="0", **given):
    """The command line as a script sees it, from another folder."""
    return subprocess.run(
        [sys.executable, "-m", "pipelines", *map(str, arguments)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200", "PYTHONHASHSEED": hash_seed},
        timeout=120,
        check=False,
        **given,
    )


def released(home: Path, day: int) -> str:
    def fill(folder: Path) -> None:
        (folder / "evaluation.json").write_text("{}")

    made = write_release(home, fill, kind="daily", last_event=day * DAY, metrics={"ndcg@10": 0.31})
    return publish(home, made.name).name


def test_help_teaches_the_first_run():
    shown = CliRunner().invoke(app, ["--help"]).output
    for line in ("pipelines academy --out", "pipelines run bootstrap", "python -m serving --home"):
        assert line in shown


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_has_help_with_an_example(command):
    result = CliRunner().invoke(app, [*command, "--help"], env={"COLUMNS": "200"})
    assert result.exit_code == 0
    assert f"python -m pipelines {' '.join(command)} " in result.output


@pytest.mark.parametrize("suffix", ["json", "yaml"])
def test_settings_file_and_pairs_merge(tmp_path, suffix):
    file = tmp_path / f"settings.{suffix}"
    content = {"two_tower": {"epochs": 5, "dimensions": 16}}
    file.write_text(json.dumps(content) if suffix == "json" else yaml.safe_dump(content))
    assert read_settings(file, ["two_tower.epochs=3", "gate.enabled=false"]) == {
        "two_tower": {"epochs": 3, "dimensions": 16},
        "gate": {"enabled": False},
    }
    assert read_settings(None, None) == {}


@pytest.mark.parametrize(
    ("pair", "message"),
    [
        ("two_tower.epochs", "STEP.FIELD=VALUE"),
        ("epochs=3", "STEP.FIELD=VALUE"),
        (".epochs=3", "STEP.FIELD=VALUE"),
        ("two_tower.epochs=[", "no YAML"),
        ("a.b.c=1", "b is a value"),
    ],
)
def test_malformed_pair_is_named(pair, message):
    with pytest.raises(WaymarkError, match=message) as caught:
        read_settings(None, ["a.b=1", pair])
    assert pair in str(caught.value)


@pytest.mark.parametrize(("text", "message"), [("[1]", "mapping"), ("{", "neither JSON nor YAML")])
def test_malformed_settings_file_is_named(tmp_path, text, message):
    file = tmp_path / "settings.json"
    file.write_text(text)
    with pytest.raises(WaymarkError, match=message) as caught:
        read_settings(file, None)
    assert str(file) in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["run", "bootstrap", "--data", "nowhere", "--home", "h"], 2, "nowhere does not exist"),
        (["run", "hourly", "--data", ".", "--home", "h"], 2, "hourly"),
        (["run", "bootstrap", "--home", "h"], 2, "--data"),
        (["releases", "rollback", "--home", "h"], 1, "error: h has no current release to roll back from"),
        (["schedule", "--host", "http://127.0.0.1:9", "--data", "d", "--home", "h"], 1, "does not answer"),
        (["evaluate", "--data", ".", "--protocol", "guess"], 2, "guess"),
        (["tune", "--data", ".", "--out", "s.yaml", "--trials", "0"], 2, "--trials"),
    ],
)
def test_mistakes_are_plain_messages_with_a_status(tmp_path, arguments, code, message):
    done = call(*arguments, cwd=tmp_path)
    assert done.returncode == code
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    if code == 1:
        assert len(done.stderr.splitlines()) == 1


def test_releases_are_listed_and_rolled_back(tmp_path):
    older, newer = released(tmp_path, 1), released(tmp_path, 2)
    listed = CliRunner().invoke(app, ["releases", "list", "--home", str(tmp_path)], env={"COLUMNS": "200"})
    assert listed.exit_code == 0
    rows = [line for line in listed.output.splitlines() if older in line or newer in line]
    assert [newer in rows[0], older in rows[1]] == [True, True]
    assert "*" in rows[0]
    assert "*" not in rows[1]

    back = CliRunner().invoke(app, ["releases", "rollback", "--home", str(tmp_path)])
    assert older in back.output
    assert current(tmp_path).name == older
    forth = CliRunner().invoke(app, ["releases", "rollback", "--home", str(tmp_path), "--to", newer])
    assert newer in forth.output
    assert current(tmp_path).name == newer


def test_compile_writes_one_file_a_pipeline(tmp_path):
    result = CliRunner().invoke(app, ["compile", "--out", str(tmp_path / "build")])
    assert result.exit_code == 0, result.output
    names = sorted(path.name for path in (tmp_path / "build").iterdir())
    assert names == [
        "bootstrap.yaml",
        "daily_candidates.yaml",
        "monthly_ranker.yaml",
        "tune.yaml",
        "weekly_embeddings.yaml",
    ]


def test_figures_show_as_tables(capsys, monkeypatch):
    from rich.console import Console

    monkeypatch.setattr(cli, "out", Console(file=sys.stdout, width=100))
    cli.show(
        {
            "requests": 1898,
            "sources": {"transitions": {"hr@10": 0.42361}, "two-stage": {"hr@10": 0.48, "ndcg@10": 0.3391}},
            "cohorts": {"new": 0.1},
        },
        title="lastout",
    )
    shown = capsys.readouterr().out
    assert "requests: 1898" in shown
    assert "0.4236" in shown
    assert "0.3391" in shown
    assert "cohorts.new: 0.1000" in shown


def test_academy_writes_the_contract_tables(tmp_path):
    size = ["--associates", "20", "--pages", "40", "--days", "3"]
    result = CliRunner().invoke(app, ["academy", "--out", str(tmp_path / "data"), *size])
    assert result.exit_code == 0, result.output
    assert "associates: 20" in result.output
    assert {"events.parquet", "pages.parquet", "associates.parquet"} <= {
        path.name for path in (tmp_path / "data").iterdir()
    }


def test_compilation_repeats_byte_for_byte(tmp_path):
    # Pipeline versions are named by content, so a second upload must find the same.
    for seed in ("1", "2"):
        done = call("compile", "--out", tmp_path / seed, hash_seed=seed)
        assert done.returncode == 0, done.stderr
    first, second = (
        {path.name: path.read_bytes() for path in (tmp_path / seed).iterdir()} for seed in ("1", "2")
    )
    assert first == second
