"""The machine, this process's memory, and workers that take turns; for both environments."""

from __future__ import annotations

import json
import os
import platform
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

_MIB = 1024


def threads() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0))


def describe() -> dict[str, str | int]:
    """Processor, cores, memory, Python."""
    processor = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line]
    total = next(line for line in Path("/proc/meminfo").read_text().splitlines() if "MemTotal" in line)
    return {
        "processor": processor[0].split(":")[1].strip() if processor else platform.machine(),
        "cores": threads(),
        "memory_mib": int(total.split()[1]) // _MIB,
        "python": platform.python_version(),
    }


def peak_mib() -> int:
    """Most resident memory of this process so far, or since :func:`forget_peak`.

    Not getrusage's ru_maxrss, which a child inherits from whoever started it.
    """
    status = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in status if line.startswith("VmHWM")).split()[1]) // _MIB


def forget_peak() -> None:
    """Start measuring the peak anew (proc(5), clear_refs)."""
    Path("/proc/self/clear_refs").write_text("5")


class Steps:
    """Seconds and peak memory between calls; give it as a ``progress`` callback."""

    def __init__(self, tell: Callable[[str], None]):
        self._tell = tell
        self._name, self._started = "", 0.0
        self.found: dict[str, dict[str, float]] = {}

    def __call__(self, name: str) -> None:
        """A step begins, and the one before it ends; "" ends the last."""
        if self._name:
            seconds = round(time.perf_counter() - self._started, 1)
            self.found[self._name] = {"seconds": seconds, "peak_mib": peak_mib()}
        forget_peak()
        self._name, self._started = name, time.perf_counter()
        self._tell(name)


def take_turns(passes: Mapping[str, Callable[[], int]]) -> None:
    """Run the pass that each line of standard input names; answer with its rows, seconds, and CPU seconds."""
    # Whatever a package prints goes to standard error.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    for line in sys.stdin:
        wall, processor = time.perf_counter(), time.process_time()
        answer: dict[str, float] = {"rows": passes[line.strip()]()}
        answer |= {"seconds": time.perf_counter() - wall, "cpu_seconds": time.process_time() - processor}
        answers.write(json.dumps(answer) + "\n")
