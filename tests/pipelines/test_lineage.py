import json

import pytest
from typer.testing import CliRunner

from components.contract.errors import ReleaseError
from components.contract.release import Lineage, publish, read, write_release
from components.contract.time import DAY
from pipelines.cli import app
from pipelines.lineage import trace

START = 1793361600.0  # 2026-10-30T12:00:00Z
INPUTS = {f"log/day-{day:02d}.parquet": f"{day:064x}" for day in range(10)}


def release(home, day, kind, parent=None, **lineage):
    data = {"days": ["2026-10-01", f"2026-10-{30 + day}"], "inputs": INPUTS, "schema": {"events": "abc123"}}
    made = write_release(
        home,
        lambda folder: (folder / "weights").write_text(f"{kind} {day}"),
        kind=kind,
        last_event=START + DAY * day,
        lineage=Lineage(data=data, code="v1.2", run=f"run-{day}", parent=parent, **lineage),
    )
    publish(home, made.name)
    return made.name


@pytest.fixture
def home(tmp_path):
    """A bootstrap and two daily releases, each of which took the ranker over from the one before."""
    first = release(tmp_path, 0, "bootstrap")
    second = release(tmp_path, 1, "daily", first, inherited={"ranker": first})
    release(tmp_path, 2, "daily", second, inherited={"ranker": second, "skip_gram": second})
    return tmp_path


def names(home):
    return sorted(path.name for path in (home / "releases").iterdir())


def test_parents_and_the_makers_of_parts_are_followed(home):
    first, second, third = names(home)
    found = trace(home, read(home / "releases" / third))
    # The ranker was made by the first; the second made the page vectors itself.
    assert found["inherited"] == {"ranker": first, "skip_gram": second}
    assert (found["release"], found["run"], found["code"]) == (third, "run-2", "v1.2")
    assert found["data"]["days"] == ["2026-10-01", "2026-10-32"]
    assert found["data"]["inputs"] == INPUTS
    assert found["parent"]["release"] == second
    assert found["parent"]["parent"]["release"] == first
    assert found["parent"]["parent"]["parent"] is None


def test_a_parent_that_was_deleted_is_still_named(home):
    first, _, third = names(home)
    (home / "releases" / first / "manifest.json").unlink()
    found = trace(home, read(home / "releases" / third))
    assert found["parent"]["parent"] == first
    assert found["inherited"]["ranker"] == first


def shown(*arguments):
    done = CliRunner().invoke(app, ["lineage", *map(str, arguments)])
    return done.exit_code, done.output, done.exception


def test_command_shows_a_tree_or_json(home):
    first, second, third = names(home)
    code, text, _ = shown("--home", home)
    assert code == 0
    for part in (third, second, first, "v1.2", "run-2", "2026-10-01 to", "10 files", "2 more", "abc123"):
        assert part in text
    code, text, _ = shown(second, "--home", home, "--json")
    assert code == 0
    assert json.loads(text) == trace(home, read(home / "releases" / second))


@pytest.mark.parametrize("name", ["latest", "20261030T120000-ffffff"])
def test_an_unknown_release_is_an_error_that_names_it(home, name):
    code, _, error = shown(name, "--home", home)
    assert code != 0
    assert isinstance(error, ReleaseError)
    assert name in str(error)
