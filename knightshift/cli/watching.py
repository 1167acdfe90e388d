"""`knightshift dashboard` and `stop`: a live page of what the scanner does, and a word to it."""

from __future__ import annotations

import getpass
import secrets
import socket
from pathlib import Path

from rich.console import Console

from knightshift.acquisition.dashboard import DashboardSettings
from knightshift.acquisition.outside_stop import ask_to_stop
from knightshift.core.errors import ConfigError
from knightshift.core.tokens import read_token

TOKEN_VARIABLE = "KNIGHTSHIFT_DASHBOARD_TOKEN"  # noqa: S105 - the name of a variable
"""Environment variable that holds the token of the live page, if no file does."""
_HOST = "127.0.0.1"


def serve_dashboard(
    runs: Path, *, queue: Path | None, port: int, token_file: Path | None, actions: bool, previews: bool
) -> None:
    """Serve the live page on the loopback interface until Ctrl-C.

    Raises
    ------
    ConfigError
        If the extra ``web`` is not installed, the folder is none, or the token is too short to be one.
    """
    try:
        import uvicorn

        from knightshift.acquisition.dashboard.app import make_app
    except ImportError as error:
        raise ConfigError(
            f"the live page needs the extra 'web' ({error.name} is missing): pip install 'knightshift[web]'"
        ) from error
    if not runs.is_dir():
        raise ConfigError(f"{runs}: there is no such folder: give the one that holds the runs")
    given = read_token(token_file, TOKEN_VARIABLE)
    token = given.decode() if given else secrets.token_urlsafe(24)
    settings = DashboardSettings(runs.resolve(), token, queue, actions, previews)
    console = Console()
    config = uvicorn.Config(
        make_app(settings), log_level="warning", server_header=False, access_log=False, timeout_graceful_shutdown=2
    )
    with _listening(port) as listener:
        address = f"http://{_HOST}:{listener.getsockname()[1]}/"
        console.print(f"live page: {address}?token={token}", highlight=False, markup=False, soft_wrap=True)
        if actions:
            console.print("actions are on: they ask for the same token", highlight=False)
        uvicorn.Server(config).run(sockets=[listener])


def _listening(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((_HOST, port))
    except OSError as error:
        listener.close()
        raise ConfigError(f"port {port} of {_HOST} cannot be had: {error.strerror}: choose another --port") from error
    return listener


def stop_run(path: Path) -> None:
    """Ask the process that acquires into a run to stop after its pass."""
    ask_to_stop(path, f"{getpass.getuser()}, by knightshift stop")
    Console().print(f"{path} stops after this pass", highlight=False, markup=False, soft_wrap=True)
