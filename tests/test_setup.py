"""Set-up and images: what can be checked without installing anything."""

import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def _setup(venv: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [ROOT / "tools" / "setup.sh", venv],
        env={**os.environ, **environment},
        cwd=venv.parent,
        capture_output=True,
        text=True,
        timeout=30,
    )


def test_a_folder_that_is_no_environment_is_kept(tmp_path: Path) -> None:
    folder = tmp_path / "my work"
    folder.mkdir()
    (folder / "thesis.txt").write_text("years of work")
    done = _setup(folder)
    assert done.returncode == 1
    assert "is not a virtual environment" in done.stderr
    assert (folder / "thesis.txt").read_text() == "years of work"


def test_a_python_that_does_not_do_is_named_and_nothing_is_made(tmp_path: Path) -> None:
    done = _setup(tmp_path / "venv", PYTHON="/bin/false")
    assert done.returncode == 1
    assert re.search(r"PYTHON=/bin/false does not do: glibc [\d.]+ needs Python 3\.1", done.stderr)
    assert not (tmp_path / "venv").exists()


def test_an_environment_of_other_pins_is_made_anew(tmp_path: Path) -> None:
    venv = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
    pins = ("requirements.txt", "requirements-dev.txt", "tools/setup.sh")
    digest = hashlib.sha256(b"".join((ROOT / name).read_bytes() for name in pins)).hexdigest()
    (venv / ".digest").write_text(digest)
    assert _setup(venv, PYTHON="/bin/false").returncode == 0
    (venv / ".digest").write_text(digest[::-1])
    assert "does not do" in _setup(venv, PYTHON="/bin/false").stderr
