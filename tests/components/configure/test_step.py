import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

import components
from components.configure.component import configure
from components.configure.step import run, sections
from components.contract.errors import WaymarkError
from pipelines.remote import SCHEDULED_DAY


def test_date_is_kept_and_settings_are_untouched():
    settings = {"release": {"keep": 5}}
    assert run(settings, "2026-11-24") == {"release": {"keep": 5}, "run_date": "2026-11-24"}
    assert settings == {"release": {"keep": 5}}


def test_without_a_date_no_two_runs_share_a_cache_key():
    assert run({}) != run({})


@pytest.mark.parametrize("macro", [SCHEDULED_DAY, "[[CurrentTime]]", " [[ScheduledTime]] "])
def test_a_macro_that_kfp_did_not_fill_in_is_no_date(macro):
    before = datetime.now(UTC)
    moment = datetime.fromisoformat(run({}, macro)["run_date"])
    assert before <= moment <= datetime.now(UTC)
    assert run({}, "2026-11-[24]")["run_date"] == "2026-11-[24]"


def test_unknown_section_is_an_error_that_names_the_known():
    with pytest.raises(WaymarkError, match=r"settings\.two_towr.*release"):
        run({"two_towr": {}})


def test_section_must_be_a_mapping():
    with pytest.raises(WaymarkError, match=r"settings\.release: a mapping"):
        run({"release": 3})


def test_component_returns_what_the_step_returns():
    given = ({"release": {}}, "d", "FlinkRunner")
    assert configure.python_func(*given) == run(*given)


def test_the_beam_runner_is_a_setting_and_the_settings_own_wins():
    assert run({}, "d", "FlinkRunner")["preprocess"] == {"runner": "FlinkRunner"}
    given = {"preprocess": {"runner": "SparkRunner", "shards": 4}}
    assert run(given, "d", "FlinkRunner")["preprocess"] == given["preprocess"]
    assert "preprocess" not in run({}, "d")


def test_every_section_that_a_step_reads_is_known():
    sources = [
        path for path in Path(components.__file__).parent.rglob("*.py") if path.parent.name != "configure"
    ]
    read = {
        name
        for path in sources
        for name in re.findall(r'\bsection\(\s*\w+,\s*"(\w+)"', path.read_text())
        if path.name != "settings.py"
    }
    assert "release" in read
    assert read <= sections()
