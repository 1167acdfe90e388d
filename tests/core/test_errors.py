"""One tree of errors: picklable, with exit codes, with words."""

from __future__ import annotations

import copy
import inspect

import pytest

from knightshift.core import errors


def _all_errors() -> list[type[errors.KnightshiftError]]:
    return [cls for _, cls in inspect.getmembers(errors, inspect.isclass) if issubclass(cls, errors.KnightshiftError)]


@pytest.mark.parametrize("cls", _all_errors())
def test_every_error_is_drawn_in_the_tree_and_has_an_exit_code(cls: type[errors.KnightshiftError]) -> None:
    assert errors.__doc__ is not None
    assert cls.__name__ in errors.__doc__
    assert cls.exit_code in ((1,) if cls is errors.KnightshiftError else (2, 3, 4))


@pytest.mark.parametrize(
    "error",
    [
        errors.DamagedDataError("fid", "ACQ_size", "128 of 256 bytes", "copy it again"),
        errors.LinkFault("no answer for 2 s", device="console"),
        errors.LimitError("too much"),
    ],
)
def test_errors_survive_a_copy_between_processes(error: errors.KnightshiftError) -> None:
    twin = copy.copy(error)  # the reduce protocol that multiprocessing uses
    assert str(twin) == str(error)
    assert vars(twin) == vars(error)


def test_message_says_where_what_and_the_remedy() -> None:
    error = errors.DamagedDataError("run/journal.jsonl", "line 12", "checksum is wrong", "run `knightshift verify`")
    assert str(error) == "run/journal.jsonl: line 12: checksum is wrong: run `knightshift verify`"
