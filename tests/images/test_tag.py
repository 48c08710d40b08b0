"""The tag of images: it changes with what goes into them, and with nothing else."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of the repository's images, with a little code, under a path with a space."""
    tree = tmp_path / "a copy"
    shutil.copytree(ROOT / "tools" / "images", tree / "tools" / "images")
    for name in ("Dockerfile", ".dockerignore", "requirements.txt"):
        shutil.copy(ROOT / name, tree / name)
    for name in ("components/step/run.py", "serving/__main__.py", "docs/guide.md"):
        (tree / name).parent.mkdir(parents=True)
        (tree / name).write_text(name)
    return tree


def tag(tree: Path, **environment: str) -> str:
    environment = {**os.environ, "BASE": "debian", "GPU": "0", **environment}
    done = subprocess.run(
        [tree / "tools/images/tag.sh"], env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_equal_trees_have_one_tag_of_twelve_hexadecimals(tree: Path, tmp_path: Path) -> None:
    first = tag(tree)
    assert len(first) == 12
    assert int(first, 16) >= 0
    moved = shutil.copytree(tree, tmp_path / "elsewhere")
    assert tag(moved) == first


@pytest.mark.parametrize(
    "name",
    [
        "components/step/run.py",
        "serving/__main__.py",
        "Dockerfile",
        ".dockerignore",
        "requirements.txt",
        "tools/images/light.in",
        "tools/images/gpu.txt",
        "tools/images/install.sh",
        "components/a file of mine.json",
    ],
)
def test_another_tag_for_other_contents(tree: Path, name: str) -> None:
    before = tag(tree)
    with (tree / name).open("a") as file:
        file.write("#")
    assert tag(tree) != before


def test_another_tag_for_another_base_or_gpu(tree: Path) -> None:
    assert len({tag(tree), tag(tree, BASE="ubuntu"), tag(tree, GPU="1")}) == 3


def test_another_tag_when_contents_change_places(tree: Path) -> None:
    before = tag(tree)
    (tree / "components/step/run.py").rename(tree / "components/step/walk.py")
    assert tag(tree) != before


def test_the_same_tag_when_only_what_no_image_holds_changes(tree: Path) -> None:
    before = tag(tree)
    (tree / "docs/guide.md").write_text("news")
    (tree / "tools/images/test.sh").write_text("#!/bin/sh\n")
    (tree / "components/step/__pycache__").mkdir()
    (tree / "components/step/__pycache__/run.pyc").write_bytes(b"1")
    assert tag(tree) == before
