import json
from datetime import date

import pytest
from typer.testing import CliRunner

from components.contract.errors import WaymarkError
from components.validate import acknowledge as module
from components.validate.__main__ import app
from components.validate.findings import Finding
from components.validate.profile import folder

DAY = date(2026, 3, 17)
DATED = Finding("stop", "events", "rating", "drift", "other ratings", "0.3", "Look", "rating = 5", DAY)
WHOLE = Finding("stop", "associates", "role", "drift", "other roles", "9 %", "Look", subject="of the release")


@pytest.fixture
def home(tmp_path):
    module.save(tmp_path, [DATED, WHOLE], date(2026, 3, 18))
    return tmp_path


def call(*words, code=0):
    found = CliRunner().invoke(app, [str(word) for word in words], terminal_width=250)
    assert found.exit_code == code, found.output
    return found.output


def test_findings_come_back_as_they_were(home):
    assert module.last(home) == (date(2026, 3, 18), [DATED, WHOLE])
    shown = json.loads(call("findings", "--home", home, "--json"))["findings"]
    assert [row["key"] for row in shown] == ["drift:events.rating", "drift:associates.role:of the release"]
    assert "other ratings" in call("findings", "--home", home)


def test_an_acknowledged_finding_does_not_stop_its_day_and_no_other(home):
    call("acknowledge", DATED.key, "--home", home, "--by", "Ana Ruiz", "--reason", "new scale")
    given = module.acknowledged(home)
    assert [(one.key, one.by, one.reason, one.until) for one in given] == [
        (DATED.key, "Ana Ruiz", "new scale", DAY)
    ]
    next_day = Finding(**{**DATED.__dict__, "day": date(2026, 3, 18)})
    marked = module.apply([DATED, WHOLE, next_day], given, date(2026, 3, 19))
    assert [one.stops for one in marked] == [False, True, True]
    assert marked[0].acknowledged == "Ana Ruiz: new scale (until 2026-03-17)"
    assert "new scale" in call("acknowledged", "--home", home)


def test_it_holds_until_the_day_given(home):
    call("acknowledge", WHOLE.key, "--home", home, "--by", "A", "--reason", "r", "--until", "2026-03-20")
    given = module.acknowledged(home)
    assert [module.apply([WHOLE], given, date(2026, 3, day))[0].stops for day in (20, 21)] == [False, True]


@pytest.mark.parametrize(
    ("key", "by", "reason", "message"),
    [
        ("drift:events.dwell", "A", "r", "its findings are: drift:associates.role"),
        (WHOLE.key, " ", "r", "empty"),
        (WHOLE.key, "A", "", "empty"),
    ],
)
def test_what_cannot_be_acknowledged(home, key, by, reason, message):
    with pytest.raises(WaymarkError, match=message):
        module.acknowledge(home, key, by, reason, None)
    assert module.acknowledged(home) == []


def test_without_a_run_there_is_nothing_to_acknowledge(tmp_path):
    with pytest.raises(WaymarkError, match="no run has validated"):
        module.last(tmp_path)


def test_lines_are_only_added_and_a_cut_one_is_passed_over(home):
    for reason in ("one", "two"):
        module.acknowledge(home, WHOLE.key, "A", reason, None)
    file = folder(home) / "acknowledged.jsonl"
    with file.open("ab") as handle:
        handle.write(b'{"key":"dri')
    assert [one.reason for one in module.acknowledged(home)] == ["one", "two"]
    file.write_bytes(b"{}\n" + file.read_bytes())
    with pytest.raises(WaymarkError, match=r"acknowledged\.jsonl, line 1"):
        module.acknowledged(home)
