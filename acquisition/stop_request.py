"""Stopping in good order: the first Ctrl-C after the pass, the second within it."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopRequest:
    """A wish to stop, made by a signal or by another thread, obeyed by the pass loop.

    Signal handlers only set flags: they may interrupt a scanner in the middle of a call, so they must not call it.
    """

    def __init__(self) -> None:
        self._level = 0
        self._look: Callable[[], str] | None = None
        self.reason = ""
        """Who asked first, in words."""

    @property
    def after_pass(self) -> bool:
        """Whether no further pass is to be started; looks outside first, if there is somewhere to look."""
        if self._level == 0 and self._look is not None and (reason := self._look()):
            self.request(reason)
        return self._level >= 1

    @property
    def within_pass(self) -> bool:
        """Whether the pass that plays is to be aborted."""
        return self._level >= 2

    def request(self, reason: str = "asked to stop") -> None:
        """Ask to stop after the pass; asked twice, within it."""
        self.reason = self.reason or reason
        self._level += 1

    def request_after_pass(self, reason: str) -> None:
        """Ask to stop after the pass; never more urgent than that, however often."""
        if not self.after_pass:
            self.request(reason)

    @contextmanager
    def looking(self, look: Callable[[], str]) -> Iterator[None]:
        """Let `look` ask too: it gives a reason, or nothing, whenever the pass loop wants to know."""
        self._look = look
        try:
            yield
        finally:
            self._look = None

    @contextmanager
    def on_signals(self) -> Iterator[None]:
        """Let SIGINT and SIGTERM ask.

        After the second, both do again what they did before, so that a third ends the process. Outside the main
        thread Python allows no handlers; then only `request` counts.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before: dict[signal.Signals, Any] = {number: signal.getsignal(number) for number in _SIGNALS}

        def ask(number: int, _frame: FrameType | None) -> None:
            self.request(signal.Signals(number).name)
            if self.within_pass:
                restore()

        def restore() -> None:
            for number, handler in before.items():
                signal.signal(number, signal.SIG_DFL if handler is None else handler)

        for number in _SIGNALS:
            signal.signal(number, ask)
        try:
            yield
        finally:
            restore()
