import shutil
import subprocess
import sys

import pytest

from components.contract import kernels

needs_compiler = pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler")


@needs_compiler
def test_built_once_and_named_by_its_source(tmp_path, monkeypatch):
    library = kernels.build(tmp_path)
    assert library == kernels.place(tmp_path)
    assert library.stat().st_size > 1000
    monkeypatch.setenv("CC", "no-such-compiler")
    assert kernels.build(tmp_path) == library
    monkeypatch.setattr(kernels, "_SOURCES", tmp_path)
    (tmp_path / "other.c").write_text("int other(void) { return 1; }\n")
    changed = kernels.place(tmp_path)
    assert changed != library
    (tmp_path / "common.h").write_text("#define ONE 1\n")
    assert kernels.place(tmp_path) not in (library, changed)


def test_without_a_compiler_there_are_none(tmp_path, monkeypatch):
    monkeypatch.setenv("CC", "no-such-compiler")
    assert kernels.build(tmp_path) is None
    assert not kernels.place(tmp_path).exists()


@needs_compiler
def test_a_source_that_does_not_compile_is_an_error_and_leaves_nothing(tmp_path, monkeypatch):
    (tmp_path / "kernels.c").write_text("int broken(\n")
    monkeypatch.setattr(kernels, "_SOURCES", tmp_path)
    with pytest.raises(subprocess.CalledProcessError):
        kernels.build(tmp_path)
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["kernels.c"]


@needs_compiler
def test_a_compiler_without_threads_does(tmp_path, monkeypatch):
    monkeypatch.setattr(kernels, "_THREADS", ("-fno-such-option",))
    library = kernels.build(tmp_path)
    code = f"import ctypes; print(ctypes.CDLL({str(library)!r}).shortlist.__name__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "shortlist\n"
    needed = subprocess.run(["ldd", str(library)], capture_output=True, text=True, check=True).stdout
    assert "gomp" not in needed


def test_they_can_be_turned_off():
    code = "from components.contract.kernels import library; print(library())"
    done = subprocess.run(
        [sys.executable, "-c", code], env={"WAYMARK_KERNELS": "0"}, capture_output=True, text=True, check=True
    )
    assert done.stdout == "None\n"
