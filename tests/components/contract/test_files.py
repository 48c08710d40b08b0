import os
import stat

import pytest

from components.contract.files import atomic_file, atomic_folder


def names(path):
    return sorted(entry.name for entry in path.iterdir())


def test_file_appears_when_the_block_ends(tmp_path):
    path = tmp_path / "new" / "a.txt"
    with atomic_file(path) as aside:
        aside.write_text("one")
        assert not path.exists()
    assert path.read_text() == "one"
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert names(path.parent) == ["a.txt"]


def test_failed_file_leaves_the_old_one(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(RuntimeError, match="half way"), atomic_file(path) as aside:  # noqa: PT012
        aside.write_text("half")
        raise RuntimeError("half way")
    assert path.read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


def test_open_reader_keeps_the_old_file(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with path.open() as reader:
        with atomic_file(path) as aside:
            aside.write_text("new")
        assert reader.read() == "old"
    assert path.read_text() == "new"


def test_folder_appears_whole_and_replaces_the_old(tmp_path):
    path = tmp_path / "folder"
    with atomic_folder(path) as aside:
        (aside / "inner").mkdir()
        (aside / "inner" / "a").write_text("1")
        assert not path.exists()
    with atomic_folder(path) as aside:
        (aside / "b").write_text("2")
        assert (path / "inner" / "a").read_text() == "1"
    assert names(path) == ["b"]
    assert names(tmp_path) == ["folder"]
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o755


def test_failed_folder_leaves_the_old_one(tmp_path):
    path = tmp_path / "folder"
    with atomic_folder(path) as aside:
        (aside / "a").write_text("1")
    with pytest.raises(RuntimeError, match="half way"), atomic_folder(path) as aside:  # noqa: PT012
        (aside / "b").write_text("2")
        raise RuntimeError("half way")
    assert names(path) == ["a"]
    assert names(tmp_path) == ["folder"]
