"""Ask for a web address, follow nowhere, and say what went wrong without saying where."""

from __future__ import annotations

import os
import ssl
from http.client import HTTPException
from typing import Literal
from urllib.error import HTTPError, URLError
from urllib.request import (
    HTTPDefaultErrorHandler,
    HTTPErrorProcessor,
    HTTPHandler,
    HTTPSHandler,
    OpenerDirector,
    ProxyHandler,
    Request,
    UnknownHandler,
)

_LONGEST_ANSWER = 1000


def _opener() -> OpenerDirector:
    """Make an opener that knows http and https only: no files, no other schemes, no redirects."""
    opener = OpenerDirector()
    web, errors = (ProxyHandler(), HTTPHandler(), HTTPSHandler()), (HTTPDefaultErrorHandler(), HTTPErrorProcessor())
    for handler in (*web, *errors, UnknownHandler()):
        opener.add_handler(handler)
    return opener


def ping(url: str, method: Literal["GET", "POST"], timeout: float) -> str:
    """Ask for an address once.

    Parameters
    ----------
    url
        Begins with http:// or https://.
    method
        ``GET``, or ``POST`` with an empty body.
    timeout
        How long to wait for the connection, and for each part of the answer [s].

    Returns
    -------
    str
        The problem in words, without the address; empty if there was none.
    """
    data = b"" if method == "POST" else None
    request = Request(url, data=data, method=method, headers={"User-Agent": "knightshift"})  # noqa: S310 - see _opener
    try:
        with _opener().open(request, timeout=timeout) as answer:
            answer.read(_LONGEST_ANSWER)
    except HTTPError as error:
        error.close()
        if 300 <= error.code < 400:
            return f"it answered {error.code}, a redirect: give the address it leads to"
        return f"it answered {error.code}"
    except URLError as error:
        return _words(error.reason)
    except (OSError, HTTPException) as error:
        return _words(error)
    return ""


def _words(error: object) -> str:
    """Say what an error of the network is: its own words may hold the address."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate was refused: {error.verify_message}"
    if isinstance(error, OSError) and error.errno is not None and error.errno > 0:
        return os.strerror(error.errno)
    return f"no answer: {type(error).__name__}"
