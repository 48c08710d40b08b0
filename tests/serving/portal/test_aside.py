"""One past release at a time, and not for longer than it is asked about."""

import threading
import time
import weakref
from types import SimpleNamespace

import pytest

from components.contract.errors import ReleaseError
from serving.errors import RequestError
from serving.payloads import Instance
from serving.portal.aside import Aside
from serving.rules.rules import Rules


class Engine:
    """As much of an engine as is asked for."""

    def __init__(self, name: str):
        self.name = name

    def compile(self, rules):
        return rules

    def answer(self, instances, *, policy):
        return SimpleNamespace(answers=[{"release": self.name, "rules": policy, "asked": instances}])


class Loader:
    """Loads engines, and knows which are still there."""

    def __init__(self) -> None:
        self.loaded: list[str] = []
        self._kept: list[weakref.ref] = []
        self.most = 0

    def __call__(self, release):
        engine = Engine(release.name)
        self.loaded.append(release.name)
        self._kept.append(weakref.ref(engine))
        self.most = max(self.most, self.alive())
        return engine

    def alive(self) -> int:
        return sum(reference() is not None for reference in self._kept)


def release(name: str, problem: str | None = None):
    def verify():
        if problem:
            raise ReleaseError(problem)

    return SimpleNamespace(name=name, verify=verify)


def until(true) -> None:
    deadline = time.monotonic() + 20
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_release_is_loaded_once_and_freed_when_nobody_asks():
    load = Loader()
    aside = Aside(load, idle=1.0)
    instance, rules = Instance(associate_id="A"), Rules()
    for _ in range(3):
        found = aside.answer(release("R1"), instance, rules)
        assert (found["release"], found["rules"], found["asked"]) == ("R1", rules, [instance])
    assert load.loaded == ["R1"]
    assert load.alive() == 1
    until(lambda: load.alive() == 0)
    aside.answer(release("R1"), instance, rules)
    assert load.loaded == ["R1", "R1"]


def test_a_question_keeps_it_longer():
    load = Loader()
    aside = Aside(load, idle=2.0)
    for _ in range(5):
        aside.answer(release("R1"), Instance(), Rules())
        time.sleep(0.6)
    assert load.loaded == ["R1"]


def test_there_are_never_two_also_when_asked_at_once():
    load = Loader()
    aside = Aside(load, idle=30)
    names = ["R1", "R2", "R3"] * 4
    answers: list[str] = []

    def ask(name: str) -> None:
        answers.append(aside.answer(release(name), Instance(), Rules())["release"])

    threads = [threading.Thread(target=ask, args=[name]) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == sorted(names)
    assert load.most == 1
    assert load.alive() == 1


def test_who_waits_too_long_is_told_to_come_back():
    begun, go = threading.Event(), threading.Event()

    def slow(wanted):
        begun.set()
        go.wait(20)
        return Engine(wanted.name)

    aside = Aside(slow, idle=30, patience=0.1)
    thread = threading.Thread(target=aside.answer, args=[release("R1"), Instance(), Rules()])
    thread.start()
    begun.wait(20)
    with pytest.raises(RequestError) as refused:
        aside.answer(release("R2"), Instance(), Rules())
    assert (refused.value.status, refused.value.headers) == (503, {"Retry-After": "5"})
    go.set()
    thread.join()
    assert aside.answer(release("R1"), Instance(), Rules())["release"] == "R1"


def test_a_damaged_release_is_refused_and_the_next_one_loaded():
    load = Loader()
    aside = Aside(load, idle=30)
    aside.answer(release("R1"), Instance(), Rules())
    with pytest.raises(RequestError, match="R2 cannot be loaded") as refused:
        aside.answer(release("R2", "/secret/path fails its checksum"), Instance(), Rules())
    assert refused.value.status == 409
    assert "secret" not in str(refused.value)
    assert load.alive() == 0
    assert aside.answer(release("R1"), Instance(), Rules())["release"] == "R1"
