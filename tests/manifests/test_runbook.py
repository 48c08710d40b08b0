"""Whoever is woken by an alert finds what it means, what to look at and what to do."""

import re

import pytest
import yaml

from manifests.check.build import MANIFESTS

RULES = yaml.safe_load((MANIFESTS / "components/monitoring/alerts.yaml").read_text())["spec"]["groups"]
ALERTS = {rule["alert"]: rule for group in RULES for rule in group["rules"] if "alert" in rule}
PAGE = (MANIFESTS.parent / "docs/runbook.md").read_text()
CHAPTER = re.split(r"^## ", PAGE.split("\n## Alerts\n")[1], flags=re.MULTILINE)[0]
SECTIONS = dict(re.findall(r"^### (\w+)\n(.*?)(?=^### |\Z)", CHAPTER, re.MULTILINE | re.DOTALL))


def test_the_runbook_has_a_section_for_each_alert_and_for_no_other():
    assert len(ALERTS) >= 8
    assert sorted(SECTIONS) == sorted(ALERTS)


@pytest.mark.parametrize("name", sorted(ALERTS))
def test_a_section_says_meaning_check_and_action(name):
    parts = re.findall(r"^\*\*(\w+)\.\*\* \S.{20,}$", SECTIONS[name], re.MULTILINE)
    assert parts == ["Meaning", "Check", "Action"]


@pytest.mark.parametrize("name", sorted(ALERTS))
def test_an_alert_leads_to_its_own_section(name):
    assert ALERTS[name]["annotations"]["runbook_url"].endswith(f"/runbook.md#{name.lower()}")
