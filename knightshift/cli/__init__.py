"""The command line: the only place that knows every room.

Nothing heavy is imported here: each command imports what it needs when it runs.
"""

from __future__ import annotations

import codecs
import errno
import io
import json
import sys


def main() -> None:
    """Run the command line; errors become one message and an exit code, never a traceback."""
    from knightshift.cli.app import app
    from knightshift.core.errors import KnightshiftError

    _print_whatever_the_terminal_knows()
    try:
        app()
    except KnightshiftError as error:
        _fail("\n".join([str(error), *getattr(error, "__notes__", [])]), error.exit_code)
    except KeyboardInterrupt:
        _fail("stopped by Ctrl-C", 130)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO)
        _fail(f"{where}{error.strerror or error}", 3 if full else 2)


def _print_whatever_the_terminal_knows() -> None:
    """Escape characters that its encoding lacks as JSON does: a night must not end at a µ, and JSON stays JSON."""
    codecs.register_error("json", _escaped)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="json")


def _escaped(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return json.dumps(error.object[error.start : error.end])[1:-1], error.end


def _fail(message: str, exit_code: int) -> None:
    sys.stderr.write(f"knightshift: {message}\n")
    raise SystemExit(exit_code)
