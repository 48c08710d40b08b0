"""Compiled loops for what a request waits for: ``kernels.c``, built once into the environment.

``python -m components.contract.kernels`` builds them, where there is a C compiler; ``make setup`` and the
images' build do so. Without them NumPy does the same, slower: each user of a kernel has its NumPy twin, and
tests hold both to the same numbers (docs/adr/0012-compiled-kernels.md).
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import shutil
import subprocess
import sys
import threading
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.contract.files import atomic_file

_SOURCE = Path(__file__).with_suffix(".c")
# No fused or reordered arithmetic: sums are those of the NumPy twins, on every processor.
_FLAGS = ("-std=c11", "-O3", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math", "-fPIC", "-shared")

_LINE = 64


def place(root: Path | str = sys.prefix) -> Path:
    """Where the library of this source lies in an environment."""
    digest = hashlib.sha256(_SOURCE.read_bytes() + " ".join(_FLAGS).encode()).hexdigest()
    return Path(root) / "lib" / "waymark" / f"kernels-{digest[:16]}.so"


def build(root: Path | str = sys.prefix) -> Path | None:
    """Compile, unless it is done; None where there is no C compiler.

    Raises
    ------
    subprocess.CalledProcessError
        The compiler refuses the source.
    """
    library, compiler = place(root), shutil.which(os.environ.get("CC", "cc"))
    if library.exists():
        return library
    if compiler is None:
        return None
    library.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(library) as aside:
        subprocess.run([compiler, *_FLAGS, "-o", str(aside), str(_SOURCE)], check=True)
    return library


@cache
def library() -> ctypes.CDLL | None:
    """The compiled loops, or None: they were not built, or ``WAYMARK_KERNELS=0`` turns them off."""
    if os.environ.get("WAYMARK_KERNELS") == "0" or not place().exists():
        return None
    return ctypes.CDLL(str(place()))


def pointer(array: NDArray[Any]) -> ctypes.c_void_p:
    """An array as a kernel takes it. The caller keeps the array until the kernel returns."""
    assert array.flags.c_contiguous
    return ctypes.c_void_p(array.ctypes.data)


def aligned(array: NDArray[Any]) -> NDArray[Any]:
    """A contiguous copy that begins with a line of the cache: what crosses lines is read far slower."""
    found = _room(array.nbytes)[: array.nbytes].view(array.dtype).reshape(array.shape)
    found[...] = array
    return found


def _room(size: int) -> NDArray[np.uint8]:
    """At least so many bytes, beginning with a line of the cache."""
    whole = np.empty(size + _LINE, np.uint8)
    return whole[-whole.ctypes.data % _LINE :]


_memory = threading.local()


def scratch(size: int) -> NDArray[np.uint8]:
    """At least ``size`` bytes for this thread's kernels to work in; kept, for fresh memory is slow."""
    found: NDArray[np.uint8] | None = getattr(_memory, "bytes", None)
    if found is None or len(found) < size:
        found = _memory.bytes = _room(size)
    return found


if __name__ == "__main__":
    if build(*sys.argv[1:]) is None:
        sys.stderr.write("kernels: no C compiler (cc) is here; NumPy does the same, slower\n")
