"""Compiled loops for what a request waits for: C files, built once into the environment as one library.

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

_SOURCES = Path(__file__).parent
# No fused or reordered arithmetic: sums are those of the NumPy twins, on every processor.
_FLAGS = ("-std=c11", "-O3", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math", "-fPIC", "-shared")
# With them a loop may share its rounds among threads; a compiler that knows none builds it without. The
# runtime of GCC's may lie beside the library, where an image has none of its own.
_THREADS = ("-fopenmp", "-Wl,-rpath,$ORIGIN")

_LINE = 64


def place(root: Path | str = sys.prefix) -> Path:
    """Where the library of these sources lies in an environment."""
    digest = hashlib.sha256(" ".join((*_FLAGS, *_THREADS)).encode())
    for path in sorted(_SOURCES.glob("*.[ch]")):
        digest.update(path.read_bytes())
    return Path(root) / "lib" / "waymark" / f"kernels-{digest.hexdigest()[:16]}.so"


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
        sources = map(str, sorted(_SOURCES.glob("*.c")))
        command = [compiler, *_FLAGS, "-o", str(aside), *sources, "-lm"]
        if subprocess.run([*command, *_THREADS], check=False, stderr=subprocess.DEVNULL).returncode:
            subprocess.run(command, check=True)
    return library


@cache
def library() -> ctypes.CDLL | None:
    """The compiled loops, or None: they were not built, or ``WAYMARK_KERNELS=0`` turns them off."""
    if os.environ.get("WAYMARK_KERNELS") == "0" or not place().exists():
        return None
    return ctypes.CDLL(str(place()))


_threads = 1


def use_threads(count: int) -> None:
    """Let loops over many requests or candidates run on so many threads at most, the caller's among them.

    One, unless this is called: training and evaluation share the cores otherwise.
    """
    global _threads
    _threads = count


def threads() -> int:
    """How many threads a loop may use."""
    return _threads


class Kernel:
    """One of the compiled loops.

    Parameters
    ----------
    kernels : ctypes.CDLL
    name : str
    arguments : str
        A letter for each: ``i`` a whole number, ``f`` a number of 32 bits, ``p`` an array, C-contiguous, or
        an address.
    counts : bool
        Whether it returns a whole number.
    """

    def __init__(self, kernels: ctypes.CDLL, name: str, arguments: str, *, counts: bool = False):
        # A function of its own: another user of the loop does not change these.
        self._function = kernels[name]
        self._function.argtypes = [_ARGUMENTS[letter] for letter in arguments]
        self._function.restype = ctypes.c_int64 if counts else None

    def __call__(self, *given: NDArray[Any] | float) -> Any:
        """Run it, on arrays and numbers."""
        return self._function(
            *[address(value) if isinstance(value, np.ndarray) else value for value in given]
        )


_ARGUMENTS: dict[str, Any] = {"i": ctypes.c_int64, "f": ctypes.c_float, "p": ctypes.c_void_p}


def address(array: NDArray[Any]) -> int:
    """Where an array lies. The caller keeps it until the loop returns."""
    try:
        # Several times as fast as ``array.ctypes``.
        return ctypes.addressof(ctypes.c_char.from_buffer(array))  # type: ignore[arg-type]
    except (TypeError, ValueError):
        # It cannot be written to, or is empty.
        assert array.flags.c_contiguous
        return array.ctypes.data


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
