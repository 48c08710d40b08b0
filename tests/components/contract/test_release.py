import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from components.contract.errors import ReleaseError
from components.contract.release import (
    Lineage,
    current,
    list_releases,
    load,
    prune,
    publish,
    read,
    rollback,
    write_release,
)
from components.contract.time import DAY

START = 1793361600.0  # 2026-10-30T12:00:00Z


def write(home: Path, day: int = 0, text: str = "x", **given):
    def fill(folder: Path) -> None:
        (folder / "ranker").mkdir()
        (folder / "ranker" / "model.bin").write_text(text)
        (folder / "evaluation.json").write_text("{}")

    return write_release(home, fill, kind="daily", last_event=START + day * DAY, **given)


def published(home: Path, day: int, text: str = "x"):
    return publish(home, write(home, day, text).name)


def test_name_sorts_by_time_of_the_data(tmp_path):
    names = [write(tmp_path, day).name for day in (0, 1, 40)]
    assert names[0].startswith("20261030T120000-")
    assert names == sorted(names)
    assert all(re.fullmatch(r"\d{8}T\d{6}-[0-9a-f]{6}", name) for name in names)


def test_manifest_lists_every_file_with_checksum_and_lineage(tmp_path):
    release = write(tmp_path, metrics={"ndcg@10": 0.3}, lineage=Lineage(code="v1", run="r7"))
    entry = release.manifest.files["ranker/model.bin"]
    assert set(release.manifest.files) == {"ranker/model.bin", "evaluation.json"}
    # sha256 of "x"
    assert entry.sha256 == "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"
    assert entry.size == 1
    assert release.manifest.metrics == {"ndcg@10": 0.3}
    assert (release.manifest.lineage.code, release.manifest.lineage.run) == ("v1", "r7")
    assert release.ranker == release.root / "ranker"


def test_same_content_twice_is_one_release(tmp_path):
    first, second = write(tmp_path), write(tmp_path)
    assert first == second
    assert [path.name for path in (tmp_path / "releases").iterdir()] == [first.name]


def test_same_content_repairs_a_damaged_release(tmp_path):
    release = write(tmp_path)
    (release.root / "ranker" / "model.bin").write_text("y")
    assert load(write(tmp_path).root).name == release.name


def test_writing_does_not_move_the_pointer(tmp_path):
    first = published(tmp_path, 0)
    write(tmp_path, 1)
    assert current(tmp_path).name == first.name


def test_pointer_is_relative_so_that_home_can_move(tmp_path):
    release = published(tmp_path / "a", 0)
    (tmp_path / "a").rename(tmp_path / "b")
    assert load(tmp_path / "b").name == release.name
    assert os.readlink(tmp_path / "b" / "current") == f"releases/{release.name}"


def test_load_takes_home_or_a_bare_release_folder(tmp_path):
    release = published(tmp_path, 0)
    assert load(tmp_path) == load(release.root) == load(tmp_path / "current")


def test_release_in_use_outlives_the_swap(tmp_path):
    release = load(published(tmp_path, 0, "old").root.parents[1])
    published(tmp_path, 1, "new")
    assert (release.ranker / "model.bin").read_text() == "old"


@pytest.mark.parametrize("damage", ["flip", "cut", "delete"])
def test_damage_names_the_file(tmp_path, damage):
    release = published(tmp_path, 0, "content")
    file = release.root / "ranker" / "model.bin"
    if damage == "flip":
        file.write_text("Content")
    elif damage == "cut":
        file.write_text("con")
    else:
        file.unlink()
    with pytest.raises(ReleaseError, match=re.escape(str(file))):
        load(tmp_path)


def test_altered_file_list_is_found(tmp_path):
    release = published(tmp_path, 0)
    path = release.root / "manifest.json"
    manifest = json.loads(path.read_text())
    del manifest["files"]["evaluation.json"]
    path.write_text(json.dumps(manifest))
    with pytest.raises(ReleaseError, match="altered"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [("{", "JSON"), ('{"layout": 2}', "layout"), ('{"layout": 1}', "name")],
)
def test_unreadable_manifest_names_the_field(tmp_path, text, message):
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(ReleaseError, match=message):
        read(tmp_path)


def test_file_outside_the_release_is_refused(tmp_path):
    release = published(tmp_path, 0)
    path = release.root / "manifest.json"
    from components.contract.release import FileEntry, digest_of

    files = {"../secret": FileEntry(sha256="0", size=1)}
    altered = release.manifest.model_copy(update={"files": files, "digest": digest_of(files)})
    path.write_text(altered.model_dump_json())
    with pytest.raises(ReleaseError, match="outside"):
        load(tmp_path)


def test_publish_refuses_damage_and_keeps_the_current(tmp_path):
    good = published(tmp_path, 0)
    bad = write(tmp_path, 1)
    (bad.root / "evaluation.json").write_text("[]")
    with pytest.raises(ReleaseError, match="checksum"):
        publish(tmp_path, bad.name)
    assert current(tmp_path).name == good.name


@pytest.mark.parametrize("name", ["../x", "", "20261030T120000-zzzzzz", "current"])
def test_publish_refuses_what_is_no_name(tmp_path, name):
    published(tmp_path, 0)
    with pytest.raises(ReleaseError, match="no release name"):
        publish(tmp_path, name)


def test_missing_part_is_named(tmp_path):
    with pytest.raises(ReleaseError, match="holds no two_tower"):
        write(tmp_path).part("two_tower")


def test_no_release_yet(tmp_path):
    assert current(tmp_path) is None
    assert list_releases(tmp_path) == []
    assert prune(tmp_path) == []
    with pytest.raises(ReleaseError, match="no release"):
        load(tmp_path)
    with pytest.raises(ReleaseError, match="no current release"):
        rollback(tmp_path)


def test_rollback_steps_back_one_sound_release_at_a_time(tmp_path):
    first, second, third, fourth = (published(tmp_path, day) for day in range(4))
    (third.root / "evaluation.json").write_text("damaged")
    assert rollback(tmp_path).name == second.name
    assert rollback(tmp_path).name == first.name
    with pytest.raises(ReleaseError, match="no sound release before"):
        rollback(tmp_path)
    assert rollback(tmp_path, to=fourth.name).name == current(tmp_path).name == fourth.name


def test_releases_of_equal_data_go_by_creation(tmp_path):
    older, newer = published(tmp_path, 0, "a"), published(tmp_path, 0, "b")
    assert [release.name for release in list_releases(tmp_path)] == [newer.name, older.name]
    assert rollback(tmp_path).name == older.name


def test_prune_keeps_the_newest_and_the_current(tmp_path):
    names = [published(tmp_path, day).name for day in range(6)]
    publish(tmp_path, names[0])
    assert prune(tmp_path, keep=3) == names[1:3]
    assert [release.name for release in list_releases(tmp_path)] == [*names[:2:-1], names[0]]
    assert load(tmp_path).name == names[0]


def test_prune_removes_dead_builds_but_not_running_ones(tmp_path):
    published(tmp_path, 0)
    dead, running = (tmp_path / "releases" / f".build-{name}" for name in ("dead", "running"))
    dead.mkdir()
    running.mkdir()
    old = time.time() - 2 * DAY
    os.utime(dead, (old, old))
    prune(tmp_path)
    assert not dead.exists()
    assert running.exists()


# Builds and publishes a second release again and again; the n-th time it kills itself, by SIGKILL,
# at the n-th call that touches HOME. After each death HOME must serve a sound release.
KILLED_EVERYWHERE = """
import os, signal, sys
from pathlib import Path
from components.contract.release import load, prune, publish, write_release

home = Path(sys.argv[1])

def release(text, day):
    def fill(folder):
        (folder / "ranker").mkdir()
        for part in range(2):
            (folder / "ranker" / f"{part}.bin").write_text(text)
    publish(home, write_release(home, fill, kind="daily", last_event=day * 86400.0).name)
    prune(home, keep=1)

release("first", 1)
first = load(home).name
seen, deaths, step = set(), 0, 0
while True:
    step += 1
    child = os.fork()
    if child == 0:
        touched = 0
        def audit(event, arguments):
            global touched
            if event in ("open", "os.rename", "os.mkdir", "os.symlink", "os.remove", "os.rmdir", "os.chmod"):
                if any(str(home) in str(argument) for argument in arguments):
                    touched += 1
                    if touched == step:
                        os.kill(os.getpid(), signal.SIGKILL)
        sys.addaudithook(audit)
        release("second", 2)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    now = load(home)
    seen.add(now.name)
    if os.WIFEXITED(status):
        assert os.WEXITSTATUS(status) == 0
        break
    deaths += 1
    # The next child starts from the first release again.
    publish(home, first) if (home / "releases" / first).exists() else release("first", 1)
assert now.name != first
assert seen == {first, now.name}
print(deaths)
"""


def test_death_at_any_moment_leaves_a_sound_current_release(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", KILLED_EVERYWHERE, str(tmp_path)],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[3],
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 20
