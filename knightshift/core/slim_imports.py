"""Import a library without what it drags along and we never use: seconds, for a command that answers in one.

``pypulseq`` imports pyplot and scipy's signal processing for its plots, ``pyfftw`` all of dask and pandas where they
are installed. Neither offers another way in.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType
from typing import Any


class _Later(ModuleType):
    """Stands for a module of functions: imported when one of them is called."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)

        def call(*arguments: Any, **options: Any) -> Any:
            return getattr(import_module(self.__name__), name)(*arguments, **options)

        return call


@contextmanager
def called_later(*modules: str) -> Iterator[None]:
    """Let what is imported inside hold functions of `modules` that import their module when first called."""
    with _in_place_of({name: _Later(name) for name in modules}):
        yield


@contextmanager
def as_if_absent(*modules: str) -> Iterator[None]:
    """Let what is imported inside do without these optional modules."""
    with _in_place_of(dict.fromkeys(modules)):
        yield


@contextmanager
def _in_place_of(others: dict[str, Any]) -> Iterator[None]:
    """Put them where ``import`` looks first, but for those that are loaded already, and take them out again."""
    placed = {name: other for name, other in others.items() if name not in sys.modules}
    sys.modules.update(placed)
    try:
        yield
    finally:
        for name in placed:
            del sys.modules[name]
