"""Messages that say which item of a batch they are about: workers treat many, and their messages mix."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

_OURS = __name__.partition(".")[0]
_item: ContextVar[str] = ContextVar("item", default="")


def named_by_item(treat: Callable[P, T]) -> Callable[P, T]:
    """Let what `treat` logs begin with its first argument, the name of the item."""

    @functools.wraps(treat)
    def treat_named(*args: P.args, **kwargs: P.kwargs) -> T:
        _name_records()
        token = _item.set(str(args[0]))
        try:
            return treat(*args, **kwargs)
        finally:
            _item.reset(token)

    return treat_named


@functools.cache
def _name_records() -> None:
    """Let every record of ours that is made in this process from now on begin with the item at work, if any."""
    make = logging.getLogRecordFactory()

    def make_named(*args: Any, **kwargs: Any) -> logging.LogRecord:
        record = make(*args, **kwargs)
        if _item.get() and record.name.partition(".")[0] == _OURS:
            record.msg, record.args = f"{_item.get()}: {record.getMessage()}", ()
        return record

    logging.setLogRecordFactory(make_named)
