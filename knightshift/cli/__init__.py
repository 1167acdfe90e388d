"""The command line: the only place that knows every room.

Nothing heavy is imported here: each command imports what it needs when it runs.
"""

from __future__ import annotations

import errno
import sys


def main() -> None:
    """Run the command line; errors become one message and an exit code, never a traceback."""
    from knightshift.cli.app import app
    from knightshift.core.errors import KnightshiftError

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


def _fail(message: str, exit_code: int) -> None:
    sys.stderr.write(f"knightshift: {message}\n")
    raise SystemExit(exit_code)
