"""Tokens that let someone in: read from a file or the environment, never from a command line."""

from __future__ import annotations

import os
from pathlib import Path

from knightshift.core.errors import ConfigError

SHORTEST_TOKEN = 16
"""Characters that a token has at least."""
_MOST_READ = 4096


def read_token(token_file: Path | None, variable: str) -> bytes | None:
    """Read a token; None if there is none.

    Parameters
    ----------
    token_file
        A file whose first line is the token; None: the environment counts.
    variable
        Name of the environment variable.

    Raises
    ------
    ConfigError
        If the file cannot be read, or the token is too short to be one.
    """
    if token_file is not None:
        try:
            with token_file.open(encoding="utf-8") as file:
                words, source = file.readline(_MOST_READ).strip(), f"token_file {token_file}"
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"token_file {token_file} cannot be read: {error}") from error
    else:
        words, source = os.environ.get(variable, "").strip(), variable
        if not words:
            return None
    if len(words) < SHORTEST_TOKEN:
        raise ConfigError(
            f"{source}: a token of {len(words)} characters is too short: make one of at least {SHORTEST_TOKEN}, "
            "for example by: openssl rand -hex 32"
        )
    return words.encode()
