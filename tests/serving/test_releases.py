import shutil

import pytest

from components.contract.errors import ReleaseError
from components.contract.release import current, publish, write_release
from serving.releases import Watcher


def fill(text):
    def write(folder):
        (folder / "part").write_text(text)

    return write


@pytest.fixture
def home(tmp_path):
    """Two releases; the first is current."""
    made = [
        write_release(tmp_path, fill(text), kind="bootstrap", last_event=float(i))
        for i, text in enumerate("ab")
    ]
    publish(tmp_path, made[0].name)
    return tmp_path, [release.name for release in made]


def test_it_follows_the_pointer_both_ways(home):
    path, names = home
    taken = []
    watcher = Watcher(path, names[0], lambda release: taken.append(release.name))
    watcher.look()
    publish(path, names[1])
    watcher.look()
    watcher.look()
    publish(path, names[0])
    watcher.look()
    assert taken == [names[1], names[0]]


def test_a_corrupt_release_is_refused_and_a_mended_one_taken(home):
    path, names = home
    taken = []
    watcher = Watcher(path, names[0], lambda release: taken.append(release.name))
    publish(path, names[1])
    part = path / "releases" / names[1] / "part"
    part.write_text("x")
    watcher.look()
    assert taken == []
    part.write_text("b")
    for _ in range(40):
        watcher.look()
    assert taken == [names[1]]


@pytest.mark.parametrize("error", [ReleaseError("no"), RuntimeError("bug")])
def test_what_cannot_be_loaded_changes_nothing(home, error):
    path, names = home
    tries = []

    def refuse(release):
        tries.append(release.name)
        raise error

    watcher = Watcher(path, names[0], refuse)
    publish(path, names[1])
    watcher.look()
    watcher.look()
    # Not again at every look.
    assert tries == [names[1]]


def test_a_pointer_that_is_gone_is_waited_for(home):
    path, names = home
    watcher = Watcher(path, names[0], lambda release: None)
    (path / "current").unlink()
    watcher.look()
    shutil.rmtree(path / "releases")
    watcher.look()
    assert current(path) is None
