"""Processes that die at a chosen system call, for real: a fork, and ``os._exit`` inside the call."""

from __future__ import annotations

import itertools
import os
import signal
import threading
from collections.abc import Callable
from typing import Any

CALLS = ("write", "fsync", "fdatasync", "rename", "ftruncate", "unlink", "mkdir")
"""Everything that changes a disk in a run."""
HOW = ("before", "after", "halfway")
"""When to die in the call; halfway is in writes alone, which are then the only calls that are counted."""
_KILLED = 137


def run_and_die(work: Callable[[], Any], step: int, how: str) -> bool:
    """Do `work` in a forked process that dies at its disk call number `step`; returns whether it died."""
    child = os.fork()
    if child == 0:
        _die_at(step, how)
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code in {0, _KILLED}, f"the process failed with {code} at step {step} {how}"
    return code == _KILLED


def _die_at(step: int, how: str) -> None:
    numbers, lock = itertools.count(), threading.Lock()

    def wrap(call: Callable[..., Any]) -> Callable[..., Any]:
        def dying(*args: Any, **options: Any) -> Any:
            with lock:
                mine = next(numbers) == step
                if not mine:
                    return call(*args, **options)
                if how == "after":
                    call(*args, **options)
                elif how == "halfway":
                    call(args[0], bytes(args[1])[: len(args[1]) // 2])
                os._exit(_KILLED)

        return dying

    for name in ("write",) if how == "halfway" else CALLS:
        setattr(os, name, wrap(getattr(os, name)))


def run_and_kill(work: Callable[[], Any], ready: Callable[[], bool], delay: float) -> None:
    """Do `work` in a forked process and send it SIGKILL `delay` [s] after it is `ready`."""
    import time

    child = os.fork()
    if child == 0:
        try:
            work()
        finally:
            os._exit(0)
    while not ready():
        time.sleep(0.0005)
    time.sleep(delay)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
